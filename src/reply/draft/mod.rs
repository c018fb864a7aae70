//! Owns drafting: a language model in the operator's network may say a filled template in the customer's tone. Off
//! unless `reply.draft.url` is set.
//!
//! * `prompt.rs`: what the model is told, what the customer said being data there, and where in its answer the text is.
//! * `endpoint.rs`: the request, within limits.
//! * `fuse.rs`: when nobody is asked.
//! * [`checker`]: whether a draft says what its template says and nothing else.
//!
//! Nothing depends on it: whatever goes wrong, the template stands, the event says why, and the note goes on. One attempt
//! a note; no note waits for another one's draft.

pub mod checker;
mod endpoint;
mod fuse;
mod prompt;

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use self::{checker::Wanted, endpoint::Endpoint, fuse::Fuse};
use crate::{
    config::{Secret, SecretError},
    event::{DraftRefused, Drafting, Processed, processed::Reply},
    note::Channel,
    private::Private,
    understanding::{playbook::Playbook, redaction, text},
};

/// A language model that may rephrase suggestions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The base address of an OpenAI-compatible endpoint, for example `http://127.0.0.1:8080/v1`; `chat/completions` is
    /// asked below it. Nothing is drafted where it is not set.
    pub url: Option<Url>,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// What shows the endpoint who asks, where it wants that.
    pub api_key: Option<Secret>,
    /// What the model learns of the note.
    pub customer: Customer,
    /// Allows an endpoint outside private networks, over https. What customers say leaves the operator's network then.
    pub allow_public: bool,
    /// Allows that over plain http, too.
    pub allow_public_http: bool,
    /// Seconds for a connection to be made.
    pub connect_s_max: u32,
    /// Seconds for all of it. A note waits for so long at most.
    pub total_s_max: u32,
    /// Bytes of an answer.
    pub answer_bytes_max: usize,
    /// Tokens that the model may write.
    pub tokens_max: u32,
    pub seed: u32,
    /// Notes that are drafted at the same time; others keep their template.
    pub at_once_max: usize,
    /// After so many failures in a row the endpoint is left alone …
    pub failures_max: u32,
    /// … for so many seconds.
    pub pause_s: u32,
    /// Characters of a draft.
    pub chars_max: usize,
    /// The same for channels that take less, by name.
    pub chars_max_by_channel: BTreeMap<String, usize>,
    /// Words that drafts may use beside their template's and the built-in ones: those that commit nobody to anything.
    pub words: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            model: String::new(),
            api_key: None,
            customer: Customer::Redacted,
            allow_public: false,
            allow_public_http: false,
            connect_s_max: 2,
            total_s_max: 10,
            answer_bytes_max: 64 << 10,
            tokens_max: 400,
            seed: 1,
            at_once_max: 2,
            failures_max: 3,
            pause_s: 60,
            chars_max: 1000,
            chars_max_by_channel: BTreeMap::new(),
            words: Vec::new(),
        }
    }
}

/// What the model learns of what the customer said. The filled template, with its facts, it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Customer {
    /// Nothing.
    Nothing,
    /// The words as they stand in redacted events.
    Redacted,
    /// Every word.
    Verbatim,
}

/// Why drafts cannot be made as the configuration says. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("reply.draft.url has to be an http:// or https:// address without credentials, query and fragment")]
    Address,
    #[error(
        "reply.draft.url is a public address: use one in your own network, or set reply.draft.allow_public (and \
         allow_public_http for plain http)"
    )]
    Public,
    #[error("reply.draft.url is set, so reply.draft.model has to name a model")]
    NoModel,
    #[error("reply.draft.at_once_max and failures_max have to be at least 1")]
    Nobody,
    #[error("no connections can be made for reply.draft")]
    Client(#[source] reqwest::Error),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Asks a language model. Shared between notes.
pub struct Drafter {
    config: Config,
    endpoint: Endpoint,
    fuse: Fuse,
    words: HashSet<String>,
}

impl std::fmt::Debug for Drafter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drafter").field("fuse", &self.fuse).finish_non_exhaustive()
    }
}

