//! Owns what the program knows of customer service beyond an operator's playbook: what the built-in playbook, learnt from
//! its own examples, would make of a text.
//!
//! Ten examples do not show how else customers say the same. The built-in intents have some forty each, and an operator's
//! intents are often much like one of them, or like one without another; which, the operator's own examples tell: to them,
//! this is one more way to look at a text. It never names an intent by itself.

use std::{collections::HashSet, ops::Range, sync::Arc};

use super::{features::Sparse, regression::Linear, samples::Samples};
use crate::understanding::{
    encoder::{Embedding, Encoded, Encoder},
    playbook::{Intent, Playbook},
    text,
};

/// Fewer built-in intents tell nothing apart.
const INTENTS_MIN: usize = 2;

#[derive(Debug)]
pub struct Experience {
    samples: Samples,
    model: Linear,
}

impl Experience {
    /// Learns the built-in playbook's examples, without those that the operator's playbook has as well: of these it would
    /// be surer than of anything that a customer says. None if that leaves nothing, or there is nothing to know it for.
    pub fn beside(playbook: &Playbook, encoder: Option<Arc<Encoder>>) -> Option<Self> {
        let own: HashSet<&str> =
            playbook.intents.iter().flat_map(|intent| &intent.examples).map(String::as_str).collect();
        // That it is valid, its tests see to.
        let mut intents: Vec<Intent> = Playbook::builtin().ok()?.intents;
        for intent in &mut intents {
            intent.examples.retain(|example| !own.contains(example.as_str()));
        }
        intents.retain(|intent| !intent.examples.is_empty());
        if intents.len() < INTENTS_MIN || playbook.intents.is_empty() {
            return None;
        }
        let samples = Samples::of(&intents, std::iter::empty(), encoder, None);
        let everything: Vec<usize> = (0..samples.texts.len()).collect();
        let model = samples.fit(&samples.products(), &everything);
        Some(Self { samples, model })
    }

    /// Features of a vector.
    pub fn size(&self) -> usize {
        self.samples.classes - 1
    }

    /// A note and its sentences, given as bytes of it, and what the encoder says of them.
    pub fn of_note(&self, note: &str, sentences: &[Range<usize>], encoded: Option<&Encoded>) -> (Sparse, Vec<Sparse>) {
        let judgement = self.samples.judge_encoded(&self.model, note, sentences.to_vec(), encoded);
        let parts = judgement.sentences.iter().map(|sentence| self.vector(&sentence.probabilities)).collect();
        (self.vector(&judgement.probabilities), parts)
    }

    /// An example, whose sentences are taken to mean what all of it does.
    pub fn of_example(&self, text: &str, embedding: Option<&Embedding>) -> Sparse {
        let sentences = text::sentences(text);
        let encoded =
            embedding.map(|whole| Encoded { whole: whole.clone(), parts: vec![whole.clone(); sentences.len()] });
        self.of_note(text, &sentences, encoded.as_ref()).0
    }

    /// The roots of the probabilities: a vector of length 1 at most, whose inner product with another is the
    /// Bhattacharyya coefficient of the two distributions.
    fn vector(&self, probabilities: &[f32]) -> Sparse {
        (0..).zip(probabilities[..self.size()].iter().map(|probability| probability.sqrt())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playbook(example: &str) -> Playbook {
        let example = toml::Value::from(example);
        let text = format!("version = 1\nlanguage = \"de\"\n[[intent]]\nname = \"own\"\nexamples = [{example}]");
        Playbook::parse(&text, "a test").unwrap()
    }

    fn inner(a: &Sparse, b: &Sparse) -> f32 {
        a.iter().zip(b).map(|((_, a), (_, b))| a * b).sum()
    }

    #[test]
    fn what_customers_want_alike_looks_alike_in_other_words() {
        let experience = Experience::beside(&playbook("Das ist ein Beispiel."), None).unwrap();
        let [late, where_is_it, cancel] = [
            "Ich warte seit letzter Woche auf meine Lieferung.",
            "Das Päckchen ist immer noch nicht da.",
            "Hiermit kündige ich meinen Vertrag zum Jahresende.",
        ]
        .map(|text| experience.of_example(text, None));
        assert!(inner(&late, &where_is_it) > 2.0 * inner(&late, &cancel));
        assert!(late.len() == experience.size() && inner(&late, &late) <= 1.0 + 1e-5);
    }

    #[test]
    fn examples_of_the_operator_are_no_experience() {
        let builtin = Playbook::builtin().unwrap();
        assert!(Experience::beside(&builtin, None).is_none());
        let example = &builtin.intents[0].examples[0];
        let experience = Experience::beside(&playbook(example), None).unwrap();
        assert!(!experience.samples.texts.contains(example));
    }
}
