//! Owns the configuration as a whole: one TOML file, overridden by the environment, checked before anything starts.
//!
//! Each component's settings stand beside its code; this module only puts them together. A key that nobody knows is
//! an error, and so is a secret that is written out.

mod address;
mod overlay;
mod secret;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    address::Address,
    secret::{Secret, SecretError},
};
use crate::{
    asr, audio, broker, gateway, import, ledger, models, recordings, reply, telemetry, tenants::Tenants, tickets,
    understanding, watch, worker,
};

/// All settings. Every one has a default; an empty file is a valid configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where notes come from and results go.
    pub broker: broker::Config,
    /// What workers that share a RabbitMQ have answered already.
    pub ledger: ledger::Config,
    /// The HTTP listener.
    pub http: gateway::Config,
    /// Importing recordings from folders and chat exports.
    pub import: import::Config,
    /// Messenger platforms that hand notes to the gateway.
    pub channels: Vec<gateway::channels::ChannelConfig>,
    /// Where audio is kept that came from outside.
    pub recordings: recordings::Config,
    /// Where audio may be fetched from.
    pub fetch: audio::fetch::Config,
    /// Limits on audio.
    pub audio: audio::decode::Config,
    /// When is a note silent?
    pub speech: audio::speech::Config,
    /// Speech recognition.
    pub asr: asr::Config,
    /// Where model files lie and come from.
    pub models: models::Config,
    /// What is read from a note.
    pub understanding: understanding::Config,
    pub playbook: PlaybookConfig,
    /// Replies, beyond what the playbook says.
    pub reply: reply::Config,
    /// Settings by tenant.
    pub tenants: Tenants,
    pub worker: worker::Config,
    /// Where results are written down for agents.
    pub tickets: Vec<tickets::Config>,
    /// Follow-ups and spikes.
    pub watch: watch::Config,
    pub log: telemetry::Config,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlaybookConfig {
    /// The playbook file; the built-in German one where none.
    pub path: Option<PathBuf>,
}

/// More slots or threads than any machine that this was made for has cores.
const SLOTS_MAX: usize = 1024;

/// Paths of all settings that are secrets: what the environment sets there is kept as a reference to the variable.
const SECRETS: [&[&str]; 6] = [
    &["broker", "url"],
    &["ledger", "url"],
    &["fetch", "object_store", "access_key"],
    &["fetch", "object_store", "secret_key"],
    &["import", "pseudonym_key"],
    &["reply", "draft", "api_key"],
];

impl Config {
    /// Reads `file` (none: nothing but defaults) and lays `environment` over it.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line and field, or the variable.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let shown = file.map_or_else(|| "the configuration".to_owned(), |f| f.display().to_string());
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?,
            None => String::new(),
        };
        // First the file alone: only then does an error know its line.
        let in_file = |e: toml::de::Error| invalid(&shown, &text, &e);
        toml::from_str::<Self>(&text).map_err(in_file)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(in_file)?;

        let overlaid = overlay::lay(&mut table, environment, &SECRETS)?;
        let config: Self = serde_path_to_error::deserialize(table).map_err(|error| {
            let path = error.path().to_string();
            let variable = overlaid.iter().find(|variable| overlay::path_of(variable).join(".") == path);
            let place = variable.cloned().unwrap_or_else(|| format!("{path}, set from the environment"));
            ConfigError::Invalid { place, what: explained(error.inner().message()) }
        })?;
        config.check_bounds()?;
        Ok(config)
    }

    /// Numbers that no machine can follow, or that would have nothing done.
    fn check_bounds(&self) -> Result<(), ConfigError> {
        let (asr, retry) = (&self.asr, &self.worker.retry);
        let within_a_day = |seconds: f64| (0.0..=86_400.0).contains(&seconds);
        let bounds = [
            ("asr.slots", asr.slots <= SLOTS_MAX, "at most 1024; each is a thread with a decoding state of its own"),
            ("asr.threads_per_slot", (1..=SLOTS_MAX).contains(&asr.threads_per_slot), "from 1 to 1024"),
            ("worker.retry.attempts_max", retry.attempts_max >= 1, "at least 1; with 1, nothing is tried again"),
            ("http.media_retry.attempts_max", self.http.media_retry.attempts_max >= 1, "at least 1"),
            ("worker.retry.first_delay_s", within_a_day(retry.first_delay_s), "from 0 to 86400"),
            ("worker.retry.delay_s_max", within_a_day(retry.delay_s_max), "from 0 to 86400"),
            ("worker.retry.factor", (1.0..=1000.0).contains(&retry.factor), "from 1 to 1000"),
        ];
        match bounds.iter().find(|(_, kept, _)| !kept) {
            Some((place, _, what)) => {
                Err(ConfigError::Invalid { place: (*place).to_owned(), what: format!("has to be {what}") })
            }
            None => Ok(()),
        }
    }

    /// Checks what the file's shape does not show: that every secret can be read.
    ///
    /// # Errors
    /// The first secret that cannot be read, by its place.
    pub fn check(&self) -> Result<(), SecretError> {
        self.broker.address()?;
        self.ledger.address()?;
        for secret in self.tickets.iter().flat_map(|tickets| tickets.vendor.secrets()) {
            secret.read()?;
        }
        if let Some(key) = &self.reply.draft.api_key {
            key.read()?;
        }
        for client in &self.http.tokens {
            client.token.read()?;
        }
        for secret in self.channels.iter().flat_map(|channel| channel.kind.secrets()) {
            secret.read()?;
        }
        Ok(())
    }

    /// The effective configuration as TOML. Secrets are references and stay so; the queue's address is there even where
    /// nobody set it, as it says where to look.
    ///
    /// # Errors
    /// If a setting cannot be written as TOML, which would be a mistake in this program.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let mut shown = self.clone();
        shown.broker.url.get_or_insert_with(|| Address::Plain(format!("embedded:{}", broker::config::EMBEDDED_PATH)));
        toml::to_string_pretty(&shown)
    }
}

