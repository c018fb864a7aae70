//! Owns one import from beginning to end: which files are voice notes, what is known about them, and how fast they go
//! onto the queue.
//!
//! A note's id is made from its content, as for uploads: the same recording for the same tenant and channel is the same
//! note, from whichever folder or archive it comes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Config, ImportError,
    chat::{Chat, DateOrder},
    journal::Journal,
    pseudonym::Pseudonyms,
    source::{Member, Refused, Source},
};
use crate::{
    broker::{Broker, BrokerError, Exchange},
    event::envelope::{Received, received_message},
    hex::hex,
    note::{Channel, Tenant, VoiceNote},
    outcome::Disposition,
    private::Private,
    recordings::Recordings,
};

/// What recordings are called. Videos are none, though a note could be in one.
const AUDIO: [&str; 13] =
    ["opus", "ogg", "oga", "m4a", "mp3", "aac", "wav", "flac", "amr", "3gp", "webm", "caf", "weba"];
/// Between two looks at a queue that is full, or does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be imported, and as what.
#[derive(Debug)]
pub struct Order {
    pub tenant: Tenant,
    pub channel: Channel,
    /// Instead of a pseudonym of the chat's name.
    pub conversation: Option<Private>,
    pub language: Option<String>,
    /// Where the telephone was that exported the chat.
    pub time_zone: TimeZone,
    /// In which order the chat writes dates, where it is known.
    pub date_order: Option<DateOrder>,
    /// Senders whose notes are left out: the centre's own people.
    pub own: Vec<String>,
}

/// Where notes go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub broker: &'a dyn Broker,
    /// Where recordings are kept that do not travel inside their messages.
    pub recordings: &'a Recordings,
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

/// What became of everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Notes that are on the queue now.
    pub queued: u64,
    /// Notes that an earlier run queued, or that are here twice.
    pub already_there: u64,
    /// Files that are no recordings, by extension or kind.
    pub ignored: BTreeMap<String, u64>,
    /// Recordings that were not taken.
    pub refused: Vec<RefusedFile>,
    /// Queued notes of a chat for which no date could be told.
    pub undated: u64,
}

#[derive(Debug, Serialize)]
pub struct RefusedFile {
    pub file: String,
    pub reason: String,
}

/// A recording that is to be imported.
struct Recording {
    member: Member,
    sender: Option<Private>,
    conversation: Option<Private>,
    sent_at: Option<Timestamp>,
    from_chat: bool,
}

/// An import, ready to run.
pub struct Import<'a> {
    pub order: &'a Order,
    pub limits: &'a Config,
    /// Largest recording, in bytes: workers take no larger ones.
    pub bytes_max: u64,
    /// None where it is only to be found out what would be done.
    pub target: Option<Target<'a>>,
    /// Is told how many bytes are done.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("order", &self.order).finish_non_exhaustive()
    }
}

impl Import<'_> {
    /// Imports all `members` of `source` that are recordings and do not stand in the journal.
    pub async fn run(
        &self,
        mut source: Source,
        members: Vec<Member>,
        journal: &mut Journal,
    ) -> Result<Summary, ImportError> {
        let mut summary = Summary::default();
        let recordings = self.sort(&mut source, members, &mut summary)?;
        let total = recordings.iter().map(|recording| recording.member.size).fold(0, u64::saturating_add);
        if total > self.limits.total_bytes_max {
            return Err(ImportError::TooLarge { total_bytes_max: self.limits.total_bytes_max });
        }
        let mut pace = self.target.map(|target| Pace::new(target.broker, self.limits));
        let (mut seen, mut done) = (HashSet::new(), 0_u64);
        for recording in recordings {
            (self.progress)(done);
            let member = &recording.member;
            done += member.size;
            if journal.holds(member) {
                summary.already_there += 1;
                continue;
            }
            let audio = match tokio::task::block_in_place(|| source.read(member, self.bytes_max)) {
                Ok(audio) if !audio.is_empty() => audio,
                Ok(_) => {
                    summary.refuse(member, Refused::Empty);
                    continue;
                }
                Err(refused) => {
                    summary.refuse(member, refused);
                    continue;
                }
            };
            let digest: [u8; 32] = Sha256::digest(&audio).into();
            if seen.insert(digest) {
                if let (Some(target), Some(pace)) = (self.target, &mut pace) {
                    pace.queue(note(&recording, &audio, &hex(&digest), self.order, target).await?).await?;
                }
                summary.queued += 1;
                summary.undated += u64::from(recording.from_chat && recording.sent_at.is_none());
            } else {
                summary.already_there += 1;
            }
            journal.add(member)?;
        }
        Ok(summary)
    }

    /// Which of the files are recordings to import, with what their chats say about them. Chats are read here.
    fn sort(
        &self,
        source: &mut Source,
        members: Vec<Member>,
        summary: &mut Summary,
    ) -> Result<Vec<Recording>, ImportError> {
        let order = self.order;
        let pseudonyms = if self.target.is_some() { Pseudonyms::open(self.limits)? } else { Pseudonyms::for_show() };
        let chats = self.read_chats(source, &members, summary);
        let mut recordings = Vec::new();
        for member in members.into_iter().filter(|member| !is_chat(member)) {
            if let Some(kind) = ignored(&member) {
                summary.ignore(&kind);
                continue;
            }
            let chat = chats.get(member.folder());
            let sent = chat.and_then(|(chat, _)| chat.sent(member.file_name()));
            if sent.is_some_and(|sent| order.own.iter().any(|own| own == sent.sender.expose())) {
                summary.ignore("own notes");
                continue;
            }
            let of_chat = chat.map(|(_, title)| pseudonyms.conversation(&order.tenant, title));
            recordings.push(Recording {
                sender: sent.map(|sent| pseudonyms.sender(&order.tenant, &sent.sender)),
                conversation: order.conversation.clone().or(of_chat),
                sent_at: sent.and_then(|sent| Some(sent.at?.to_zoned(order.time_zone.clone()).ok()?.timestamp())),
                from_chat: chat.is_some(),
                member,
            });
        }
        Ok(recordings)
    }

    /// All chats by the folder that they lie in, with what they are called. An export is a folder of its own, also
    /// where several of them lie below one folder.
    fn read_chats(
        &self,
        source: &mut Source,
        members: &[Member],
        summary: &mut Summary,
    ) -> HashMap<String, (Chat, Private)> {
        let mut chats = HashMap::new();
        for member in members.iter().filter(|member| is_chat(member)) {
            match tokio::task::block_in_place(|| source.read(member, self.limits.chat_bytes_max)) {
                Ok(text) => {
                    let chat = Chat::read(&String::from_utf8_lossy(&text), self.order.date_order);
                    chats.insert(member.folder().to_owned(), (chat, title(member, source).into()));
                }
                Err(refused) => summary.refuse(member, refused),
            }
        }
        chats
    }
}

