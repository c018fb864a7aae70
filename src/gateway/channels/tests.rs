use std::{fmt::Write as _, path::Path, sync::LazyLock};

use proptest::prelude::*;

use super::*;

/// Tables as in the configuration, with a file that holds every secret.
const CHANNELS: [&str; 3] = [
    "name = 'whatsapp'\ntenant = 't'\ntype = 'whatsapp'\napp_secret = S\nverify_token = S\naccess_token = S\n",
    "name = 'messenger'\ntenant = 't'\ntype = 'messenger'\napp_secret = S\nverify_token = S\n",
    "name = 'telegram'\ntenant = 't'\ntype = 'telegram'\nbot_token = S\nsecret_token = S\n",
];

#[derive(Debug, Serialize, Deserialize)]
struct File {
    channels: Vec<ChannelConfig>,
}

fn read(tables: &[&str], secret: &Path) -> Result<Vec<ChannelConfig>, toml::de::Error> {
    let secret = format!("= {{ file = '{}' }}", secret.display());
    let text = tables.iter().fold(String::new(), |mut text, table| {
        let _ = writeln!(text, "[[channels]]\n{}", table.replace("= S", &secret));
        text
    });
    toml::from_str::<File>(&text).map(|file| file.channels)
}

fn open(tables: &[&str]) -> Result<Channels, SetupError> {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret").unwrap();
    Channels::open(&read(tables, secret.path()).unwrap(), &fetch::Config::default())
}

#[test]
fn what_is_written_can_be_read_and_shown_and_an_unknown_key_is_refused() {
    let secret = Path::new("/run/secrets/x");
    for table in CHANNELS {
        let channels = read(&[table], secret).unwrap();
        let shown = toml::to_string(&File { channels: channels.clone() }).unwrap();
        assert_eq!(toml::from_str::<File>(&shown).unwrap().channels, channels, "{shown}");
        let error = read(&[&format!("{table}verify_tokn = S\n")], secret).unwrap_err().to_string();
        assert!(error.contains("verify_tokn"), "{error}");
    }
    assert!(read(&["name = 'x'\ntenant = 't'\ntype = 'pigeon'\n"], secret).is_err());
    assert!(
        read(&["name = 'a/b'\ntenant = 't'\ntype = 'telegram'\nbot_token = S\nsecret_token = S\n"], secret).is_err()
    );
}

#[test]
fn a_name_is_given_once_and_a_secret_has_to_be_there() {
    let channels = open(&CHANNELS).unwrap();
    assert_eq!(channels.iter().count(), 3);
    assert!(matches!(open(&[CHANNELS[0], CHANNELS[0]]), Err(SetupError::Twice { .. })));
    let missing = read(&CHANNELS[..1], Path::new("/nowhere/secret")).unwrap();
    let error = Channels::open(&missing, &fetch::Config::default()).unwrap_err();
    assert!(matches!(error, SetupError::Channel { .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("/nowhere/secret"), "{source}");
}

/// The documented payloads of a platform.
fn fixtures(channel: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channels").join(channel);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| std::fs::read(path).unwrap()).collect()
}

/// Puts `piece` somewhere into each payload, over what stood there.
fn damaged(payload: &[u8], at: prop::sample::Index, over: usize, piece: &[u8]) -> Vec<u8> {
    let at = at.index(payload.len());
    let end = (at + over).min(payload.len());
    [&payload[..at], piece, &payload[end..]].concat()
}

proptest! {
    #[test]
    fn whatever_a_body_holds_parsing_comes_to_an_end_and_notes_have_ids(
        at in any::<prop::sample::Index>(),
        over in 0_usize..40,
        piece in prop_oneof![
            "[\\[\\]{}\":,0-9a-z.-]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..12),
            Just(b"null".to_vec()),
            Just(b"-1e999".to_vec()),
            Just(b"99999999999999999999".to_vec()),
        ],
    ) {
        static OPEN: LazyLock<Channels> = LazyLock::new(|| open(&CHANNELS).unwrap());
        for own in OPEN.iter() {
            for payload in fixtures(own.name.as_str()) {
                if let Ok(parsed) = own.platform.parse(&damaged(&payload, at, over, &piece)) {
                    prop_assert!(parsed.notes.iter().all(|note| !note.message_id.is_empty()));
                }
            }
        }
    }
}

#[test]
fn what_a_platform_refuses_concerns_the_channel_the_moment_or_the_note() {
    use crate::{audio::fetch::FetchError, outcome::Disposition};
    let refused = |status| FetchError::Refused { status };
    for status in [401, 403] {
        assert_eq!(MediaError::refused(refused(status)), MediaError::Unauthorized);
        assert_eq!(MediaError::not_told(refused(status)), MediaError::Unauthorized);
    }
    assert_eq!(MediaError::refused(refused(400)).disposition(), Disposition::Fail);
    assert_eq!(MediaError::not_told(refused(400)).disposition(), Disposition::Retry, "it may know a moment later");
    assert_eq!(MediaError::not_told(FetchError::NotFound).disposition(), Disposition::Fail);
}
