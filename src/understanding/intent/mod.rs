//! Owns the recognition of intents: learnt at start from the playbook's examples, in a second or so.
//!
//! A note is scored as a whole and sentence by sentence, because people wrap what they want into stories. An intent
//! counts only if the regression is sure of it **and** the note resembles its examples; how sure is sure, is found
//! by cross-validation on the same examples (`calibration.rs`). Everyday talk that is nobody's business
//! (`background.txt`) is learnt as a class of its own, so that there is something else a note can be.
//!
//! Knows texts and names, nothing of transcripts, urgency or replies. Training is deterministic.

mod calibration;
mod concepts;
mod experience;
mod features;
mod judging;
mod meaning;
mod regression;
mod samples;
mod spread;
mod validation;

use std::{ops::Range, sync::Arc};

pub use calibration::Calibration;
use judging::{Judgement, Sentence};
use regression::{Gram, Linear};
use samples::Samples;
pub use validation::CrossValidated;
use validation::CrossValidation;

use super::{encoder::Encoder, playbook::Playbook, text};

/// A shorter sentence shows nothing by itself: "Woher kommt das denn?"
const SENTENCE_WORDS_MIN: usize = 5;
/// A sentence shows a second request only if the note as a whole makes it likelier right than wrong.
const SECOND_CONFIDENCE_MIN: f32 = 0.5;

/// Recognises the intents of one playbook.
#[derive(Debug)]
pub struct IntentClassifier {
    names: Vec<String>,
    samples: Samples,
    model: Linear,
    calibration: Calibration,
}

/// One intent that a note may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Index of the intent in the playbook.
    pub intent: usize,
    /// Calibrated, 0 to 1.
    pub confidence: f32,
    /// The largest cosine to one of the intent's examples, by what they mean where there is an encoder; 0 to 1.
    pub similarity: f32,
    /// The sentence that shows it, in bytes of the text.
    pub evidence: Range<usize>,
    /// The note as a whole passes the thresholds.
    pub sure: bool,
    /// A sentence of its own passes them, and the note does not speak against it: a second request.
    pub sure_in_sentence: bool,
}

impl IntentClassifier {
    /// Learns from the playbook's examples; a playbook without intents makes a classifier that never finds one.
    ///
    /// Without an encoder only letters and words count: other languages than the examples', and words that no example
    /// has, are not understood.
    #[must_use]
    pub fn train(playbook: &Playbook, encoder: Option<Arc<Encoder>>) -> Self {
        let names = playbook.intents.iter().map(|intent| intent.name.clone()).collect();
        let mut samples = Samples::gather(playbook, encoder);
        let (products, validation) = with_experience_that_helps(&mut samples);
        let calibration = Calibration::find(validation, playbook.intents.len(), playbook.thresholds);
        let everything: Vec<usize> = (0..samples.texts.len()).collect();
        let model = samples.fit(&products, &everything);
        Self { names, samples, model, calibration }
    }

    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What the note may want, most likely first.
    #[must_use]
    pub fn classify(&self, note: &str) -> Vec<Candidate> {
        self.classify_heard(note, &[])
    }

    /// The same where it is known before which bytes of the note the speaker paused.
    #[must_use]
    pub fn classify_heard(&self, note: &str, pauses: &[usize]) -> Vec<Candidate> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let judgement = self.samples.judge(&self.model, note, text::sentences_heard(note, pauses));
        let mut candidates: Vec<Candidate> =
            (0..self.names.len()).map(|intent| self.candidate(&judgement, intent)).collect();
        candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.intent.cmp(&b.intent)));
        candidates
    }

    /// Pairs of examples that say nearly the same for different intents.
    #[must_use]
    pub fn contradictions(&self) -> Vec<[(usize, &str); 2]> {
        let samples = &self.samples;
        let pairs = samples.contradictions().into_iter();
        pairs.map(|pair| pair.map(|i| (samples.labels[i], samples.texts[i].as_str()))).collect()
    }

    fn candidate(&self, judgement: &Judgement, intent: usize) -> Candidate {
        let similarity = judgement.similarities[intent];
        let confidence = self.calibration.confidence(&judgement.probabilities, intent, similarity);
        let best =
            judgement.sentences.iter().max_by(|a, b| a.probabilities[intent].total_cmp(&b.probabilities[intent]));
        let evidence = best.map_or(0..0, |sentence| sentence.at.clone());
        let shown = best.is_some_and(|sentence| self.is_sure_alone(sentence, intent));
        let sure = self.calibration.accepts(confidence, similarity);
        let sure_in_sentence = shown && confidence >= SECOND_CONFIDENCE_MIN;
        Candidate { intent, confidence, similarity, evidence, sure, sure_in_sentence }
    }

    /// Would the sentence have this intent if it were the whole note?
    fn is_sure_alone(&self, sentence: &Sentence, intent: usize) -> bool {
        let similarity = sentence.similarities[intent];
        let confidence = self.calibration.confidence(&sentence.probabilities, intent, similarity);
        let leads = sentence.probabilities[..self.names.len()].iter().all(|&p| p <= sentence.probabilities[intent]);
        leads && sentence.words >= SENTENCE_WORDS_MIN && self.calibration.accepts(confidence, similarity)
    }
}

/// Leaves experience out of the samples where it does not help: of intents that are like none of the built-in ones it
/// knows nothing, and what it says of them is noise.
fn with_experience_that_helps(samples: &mut Samples) -> (Gram, CrossValidation) {
    let validated = |samples: &Samples| {
        let products = samples.products();
        let validation = CrossValidation::of(samples, &products);
        (products, validation)
    };
    let experienced = validated(samples);
    let Some(experience) = samples.set_experience_aside() else { return experienced };
    let plain = validated(samples);
    if plain.1.loss < experienced.1.loss {
        return plain;
    }
    samples.take_experience_up(experience);
    experienced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples_of(intents: &[(&str, &[&str])]) -> Samples {
        let intent = |(name, examples): &(_, _)| format!("[[intent]]\nname = \"{name}\"\nexamples = {examples:?}\n");
        let intents: String = intents.iter().map(intent).collect();
        let text = format!("version = 1\nlanguage = \"de\"\n{intents}");
        Samples::gather(&Playbook::parse(&text, "a test").unwrap(), None)
    }

    #[test]
    fn experience_helps_with_what_customers_of_others_want_too() {
        let mut samples = samples_of(&[
            ("late", &["Meine Sendung fehlt.", "Das Päckchen kommt nicht an.", "Wo bleibt, was ich bestellt habe?"]),
            ("stop", &["Ich möchte aus dem Vertrag raus.", "Bitte beenden Sie mein Abo.", "Hiermit kündige ich."]),
        ]);
        with_experience_that_helps(&mut samples);
        assert!(samples.experience.is_some());
    }

    #[test]
    fn experience_with_other_wishes_is_left_out() {
        let mut samples = samples_of(&[
            ("rain", &["Regnet es heute?", "Brauche ich morgen einen Schirm?", "Wird es am Abend nass draußen?"]),
            ("sun", &["Scheint heute die Sonne?", "Wird es morgen heiß draußen?", "Bleibt es am Abend trocken?"]),
        ]);
        with_experience_that_helps(&mut samples);
        assert!(samples.experience.is_none() && samples.views.len() == 1);
        assert_eq!(samples.shares(0.0).len(), 1);
    }
}
