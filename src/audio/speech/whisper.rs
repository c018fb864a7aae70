//! Owns the recognition of whispers: phrases, as speech has them, of a sound without pitch. Chords, bells and dialled keys
//! come in phrases, too, but have one.
//!
//! It is asked only where a recogniser found no words, and costs as much as some tenths of a second of recognition.

use std::ops::RangeInclusive;

use super::{Region, regions, scores};
use crate::audio::{Pcm, SAMPLE_RATE_HZ};

/// Fewer regions may be one long breath.
const PHRASES_MIN: usize = 3;
/// Seconds of speech that a whisper has at least: in less, noise may look like anything.
const SPEECH_S_MIN: f64 = 3.5;
/// Samples that are compared with those a period before: 32 ms.
const SPAN: usize = 512;
/// Spans of a note that are listened to, spread over it: many enough to tell, and few enough for a long note.
const SPANS_MAX: usize = 200;
/// Periods of voices and instruments in samples, from 500 Hz down to 62 Hz.
const PERIODS: RangeInclusive<usize> = SAMPLE_RATE_HZ as usize / 500..=SAMPLE_RATE_HZ as usize / 62;
/// How much more power than others the spans that count may have: 20 dB.
const LOUD_POWER: f32 = 0.01;
/// A span has a pitch if it correlates so much with what was a period before.
const CORRELATION_MIN: f32 = 0.4;
/// The share of spans that may have one. Of whispers made of eleven notes none has more than 0.02; of those notes as
/// spoken, and of all sounds without speech that come in phrases, none has less than 0.6.
const PITCHED_MAX: f32 = 0.3;

/// Is this somebody who whispers?
#[must_use]
pub fn is_likely(pcm: &Pcm) -> bool {
    let phrases = regions(&scores(&pcm.0), pcm.duration_s());
    let speech_s: f64 = phrases.iter().map(|region| region.end_s - region.start_s).sum();
    phrases.len() >= PHRASES_MIN && speech_s >= SPEECH_S_MIN && pitched_share(&pcm.0, &phrases) <= PITCHED_MAX
}

/// Which share of the loud spans in these regions has a pitch.
fn pitched_share(samples: &[f32], phrases: &[Region]) -> f32 {
    let at = |s: f64| (s * f64::from(SAMPLE_RATE_HZ)) as usize;
    let starts: Vec<usize> = phrases
        .iter()
        .flat_map(|region| (at(region.start_s).max(*PERIODS.end() + 1)..at(region.end_s)).step_by(SPAN))
        .filter(|start| start + SPAN <= samples.len())
        .collect();
    let spans = starts.iter().step_by(starts.len().div_ceil(SPANS_MAX).max(1));
    let heard: Vec<(f32, f32)> = spans.map(|&start| power_and_correlation(samples, start)).collect();
    let loud = heard.iter().fold(0.0_f32, |most, (power, _)| most.max(*power)) * LOUD_POWER;
    let correlations: Vec<f32> = heard.into_iter().filter(|(power, _)| *power > loud).map(|span| span.1).collect();
    let pitched = correlations.iter().filter(|correlation| **correlation >= CORRELATION_MIN).count();
    pitched as f32 / correlations.len().max(1) as f32
}

/// Of the span from `start` on: its power, and how much it correlates with the samples of a period before, for the period
/// that fits best. Neighbouring samples are subtracted first: a hum below all voices would have a pitch of its own.
fn power_and_correlation(samples: &[f32], start: usize) -> (f32, f32) {
    let first = start - PERIODS.end();
    let sharpened: Vec<f32> = samples[first - 1..start + SPAN].windows(2).map(|two| two[1] - two[0]).collect();
    let span = &sharpened[start - first..];
    let power_of = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
    let power = power_of(span);
    let correlations = PERIODS.map(|period| {
        let before = &sharpened[start - first - period..][..SPAN];
        let cross: f32 = span.iter().zip(before).map(|(now, before)| now * before).sum();
        cross / (power * power_of(before)).sqrt().max(f32::MIN_POSITIVE)
    });
    (power, correlations.fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::noise, *};

    fn whole(seconds: usize) -> ([Region; 1], usize) {
        ([Region { start_s: 0.0, end_s: seconds as f64 }], seconds * SAMPLE_RATE_HZ as usize)
    }

    #[test]
    fn a_buzz_has_a_pitch_and_a_rustle_has_none() {
        let (region, count) = whole(2);
        let buzz: Vec<f32> = (0..count).map(|n| if n % 130 < 9 { 0.5 } else { -0.02 }).collect();
        assert!(pitched_share(&buzz, &region) > 0.9);
        assert!(pitched_share(&noise(count, 0.1), &region) < 0.05);
    }

    #[test]
    fn nothing_and_long_notes_are_no_trouble() {
        assert!(!is_likely(&Pcm::default()));
        let (region, count) = whole(600);
        assert!(pitched_share(&vec![0.0; count], &region) < 0.05);
        assert!(pitched_share(&[0.1; 100], &region) < 0.05, "a region beyond the end");
    }
}
