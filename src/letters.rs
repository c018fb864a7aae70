//! Owns what people do with dead letters: find them, send them back to work, throw them away.
//!
//! Two steps, so that nobody acts on what they have not seen: [`find`] says which letters there are, [`carry_out`] acts
//! on exactly those. It knows notes, what is said about them, and the queue's trait, not which queue it is nor how
//! anything is printed.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    broker::{Broker, BrokerError, DeadLetter, Group, HeldLetter},
    event::{
        Event, EventError, Reason,
        envelope::{parse_event, parse_received},
    },
    note::{Channel, NoteId, Tenant},
    report::{Attempt, Report},
};

/// How long letters are waited for that somebody else may be looking at just now.
const OUT_OF_SIGHT_MAX: Duration = Duration::from_secs(3);
const OUT_OF_SIGHT_PAUSE: Duration = Duration::from_millis(100);

/// What may be said about a dead letter anywhere: nothing of it comes from the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The id under which the note was answered; for what is no note, the one that its terminal event has.
    pub note_id: NoteId,
    /// None where the message could not be read that far.
    pub tenant: Option<Tenant>,
    pub channel: Option<Channel>,
    /// Whether the message is a voice note at all, or what was said about one.
    pub readable: bool,
    /// A word of [`Reason`], or of a later version's.
    pub reason: String,
    /// In which stage of the pipeline it was given up on.
    pub stage: String,
    pub attempts: u32,
    /// How often people had sent it back to work before.
    pub replays: u32,
    /// When the first attempt began, and the last one ended; none where no worker lived to say so.
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    pub body_bytes: usize,
}

impl Summary {
    #[must_use]
    pub fn of(letter: &DeadLetter) -> Self {
        let Origin { note_id, tenant, channel, readable } = match parse_received(&letter.message) {
            Ok(received) => {
                let (tenant, channel) = (received.note.tenant.clone(), received.note.channel.clone());
                Origin { note_id: received.note.id(), tenant: Some(tenant), channel: Some(channel), readable: true }
            }
            Err(error) => Origin::of_event(letter).unwrap_or_else(|| Origin::of_unreadable(letter, &error)),
        };
        Self {
            note_id,
            tenant,
            channel,
            readable,
            reason: letter.reason.clone(),
            stage: letter.stage.clone(),
            attempts: letter.attempts,
            replays: letter.replays,
            first_at: letter.first_at,
            last_at: letter.last_at,
            body_bytes: letter.message.body.len(),
        }
    }

    /// What tells it from other letters, also of the same note.
    fn key(&self) -> (NoteId, u32, Option<Timestamp>, usize) {
        (self.note_id, self.replays, self.last_at, self.body_bytes)
    }
}

/// Which note a letter is about.
struct Origin {
    note_id: NoteId,
    tenant: Option<Tenant>,
    channel: Option<Channel>,
    readable: bool,
}

impl Origin {
    /// A result that somebody could do nothing with.
    fn of_event(letter: &DeadLetter) -> Option<Self> {
        let (note_id, tenant, channel) = match parse_event(&letter.message).ok()? {
            Event::Processed { data, .. } => (data.note_id, data.tenant, data.channel),
            Event::Redacted { data, .. } => (data.get().note_id, data.get().tenant.clone(), data.get().channel.clone()),
            Event::Acknowledged { data, .. } => (data.note_id, Some(data.tenant), Some(data.channel)),
            Event::FollowUpDue { data, .. } => (data.note_id, Some(data.tenant), Some(data.channel)),
            // About no one note.
            Event::Spike { .. } | Event::CaseClosed { .. } => return None,
        };
        Some(Self { note_id, tenant, channel, readable: true })
    }

    /// By the same means as its terminal event, so that both have the same id.
    fn of_unreadable(letter: &DeadLetter, error: &EventError) -> Self {
        let data = Report::of_unreadable(&letter.message, error, Attempt::only(), "").data;
        Self { note_id: data.note_id, tenant: data.tenant, channel: data.channel, readable: false }
    }
}

/// A note id, or its beginning as far as people care to type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

impl IdPrefix {
    /// As many characters as a list shows.
    pub const CHARS_MIN: usize = 8;

    #[must_use]
    pub fn matches(&self, id: NoteId) -> bool {
        id.to_string().starts_with(&self.0)
    }
}

impl FromStr for IdPrefix {
    type Err = IdPrefixError;

