//! Owns the shortening of long silences, and the way back from times in shortened audio to those in the note.
//!
//! A recogniser spends as much work on silence as on speech, and where it is long it invents words or loses its place.
//! Only what the speech detector takes for no speech and what is far quieter than the speech is left out, so that a voice
//! in the distance stays.

use std::ops::Range;

use super::{
    Pcm, SAMPLE_RATE_HZ,
    speech::{Activity, Config},
};
use crate::event::processed::Transcript;

/// How much of a silence stays on either side of what is left out: half a second.
const EDGE: usize = SAMPLE_RATE_HZ as usize / 2;
/// Loudness is taken over this much: 50 ms.
const STEP: usize = SAMPLE_RATE_HZ as usize / 20;
/// What is left out is at least this much quieter than the loudest speech, in amplitude: 30 dB.
const QUIETER: f32 = 0.032;

/// What was left out of a note, for the way back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The stretches of the note that were kept, in order; none where all of it was.
    kept: Vec<Range<usize>>,
}

/// Leaves out the middle of every silence that is longer than `speech.pause_s_max`.
#[must_use]
pub fn shorten(pcm: Pcm, activity: &Activity, config: &Config) -> (Pcm, Pauses) {
    let longest = (config.pause_s_max.max(0.0) * SAMPLE_RATE_HZ as f32) as usize;
    let kept = kept(&pcm.0, activity, longest.max(2 * EDGE));
    if kept.is_empty() {
        return (pcm, Pauses::default());
    }
    let samples = kept.iter().flat_map(|range| &pcm.0[range.clone()]).copied().collect();
    (Pcm(samples), Pauses { kept })
}

/// The stretches that stay; none where all of it does.
fn kept(samples: &[f32], activity: &Activity, longest: usize) -> Vec<Range<usize>> {
    let quiet = QUIETER * loudness(samples).fold(0.0, f32::max);
    let at = |seconds: f64| ((seconds * f64::from(SAMPLE_RATE_HZ)) as usize).min(samples.len());
    let starts = activity.regions.iter().map(|region| at(region.start_s)).chain([samples.len()]);
    let ends = [0].into_iter().chain(activity.regions.iter().map(|region| at(region.end_s)));
    let mut kept = vec![];
    let mut from = 0;
    for (end, start) in ends.zip(starts) {
        let silence = end + EDGE..start.saturating_sub(EDGE);
        let is_long = start.saturating_sub(end) > longest;
        if is_long && !silence.is_empty() && loudness(&samples[silence.clone()]).all(|level| level <= quiet) {
            kept.push(from..silence.start);
            from = silence.end;
        }
    }
    if from > 0 {
        kept.push(from..samples.len());
    }
    kept
}

/// Of every step, the root of its mean square.
fn loudness(samples: &[f32]) -> impl Iterator<Item = f32> {
    samples.chunks(STEP).map(|step| (step.iter().map(|s| s * s).sum::<f32>() / step.len() as f32).sqrt())
}

impl Pauses {
    /// Sets the times of a transcript of shortened audio to those of the note.
    pub fn restore(&self, transcript: &mut Transcript) {
        if self.kept.is_empty() {
            return;
        }
        for segment in &mut transcript.segments {
            (segment.start_s, segment.end_s) =
                (self.in_note(segment.start_s, false), self.in_note(segment.end_s, true));
            for word in &mut segment.words {
                (word.start_s, word.end_s) = (self.in_note(word.start_s, false), self.in_note(word.end_s, true));
            }
        }
    }

    /// The time in the note. Where something was left out, an end lies before and a start behind it.
    fn in_note(&self, shortened_s: f64, is_end: bool) -> f64 {
        const RATE: f64 = SAMPLE_RATE_HZ as f64;
        let mut left = shortened_s * RATE;
        for range in &self.kept {
            let length = range.len() as f64;
            if left < length || (is_end && left <= length) {
                return (range.start as f64 + left) / RATE;
            }
            left -= length;
        }
        self.kept.last().map_or(shortened_s, |last| (last.end as f64 + left.max(0.0)) / RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::speech::{Region, Verdict},
        event::processed::{Segment, Word},
    };

    const SECOND: usize = SAMPLE_RATE_HZ as usize;

    /// Speech from 1 to 2 s and from 10 to 12 s of 20 s, with this level in between.
    fn note(between: f32) -> (Pcm, Activity) {
        let mut samples = vec![between; 20 * SECOND];
        samples[SECOND..2 * SECOND].fill(0.5);
        samples[10 * SECOND..12 * SECOND].fill(0.5);
        let regions = vec![Region { start_s: 1.0, end_s: 2.0 }, Region { start_s: 10.0, end_s: 12.0 }];
        let activity = Activity { verdict: Verdict::Speech, speech_s: 3.0, regions, peak_dbfs: -6.0, rms_dbfs: -14.0 };
        (Pcm(samples), activity)
    }

    fn shortened(between: f32) -> (Pcm, Pauses) {
        let (pcm, activity) = note(between);
        shorten(pcm, &activity, &Config::default())
    }

    #[test]
    fn long_silences_become_a_second_and_all_speech_stays() {
        let (pcm, pauses) = shortened(0.001);
        // 1 s and the speech, 1 s, the speech and half a second.
        assert_eq!(pauses.kept, [0..SECOND * 5 / 2, SECOND * 19 / 2..SECOND * 25 / 2, 20 * SECOND - EDGE..20 * SECOND]);
        assert_eq!(pcm.0.iter().filter(|s| **s > 0.4).count(), 3 * SECOND);
    }

    #[test]
    fn what_is_not_quiet_stays_even_if_the_detector_hears_no_speech_in_it() {
        let (pcm, pauses) = shortened(0.03);
        assert_eq!((pcm.0.len(), pauses), (20 * SECOND, Pauses::default()));
    }

    #[test]
    fn times_are_those_of_the_note() {
        let (_, pauses) = shortened(0.001);
        let word = |start_s, end_s| Word { start_s, end_s, text: "ja".into(), confidence: 0.9 };
        let words = vec![word(1.0, 2.5), word(2.5, 3.5), word(4.0, 6.0)];
        let segment = Segment { start_s: 1.0, end_s: 6.0, text: "ja ja ja".into(), confidence: 0.9, words };
        let mut transcript = Transcript {
            text: "ja ja ja".into(),
            language: "de".to_owned(),
            language_confidence: 1.0,
            confidence: 0.9,
            segments: vec![segment],
            model: "m".to_owned(),
        };
        let before = transcript.clone();
        Pauses::default().restore(&mut transcript);
        assert_eq!(transcript, before);
        pauses.restore(&mut transcript);
        let segment = &transcript.segments[0];
        let times: Vec<(f64, f64)> = segment.words.iter().map(|w| (w.start_s, w.end_s)).collect();
        assert_eq!(times, [(1.0, 2.5), (9.5, 10.5), (11.0, 20.0)]);
        assert_eq!((segment.start_s, segment.end_s), (1.0, 20.0));
    }

    #[test]
    fn a_note_without_a_voice_stays_as_it_is() {
        let activity =
            Activity { verdict: Verdict::Silence, speech_s: 0.0, regions: vec![], peak_dbfs: -90.0, rms_dbfs: -90.0 };
        let (pcm, pauses) = shorten(Pcm::default(), &activity, &Config::default());
        assert!(pcm.0.is_empty() && pauses == Pauses::default());
    }
}
