//! Owns what a transcript means: intent, urgency, facts, and how the customer wants to be reached.
//!
//! * [`playbook`]: what the contact centre wants to know, as a file.
//! * [`encoder`]: what a sentence means, as numbers; `builtin.rs`, what it says of the program's own texts.
//! * [`intent`]: which of the playbook's intents a note has, or none.
//! * [`urgency`], [`entities`], [`contact`], `earlier.rs`: what else is read from the words.
//! * [`redaction`]: what is left for those who may not see personal data.
//! * [`evaluation`]: how good all this is on labelled notes.
//! * `processors.rs`: what is learnt at start is computed on all of them.
//!
//! Pure computation once the encoder is loaded: no files, no clock, no randomness; some tens of milliseconds a note.
//! It knows nothing of replies.

mod builtin;
pub mod contact;
mod earlier;
pub mod encoder;
pub mod entities;
pub mod evaluation;
pub mod intent;
pub mod playbook;
mod processors;
pub mod redaction;
mod streets;
pub mod text;
pub mod urgency;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    encoder::{Encoder, EncoderError},
    intent::{Candidate, IntentClassifier},
    playbook::{EntityRule, Playbook},
    urgency::UrgencyRules,
};
use crate::{
    event::processed::{Intent, Sentiment, Transcript, Understanding, UrgencyLevel},
    models::{ModelError, Store},
    private::Private,
};

/// The value of [`Config::encoder`] that stands for none.
const NO_ENCODER: &str = "none";

/// How notes are understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The sentence encoder, a model's name. `none`: notes are understood by their letters and words alone, which takes
    /// about 100 MB less memory, and understands less.
    pub encoder: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { encoder: "e5-small-q4".to_owned() }
    }
}

impl Config {
    /// Letters and words alone.
    #[must_use]
    pub fn without_encoder() -> Self {
        Self { encoder: NO_ENCODER.to_owned() }
    }
}

/// Loads the encoder that the configuration names; None if it names none. What it says of the program's own texts is
/// known, what it says of an operator's is kept beside it.
pub fn load_encoder(config: &Config, models: &Store) -> Result<Option<Arc<Encoder>>, SetupError> {
    if config.encoder == NO_ENCODER {
        return Ok(None);
    }
    let path = models.path(&config.encoder)?;
    let encoder = Encoder::load(&path)?.knowing(builtin::EMBEDDINGS).remembering(path.with_extension("examples"));
    Ok(Some(Arc::new(encoder)))
}

/// A note with spaces for these bytes of it, so that the rest keeps its places.
fn without(note: &str, places: &[Range<usize>]) -> String {
    let mut rest = note.to_owned();
    for place in places {
        rest.replace_range(place.clone(), &" ".repeat(place.len()));
    }
    rest
}

