//! Owns where in the audio a piece of the transcript is heard: by words where the recogniser timed them, else by its
//! segments.

use std::ops::Range;

use crate::event::processed::Transcript;

/// Stretches of the transcript with their times. Letters are counted without spaces, which engines place differently.
pub(super) struct Times<'a> {
    text: &'a str,
    stretches: Vec<(Range<usize>, f64, f64)>,
}

impl<'a> Times<'a> {
    pub(super) fn of(transcript: &'a Transcript) -> Self {
        let text = transcript.text.expose();
        let mut stretches = Vec::new();
        let mut at = 0;
        let mut heard = String::new();
        let mut push = |piece: &str, start_s: f64, end_s: f64| {
            let to = at + letters(piece).count();
            stretches.push((at..to, start_s, end_s));
            heard.extend(letters(piece));
            at = to;
        };
        for segment in &transcript.segments {
            if letters(segment.text.expose()).eq(segment.words.iter().flat_map(|word| letters(word.text.expose()))) {
                for word in &segment.words {
                    push(word.text.expose(), word.start_s, word.end_s);
                }
            } else {
                push(segment.text.expose(), segment.start_s, segment.end_s);
            }
        }
        // Segments that do not add up to the text say nothing about where in it they are.
        if !letters(text).eq(heard.chars()) {
            stretches.clear();
        }
        Self { text, stretches }
    }

    /// Start and end in seconds of a range of bytes of the text.
    pub(super) fn heard(&self, span: Range<usize>) -> Option<(f64, f64)> {
        let from = letters(&self.text[..span.start]).count();
        let to = from + letters(&self.text[span]).count();
        let mut within = self.stretches.iter().filter(|(at, ..)| at.start < to && at.end > from);
        let &(_, start_s, end_s) = within.next()?;
        Some((start_s, within.next_back().map_or(end_s, |&(.., end_s)| end_s)))
    }
}

/// So long a silence is more than taking breath, in seconds.
const PAUSE_S: f64 = 0.5;

/// The bytes of the transcript's text before which the speaker paused.
pub(super) fn pauses(transcript: &Transcript) -> Vec<usize> {
    let times = Times::of(transcript);
    let pairs = times.stretches.windows(2);
    let after_pauses = pairs.filter(|pair| pair[1].1 - pair[0].2 >= PAUSE_S).map(|pair| pair[1].0.start);
    let bytes: Vec<usize> =
        times.text.char_indices().filter(|(_, c)| !c.is_whitespace()).map(|(byte, _)| byte).collect();
    after_pauses.filter_map(|letter| bytes.get(letter).copied()).collect()
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::processed::{Segment, Word},
        understanding::entities::tests::transcript,
    };

    fn segment(start_s: f64, end_s: f64, text: &str, words: &[(f64, f64, &str)]) -> Segment {
        let words =
            words.iter().map(|&(start_s, end_s, text)| Word { start_s, end_s, text: text.into(), confidence: 1.0 });
        Segment { start_s, end_s, text: text.into(), confidence: 1.0, words: words.collect() }
    }

    #[test]
    fn words_give_the_exact_place_and_segments_a_rough_one() {
        let mut note = transcript("de", "Hallo zusammen. Nummer vier sieben.");
        note.segments = vec![
            segment(0.0, 1.5, " Hallo zusammen.", &[]),
            segment(
                2.0,
                4.0,
                " Nummer vier sieben.",
                &[(2.0, 2.5, " Nummer"), (2.6, 3.0, " vier"), (3.1, 3.6, " sieben.")],
            ),
        ];
        let times = Times::of(&note);
        assert_eq!(times.heard(23..34), Some((2.6, 3.6)));
        assert_eq!(times.heard(0..5), Some((0.0, 1.5)));
        assert_eq!(pauses(&note), [16]);
    }

    #[test]
    fn segments_that_are_not_the_text_give_no_times() {
        let mut note = transcript("de", "Nummer vier");
        note.segments = vec![segment(0.0, 1.0, "etwas anderes", &[])];
        assert_eq!(Times::of(&note).heard(0..6), None);
    }
}
