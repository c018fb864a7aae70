//! `sprachpost import`: folders and exported chats, through the program onto a queue.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Cursor, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use sprachpost::{
    broker::{self, Broker, Prefetch},
    event::envelope::parse_received,
    note::{AudioSource, VoiceNote},
    outcome::Settlement,
};
use zip::{CompressionMethod, write::SimpleFileOptions};

use crate::support::{
    clips,
    program::{self, stderr, stdout},
    rabbitmq, runtime,
};

const PATIENCE: Duration = Duration::from_mins(1);

/// A folder for a test's own queue, journals and recordings.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command(self.folder.path());
        command.env("SPRACHPOST__IMPORT__DIR", self.path("import")).arg("import").args(arguments);
        command
    }

    fn import(&self, what: &str, arguments: &[&str]) -> Output {
        let path = self.path(what);
        let mut command = self.command(&[path.to_str().unwrap(), "--channel", "whatsapp", "--json"]);
        if !arguments.contains(&"--tenant") {
            command.args(["--tenant", "musterstrom"]);
        }
        command.args(["--time-zone", "Europe/Berlin"]).args(arguments).output().unwrap()
    }

    /// The final account of an import that did all it could.
    fn account(&self, what: &str, arguments: &[&str]) -> Value {
        let output = self.import(what, arguments);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)))
    }

    async fn queue(&self) -> Arc<dyn Broker> {
        let url = format!("embedded:{}", self.path("queue.sqlite").display());
        broker::open(Some(&url.into()), &broker::Config::default()).await.unwrap()
    }

    /// All notes of the queue, by message id, taken off it.
    fn take(&self) -> BTreeMap<String, VoiceNote> {
        runtime().block_on(async {
            let queue = self.queue().await;
            let waiting = queue.depth().await.unwrap().waiting;
            let mut deliveries = queue.consume(Prefetch::from(100)).await.unwrap();
            let mut notes = BTreeMap::new();
            for _ in 0..waiting {
                let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
                let note = parse_received(delivery.message()).unwrap().note;
                delivery.settle(&Settlement::Ack).await.unwrap();
                notes.insert(note.message_id.clone(), note);
            }
            queue.close().await;
            notes
        })
    }

    fn waiting(&self) -> u64 {
        runtime().block_on(async {
            let queue = self.queue().await;
            let waiting = queue.depth().await.unwrap().waiting;
            queue.close().await;
            waiting
        })
    }
}