/// The error's own text would quote the line, and a secret may have been written there by mistake.
fn invalid(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map_or_else(|| file.to_owned(), |line| format!("{file}, line {line}"));
    ConfigError::Invalid { place, what: explained(error.message()) }
}

/// What the standard library says of an address is no help to who wrote a host's name.
fn explained(what: &str) -> String {
    match what {
        "invalid socket address syntax" => {
            "an address to listen on is an IP address and a port, for example 127.0.0.1:8480 or [::1]:8480".to_owned()
        }
        _ => what.to_owned(),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{place}: {what}")]
    Invalid { place: String, what: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(file.path()), environment)
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load("[asr]\nmodle = \"x\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("modle"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file_with_its_types() {
        let text = "[asr]\nslots = 1\nmodel = \"a\"\n";
        let environment =
            [("SPRACHPOST__ASR__SLOTS", "3"), ("SPRACHPOST__HTTP__LISTEN", "127.0.0.1:0"), ("HOME", "/x")];
        let config = load(text, &environment).unwrap();
        assert_eq!((config.asr.slots, config.asr.model.as_str()), (3, "a"));
        assert_eq!(config.http.listen, "127.0.0.1:0".parse().unwrap());
    }

    #[test]
    fn a_bad_variable_is_named() {
        let error = load("", &[("SPRACHPOST__ASR__SLOTS", "many")]).unwrap_err().to_string();
        assert!(error.contains("SPRACHPOST__ASR__SLOTS"), "{error}");
        let error = load("", &[("SPRACHPOST__ASR__SLOT", "1")]).unwrap_err().to_string();
        assert!(error.contains("SLOT"), "{error}");
    }

    #[test]
    fn what_no_machine_can_follow_is_refused_with_its_bounds() {
        for (text, what) in [
            ("[asr]\nslots = 100000", "at most 1024"),
            ("[asr]\nthreads_per_slot = 0", "from 1"),
            ("[worker.retry]\nattempts_max = 0", "worker.retry.attempts_max: has to be at least 1"),
            ("[worker.retry]\nfirst_delay_s = nan", "86400"),
            ("[http]\nlisten = \"localhost:8480\"", "127.0.0.1:8480"),
            ("[log]\nlevel = \"warning\"", "line 2: \"warning\" is no level; write error, warn"),
            ("[tenants.Muster]\nlanguage = \"de\"", "a-z"),
            ("[tenants.a]\nlanguages = [\"deutsch\"]", "ISO 639-1"),
        ] {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
        let error = load("", &[("SPRACHPOST__LOG__LEVEL", "debg")]).unwrap_err().to_string();
        assert!(error.contains("SPRACHPOST__LOG__LEVEL") && error.contains("debg"), "{error}");
        let error = load("", &[("SPRACHPOST__HTTP__LISTEN", "localhost:1")]).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:8480"), "{error}");
    }

    #[test]
    fn a_secret_that_is_written_out_is_not_repeated() {
        let error = load("[[http.tokens]]\ntoken = \"geheim\"\ntenants = [\"a\"]\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("{ env = \"NAME\" }"), "{error}");
        let tokens = "[{ token = \"geheim\", tenants = [\"a\"] }]";
        let by_variable = load("", &[("SPRACHPOST__HTTP__TOKENS", tokens)]).unwrap_err().to_string();
        for error in [error, by_variable] {
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn where_the_queue_is_by_default_is_shown() {
        assert!(load("", &[]).unwrap().to_toml().unwrap().contains("url = \"embedded:data/sprachpost.sqlite\""));
    }

    #[test]
    fn an_address_from_the_environment_is_never_shown() {
        for (name, url) in [
            ("SPRACHPOST__BROKER__URL", "amqp://user:geheim@host"),
            ("SPRACHPOST__LEDGER__URL", "postgres://user:geheim@host/sprachpost"),
        ] {
            let config = load("", &[(name, url)]).unwrap();
            let shown = config.to_toml().unwrap() + &format!("{config:?}");
            assert!(!shown.contains("geheim") && shown.contains(name), "{shown}");
        }
    }

    #[test]
    fn a_password_in_the_file_is_refused() {
        for text in
            ["[broker]\nurl = \"amqp://user:geheim@host\"\n", "[ledger]\nurl = \"postgres://user:geheim@a,b/db\"\n"]
        {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains("env") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_loaded_again() {
        let text = "[broker]\nurl = \"embedded:/tmp/q.sqlite\"\n[tenants.musterstrom]\nlanguages = [\"de\", \"en\"]\n";
        let config = load(text, &[]).unwrap();
        let shown = config.to_toml().unwrap();
        assert_eq!(load(&shown, &[]).unwrap().to_toml().unwrap(), shown);
    }
}
