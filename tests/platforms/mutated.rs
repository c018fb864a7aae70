//! Every channel's reader, fed with every fixture in thousands of broken forms: none may panic, grow or take long.

use std::time::Duration;

use axum::http::HeaderMap;
use proptest::{prelude::*, sample::Index, test_runner::Config};
use sprachpost::gateway::channels::Channels;

use super::*;

/// Longer than any of this takes, also on a machine that has much to do.
const LIMIT: Duration = Duration::from_secs(5);

/// One channel of each platform, all secrets in one file.
fn channels() -> Channels {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef".repeat(4)).unwrap();
    let secret = format!("{{ file = {:?} }}", file.path().display().to_string());
    let settings = [
        ("whatsapp", format!("app_secret = {secret}\nverify_token = {secret}\naccess_token = {secret}")),
        ("messenger", format!("app_secret = {secret}\nverify_token = {secret}")),
        ("telegram", format!("bot_token = {secret}\nsecret_token = {secret}")),
        ("waha", format!("hmac_key = {secret}\napi_key = {secret}\nurl = \"http://127.0.0.1:3000\"")),
        ("chatwoot", format!("secret = {secret}\nurl = \"http://127.0.0.1:3000\"")),
        ("zammad", format!("signature_token = {secret}\napi_token = {secret}\nurl = \"http://127.0.0.1:3000\"")),
        ("signal", "url = \"http://127.0.0.1:3000\"\nnumber = \"+4930123456\"".to_owned()),
        (
            "matrix",
            format!(
                "homeserver = \"http://127.0.0.1:8008\"\nuser_id = \"@stimme:example.org\"\naccess_token = {secret}"
            ),
        ),
        ("evolution", String::new()),
        ("unoapi", format!("api = \"http://127.0.0.1:9876/v15.0/\"\naccess_token = {secret}")),
        ("threema", format!("gateway_id = \"*TESTTST\"\napi_secret = {secret}\nprivate_key = {secret}")),
    ];
    let text = settings.iter().fold(String::new(), |text, (kind, more)| {
        text + &format!("[[channels]]\nname = \"{kind}\"\ntenant = \"t\"\ntype = \"{kind}\"\n{more}\n")
    });
    let path = file.path().with_extension("toml");
    std::fs::write(&path, text).unwrap();
    let config = sprachpost::config::Config::load(Some(&path), []).unwrap();
    std::fs::remove_file(&path).unwrap();
    Channels::open(&config.channels, &config.fetch).unwrap()
}

/// All fixtures, with the channel that each is for.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(program::ROOT).join("tests/fixtures/channels");
    let mut fixtures = vec![];
    for channel in std::fs::read_dir(root).unwrap() {
        let channel = channel.unwrap().path();
        for file in std::fs::read_dir(&channel).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|extension| extension != "md") {
                let name = channel.file_name().unwrap().to_str().unwrap().to_owned();
                fixtures.push((name, std::fs::read(file).unwrap()));
            }
        }
    }
    fixtures.sort();
    fixtures
}

/// One way to break a body.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    /// A value becomes one of another kind.
    Swap(Index, &'static str),
    /// A value comes to lie deep within others.
    Bury(Index, usize),
    /// A part is there many times.
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    const VALUES: [&str; 12] = [
        "null",
        "true",
        "-1",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"\\ud800\"",
        "{}",
        "[]",
        "[{}]",
        "\"../..\"",
        "\"mxc://\"",
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 1..40_usize).prop_map(|(at, bytes)| Damage::Remove(at, bytes)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), prop::sample::select(&VALUES[..])).prop_map(|(at, value)| Damage::Swap(at, value)),
        (any::<Index>(), 1..20_000_usize).prop_map(|(at, depth)| Damage::Bury(at, depth)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, times)| Damage::Repeat(at, times)),
    ]
}

