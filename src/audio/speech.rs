//! Owns the question "does anybody speak at all?", asked before a recogniser can invent text for noise.
//!
//! It errs on one side: a note in which somebody speaks must get through, so it stops only what surely holds no speech
//! (silence, hiss, plain noise, dial tones). Music and babble may pass; what a recogniser makes of them is judged by
//! [`crate::asr`]. It knows nothing of words or languages, and being quiet is no reason to be stopped. [`whisper`] answers
//! a second question, where no words were found: did somebody whisper?

mod tone;
pub mod whisper;

use earshot::Detector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pcm, SAMPLE_RATE_HZ};
use crate::event::Reason;

/// What counts as speech.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A note is silent if its loudest tenth of a second is below this level, in dB relative to full scale. Quiet
    /// recordings of speech are far above it.
    pub silence_dbfs: f32,
    /// From which score on (0 to 1) a frame of 16 ms counts as speech.
    pub score_min: f32,
    /// Seconds of such frames in a row that make a note worth transcribing.
    pub speech_s_min: f32,
    /// A silence of more seconds than this is heard as one of a second.
    pub pause_s_max: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { silence_dbfs: -80.0, score_min: 0.6, speech_s_min: 0.06, pause_s_max: 3.0 }
    }
}

/// What was heard in a note.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    pub verdict: Verdict,
    /// Seconds in which somebody speaks: the length of all regions.
    pub speech_s: f64,
    /// Where somebody speaks, in order, without overlap.
    pub regions: Vec<Region>,
    /// Level of the largest sample, in dB below full scale; -120 for digital silence.
    pub peak_dbfs: f32,
    /// Level of the whole note, likewise.
    pub rms_dbfs: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Speech,
    /// Nothing to be heard.
    Silence,
    /// Something is to be heard, but nobody speaks.
    NoSpeech,
}

impl Verdict {
    /// Why a note is not transcribed; `None` if it is.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Speech => None,
            Self::Silence => Some(Reason::Silence),
            Self::NoSpeech => Some(Reason::NoSpeechDetected),
        }
    }
}

/// A stretch of speech, in seconds from the start of the audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    pub start_s: f64,
    pub end_s: f64,
}

/// Samples that the detector takes at a time: 16 ms.
const FRAME: usize = 256;
/// Samples over which a level is taken: a tenth of a second.
const LEVEL_SPAN: usize = SAMPLE_RATE_HZ as usize / 10;
/// Samples that share one gain, 5 s: a knock on the microphone must not drown the whisper after it.
const GAIN_SPAN: usize = 313 * FRAME;
/// What the loudest part of such a stretch is brought to. The detector hears noise as speech when it is driven harder.
const LEVEL_WANTED: f32 = 0.1;
/// Pauses between words belong to a region.
const PAUSE_S: f64 = 0.3;
/// From this score on a frame extends a region that another one has made.
const REGION_SCORE: f32 = 0.5;

/// Listens to a whole note; about 1 ms a second of audio.
#[must_use]
pub fn detect(pcm: &Pcm, config: &Config) -> Activity {
    let samples = &pcm.0;
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let loudest = loudest(samples);
    let is_silent = dbfs(loudest) < config.silence_dbfs;
    let scores = if is_silent { Vec::new() } else { scores(samples) };
    let frames_min = (config.speech_s_min * SAMPLE_RATE_HZ as f32 / FRAME as f32).ceil().max(1.0) as usize;
    let is_voice = |score: &f32| *score >= config.score_min;
    let somebody_speaks = scores
        .chunk_by(|a, b| is_voice(a) == is_voice(b))
        .any(|run| run.len() >= frames_min && run.iter().all(is_voice));
    let verdict = if somebody_speaks {
        Verdict::Speech
    } else if is_silent {
        Verdict::Silence
    } else {
        Verdict::NoSpeech
    };
    let regions = if somebody_speaks { regions(&scores, pcm.duration_s()) } else { Vec::new() };
    Activity {
        verdict,
        speech_s: regions.iter().fold(0.0, |sum, region| sum + region.end_s - region.start_s),
        regions,
        peak_dbfs: dbfs(peak),
        rms_dbfs: dbfs(rms(samples)),
    }
}

/// A score from 0 to 1 for each frame of 16 ms; tones score 0.
fn scores(samples: &[f32]) -> Vec<f32> {
    let mut detector = Detector::default_boxed();
    let mut frame = [0.0; FRAME];
    let mut scores = Vec::with_capacity(samples.len().div_ceil(FRAME));
    for span in samples.chunks(GAIN_SPAN) {
        let gain = LEVEL_WANTED / loudest(span).max(f32::MIN_POSITIVE.sqrt());
        for piece in span.chunks(FRAME) {
            frame.fill(0.0);
            for (to, from) in frame.iter_mut().zip(piece) {
                *to = (from * gain).clamp(-1.0, 1.0);
            }
            let score = detector.predict_f32(&frame);
            scores.push(score);
        }
    }
    for (score, is_tone) in scores.iter_mut().zip(tone::frames(samples, FRAME)) {
        if is_tone {
            *score = 0.0;
        }
    }
    scores
}

