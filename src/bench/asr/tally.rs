//! Owns what is counted of notes that were heard: words, times, and whether confidences mean what they say.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    super::{flight::percentile_ms, wer},
    clips::Clip,
    customers::Answered,
};
use crate::event::processed::{OutcomeKind, Transcript};

/// A row of the table: notes that have something in common.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `all`, `length 5 to 10 s`, `language de`, `sound noise:street:10dB` and the like.
    pub group: String,
    pub notes: usize,
    pub audio_s: f64,
    /// Words that were said, where somebody knows.
    pub words: usize,
    /// Of a note without a transcript, because it was not believed, all words count as wrong.
    pub word_errors: usize,
    /// Percent; absent where nobody knows what was said.
    pub word_error_rate: Option<f64>,
    /// Labelled speech without a transcript, …
    pub untold: usize,
    /// … and among that what was taken for no speech at all.
    pub dropped: usize,
    /// Transcripts of notes in which nobody speaks.
    pub invented: usize,
    /// Transcripts in another language than the one spoken.
    pub other_language: usize,
    /// From sending a note to its result, with as many notes on their way as the bench was told.
    pub latency_ms: Latency,
    /// Mean distance between a word's confidence and the share of such words that are right; absent without words.
    pub calibration_error: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
}

/// The rows over these notes: all of them first, then by length, language and sound.
pub(super) fn rows<'a>(notes: impl Iterator<Item = (&'a Clip, &'a Answered)>) -> Vec<Row> {
    let mut groups = BTreeMap::<(u8, String), Tally>::new();
    for (clip, answered) in notes {
        let one = Tally::of(clip, answered);
        for group in groups_of(clip, one.audio_s) {
            groups.entry(group).or_default().add(&one);
        }
    }
    groups.into_iter().map(|((_, group), tally)| tally.row(group)).collect()
}

/// The rows in which a note counts, with their places.
fn groups_of(clip: &Clip, audio_s: f64) -> Vec<(u8, String)> {
    let (place, length) = match audio_s {
        s if s < 5.0 => (1, "under 5 s"),
        s if s < 10.0 => (2, "5 to 10 s"),
        s if s < 30.0 => (3, "10 to 30 s"),
        _ => (4, "over 30 s"),
    };
    let mut groups = vec![(0, "all".to_owned()), (place, format!("length {length}"))];
    let variant = clip.variant.as_deref().unwrap_or_default();
    if clip.text.is_none() {
        groups.push((6, "sound unlabelled".to_owned()));
    } else if variant.starts_with("noise:") {
        groups.extend([(6, "sound noise".to_owned()), (7, format!("sound {variant}"))]);
    } else {
        groups.push((6, "sound without noise".to_owned()));
    }
    groups.extend(clip.language.iter().filter(|_| clip.text.is_some()).map(|code| (5, format!("language {code}"))));
    groups
}

/// What is counted of one note or of many.
#[derive(Debug, Default)]
struct Tally {
    notes: usize,
    audio_s: f64,
    words: usize,
    word_errors: usize,
    untold: usize,
    dropped: usize,
    invented: usize,
    other_language: usize,
    took: Vec<Duration>,
    confidences: Confidences,
}

