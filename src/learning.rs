//! Owns the playbook in force together with what was learnt from it: how both are made from the configured file, and how
//! they are replaced while notes are worked on.
//!
//! A note takes the two when it begins, and is read by them to its end, whatever comes into force meanwhile. They are
//! replaced in one step, and only by what has passed the checks of the start. Knows nothing of notes and signals.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    config::Config,
    models::{ModelError, Store},
    tenants::Tenants,
    understanding::{
        self, SetupError, Understander,
        encoder::Encoder,
        playbook::{Playbook, PlaybookErrors},
    },
};

/// A playbook, and what was learnt from it.
#[derive(Debug)]
pub struct Learnt {
    pub playbook: Playbook,
    pub understander: Understander,
}

/// Hands out what is in force. Shared between threads.
#[derive(Debug)]
pub struct Learning {
    /// None: the built-in playbook.
    path: Option<PathBuf>,
    /// Loaded once; what it has read before it need not read again.
    encoder: Option<Arc<Encoder>>,
    tenants: Tenants,
    in_force: RwLock<Arc<Learnt>>,
}

impl Learning {
    /// Loads the sentence encoder and learns the configured playbook. Takes a second or two of one processor.
    pub fn begin(config: &Config) -> Result<Self, LearnError> {
        let (path, tenants) = (config.playbook.path.clone(), config.tenants.clone());
        let playbook = load(path.as_ref(), &tenants)?;
        let encoder = understanding::load_encoder(&config.understanding, &Store::open(&config.models)?)?;
        let in_force = RwLock::new(Arc::new(learn(playbook, encoder.clone())));
        Ok(Self { path, encoder, tenants, in_force })
    }

    /// What a note that begins now is read by.
    #[must_use]
    pub fn in_force(&self) -> Arc<Learnt> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the configured file once more, learns what it says and puts that into force. Blocks while it learns.
    ///
    /// # Errors
    /// If the start would have failed with that file; what was in force stays so.
    pub fn renew(&self) -> Result<Arc<Learnt>, LearnError> {
        let next = Arc::new(learn(load(self.path.as_ref(), &self.tenants)?, self.encoder.clone()));
        let last = {
            let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *in_force, Arc::clone(&next))
        };
        // With the lock released: taking it apart may take a while, and notes may begin.
        drop(last);
        Ok(next)
    }
}

/// A playbook that can be used: valid, and with everything in it that tenants are to be told.
fn load(path: Option<&PathBuf>, tenants: &Tenants) -> Result<Playbook, LearnError> {
    let playbook = match path {
        Some(path) => Playbook::load(path)?,
        None => Playbook::builtin()?,
    };
    let mut told = tenants.iter().filter(|(_, tenant)| tenant.acknowledgement == Some(true));
    match told.next() {
        Some((tenant, _)) if playbook.acknowledgement.is_none() => {
            Err(LearnError::NothingToAcknowledge { tenant: tenant.to_owned() })
        }
        _ => Ok(playbook),
    }
}

fn learn(playbook: Playbook, encoder: Option<Arc<Encoder>>) -> Learnt {
    let understander = Understander::train(&playbook, encoder);
    Learnt { playbook, understander }
}

/// Why a playbook cannot come into force. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    #[error("the playbook cannot be used")]
    Playbook(#[from] PlaybookErrors),
    #[error(
        "tenants.{tenant}.acknowledgement is true, but the playbook has no text for it: add [acknowledgement] to the \
         playbook, or remove the setting"
    )]
    NothingToAcknowledge { tenant: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Understanding(#[from] SetupError),
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const TELLS: &str = r#"
version = 1
language = "de"
[acknowledgement]
time_zone = "Europe/Berlin"
text.de = { open = "Danke.", closed = "Bis morgen." }
"#;

    fn learning(file: &Path, tenants: &str) -> Result<Learning, LearnError> {
        let (understanding, tenants) = (understanding::Config::without_encoder(), toml::from_str(tenants).unwrap());
        let mut config = Config { understanding, tenants, ..Config::default() };
        config.playbook.path = Some(file.to_owned());
        Learning::begin(&config)
    }

    fn with_intent(name: &str) -> String {
        let examples = "[\"Das Internet geht nicht.\", \"Wir haben kein Netz.\"]";
        format!("{TELLS}[[intent]]\nname = \"{name}\"\nexamples = {examples}\n")
    }

    fn intents(learnt: &Learnt) -> Vec<&str> {
        learnt.playbook.intents.iter().map(|intent| intent.name.as_str()).collect()
    }

    #[test]
    fn a_changed_file_comes_into_force_and_what_was_taken_before_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("playbook.toml");
        fs::write(&file, with_intent("outage")).unwrap();
        let learning = learning(&file, "").unwrap();
        let taken = learning.in_force();
        fs::write(&file, with_intent("internet")).unwrap();
        assert_eq!(intents(&learning.in_force()), ["outage"], "nobody asked yet");
        let renewed = learning.renew().unwrap();
        assert!(Arc::ptr_eq(&renewed, &learning.in_force()));
        assert_eq!((intents(&taken), intents(&renewed)), (vec!["outage"], vec!["internet"]));
        // The two belong together: what is understood is named as its own playbook names it.
        for (learnt, name) in [(taken, "outage"), (renewed, "internet")] {
            let likeliest = learnt.understander.classifier().classify("Das Internet geht nicht.")[0].intent;
            assert_eq!(learnt.playbook.intents[likeliest].name, name);
        }
    }

    #[test]
    fn what_could_not_start_does_not_come_into_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("playbook.toml");
        fs::write(&file, with_intent("outage")).unwrap();
        let learning = learning(&file, "[musterstrom]\nacknowledgement = true\n").unwrap();
        let refused = |text: &str, wanted: &str| {
            fs::write(&file, text).unwrap();
            let error = learning.renew().unwrap_err();
            let shown = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(shown.contains(wanted), "{shown}");
            assert_eq!(intents(&learning.in_force()), ["outage"]);
        };
        refused("version = 1\nteams = [\"a\", \"a\"]\n", "line 2");
        refused("version = 1\nlanguage = \"de\"\n", "tenants.musterstrom.acknowledgement");
        fs::remove_file(&file).unwrap();
        let error = learning.renew().unwrap_err();
        assert!(matches!(error, LearnError::Playbook(_)) && intents(&learning.in_force()) == ["outage"], "{error:?}");
        // What was refused leaves no trace: the next good file is taken.
        fs::write(&file, with_intent("internet")).unwrap();
        assert_eq!(intents(&learning.renew().unwrap()), ["internet"]);
    }

    #[test]
    fn whoever_takes_it_while_it_is_replaced_gets_two_that_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("playbook.toml");
        let with_intents = |count: usize| {
            let intent = |number| format!("[[intent]]\nname = \"i{number}\"\nexamples = [\"Anliegen {number}.\"]\n");
            fs::write(&file, "version = 1\n".to_owned() + &(0..count).map(intent).collect::<String>()).unwrap();
        };
        with_intents(1);
        let learning = learning(&file, "").unwrap();
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let mut count = 0;
                while count < 5 {
                    let learnt = learning.in_force();
                    assert!(learnt.playbook.intents.len() >= count, "what was replaced does not come back");
                    count = learnt.playbook.intents.len();
                    assert_eq!(learnt.understander.classifier().classify("Ein Anliegen.").len(), count);
                }
            });
            for count in 2..=5 {
                with_intents(count);
                learning.renew().unwrap();
            }
            taking.join().unwrap();
        });
    }
}
