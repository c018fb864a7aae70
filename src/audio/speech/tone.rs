//! Owns the recognition of dial and busy tones: one sine at one pitch, on and off, through the whole note. Speech
//! detectors take them for vowels. It knows nothing of speech.

/// How much quieter than the loudest frame a frame may be and still count: 30 dB.
const ACTIVE_POWER: f32 = 0.001;
/// Of a sine, two samples foretell the next; this share of its power may be left over (codecs add some).
const UNEXPLAINED_MAX: f32 = 0.01;
/// How far a frame's pitch may be from the note's.
const PITCH_TOLERANCE: f32 = 0.03;
/// The share of all audible frames that must be that sine: a voice behind a beep is more than the rest.
const SHARE_MIN: f32 = 0.8;
/// Frames around a tone that its start and end still colour.
const EDGE: usize = 4;

/// For each frame, whether it is part of a tone that makes up the whole note.
pub(super) fn frames(samples: &[f32], frame: usize) -> Vec<bool> {
    let frames: Vec<&[f32]> = samples.chunks(frame).collect();
    let powers: Vec<f32> = frames.iter().map(|frame| frame.iter().map(|x| x * x).sum()).collect();
    let audible = powers.iter().fold(0.0_f32, |most, power| most.max(*power)) * ACTIVE_POWER;
    let is_active = |index: usize| powers[index] > audible;
    let pitches: Vec<Option<f32>> =
        frames.iter().enumerate().map(|(index, frame)| if is_active(index) { pitch(frame) } else { None }).collect();

    let mut sorted: Vec<f32> = pitches.iter().copied().flatten().collect();
    sorted.sort_by(f32::total_cmp);
    let mut tone = vec![false; frames.len()];
    let Some(&common) = sorted.get(sorted.len() / 2) else { return tone };
    let on_pitch: Vec<usize> = (0..frames.len())
        .filter(|&index| pitches[index].is_some_and(|pitch| (pitch - common).abs() < PITCH_TOLERANCE * common))
        .collect();
    let active = (0..frames.len()).filter(|&index| is_active(index)).count();
    if (on_pitch.len() as f32) < SHARE_MIN * active as f32 {
        return tone;
    }
    for index in on_pitch {
        let end = (index + EDGE + 1).min(tone.len());
        tone[index.saturating_sub(EDGE)..end].fill(true);
    }
    tone
}

/// The angle between samples, in radians, if the frame is a sine: then each sample plus the one two before it is a
/// fixed multiple of the one between.
fn pitch(frame: &[f32]) -> Option<f32> {
    let (mut between, mut cross, mut outer) = (0.0, 0.0, 0.0_f32);
    for three in frame.windows(3) {
        let sum = three[0] + three[2];
        between += three[1] * three[1];
        cross += three[1] * sum;
        outer += sum * sum;
    }
    let factor = cross / between;
    let is_sine = outer - factor * cross < UNEXPLAINED_MAX * between && factor.abs() < 2.0;
    is_sine.then(|| (factor / 2.0).acos())
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn sine(frequency_hz: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| 0.3 * (TAU * frequency_hz * n as f32 / 16_000.0).sin()).collect()
    }

    #[test]
    fn one_sine_is_a_tone_and_a_glide_is_not() {
        assert!(frames(&sine(425.0, 16_000), 256).iter().all(|tone| *tone));
        let glide: Vec<f32> = [200.0, 300.0, 400.0, 500.0].iter().flat_map(|pitch| sine(*pitch, 4_096)).collect();
        assert!(frames(&glide, 256).iter().all(|tone| !tone));
    }

    #[test]
    fn silence_is_no_tone() {
        assert!(frames(&[0.0; 1_000], 256).iter().all(|tone| !tone));
        assert!(frames(&[], 256).is_empty());
    }

    #[test]
    fn what_follows_a_tone_is_not_taken_for_it() {
        let mut audio = sine(425.0, 256 * 90);
        audio.extend(sine(900.0, 256 * 5).iter().zip(sine(1_300.0, 256 * 5)).map(|(a, b)| a + b));
        audio.extend(vec![0.0; 256 * 20]);
        let tone = frames(&audio, 256);
        assert!(tone[..90].iter().all(|tone| *tone));
        assert!(!tone[94], "{tone:?}");
    }
}