/// Everything about one suggestion that is needed to say it once more.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// Filled.
    template: Private,
    language: String,
    /// What it was filled with.
    facts: Vec<Private>,
    /// What was said: all of it, for the checker, which runs here.
    note: Private,
    /// What the model is to know of it.
    customer: Option<Private>,
    channel: Option<Channel>,
}

impl Drafter {
    /// None where the configuration wants none. Connects to nothing.
    ///
    /// # Errors
    /// [`SetupError`] if the configuration cannot be followed.
    pub fn new(config: &Config) -> Result<Option<Self>, SetupError> {
        let Some(url) = &config.url else { return Ok(None) };
        if config.model.is_empty() {
            return Err(SetupError::NoModel);
        }
        if config.at_once_max == 0 || config.failures_max == 0 {
            return Err(SetupError::Nobody);
        }
        Ok(Some(Self {
            endpoint: Endpoint::new(config, url)?,
            fuse: Fuse::new(config.at_once_max, config.failures_max, Duration::from_secs(config.pause_s.into())),
            words: config.words.iter().map(|word| text::fold(word)).collect(),
            config: config.clone(),
        }))
    }

    /// What there is to be said once more in a result; None if it suggests nothing. Questions stand as they are: each
    /// asks for one fact, and nothing else must be asked for.
    #[must_use]
    pub fn material(&self, result: &Processed, playbook: &Playbook) -> Option<Material> {
        let Some(Reply::Suggestion { text, language, facts, .. }) = &result.reply else { return None };
        let (understanding, transcript) = (result.understanding.as_ref()?, result.transcript.as_ref()?);
        let value = |kind: &String| super::fact(playbook, &understanding.entities, kind).map(Private::from);
        let customer = match self.config.customer {
            Customer::Nothing => None,
            Customer::Redacted => {
                redaction::redact(result, &playbook.entities).get().transcript.as_ref().map(|t| t.text.clone())
            }
            Customer::Verbatim => Some(transcript.text.clone()),
        };
        Some(Material {
            template: text.clone(),
            language: language.clone(),
            facts: facts.iter().filter_map(value).collect(),
            note: transcript.text.clone(),
            customer,
            channel: result.channel.clone(),
        })
    }

    /// A text to be used in place of the template, if there is one, and what the event says about it. Takes as long as
    /// `total_s_max` at most and never fails.
    pub async fn draft(&self, material: &Material) -> (Option<Private>, Drafting) {
        let drafted = self.try_draft(material).await;
        let result = drafted.as_ref().err().map_or("used", |refused| refused.as_str());
        metrics::counter!("sprachpost_drafts_total", "result" => result).increment(1);
        let drafting = Drafting {
            used: drafted.is_ok(),
            reason: drafted.as_ref().err().copied(),
            model: self.config.model.clone(),
        };
        (drafted.ok(), drafting)
    }

    async fn try_draft(&self, material: &Material) -> Result<Private, DraftRefused> {
        if !checker::speaks(&material.language) {
            return Err(DraftRefused::LanguageUnsupported);
        }
        let chars_max = self.chars_max(material.channel.as_ref());
        let place = self.fuse.enter(Instant::now())?;
        let answer = self.endpoint.ask(&prompt::request(&self.config, material, chars_max)).await;
        if place.leave(answer.is_ok(), Instant::now()) {
            let (failures, pause_s) = (self.config.failures_max, self.config.pause_s);
            tracing::warn!(failures, pause_s, "the endpoint for drafts is left alone for a while; templates stand");
        }
        let facts: Vec<String> = material.facts.iter().map(|fact| fact.expose().to_owned()).collect();
        let wanted = Wanted {
            template: material.template.expose(),
            language: &material.language,
            facts: &facts,
            note: material.note.expose(),
            chars_max,
            words: &self.words,
        };
        checker::check(&prompt::text_of(answer?.expose()), &wanted).map(Private::from)
    }

    fn chars_max(&self, channel: Option<&Channel>) -> usize {
        let own = channel.and_then(|channel| self.config.chars_max_by_channel.get(channel.as_str()));
        own.copied().unwrap_or(self.config.chars_max)
    }
}