impl Summary {
    fn refuse(&mut self, member: &Member, refused: Refused) {
        self.refused.push(RefusedFile { file: member.name.clone(), reason: refused.to_string() });
    }

    fn ignore(&mut self, what: &str) {
        *self.ignored.entry(what.to_owned()).or_default() += 1;
    }
}

/// `_chat.txt` on iOS, `WhatsApp Chat with NAME.txt` on Android.
fn is_chat(member: &Member) -> bool {
    let name = member.file_name();
    name == "_chat.txt" || (name.starts_with("WhatsApp Chat") && name.strip_suffix(".txt").is_some())
}

/// What names the conversation: the chat's own file, or what it lies in.
fn title(chat: &Member, source: &Source) -> String {
    let name = match (chat.file_name().strip_suffix(".txt"), chat.folder()) {
        (Some(name), _) if name != "_chat" => name.to_owned(),
        (_, "") => source.title(),
        (_, folder) => folder.to_owned(),
    };
    // A browser that saves the same name twice adds a number.
    let (base, end) = name.rsplit_once(" (").unwrap_or((&name, ""));
    let is_number = end.strip_suffix(')').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if is_number { base.to_owned() } else { name }
}

/// What kind of file it is that is no recording; none if it is one.
fn ignored(member: &Member) -> Option<String> {
    let name = member.file_name();
    if name.starts_with('.') || member.name.starts_with("__MACOSX/") {
        return Some("hidden files".to_owned());
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    if AUDIO.contains(&extension.as_str()) {
        return None;
    }
    let plain = (1..=8).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    Some(if plain { extension } else { "other files".to_owned() })
}

async fn note(
    recording: &Recording,
    audio: &[u8],
    digest: &str,
    order: &Order,
    target: Target<'_>,
) -> Result<VoiceNote, ImportError> {
    let source = target.recordings.put_or_carry(audio).await.map_err(ImportError::NotKept)?;
    let note = VoiceNote::new(order.tenant.clone(), order.channel.clone(), format!("sha256:{digest}"), source);
    Ok(VoiceNote {
        conversation: recording.conversation.clone(),
        sender: recording.sender.clone(),
        sent_at: recording.sent_at,
        language: order.language.clone(),
        ..note
    })
}

/// Puts notes on the queue no faster than workers take them.
struct Pace<'a> {
    broker: &'a dyn Broker,
    waiting_max: u64,
    stalled_s_max: u64,
    /// Notes that may be queued before the queue is asked again.
    room: u64,
}

impl<'a> Pace<'a> {
    fn new(broker: &'a dyn Broker, limits: &Config) -> Self {
        Self { broker, waiting_max: limits.waiting_max.max(1), stalled_s_max: limits.stalled_s_max, room: 0 }
    }

    async fn queue(&mut self, note: VoiceNote) -> Result<(), ImportError> {
        if self.room == 0 {
            self.wait_for_room().await?;
        }
        self.room -= 1;
        let message = received_message(&Received { note, traceparent: None }, Timestamp::now());
        let deadline = self.deadline();
        loop {
            match self.broker.publish(Exchange::Notes, &message).await {
                Ok(()) => return Ok(()),
                Err(error) => pause_or_give_up(error, deadline).await?,
            }
        }
    }

    /// Returns when fewer notes wait than may. The more room there is, the longer nobody has to ask again.
    async fn wait_for_room(&mut self) -> Result<(), ImportError> {
        let (mut fewest, mut deadline) = (u64::MAX, self.deadline());
        loop {
            match self.broker.depth().await {
                Ok(depth) if depth.waiting < self.waiting_max => {
                    self.room = self.waiting_max - depth.waiting;
                    return Ok(());
                }
                Ok(depth) => {
                    if depth.waiting < fewest {
                        (fewest, deadline) = (depth.waiting, self.deadline());
                    }
                    if Instant::now() >= deadline {
                        let stalled_s_max = self.stalled_s_max;
                        return Err(ImportError::Stalled { waiting: depth.waiting, stalled_s_max });
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => pause_or_give_up(error, deadline).await?,
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.stalled_s_max)
    }
}

async fn pause_or_give_up(error: BrokerError, deadline: Instant) -> Result<(), ImportError> {
    match error.disposition() {
        Disposition::Retry if Instant::now() < deadline => {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        Disposition::Retry | Disposition::Fail => Err(ImportError::NotQueued(error)),
    }
}
