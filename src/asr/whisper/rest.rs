//! Owns the question whether whisper stopped before the speaker did. After a pause it sometimes takes the text for
//! complete; its own loop would then move its window on to where it stopped.

use crate::{
    asr::Recognised,
    audio::{Pcm, SAMPLE_RATE_HZ, speech},
};

/// Less than this at the end is a pause, or noise behind the last word.
const REST_S_MIN: f64 = 4.0;
/// Of that, somebody has to speak for at least so long …
const SPEECH_S_MIN: f64 = 1.5;
/// … and be at most so much quieter than what was heard, in amplitude: 14 dB. Others in the room are not the speaker.
const LOUDNESS_MIN: f32 = 0.2;
/// What is heard in the rest counts from this mean log-probability on.
const LOG_PROBABILITY_MIN: f32 = -0.6;
/// Loudness is taken over this much: 50 ms.
const STEP: usize = SAMPLE_RATE_HZ as usize / 20;

/// The sample from which on somebody speaks and nothing was heard, where there is such a one.
pub fn start(pcm: &Pcm, heard: &Recognised) -> Option<usize> {
    let end_s = heard.transcript.segments.last()?.end_s;
    if end_s < 1.0 || pcm.duration_s() - end_s < REST_S_MIN {
        return None;
    }
    let start = (end_s * f64::from(SAMPLE_RATE_HZ)) as usize;
    let (before, rest) = pcm.0.split_at(start.min(pcm.0.len()));
    if loudest(rest) < LOUDNESS_MIN * loudest(before) {
        return None;
    }
    let activity = speech::detect(&Pcm(rest.to_vec()), &speech::Config::default());
    (activity.speech_s >= SPEECH_S_MIN).then_some(start)
}

/// Does what was heard in the rest belong to the note?
pub fn counts(rest: &Recognised) -> bool {
    !rest.repetition && rest.mean_log_probability >= LOG_PROBABILITY_MIN
}

fn loudest(samples: &[f32]) -> f32 {
    let loudness = samples.chunks(STEP).map(|step| step.iter().map(|s| s * s).sum::<f32>() / step.len() as f32);
    loudness.fold(0.0, f32::max).sqrt()
}
