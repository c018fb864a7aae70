//! Owns how good the recognition of intents is: on labelled notes, and on a playbook's own examples.
//!
//! All shares run from 0 to 1. A share of nothing is 0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Understander, intent::CrossValidated, playbook::Playbook};
use crate::event::processed::Transcript;

/// A note of which somebody said what it is.
#[derive(Debug, Clone)]
pub struct LabelledNote {
    /// What was said; not looked at where it was heard.
    pub text: String,
    /// None: none of the playbook's intents.
    pub intent: Option<String>,
    /// ISO 639-1 code.
    pub language: Option<String>,
    /// As it was recognised.
    pub heard: Option<Transcript>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Notes that have an intent, and notes that have none.
    pub in_scope: usize,
    pub out_of_scope: usize,
    /// Of the notes in scope, those whose likeliest intent is right, sure or not.
    pub accuracy: f32,
    /// Of the notes in scope, those that were given an intent.
    pub auto: f32,
    /// Of those, the ones that are right.
    pub right: f32,
    /// Of the notes out of scope, those that were given an intent all the same.
    pub leaked: f32,
    /// How often a note in scope is given a larger confidence than one out of scope: the area under the ROC curve.
    pub auroc: f32,
    /// How far confidence and truth lie apart on average, over all notes.
    pub calibration_error: f32,
}

/// Judges the notes as if they had just been transcribed.
#[must_use]
pub fn evaluate(playbook: &Playbook, understander: &Understander, notes: &[LabelledNote]) -> Scores {
    let (mut in_scope, mut accurate, mut answered, mut right) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut out_of_scope, mut leaked) = (0_usize, 0_usize);
    let mut confidences = Vec::new();
    let mut by_scope: [Vec<f32>; 2] = Default::default();
    for note in notes {
        let transcript = note.heard.clone().unwrap_or_else(|| transcript(note, playbook));
        let (given, likeliest) = understander.judge(&transcript);
        let given = given.map(|intent| playbook.intents[intent].name.clone());
        let named = likeliest.as_ref().map(|candidate| playbook.intents[candidate.intent].name.as_str());
        if note.intent.is_some() {
            in_scope += 1;
            accurate += usize::from(named == note.intent.as_deref());
            answered += usize::from(given.is_some());
            right += usize::from(given.is_some() && given == note.intent);
        } else {
            out_of_scope += 1;
            leaked += usize::from(given.is_some());
        }
        let true_name = note.intent.is_some() && named == note.intent.as_deref();
        let confidence = likeliest.map_or(0.0, |candidate| candidate.confidence);
        by_scope[usize::from(note.intent.is_some())].push(confidence);
        confidences.push((confidence, true_name));
    }
    Scores {
        in_scope,
        out_of_scope,
        accuracy: share(accurate, in_scope),
        auto: share(answered, in_scope),
        right: share(right, answered),
        leaked: share(leaked, out_of_scope),
        auroc: auroc(&by_scope[1], &by_scope[0]),
        calibration_error: calibration_error(&confidences),
    }
}

fn transcript(note: &LabelledNote, playbook: &Playbook) -> Transcript {
    Transcript {
        text: note.text.as_str().into(),
        language: note.language.clone().unwrap_or_else(|| playbook.language.clone()),
        language_confidence: 1.0,
        confidence: 1.0,
        segments: Vec::new(),
        model: String::new(),
    }
}

/// What a playbook's own examples say about it, each judged by a model that was trained without it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelfTest {
    pub examples: usize,
    pub accuracy: f32,
    /// Share of the examples that would be given an intent.
    pub coverage: f32,
    /// Of those, the ones that are right.
    pub right: f32,
    pub calibration_error: f32,
    pub confidence_min: f32,
    pub similarity_min: f32,
    /// Most frequent first.
    pub confused: Vec<Confused>,
    pub contradictions: Vec<Contradiction>,
    pub intents: Vec<IntentReport>,
}

/// Examples of one intent that were taken for another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confused {
    pub is: String,
    pub taken_for: String,
    pub examples: Vec<String>,
}

/// Two examples that say nearly the same under different intents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contradiction {
    pub intents: [String; 2],
    pub examples: [String; 2],
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntentReport {
    pub name: String,
    pub examples: usize,
    /// Share of its examples that were recognised.
    pub recognised: f32,
}