    fn from_str(text: &str) -> Result<Self, IdPrefixError> {
        let text = text.to_ascii_lowercase();
        let fits = (Self::CHARS_MIN..=36).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if fits { Ok(Self(text)) } else { Err(IdPrefixError) }
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text itself is not repeated: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a note id is 36 characters of 0-9, a-f and -; its first {} are enough", IdPrefix::CHARS_MIN)]
pub struct IdPrefixError;

/// Which letters are meant: those to which everything that is set applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Empty: whatever their id.
    pub ids: Vec<IdPrefix>,
    pub reason: Option<Reason>,
    pub tenant: Option<Tenant>,
    /// Given up on before this. Letters of unknown age are not.
    pub before: Option<Timestamp>,
    /// Given up on after this. Letters of unknown age are not.
    pub after: Option<Timestamp>,
}

impl Filter {
    #[must_use]
    pub fn matches(&self, letter: &Summary) -> bool {
        (self.ids.is_empty() || self.ids.iter().any(|id| id.matches(letter.note_id)))
            && self.reason.is_none_or(|reason| reason.as_str() == letter.reason)
            && self.tenant.as_ref().is_none_or(|tenant| letter.tenant.as_ref() == Some(tenant))
            && self.before.is_none_or(|before| letter.last_at.is_some_and(|at| at < before))
            && self.after.is_none_or(|after| letter.last_at.is_some_and(|at| at > after))
    }

    /// The ids that none of the letters has.
    pub fn missing<'a>(&'a self, letters: &'a [Found]) -> impl Iterator<Item = &'a IdPrefix> {
        self.ids.iter().filter(|id| !letters.iter().any(|found| id.matches(found.letter.note_id)))
    }
}

/// A letter that was found, and what replaying it would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub letter: Summary,
    /// One more than any letter of this note has seen, so that its next answer is new to everybody; the same for all
    /// letters of this note, so that they have one answer.
    pub replay: u32,
}

/// What one look at the dead letters has shown, oldest first.
#[derive(Debug, Default)]
pub struct Look {
    pub found: Vec<Found>,
    /// There are more that match than were asked for.
    pub more: bool,
    /// There are letters that could not be looked at: see `broker.letters_held_max`.
    pub cut_short: bool,
}

/// Looks for up to `limit` letters of these queues. Ids that are not found at once are looked for a little longer where somebody else's
/// look may hide them.
pub async fn find(broker: &dyn Broker, group: &Group, filter: &Filter, limit: usize) -> Result<Look, BrokerError> {
    search(broker, group, filter, limit, |_| ()).await
}

/// The same, with the letters whole: for a few of them, as all are in memory together.
pub async fn find_whole(
    broker: &dyn Broker,
    group: &Group,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<DeadLetter>, BrokerError> {
    let mut whole = HashMap::new();
    search(broker, group, filter, limit, |letter| drop(whole.insert(Summary::of(letter).key(), letter.clone())))
        .await?;
    let mut letters: Vec<_> = whole.into_values().collect();
    letters.sort_by_key(|letter| letter.last_at);
    Ok(letters)
}

async fn search(
    broker: &dyn Broker,
    group: &Group,
    filter: &Filter,
    limit: usize,
    mut see: impl FnMut(&DeadLetter) + Send,
) -> Result<Look, BrokerError> {
    let give_up_at = Instant::now() + OUT_OF_SIGHT_MAX;
    loop {
        let (look, may_hide) = look(broker, group, filter, limit, &mut see).await?;
        if filter.missing(&look.found).next().is_none() || !may_hide || Instant::now() > give_up_at {
            return Ok(look);
        }
        tokio::time::sleep(OUT_OF_SIGHT_PAUSE).await;
    }
}

async fn look(
    broker: &dyn Broker,
    group: &Group,
    filter: &Filter,
    limit: usize,
    see: &mut (impl FnMut(&DeadLetter) + Send),
) -> Result<(Look, bool), BrokerError> {
    let mut pass = broker.open_dead_letters_of(group).await?;
    let mut look = Look::default();
    let mut replays_of: HashMap<NoteId, u32> = HashMap::new();
    while let Some(held) = pass.next().await? {
        let letter = Summary::of(held.letter());
        let replays = replays_of.entry(letter.note_id).or_default();
        *replays = letter.replays.max(*replays);
        if !filter.matches(&letter) {
            continue;
        }
        if look.found.len() == limit {
            look.more = true;
            break;
        }
        see(held.letter());
        look.found.push(Found { letter, replay: 0 });
    }
    look.cut_short = pass.is_cut_short();
    let may_hide = pass.hides_letters();
    pass.close().await?;
    for found in &mut look.found {
        found.replay = replays_of.get(&found.letter.note_id).copied().unwrap_or_default().saturating_add(1);
    }
    look.found.sort_by_key(|found| found.letter.last_at);
    Ok((look, may_hide))
}

/// What is to be done with letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Back to work, as a note that was just queued; a result into the queue that it was given up in.
    Replay,
    /// Away, for good.
    Discard,
}

impl Order {
    async fn carry_out(self, held: Box<dyn HeldLetter>, found: &Found) -> Result<bool, BrokerError> {
        match self {
            Self::Replay => held.replay(found.replay).await,
            Self::Discard => held.discard().await,
        }
    }
}