fn regions(scores: &[f32], duration_s: f64) -> Vec<Region> {
    let frame_s = FRAME as f64 / f64::from(SAMPLE_RATE_HZ);
    let mut regions = Vec::<Region>::new();
    for (index, _) in scores.iter().enumerate().filter(|(_, score)| **score >= REGION_SCORE) {
        let start_s = index as f64 * frame_s;
        let end_s = (start_s + frame_s).min(duration_s);
        match regions.last_mut() {
            Some(last) if start_s - last.end_s <= PAUSE_S => last.end_s = end_s,
            _ => regions.push(Region { start_s, end_s }),
        }
    }
    regions
}

fn loudest(samples: &[f32]) -> f32 {
    samples.chunks(LEVEL_SPAN).map(rms).fold(0.0, f32::max)
}

/// Summed in f64: a long note has more samples than f32 has digits.
fn rms(samples: &[f32]) -> f32 {
    let power: f64 = samples.iter().map(|sample| f64::from(sample * sample)).sum();
    (power / samples.len().max(1) as f64).sqrt() as f32
}

fn dbfs(level: f32) -> f32 {
    20.0 * level.max(1e-6).log10()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    const SECOND: usize = SAMPLE_RATE_HZ as usize;

    fn verdict(samples: Vec<f32>) -> Verdict {
        detect(&Pcm(samples), &Config::default()).verdict
    }

    /// White noise, the same on every run.
    pub(super) fn noise(samples: usize, level: f32) -> Vec<f32> {
        let mut state = 0x2545_f491_u32;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            level * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
        })
        .take(samples)
        .collect()
    }

    fn beeps(frequency_hz: f32) -> Vec<f32> {
        (0..6 * SECOND)
            .map(|n| {
                if (n / (SECOND / 2)).is_multiple_of(2) {
                    0.3 * (TAU * frequency_hz * n as f32 / 16_000.0).sin()
                } else {
                    0.0
                }
            })
            .collect()
    }

    #[test]
    fn nothing_and_next_to_nothing_are_silence() {
        assert_eq!(verdict(Vec::new()), Verdict::Silence);
        assert_eq!(verdict(vec![0.0; 3 * SECOND]), Verdict::Silence);
        assert_eq!(verdict(noise(3 * SECOND, 0.000_1)), Verdict::Silence);
        assert_eq!(Verdict::Silence.reason(), Some(Reason::Silence));
    }

    #[test]
    fn noise_and_tones_are_to_be_heard_but_are_no_speech() {
        assert_eq!(verdict(noise(5 * SECOND, 0.1)), Verdict::NoSpeech);
        for frequency_hz in [350.0, 425.0, 950.0, 1_400.0] {
            assert_eq!(verdict(beeps(frequency_hz)), Verdict::NoSpeech, "{frequency_hz} Hz");
        }
        assert_eq!(Verdict::NoSpeech.reason(), Some(Reason::NoSpeechDetected));
    }

    #[test]
    fn levels_are_told_in_decibels_below_full_scale() {
        let activity = detect(&Pcm(vec![0.5; SECOND]), &Config::default());
        assert!((activity.peak_dbfs + 6.02).abs() < 0.01 && (activity.rms_dbfs + 6.02).abs() < 0.01, "{activity:?}");
        assert!((detect(&Pcm::default(), &Config::default()).peak_dbfs + 120.0).abs() < 0.01);
    }

    #[test]
    fn a_pause_within_a_sentence_does_not_end_a_region() {
        let mut scores = vec![0.0; 100];
        scores[10..20].fill(0.9);
        scores[30..40].fill(0.9);
        scores[80..90].fill(0.9);
        let found = regions(&scores, 1.6);
        let expected = [Region { start_s: 0.16, end_s: 0.64 }, Region { start_s: 1.28, end_s: 1.44 }];
        assert_eq!(found.len(), 2);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.start_s - expected.start_s).abs() < 1e-9 && (found.end_s - expected.end_s).abs() < 1e-9);
        }
    }

    #[test]
    fn samples_out_of_range_do_not_break_the_detector() {
        assert_eq!(detect(&Pcm(vec![f32::MAX; 1_000]), &Config::default()).regions, []);
        let _ = verdict(vec![f32::MIN_POSITIVE; SECOND]);
    }
}