#[must_use]
pub fn self_test(playbook: &Playbook, understander: &Understander) -> SelfTest {
    let classifier = understander.classifier();
    let calibration = classifier.calibration();
    let name = |intent: usize| playbook.intents[intent].name.clone();
    let seen: Vec<&CrossValidated> = calibration.seen.iter().filter(|one| one.truth.is_some()).collect();
    let answered: Vec<_> = seen.iter().filter(|one| calibration.accepts(one.confidence, one.similarity)).collect();
    let confidences: Vec<_> = seen.iter().map(|one| (one.confidence, one.is_right())).collect();

    let mut confused: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for one in &seen {
        if let Some(truth) = one.truth.filter(|_| !one.is_right()) {
            confused.entry((truth, one.predicted)).or_default().push(one.text.clone());
        }
    }
    let mut confused: Vec<Confused> = confused
        .into_iter()
        .map(|((is, taken_for), examples)| Confused { is: name(is), taken_for: name(taken_for), examples })
        .collect();
    confused.sort_by_key(|pair| std::cmp::Reverse(pair.examples.len()));

    let intents = playbook.intents.iter().enumerate().map(|(index, intent)| {
        let own: Vec<_> = seen.iter().filter(|one| one.truth == Some(index)).collect();
        let recognised = share(own.iter().filter(|one| one.is_right()).count(), own.len());
        IntentReport { name: intent.name.clone(), examples: intent.examples.len(), recognised }
    });
    let contradictions = classifier.contradictions().into_iter().map(|pair| Contradiction {
        intents: pair.map(|(intent, _)| name(intent)),
        examples: pair.map(|(_, text)| text.to_owned()),
    });
    SelfTest {
        examples: seen.len(),
        accuracy: share(seen.iter().filter(|one| one.is_right()).count(), seen.len()),
        coverage: share(answered.len(), seen.len()),
        right: share(answered.iter().filter(|one| one.is_right()).count(), answered.len()),
        calibration_error: calibration_error(&confidences),
        confidence_min: calibration.confidence_min,
        similarity_min: calibration.similarity_min,
        confused,
        contradictions: contradictions.collect(),
        intents: intents.collect(),
    }
}

const BINS: usize = 10;

/// Expected calibration error: the mean distance of confidence and share of right answers, in ten bins of confidence.
fn calibration_error(answers: &[(f32, bool)]) -> f32 {
    let mut bins = [(0.0_f32, 0_usize); BINS];
    for &(confidence, right) in answers {
        let bin = &mut bins[((confidence * BINS as f32) as usize).min(BINS - 1)];
        bin.0 += confidence;
        bin.1 += usize::from(right);
    }
    let apart: f32 = bins.iter().map(|&(confidence, right)| (confidence - right as f32).abs()).sum();
    if answers.is_empty() { 0.0 } else { apart / answers.len() as f32 }
}

/// Of all pairs of one of `inside` and one of `outside`, the share in which the first is larger; a tie counts half.
fn auroc(inside: &[f32], outside: &[f32]) -> f32 {
    let won = |a: f32| -> f32 {
        let one = |&b: &f32| if a > b { 1.0 } else { f32::from(u8::from(a >= b)) / 2.0 };
        outside.iter().map(one).sum()
    };
    let pairs = inside.len() * outside.len();
    if pairs == 0 { 0.0 } else { inside.iter().map(|&a| won(a)).sum::<f32>() / pairs as f32 }
}

fn share(part: usize, whole: usize) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_tell_the_two_kinds_apart_have_an_area_of_one_and_blind_ones_of_a_half() {
        assert!((auroc(&[0.9, 0.8], &[0.1, 0.2]) - 1.0).abs() < 1e-6);
        assert!((auroc(&[0.5, 0.5], &[0.5]) - 0.5).abs() < 1e-6);
        assert!(auroc(&[], &[0.5]).abs() < 1e-6);
    }

    #[test]
    fn calibration_error_is_nothing_for_honest_and_large_for_boastful_answers() {
        let honest: Vec<_> = (0..10).map(|i| (0.9, i < 9)).collect();
        assert!(calibration_error(&honest) < 1e-5);
        assert!((calibration_error(&[(1.0, false), (1.0, false)]) - 1.0).abs() < 1e-6);
        assert!(calibration_error(&[]).abs() < 1e-6);
    }
}