impl Tally {
    fn of(clip: &Clip, answered: &Answered) -> Self {
        let (processed, took) = (&answered.processed, vec![answered.took]);
        let mut tally = Self { notes: 1, took, ..Self::default() };
        let Some(audio) = &processed.audio else { return tally };
        tally.audio_s = audio.duration_s;
        let heard = processed.transcript.as_ref();
        let Some(text) = clip.words() else {
            tally.invented = usize::from(heard.is_some() && clip.is_without_speech());
            return tally;
        };
        let written = clip.text_written.as_deref().unwrap_or(text);
        let counted = wer::count(heard.map_or("", |t| t.text.expose()), text, written);
        (tally.word_errors, tally.words) = (counted.errors, counted.words);
        tally.untold = usize::from(heard.is_none());
        tally.dropped = usize::from(processed.outcome == OutcomeKind::NoSpeech);
        tally.other_language = usize::from(heard.is_some_and(|t| Some(&t.language) != clip.language.as_ref()));
        if let Some(transcript) = heard {
            tally.confidences.read(transcript, &counted.right);
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        self.notes += other.notes;
        self.audio_s += other.audio_s;
        self.words += other.words;
        self.word_errors += other.word_errors;
        self.untold += other.untold;
        self.dropped += other.dropped;
        self.invented += other.invented;
        self.other_language += other.other_language;
        self.took.extend(&other.took);
        self.confidences.add(&other.confidences);
    }

    fn row(mut self, group: String) -> Row {
        self.took.sort_unstable();
        let at = |share: f64| percentile_ms(&self.took, share);
        Row {
            group,
            notes: self.notes,
            audio_s: self.audio_s,
            words: self.words,
            word_errors: self.word_errors,
            word_error_rate: (self.words > 0).then(|| 100.0 * self.word_errors as f64 / self.words as f64),
            untold: self.untold,
            dropped: self.dropped,
            invented: self.invented,
            other_language: self.other_language,
            latency_ms: Latency { p50: at(0.5), p95: at(0.95) },
            calibration_error: self.confidences.error(),
        }
    }
}

/// Words by how sure they are said to be, in tenths: how many, how sure in sum, how many right.
#[derive(Debug, Default)]
struct Confidences([(f64, f64, f64); 10]);

impl Confidences {
    /// `right`: of each word of the transcript, as [`wer::words`] counts them.
    fn read(&mut self, transcript: &Transcript, right: &[bool]) {
        let words = transcript.segments.iter().flat_map(|segment| &segment.words);
        let sure =
            words.flat_map(|word| wer::words(word.text.expose()).into_iter().map(|_| f64::from(word.confidence)));
        for (sure, right) in sure.zip(right) {
            let bin = &mut self.0[((sure * 10.0) as usize).min(9)];
            *bin = (bin.0 + 1.0, bin.1 + sure, bin.2 + f64::from(u8::from(*right)));
        }
    }

    fn add(&mut self, other: &Self) {
        for (bin, more) in self.0.iter_mut().zip(&other.0) {
            *bin = (bin.0 + more.0, bin.1 + more.1, bin.2 + more.2);
        }
    }

    fn error(&self) -> Option<f64> {
        let words: f64 = self.0.iter().map(|bin| bin.0).sum();
        let distance: f64 = self.0.iter().map(|(_, sure, right)| (sure - right).abs()).sum();
        (words > 0.0).then(|| distance / words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::processed::{Segment, Word};

    fn said(words: &[(&str, f32)]) -> Transcript {
        let word = |&(text, confidence): &(&str, f32)| Word { start_s: 0.0, end_s: 0.0, text: text.into(), confidence };
        let segment = Segment {
            start_s: 0.0,
            end_s: 1.0,
            text: "".into(),
            confidence: 1.0,
            words: words.iter().map(word).collect(),
        };
        Transcript {
            text: "".into(),
            language: "de".to_owned(),
            language_confidence: 1.0,
            confidence: 1.0,
            segments: vec![segment],
            model: String::new(),
        }
    }

    #[test]
    fn confidences_are_off_by_as_much_as_they_promise_too_much() {
        let mut sure = Confidences::default();
        assert_eq!(sure.error(), None);
        sure.read(
            &said(&[("eins", 0.95), ("zwei-drei", 0.95), ("–", 0.1), ("vier", 0.55)]),
            &[true, true, false, true],
        );
        // Three words in the last tenth, of which two are right, and one in the sixth, which is.
        let expected = ((3.0 * 0.95 - 2.0) + 0.45) / 4.0;
        assert!((sure.error().unwrap() - expected).abs() < 1e-6, "{:?}", sure.error());
    }

    #[test]
    fn a_noisy_note_counts_by_its_label_and_with_all_noisy_ones() {
        let noisy = Clip {
            text: Some("ja".to_owned()),
            language: Some("de".to_owned()),
            variant: Some("noise:street:10dB".to_owned()),
            ..Clip::default()
        };
        let groups: Vec<String> = groups_of(&noisy, 7.0).into_iter().map(|(_, name)| name).collect();
        let expected = ["all", "length 5 to 10 s", "sound noise", "sound noise:street:10dB", "language de"];
        assert_eq!(groups, expected);
    }
}