/// Why notes cannot be understood as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("notes cannot be understood without a sentence encoder, unless understanding.encoder is \"none\"")]
    Model(#[from] ModelError),
    #[error("the sentence encoder, understanding.encoder, cannot be used")]
    Encoder(#[from] EncoderError),
}

/// Less likely than this, an intent is no alternative.
const ALTERNATIVE_CONFIDENCE_MIN: f32 = 0.15;
const ALTERNATIVES_MAX: usize = 3;

/// Reads notes in the light of one playbook. Shared between threads; trained once for it.
#[derive(Debug)]
pub struct Understander {
    intents: Vec<Known>,
    classifier: IntentClassifier,
    urgency: UrgencyRules,
    entities: BTreeMap<String, EntityRule>,
}

/// What has to be known of an intent here.
#[derive(Debug)]
struct Known {
    name: String,
    urgency: Option<UrgencyLevel>,
    secondary: bool,
}

impl Understander {
    /// Learns the playbook's examples. Cannot fail: a playbook that exists is valid.
    #[must_use]
    pub fn train(playbook: &Playbook, encoder: Option<Arc<Encoder>>) -> Self {
        let known = |intent: &playbook::Intent| Known {
            name: intent.name.clone(),
            urgency: intent.urgency,
            secondary: intent.secondary,
        };
        Self {
            intents: playbook.intents.iter().map(known).collect(),
            classifier: IntentClassifier::train(playbook, encoder),
            urgency: UrgencyRules::new(playbook),
            entities: playbook.entities.clone(),
        }
    }

    #[must_use]
    pub fn classifier(&self) -> &IntentClassifier {
        &self.classifier
    }

    /// As [`Self::understand_at`] where it is not known when the note was sent: relative dates are left out.
    #[must_use]
    pub fn understand(&self, transcript: &Transcript) -> Understanding {
        self.understand_at(transcript, None)
    }

    /// Reads one transcript. "Morgen" is the day after `sent_at`.
    #[must_use]
    pub fn understand_at(&self, transcript: &Transcript, sent_at: Option<Timestamp>) -> Understanding {
        let note = transcript.text.expose();
        let words = text::words(note);
        let candidates = self.classify(transcript);
        let chosen = self.choose(&candidates);
        let known = chosen.map(|candidate| &self.intents[candidate.intent]);
        let urgency = self.urgency.assess(note, &words, known.map(|known| (known.name.as_str(), known.urgency)));
        let facts = entities::find(transcript, &words, &self.entities, sent_at);
        let today = sent_at.map(entities::day_of);
        let angry = urgency.grounds.iter().any(|ground| ground == urgency::ANGER);
        Understanding {
            intent: chosen.map(|candidate| self.shown(candidate, note, true)),
            alternatives: self.alternatives(&candidates, chosen, note),
            urgency,
            contact: contact::preferences(note, &words, &facts, today.as_deref()),
            earlier_contact: earlier::contact(note, &words, &facts),
            entities: facts.into_iter().map(|fact| fact.entity).collect(),
            sentiment: angry.then_some(Sentiment::Negative),
        }
    }

    /// What the note may want, most likely first, sure or not. That does not depend on which customer or order it is
    /// about: "die Bestellnummer ist …" speaks of orders in a note about anything, and by itself it is no wish.
    #[must_use]
    pub fn classify(&self, transcript: &Transcript) -> Vec<Candidate> {
        let note = transcript.text.expose();
        let words = text::words(note);
        let plain = without(note, &entities::numbers_named(transcript, &words, &self.entities));
        if text::words(&plain).is_empty() {
            return Vec::new();
        }
        self.classifier.classify_heard(&plain, &entities::pauses(transcript))
    }

    /// The intent that the note is given, by its index in the playbook, and the likeliest, sure or not.
    fn judge(&self, transcript: &Transcript) -> (Option<usize>, Option<Candidate>) {
        let candidates = self.classify(transcript);
        (self.choose(&candidates).map(|chosen| chosen.intent), candidates.into_iter().next())
    }

    /// The surest; one that gives way only if there is no other, be it in a sentence of its own.
    fn choose<'a>(&self, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
        let first = candidates.iter().find(|candidate| candidate.sure)?;
        if !self.intents[first.intent].secondary {
            return Some(first);
        }
        let mut others = candidates.iter().filter(|other| other.sure || other.sure_in_sentence);
        Some(others.find(|other| !self.intents[other.intent].secondary).unwrap_or(first))
    }

    /// Those that are sure in a sentence of their own first, with that sentence; then what it may also be.
    fn alternatives(&self, candidates: &[Candidate], chosen: Option<&Candidate>, note: &str) -> Vec<Intent> {
        let others = || candidates.iter().filter(|other| chosen.is_none_or(|chosen| chosen.intent != other.intent));
        let second = |other: &Candidate| {
            other.sure_in_sentence && chosen.is_some_and(|chosen| chosen.evidence != other.evidence)
        };
        let seconds = others().filter(|other| second(other)).map(|other| self.shown(other, note, true));
        let rest = others().filter(|other| !second(other) && other.confidence >= ALTERNATIVE_CONFIDENCE_MIN);
        seconds.chain(rest.map(|other| self.shown(other, note, false))).take(ALTERNATIVES_MAX).collect()
    }

    fn shown(&self, candidate: &Candidate, note: &str, with_evidence: bool) -> Intent {
        Intent {
            name: self.intents[candidate.intent].name.clone(),
            confidence: candidate.confidence,
            evidence: with_evidence.then(|| Private::new(&note[candidate.evidence.clone()])),
        }
    }
}