impl Damage {
    fn do_to(&self, body: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(body.len());
                body[at] ^= bits;
            }
            Self::Cut(at) => body.truncate(at.index(body.len())),
            Self::Remove(at, bytes) => {
                let at = at.index(body.len());
                body.drain(at..(at + bytes).min(body.len()));
            }
            Self::Insert(at, bytes) => {
                let at = at.index(body.len());
                body.splice(at..at, bytes.iter().copied());
            }
            Self::Swap(at, value) => {
                let (from, to) = value_at(body, *at);
                body.splice(from..to, value.bytes());
            }
            Self::Bury(at, depth) => {
                let (from, to) = value_at(body, *at);
                let buried = [&b"[".repeat(*depth)[..], &body[from..to], &b"]".repeat(*depth)].concat();
                body.splice(from..to, buried);
            }
            Self::Repeat(at, times) => {
                let at = at.index(body.len());
                let part = body[at..(at + 200).min(body.len())].repeat(*times);
                body.splice(at..at, part);
            }
        }
    }
}

/// Where a value begins and ends: behind a colon, up to a comma or the end of what it stands in.
fn value_at(body: &[u8], at: Index) -> (usize, usize) {
    let colons: Vec<usize> = body.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at + 1).collect();
    let from = if colons.is_empty() { at.index(body.len()) } else { colons[at.index(colons.len())] };
    let length = body[from..].iter().position(|byte| b",}]&".contains(byte)).unwrap_or(body.len() - from);
    (from, from + length)
}

fn read(channels: &Channels, name: &str, body: &[u8]) {
    let own = channels.get(name).unwrap();
    let begun = Instant::now();
    assert!(own.platform.verify(&HeaderMap::new(), body).is_err(), "{name}: nobody signed it");
    if let Ok(parsed) = own.platform.parse(body) {
        assert!(
            parsed.notes.len() + parsed.ignored + parsed.unreadable <= body.len() + 1,
            "{name}: more than there is"
        );
    }
    assert!(begun.elapsed() < LIMIT, "{name} took {:?} for {} bytes", begun.elapsed(), body.len());
}

#[test]
fn every_fixture_is_what_its_channel_reads() {
    let (channels, fixtures) = (channels(), fixtures());
    for own in channels.iter() {
        assert!(
            fixtures.iter().any(|(name, _)| name == own.name.as_str()) || is_read_elsewhere(own.name.as_str()),
            "{}",
            own.name
        );
    }
    for (name, body) in fixtures.into_iter().filter(|(name, _)| !is_read_elsewhere(name)) {
        let parsed = channels.get(&name).unwrap().platform.parse(&body).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(parsed.notes.len() + parsed.ignored + parsed.unreadable > 0, "{name}");
    }
}

/// Their fixtures have tests beside their channels, and some of them are answers to what these ask.
fn is_read_elsewhere(name: &str) -> bool {
    ["whatsapp", "messenger", "telegram"].contains(&name)
}

#[test]
fn broken_bodies_harm_no_channel() {
    let (channels, fixtures) = (channels(), fixtures());
    // `PROPTEST_CASES` makes it longer.
    let cases = Config::default().cases.max(2000);
    let strategy = (any::<Index>(), prop::collection::vec(damage(), 1..6));
    let mut runner =
        prop::test_runner::TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let harmless = runner.run(&strategy, |(which, damages)| {
        let (name, fixture) = &fixtures[which.index(fixtures.len())];
        let mut body = fixture.clone();
        for damage in &damages {
            damage.do_to(&mut body);
        }
        body.truncate(4 << 20);
        read(&channels, name, &body);
        Ok(())
    });
    harmless.unwrap();
}

#[test]
fn deep_long_and_empty_bodies_harm_no_channel() {
    let channels = channels();
    let size = 4 << 20;
    let bodies = [
        vec![],
        vec![0; size],
        b"[".repeat(size),
        b"{\"a\":".repeat(size / 5),
        [b"[".as_slice(), &b"0,".repeat(size / 2), b"0]"].concat(),
        [b"\"".as_slice(), &b"\\u00e4".repeat(size / 6), b"\""].concat(),
        b"from=a&".repeat(size / 7),
        b"%".repeat(size),
    ];
    for own in channels.iter() {
        for body in &bodies {
            read(&channels, own.name.as_str(), body);
        }
    }
}
