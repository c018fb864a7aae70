//! Audio that is slow to come, or never comes as it was announced.

use std::time::Duration;

use sprachpost::{
    broker,
    event::{Processed, envelope::parse_processed, processed::OutcomeKind},
};

use super::{PATIENCE, Platforms, Waiting, audio_of, embedded, post_signed, runtime, start, voice};
use crate::support::{
    platforms::{Trouble, sha256},
    program::Server,
    rabbitmq::{self, Vhost},
};

#[test]
fn audio_that_cannot_be_had_at_once_is_fetched_again() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let server = start(folder.path(), &platforms, None, "gateway", &[]);
    let mut waiting = Waiting::open(&embedded(folder.path()));
    platforms.keep("1", b"OggS");
    platforms.next(&[Trouble::Unavailable, Trouble::Unavailable]);
    assert_eq!(post_signed(&server, "whatsapp", &voice("wamid.late", "1", None)), 200);
    let note = waiting.next();
    assert_eq!((note.message_id.as_str(), audio_of(&note, folder.path()).as_slice()), ("wamid.late", &b"OggS"[..]));
    assert_eq!(platforms.requests().len(), 6, "an address is asked for anew each time");
}

/// The end of one note whose audio meets `trouble`.
fn end(
    server: &Server,
    platforms: &Platforms,
    vhost: &Vhost<'_>,
    trouble: Option<Trouble>,
    sha256: Option<&str>,
) -> Processed {
    let mut results = runtime().block_on(async {
        let broker = broker::open(Some(&vhost.url().into()), &broker::Config::default()).await.unwrap();
        broker.subscribe("processed.#").await.unwrap()
    });
    platforms.next(trouble.as_slice());
    let id = format!("wamid.{trouble:?}.{}", sha256.is_some());
    assert_eq!(post_signed(server, "whatsapp", &voice(&id, "1", sha256)), 200);
    runtime().block_on(async {
        let message = tokio::time::timeout(PATIENCE, results.next()).await.expect("a result").unwrap();
        let processed = parse_processed(&message).unwrap();
        assert_eq!(processed.message_id.as_deref(), Some(id.as_str()));
        processed
    })
}

#[test]
fn a_note_whose_audio_cannot_be_had_has_its_event_with_the_reason() {
    let (folder, vhost) = (tempfile::tempdir().unwrap(), rabbitmq::shared().new_vhost());
    let platforms = Platforms::start();
    platforms.keep("1", b"OggS");
    let limits = [
        ("SPRACHPOST__FETCH__BYTES_MAX", "2000000"),
        ("SPRACHPOST__FETCH__TOTAL_S_MAX", "1"),
        ("SPRACHPOST__HTTP__MEDIA_RETRY__ATTEMPTS_MAX", "1"),
    ];
    let server = start(folder.path(), &platforms, Some(&vhost.url()), "gateway", &limits);
    for (trouble, sha256, outcome, reason) in [
        (Some(Trouble::NotFound), None, OutcomeKind::Rejected, "audio_not_found"),
        (Some(Trouble::TooLarge), None, OutcomeKind::Rejected, "audio_too_large"),
        (Some(Trouble::ToLoopback), None, OutcomeKind::Rejected, "source_forbidden"),
        (Some(Trouble::ToMetadata), None, OutcomeKind::Rejected, "source_forbidden"),
        (Some(Trouble::Drips), None, OutcomeKind::Failed, "audio_unreachable"),
        (Some(Trouble::Unavailable), None, OutcomeKind::Failed, "audio_unreachable"),
        (Some(Trouble::OtherBytes), Some(sha256(b"OggS").as_str()), OutcomeKind::Failed, "corrupt_audio"),
    ] {
        let processed = end(&server, &platforms, &vhost, trouble, sha256);
        let found = processed.reason.map(sprachpost::event::Reason::as_str);
        assert_eq!((processed.outcome, found), (outcome, Some(reason)), "{trouble:?}");
        assert!(processed.recording.is_none() && processed.detail.is_some_and(|detail| !detail.contains("http://")));
    }
    let secret = platforms.requests().iter().filter(|path| path.starts_with("/clips/")).count();
    assert_eq!(secret, 0, "a redirect to loopback is not followed");
}

#[test]
fn a_note_that_people_send_back_to_work_reaches_the_workers_as_that_replay() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let more = [("SPRACHPOST__HTTP__MEDIA_RETRY__ATTEMPTS_MAX", "1")];
    let server = start(folder.path(), &platforms, None, "gateway", &more);
    platforms.keep("1", b"OggS");
    platforms.next(&[Trouble::Unavailable]);
    let mut waiting = Waiting::open(&embedded(folder.path()));
    assert_eq!(post_signed(&server, "whatsapp", &voice("wamid.given-up", "1", None)), 200);
    runtime().block_on(async {
        let group = "intake".parse().unwrap();
        let given_up = async {
            while waiting.broker.depth_of(&group).await.unwrap().dead_letters != 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, given_up).await.expect("it lies with the dead letters");
        let mut pass = waiting.broker.open_dead_letters_of(&group).await.unwrap();
        let letter = pass.next().await.unwrap().expect("the letter");
        assert_eq!(letter.letter().reason, "audio_unreachable");
        assert!(letter.replay(1).await.unwrap());
        pass.close().await.unwrap();
        let delivery = tokio::time::timeout(PATIENCE, waiting.deliveries.next()).await.expect("the note").unwrap();
        assert_eq!(delivery.replay(), 1);
    });
}

#[test]
fn notes_wait_while_the_platform_does_not_accept_the_credentials() {
    let (folder, platforms) = (tempfile::tempdir().unwrap(), Platforms::start());
    let more = [("SPRACHPOST__HTTP__MEDIA_RETRY__ATTEMPTS_MAX", "1")];
    let mut server = start(folder.path(), &platforms, None, "gateway", &more);
    platforms.keep("1", b"OggS");
    platforms.refuse_token(true);
    assert_eq!(post_signed(&server, "whatsapp", &voice("wamid.locked-out", "1", None)), 200);
    let line = server.wait_for_log("does not accept the channel's credentials");
    assert!(!line.contains("access-token"), "{line}");
    // It waits for another minute rather than being given up on.
    let url = embedded(folder.path());
    runtime().block_on(async {
        let broker = broker::open(Some(&url.into()), &broker::Config::default()).await.unwrap();
        let group = "intake".parse().unwrap();
        let put_off = async {
            while broker.depth_of(&group).await.unwrap().waiting != 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, put_off).await.expect("it waits");
        assert_eq!(broker.depth_of(&group).await.unwrap().dead_letters, 0);
    });
}