fn clip(name: &str) -> Vec<u8> {
    fs::read(clips::own().into_iter().find(|c| c.file.ends_with(name)).unwrap().path).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        // What is to be damaged stands there as it is.
        let method = if name.starts_with("damaged") { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What `find` stands at in `bytes` becomes `put`, everywhere.
fn patch(bytes: &mut [u8], find: &[u8], put: &[u8]) {
    let at: Vec<usize> = (0..bytes.len() - find.len()).filter(|at| bytes[*at..].starts_with(find)).collect();
    assert!(!at.is_empty());
    for at in at {
        bytes[at..at + put.len()].copy_from_slice(put);
    }
}

const CHAT: &str = "\u{200e}[20.11.26, 17:59:00] Erika Mustermann: \u{200e}Nachrichten sind verschlüsselt.\n\
                    [21.11.26, 18:02:11] Erika Mustermann: \u{200e}<Anhang: 00000002-AUDIO-2026-11-21-18-02-11.opus>\n\
                    [21.11.26, 18:05:00] Service: Danke,\nwir hören es uns an.\n\
                    [21.11.26, 18:06:30] Service: \u{200e}<Anhang: 00000004-AUDIO-2026-11-21-18-06-30.opus>\n\
                    [22.07.26, 09:00:00] Erika Mustermann: \u{200e}<Anhang: 00000005-PHOTO-2026-07-22-09-00-00.jpg>\n\
                    [22.07.26, 09:01:00] +49 170 5550123: \u{200e}<Anhang: 00000006-AUDIO-2026-07-22-09-01-00.opus>\n";

fn export() -> Vec<u8> {
    zip(&[
        ("_chat.txt", CHAT.as_bytes()),
        ("00000002-AUDIO-2026-11-21-18-02-11.opus", &clip("de-outage.ogg")),
        ("00000004-AUDIO-2026-11-21-18-06-30.opus", &clip("de-follow-up.ogg")),
        ("00000005-PHOTO-2026-07-22-09-00-00.jpg", b"a picture"),
        ("00000006-AUDIO-2026-07-22-09-01-00.opus", &clip("de-complaint.ogg")),
    ])
}

#[test]
fn an_exported_chat_becomes_notes_that_know_when_and_from_whom_and_name_nobody() {
    let place = Place::new();
    fs::write(place.path("WhatsApp Chat - Erika Mustermann.zip"), export()).unwrap();
    let account = place.account("WhatsApp Chat - Erika Mustermann.zip", &["--own", "Service"]);
    assert_eq!((account["queued"].as_u64(), account["already_there"].as_u64()), (Some(2), Some(0)), "{account}");
    assert_eq!(account["ignored"], serde_json::json!({"jpg": 1, "own notes": 1}));
    assert_eq!((account["refused"].as_array().unwrap().len(), account["undated"].as_u64()), (0, Some(0)));

    let notes = place.take();
    let [winter, summer] = [clip("de-outage.ogg"), clip("de-complaint.ogg")].map(|audio| &notes[&digest(&audio)]);
    assert_eq!(winter.sent_at.unwrap().to_string(), "2026-11-21T17:02:11Z");
    assert_eq!(summer.sent_at.unwrap().to_string(), "2026-07-22T07:01:00Z", "summer time");
    assert!(winter.conversation.is_some() && winter.conversation == summer.conversation);
    assert_ne!(winter.sender, summer.sender);
    for note in [winter, summer] {
        assert_eq!((note.tenant.as_str(), note.channel.as_str()), ("musterstrom", "whatsapp"));
        let json = serde_json::to_string(note).unwrap();
        assert!(!json.contains("Erika") && !json.contains("5550123"), "names and numbers stay behind");
        assert!(note.sender.as_ref().unwrap().expose().starts_with("c:"));
        assert!(matches!(note.audio, AudioSource::Inline { .. }));
    }

    // The same from Android, in a folder: another chat of the same person.
    place.write(
        "WhatsApp Chat mit Erika.txt",
        "21.11.26, 18:02 - Erika Mustermann: PTT-20261121-WA0001.opus (Datei angehängt)\n".as_bytes(),
    );
    place.write("PTT-20261121-WA0001.opus", &clip("de-emergency.ogg"));
    assert_eq!(place.account("in", &[])["queued"], 1);
    let other = place.take().into_values().next().unwrap();
    assert_eq!(other.sender, winter.sender, "the same person has the same pseudonym");
    assert_ne!(other.conversation, winter.conversation);
}

#[test]
fn an_import_that_is_repeated_reads_and_queues_nothing_twice() {
    let place = Place::new();
    place.write("one.ogg", &clip("de-outage.ogg"));
    place.write("deeper/two.ogg", &clip("de-follow-up.ogg"));
    place.write("deeper/two again.ogg", &clip("de-follow-up.ogg"));
    let account = place.account("in", &[]);
    assert_eq!((account["queued"].as_u64(), account["already_there"].as_u64()), (Some(2), Some(1)), "{account}");
    assert_eq!(place.take().len(), 2);

    // What is in it would be another note, if it were looked at; name, size and age are the same.
    let path = place.path("in/one.ogg");
    let (age, size) = (fs::metadata(&path).unwrap().modified().unwrap(), fs::metadata(&path).unwrap().len());
    fs::write(&path, vec![b'x'; size as usize]).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
    let account = place.account("in", &[]);
    assert_eq!((account["queued"].as_u64(), account["already_there"].as_u64()), (Some(0), Some(3)), "{account}");

    // For another tenant it is all new; a file that was written anew is, too.
    assert_eq!(place.account("in", &["--tenant", "second"])["queued"], 2);
    place.write("one.ogg", &clip("de-invoice-question.ogg"));
    assert_eq!(place.account("in", &[])["queued"], 1);
}

#[test]
fn without_a_worker_it_stops_at_the_depth_that_it_may_and_killed_there_it_goes_on_later() {
    let place = Place::new();
    let names = ["de-outage", "de-follow-up", "de-complaint", "de-emergency", "de-appointment"];
    for name in names {
        place.write(&format!("{name}.ogg"), &clip(&format!("{name}.ogg")));
    }
    let folder = place.path("in");
    let mut command = place.command(&[folder.to_str().unwrap(), "--tenant", "musterstrom", "--channel", "whatsapp"]);
    command.args(["--time-zone", "Europe/Berlin", "--json", "--waiting-max", "2"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while place.path("queue.sqlite").metadata().is_err() || place.waiting() < 2 {
        assert!(Instant::now() < deadline, "two notes were to be queued");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It looks at the queue every half second: time enough to do the wrong thing.
    std::thread::sleep(Duration::from_millis(1200));
    let (waiting, ended) = (place.waiting(), child.try_wait().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((waiting, ended), (2, None), "it waits for a worker");

    let first = place.take();
    let account = place.account("in", &[]);
    assert_eq!((account["queued"].as_u64(), account["already_there"].as_u64()), (Some(3), Some(2)), "{account}");
    let second = place.take();
    assert!(first.keys().all(|id| !second.contains_key(id)));
    assert_eq!(first.len() + second.len(), names.len());
}

#[test]
fn where_nobody_takes_notes_it_gives_up_in_time_and_says_what_to_do() {
    let place = Place::new();
    place.write("one.ogg", &clip("de-outage.ogg"));
    place.write("two.ogg", &clip("de-follow-up.ogg"));
    let folder = place.path("in");
    let mut command = place.command(&[folder.to_str().unwrap(), "--waiting-max", "1"]);
    let output = command.env("SPRACHPOST__IMPORT__STALLED_S_MAX", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("start a worker"), "{}", stderr(&output));
    assert_eq!(place.waiting(), 1);
}

#[test]
fn a_hostile_archive_harms_nobody_and_what_is_sound_in_it_is_imported() {
    let place = Place::new();
    let sound = clip("de-outage.ogg");
    let bomb = vec![0; 3 << 20];
    let mut bytes = zip(&[
        ("../../outside.ogg", &sound),
        ("/etc/absolute.ogg", &sound),
        ("bomb.ogg", &bomb),
        ("empty.ogg", b""),
        ("locked.ogg", b"encrypted"),
        ("lying.ogg", &[b'l'; 4321]),
        ("damaged.ogg", b"0123456789"),
        ("sound.ogg", &sound),
    ]);
    // A size that is smaller than what it unpacks to, in the archive's directory and in front of the file.
    patch(&mut bytes, &4321_u32.to_le_bytes(), &432_u32.to_le_bytes());
    patch(&mut bytes, b"0123456789", b"012345678x");
    // The first bit of the flags, which stand 2 bytes behind the signature and version, says: encrypted.
    let local = bytes.windows(10).position(|w| w == b"locked.ogg").unwrap() - 30;
    bytes[local + 6] |= 1;
    let central = bytes.windows(10).rposition(|w| w == b"locked.ogg").unwrap() - 46;
    bytes[central + 8] |= 1;
    fs::write(place.path("export.zip"), &bytes).unwrap();

    let mut command = place.command(&[place.path("export.zip").to_str().unwrap(), "--json"]);
    let output = command.env("SPRACHPOST__FETCH__BYTES_MAX", "1000000").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let account: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(account["queued"], 1, "{account}");
    let refused: BTreeMap<&str, &str> = account["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["file"].as_str().unwrap(), r["reason"].as_str().unwrap()))
        .collect();
    for (file, reason) in [
        ("../../outside.ogg", "leads out"),
        ("/etc/absolute.ogg", "leads out"),
        ("bomb.ogg", "larger than"),
        ("empty.ogg", "empty"),
        ("locked.ogg", "encrypted"),
        ("lying.ogg", "damaged"),
        ("damaged.ogg", "damaged"),
    ] {
        assert!(refused.get(file).is_some_and(|said| said.contains(reason)), "{file}: {refused:?}");
    }
    assert_eq!(refused.len(), 7);
    assert!(!place.folder.path().parent().unwrap().join("outside.ogg").exists());
    assert_eq!(place.take().into_keys().collect::<Vec<_>>(), [digest(&sound)]);
}

#[test]
fn an_archive_of_too_many_or_too_large_files_is_refused_before_anything_is_queued() {
    let place = Place::new();
    fs::write(place.path("many.zip"), zip(&[("1.ogg", b"1"), ("2.ogg", b"2"), ("3.txt", b"3")])).unwrap();
    for (variable, value, said) in
        [("SPRACHPOST__IMPORT__FILES_MAX", "2", "files_max"), ("SPRACHPOST__IMPORT__TOTAL_BYTES_MAX", "1", "total")]
    {
        let mut command = place.command(&[place.path("many.zip").to_str().unwrap()]);
        let output = command.env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    for not_one in [b"no archive at all".as_slice(), &export()[..2000], b""] {
        fs::write(place.path("broken.zip"), not_one).unwrap();
        let output = place.import("broken.zip", &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("neither a folder nor a zip"), "{}", stderr(&output));
    }
    assert_eq!(place.import("gone.zip", &[]).status.code(), Some(2));
    assert_eq!(place.waiting(), 0);
}

#[test]
fn in_a_folder_links_and_fifos_are_refused_and_hidden_files_ignored() {
    let place = Place::new();
    fs::write(place.path("secret.ogg"), b"not for import").unwrap();
    symlink(place.path("secret.ogg"), place.path("in/link.ogg")).unwrap();
    symlink(place.path("in"), place.path("in/loop")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("in/fifo.ogg")).status().unwrap().success());
    place.write(".hidden.ogg", b"x");
    place.write("note.OGG", &clip("de-outage.ogg"));
    place.write("README", b"x");
    let account = place.account("in", &[]);
    assert_eq!(account["queued"], 1, "{account}");
    assert_eq!(account["ignored"], serde_json::json!({"hidden files": 1, "other files": 2}));
    let refused: Vec<&str> =
        account["refused"].as_array().unwrap().iter().map(|r| r["file"].as_str().unwrap()).collect();
    assert_eq!(refused, ["fifo.ogg", "link.ogg"]);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_leaves_no_trace() {
    let place = Place::new();
    fs::write(place.path("chat.zip"), export()).unwrap();
    let account = place.account("chat.zip", &["--dry-run"]);
    assert_eq!(account["queued"], 3, "{account}");
    assert!(!place.path("queue.sqlite").exists() && !place.path("import").exists());
}

#[test]
fn dates_that_cannot_be_told_are_left_out_until_somebody_says_how_they_are_written() {
    let place = Place::new();
    place.write("_chat.txt", b"03/04/2026, 18:02 - Erika: a.opus (file attached)\n");
    place.write("a.opus", &clip("de-outage.ogg"));
    let output = place.import("in", &["--dry-run"]);
    let account: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(account["undated"], 1, "{account}");
    assert_eq!(place.account("in", &["--date-order", "mdy"])["undated"], 0);
    let note = place.take().into_values().next().unwrap();
    assert_eq!(note.sent_at.unwrap().to_string(), "2026-03-04T17:02:00Z");
}

#[test]
fn a_long_recording_is_stored_beside_the_queue_and_on_rabbitmq_nothing_but_the_address_changes() {
    let (place, vhost) = (Place::new(), rabbitmq::shared().new_vhost());
    place.write("long.ogg", &clip("de-outage.ogg"));
    let folder = place.path("in");
    let mut command = place.command(&[folder.to_str().unwrap(), "--tenant", "musterstrom"]);
    command.env("SPRACHPOST__BROKER__URL", vhost.url()).env("SPRACHPOST__FETCH__INLINE_BYTES_MAX", "1000");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("queued"), "{}", stdout(&output));
    runtime().block_on(async {
        let queue = broker::open(Some(&vhost.url().into()), &broker::Config::default()).await.unwrap();
        let mut deliveries = queue.consume(Prefetch::from(1)).await.unwrap();
        let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await.unwrap().unwrap();
        let note = parse_received(delivery.message()).unwrap().note;
        let AudioSource::File { path } = &note.audio else { panic!("{:?}", note.audio) };
        assert!(Path::new(path).starts_with(place.path("spool").canonicalize().unwrap()));
        assert_eq!(fs::read(path).unwrap(), clip("de-outage.ogg"));
        delivery.settle(&Settlement::Ack).await.unwrap();
        queue.close().await;
    });
}