/// Carries out an order on exactly these letters and tells of each that is done. What comes back are those that are not
/// there any more: somebody else replayed or discarded them. After an error the rest is as it was.
pub async fn carry_out(
    broker: &dyn Broker,
    group: &Group,
    order: Order,
    chosen: Vec<Found>,
    mut done: impl FnMut(&Found) + Send,
) -> Result<Vec<Found>, BrokerError> {
    let mut open: HashMap<_, Vec<Found>> = HashMap::new();
    for found in chosen {
        open.entry(found.letter.key()).or_default().push(found);
    }
    let mut give_up_at = Instant::now() + OUT_OF_SIGHT_MAX;
    loop {
        let mut pass = broker.open_dead_letters_of(group).await?;
        while !open.is_empty()
            && let Some(held) = pass.next().await?
        {
            let key = Summary::of(held.letter()).key();
            let Some(same) = open.get_mut(&key) else { continue };
            let Some(found) = same.pop() else { continue };
            if same.is_empty() {
                open.remove(&key);
            }
            if order.carry_out(held, &found).await? {
                done(&found);
                give_up_at = Instant::now() + OUT_OF_SIGHT_MAX;
            } else {
                open.entry(key).or_default().push(found);
            }
        }
        let may_hide = pass.hides_letters();
        pass.close().await?;
        if open.is_empty() || !may_hide || Instant::now() > give_up_at {
            return Ok(open.into_values().flatten().collect());
        }
        tokio::time::sleep(OUT_OF_SIGHT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Message;

    fn letter(body: &str) -> DeadLetter {
        DeadLetter {
            message: Message {
                id: None,
                correlation_id: None,
                routing_key: "received.acme.mail".to_owned(),
                content_type: None,
                headers: std::collections::BTreeMap::new(),
                body: body.as_bytes().to_vec(),
            },
            reason: "audio_unreachable".to_owned(),
            stage: "fetch".to_owned(),
            attempts: 5,
            replays: 1,
            first_at: None,
            last_at: "2026-11-21T18:00:00Z".parse().ok(),
        }
    }

    const NOTE: &str = r#"{"tenant": "acme", "channel": "mail", "message_id": "1", "sender": "+49170555",
        "audio": {"type": "url", "url": "https://media.example/geheim"}}"#;

    #[test]
    fn a_summary_names_the_note_and_nothing_of_the_customers() {
        let summary = Summary::of(&letter(NOTE));
        let id = NoteId::of(&"acme".parse().unwrap(), &"mail".parse().unwrap(), "1");
        assert_eq!((summary.note_id, summary.readable, summary.replays), (id, true, 1));
        let shown = format!("{summary:?} {}", serde_json::to_string(&summary).unwrap());
        assert!(!shown.contains("555") && !shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn what_is_no_note_has_the_id_of_its_terminal_event() {
        let nothing = Summary::of(&letter("{\"tenant\": \"acm"));
        assert_eq!(nothing.note_id, NoteId::of_unreadable(b"{\"tenant\": \"acm"));
        assert_eq!((nothing.tenant, nothing.readable), (None, false));
        let without_audio = Summary::of(&letter(r#"{"tenant": "acme", "channel": "mail", "message_id": "1"}"#));
        assert_eq!(without_audio.note_id, Summary::of(&letter(NOTE)).note_id);
        assert_eq!((without_audio.tenant.unwrap().as_str(), without_audio.readable), ("acme", false));
    }

    #[test]
    fn everything_that_a_filter_sets_has_to_apply() {
        let summary = Summary::of(&letter(NOTE));
        let at = |text: &str| text.parse().ok();
        let id = summary.note_id.to_string();
        let filter = |change: &dyn Fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.matches(&summary)
        };
        assert!(filter(&|_| ()));
        assert!(filter(&|f| f.ids = vec![id[..8].to_uppercase().parse().unwrap()]));
        assert!(!filter(&|f| f.ids = vec!["00000000".parse().unwrap()]));
        assert!(filter(&|f| f.reason = Some(Reason::AudioUnreachable)));
        assert!(!filter(&|f| f.reason = Some(Reason::WorkerCrashed)));
        assert!(filter(&|f| f.tenant = "acme".parse().ok()));
        assert!(!filter(&|f| f.tenant = "other".parse().ok()));
        assert!(filter(&|f| f.before = at("2026-11-21T19:00:00Z")));
        assert!(!filter(&|f| f.before = at("2026-11-21T17:00:00Z")));
        assert!(!filter(&|f| f.after = at("2026-11-21T19:00:00Z")));
        let ageless = Summary { last_at: None, ..summary.clone() };
        assert!(!Filter { before: at("2026-11-21T19:00:00Z"), ..Filter::default() }.matches(&ageless));
    }

    #[test]
    fn an_id_is_at_least_what_a_list_shows() {
        for bad in ["", "b0d06c4", "b0d06c4x", "*", &"0".repeat(37)] {
            assert!(bad.parse::<IdPrefix>().is_err(), "{bad}");
        }
        assert!("b0d06c48".parse::<IdPrefix>().is_ok());
    }
}
