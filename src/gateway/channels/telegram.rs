//! Owns Telegram's Bot API: updates that come by webhook, and the way from a file's id to its bytes.
//!
//! The bot's token is a part of every address here, so none of them may ever be shown.

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Incoming, Media, MediaError, Parsed, Place, Platform, Refused, Remote, SetupError, signature::check_token,
};
use crate::{
    audio::fetch::{self, FetchError, Sites, Web},
    config::Secret,
    private::Private,
};

const SECRET_TOKEN: &str = "x-telegram-bot-api-secret-token";

/// A bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bot's token, as it was given out with the bot.
    pub bot_token: Secret,
    /// The `secret_token` that the webhook was set with.
    pub secret_token: Secret,
    /// The Bot API, or a server of your own that speaks it.
    #[serde(default = "api")]
    pub api: Url,
    /// Largest file that the Bot API hands out, in bytes.
    #[serde(default = "file_bytes_max")]
    pub file_bytes_max: u64,
}

fn api() -> Url {
    "https://api.telegram.org/".parse().expect("this constant is an address")
}

fn file_bytes_max() -> u64 {
    20 * 1024 * 1024
}

impl Config {
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.bot_token, &self.secret_token]
    }
}

/// One bot, ready.
#[derive(Debug)]
pub struct Telegram {
    bot_token: SecretString,
    secret_token: SecretString,
    api: Url,
    file_bytes_max: u64,
    web: Web,
}

impl Telegram {
    pub(super) fn open(config: &Config, limits: &fetch::Config) -> Result<Self, SetupError> {
        Ok(Self {
            bot_token: config.bot_token.read()?,
            secret_token: config.secret_token.read()?,
            api: super::folder("api", &config.api)?,
            file_bytes_max: config.file_bytes_max,
            web: Web::new(limits, &Sites { servers: vec![config.api.clone()], media_hosts: vec![] })?,
        })
    }

    /// Segment by segment: a token holds a colon, and a path from outside must stay below this bot's.
    fn address<'a>(&self, before: Option<&str>, after: impl IntoIterator<Item = &'a str>) -> Result<Url, MediaError> {
        let mut url = self.api.clone();
        let bot = format!("bot{}", self.bot_token.expose_secret());
        let mut path = url.path_segments_mut().map_err(|()| FetchError::NotFound)?;
        path.pop_if_empty().extend(before).push(&bot).extend(after);
        drop(path);
        Ok(url)
    }
}

#[async_trait]
impl Platform for Telegram {
    fn verify(&self, headers: &HeaderMap, _body: &[u8]) -> Result<(), Refused> {
        let given = headers.get(SECRET_TOKEN).ok_or(Refused::Unsigned)?;
        check_token(&self.secret_token, given.as_bytes())
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Refused> {
        let update: Update = serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
        let mut parsed = Parsed::default();
        match update.message.or(update.business_message) {
            Some(message) => parsed.take(&message, |message| voice(message).is_some(), incoming),
            None => parsed.ignored += 1,
        }
        Ok(parsed)
    }

    async fn fetch(&self, media: &Remote) -> Result<Vec<u8>, MediaError> {
        let Place::File(id) = &media.place else { return Err(FetchError::NotFound.into()) };
        if media.bytes.is_some_and(|bytes| bytes > self.file_bytes_max) {
            return Err(FetchError::TooLarge { bytes_max: self.file_bytes_max }.into());
        }
        let mut about = self.address(None, ["getFile"])?;
        about.query_pairs_mut().append_pair("file_id", id);
        let about = self.web.get_json::<GetFile>(about, None).await.map_err(MediaError::not_told)?;
        let path = about.and_then(|about| about.result.file_path);
        let path = path.ok_or(MediaError::Unexpected { what: "a file without a path" })?;
        let audio =
            self.web.get(self.address(Some("file"), path.split('/'))?, None).await.map_err(MediaError::refused)?;
        Ok(audio)
    }
}

/// A voice note, a piece of music that people recorded elsewhere, or a round video message: somebody may speak in each.
fn voice(message: &Value) -> Option<&Value> {
    ["voice", "audio", "video_note"].iter().find_map(|kind| message.get(kind))
}

fn incoming(message: &Value) -> Option<Incoming> {
    let file = File::deserialize(voice(message)?).ok()?;
    let message = Message::deserialize(message).ok()?;
    let media = Remote { bytes: file.file_size, ..Remote::file(file.file_id) };
    Some(Incoming {
        conversation: Some(Private::new(message.chat.id.to_string())),
        sender: message.from.map(|from| Private::new(from.id.to_string())),
        sent_at: Timestamp::from_second(message.date).ok(),
        // Messages are numbered within a chat.
        ..Incoming::new(format!("{}:{}", message.chat.id, message.number), Media::Remote(media))
    })
}

/// Only what is read; of the many kinds of updates, those that are new messages.
#[derive(Deserialize)]
struct Update {
    #[expect(dead_code, reason = "what has none is no update")]
    #[serde(rename = "update_id")]
    id: i64,
    message: Option<Value>,
    business_message: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "message_id")]
    number: i64,
    date: i64,
    chat: Id,
    from: Option<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: i64,
}

#[derive(Deserialize)]
struct File {
    file_id: String,
    file_size: Option<u64>,
}

#[derive(Deserialize)]
struct GetFile {
    result: FileResult,
}

#[derive(Deserialize)]
struct FileResult {
    file_path: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telegram() -> Telegram {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12:secret").unwrap();
        let secret = Secret::File(file.path().to_owned());
        let config =
            Config { bot_token: secret.clone(), secret_token: secret, api: api(), file_bytes_max: file_bytes_max() };
        Telegram::open(&config, &fetch::Config::default()).unwrap()
    }

    #[test]
    fn documented_updates_with_speech_are_notes_and_others_are_not() {
        for (body, id) in [
            (include_str!("../../../tests/fixtures/channels/telegram/voice.json"), Some("1111111:1365")),
            (include_str!("../../../tests/fixtures/channels/telegram/video-note.json"), Some("1111111:7")),
            (include_str!("../../../tests/fixtures/channels/telegram/text.json"), None),
            (include_str!("../../../tests/fixtures/channels/telegram/edited.json"), None),
        ] {
            let parsed = telegram().parse(body.as_bytes()).unwrap();
            assert_eq!(parsed.notes.first().map(|note| note.message_id.as_str()), id, "{body}");
            assert_eq!((parsed.ignored, parsed.unreadable), (usize::from(id.is_none()), 0));
        }
    }

    #[test]
    fn no_path_of_a_file_leads_out_of_the_bots_own_files() {
        let address = |path: &str| telegram().address(Some("file"), path.split('/')).unwrap().to_string();
        let body = include_bytes!("../../../tests/fixtures/channels/telegram/file.json");
        let file: GetFile = serde_json::from_slice(body).unwrap();
        let documented = address(&file.result.file_path.unwrap());
        assert_eq!(documented, "https://api.telegram.org/file/bot12:secret/voice/file_7.oga");
        for path in ["../../bot1/getMe", "/etc/passwd", "voice/../../x", "a?b#c", "%2e%2e/x"] {
            assert!(address(path).starts_with("https://api.telegram.org/file/bot12:secret/"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_bot_api_never_hands_out_is_too_large_at_once() {
        let media = Remote { bytes: Some(20 * 1024 * 1024 + 1), ..Remote::file("1") };
        let error = telegram().fetch(&media).await.unwrap_err();
        assert_eq!(error, FetchError::TooLarge { bytes_max: 20 * 1024 * 1024 }.into());
    }
}
