//! Sounds in which nobody speaks, made from a fixed seed: what recognisers invent text for.

use std::f32::consts::TAU;

const RATE: f32 = 16_000.0;

/// A sound and what it is.
pub struct Sound {
    pub name: String,
    pub samples: Vec<f32>,
}

/// `each` sounds of every kind, 2 to 9 s long, between -42 and -6 dB.
pub fn sounds(each: usize) -> Vec<Sound> {
    let mut random = Random(0x5eed_0f5e_ed0f_5eed);
    let mut sounds = Vec::with_capacity(KINDS.len() * each);
    for (name, make) in KINDS {
        for index in 0..each {
            let samples = make(random.between(2.0, 9.0), &mut random);
            let samples = at_level(&samples, random.between(-42.0, -6.0));
            sounds.push(Sound { name: format!("{name} {index}"), samples });
        }
    }
    sounds
}

type Make = fn(f32, &mut Random) -> Vec<f32>;

const KINDS: [(&str, Make); 15] = [
    ("white noise", |s, r| noise(s, 1.0, r)),
    ("pink noise", |s, r| add(&noise(s, 0.3, r), &noise(s, 0.02, r), 6.0)),
    ("brown noise", |s, r| noise(s, 0.01, r)),
    ("wind", |s, r| swelling(&noise(s, 0.05, r), r.between(0.2, 0.6))),
    ("breath", |s, r| swelling(&difference(&noise(s, 0.5, r)), r.between(0.25, 0.45))),
    ("mains hum", |s, r| add(&harmonics(s, |_| 50.0, 12), &noise(s, 1.0, r), 0.05)),
    ("engine", |s, r| {
        let (base, wobble) = (r.between(60.0, 110.0), r.between(0.1, 0.7));
        add(&harmonics(s, |t| base * (1.0 + 0.15 * (TAU * wobble * t).sin()), 20), &noise(s, 0.2, r), 0.5)
    }),
    ("dial tone", |s, _| harmonics(s, |_| 425.0, 1)),
    ("busy tone", |s, _| gated(&harmonics(s, |_| 425.0, 1), 0.48, 0.96)),
    ("dialling", dialling),
    ("sweep", |s, r| {
        let (from, octaves) = (r.between(100.0, 500.0), r.between(1.0, 4.0));
        harmonics(s, |t| from * 2_f32.powf(octaves * t / s), 2)
    }),
    ("clicks", |s, r| {
        let per_s = r.between(1.0, 9.0);
        struck(s, per_s, r)
    }),
    ("laughter", laughter),
    ("chords", |s, r| (0..4).fold(vec![], |sum, _| add(&melody(s, 1.0, 0.0, r), &sum, 1.0))),
    ("melody", |s, r| {
        let per_s = r.between(1.5, 4.0);
        add(&melody(s, per_s, 0.02, r), &struck(s, per_s, r), 0.3)
    }),
];

/// Numbers that look random and are the same every time (xorshift).
pub struct Random(u64);

impl Random {
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + (high - low) * ((self.0 >> 40) as f32 / (1_u64 << 24) as f32)
    }
}

fn times(seconds: f32) -> impl Iterator<Item = f32> {
    (0..(seconds * RATE) as usize).map(|n| n as f32 / RATE)
}

/// Noise through a low pass: 1 lets everything through, small values the deep sounds only.
fn noise(seconds: f32, openness: f32, random: &mut Random) -> Vec<f32> {
    let mut state = 0.0;
    let filtered = times(seconds).map(|_| {
        state += openness * (random.between(-1.0, 1.0) - state);
        state
    });
    filtered.collect()
}

/// A tone with overtones whose pitch changes over time.
fn harmonics(seconds: f32, pitch: impl Fn(f32) -> f32, overtones: usize) -> Vec<f32> {
    let mut phase = 0.0;
    let tone = times(seconds).map(|t| {
        phase += TAU * pitch(t) / RATE;
        (1..=overtones).map(|k| (phase * k as f32).sin() / k as f32).sum()
    });
    tone.collect()
}

/// Notes of a scale, each struck and fading.
fn melody(seconds: f32, per_s: f32, vibrato: f32, random: &mut Random) -> Vec<f32> {
    const SCALE: [f32; 7] = [1.0, 1.125, 1.25, 1.333, 1.5, 1.667, 1.875];
    let notes: Vec<f32> =
        (0..=(seconds * per_s) as usize).map(|_| 220.0 * SCALE[random.between(0.0, 6.99) as usize]).collect();
    let pitch = |t: f32| notes[(t * per_s) as usize % notes.len()] * (1.0 + vibrato * (TAU * 5.5 * t).sin());
    let tone = harmonics(seconds, pitch, 5);
    tone.iter().zip(times(seconds)).map(|(s, t)| s * (-3.0 * (t * per_s).fract() / per_s).exp()).collect()
}

/// Bursts of a voice without words, each a little lower and softer than the one before, in fits.
fn laughter(seconds: f32, random: &mut Random) -> Vec<f32> {
    let (pitch, per_s, fit_s) = (random.between(180.0, 380.0), random.between(4.0, 6.0), random.between(1.0, 1.8));
    let voice = harmonics(seconds, |t| pitch * (1.15 - 0.25 * (t % fit_s) / fit_s), 14);
    let breath = difference(&noise(seconds, 0.6, random));
    let bursts = add(&voice, &breath, 0.8);
    let loud = |t: f32| {
        let fading = 1.0 - (t % fit_s) / fit_s;
        (0.1 + fading) * (std::f32::consts::PI * (t * per_s).fract() * 1.6).sin().max(0.0)
    };
    bursts.iter().zip(times(seconds)).map(|(s, t)| s * loud(t)).collect()
}

/// People far away, of whom no word can be made out: `voices` backwards, on top of each other, through a wall.
pub fn babble(voices: &[Vec<f32>], count: usize) -> Vec<Sound> {
    let mut random = Random(0xbabb_1e5e_ed00_0001);
    let make = |index: usize| {
        let length = (random.between(3.0, 9.0) * RATE) as usize;
        let mut sum = vec![0.0; length];
        for _ in 0..6 {
            let voice = &voices[random.between(0.0, voices.len() as f32 - 0.01) as usize];
            let start = random.between(0.0, voice.len() as f32) as usize;
            for (sample, heard) in sum.iter_mut().zip(voice.iter().rev().cycle().skip(start)) {
                *sample += heard;
            }
        }
        let (mut one, mut two) = (0.0, 0.0);
        for sample in &mut sum {
            one += 0.12 * (*sample - one);
            two += 0.12 * (one - two);
            *sample = two;
        }
        Sound { name: format!("babble {index}"), samples: at_level(&sum, random.between(-42.0, -20.0)) }
    };
    (0..count).map(make).collect()
}

/// The same with its highest sample at so many decibels.
pub fn at_level(samples: &[f32], level_db: f32) -> Vec<f32> {
    let peak = samples.iter().fold(f32::MIN_POSITIVE, |peak, s| peak.max(s.abs()));
    let factor = 10_f32.powf(level_db / 20.0) / peak;
    samples.iter().map(|s| s * factor).collect()
}

/// Speech without a voice, as in a whisper: noise, in each of many bands as loud as the speech is there.
pub fn whispered(speech: &[f32]) -> Vec<f32> {
    let mut random = Random(0x0151_5e75_eed0_0001);
    let mut sum = vec![0.0; speech.len()];
    let mut pitch = 150.0;
    while pitch < 7000.0 {
        let noise: Vec<f32> = speech.iter().map(|_| random.between(-1.0, 1.0)).collect();
        let (speech, noise) = (band(speech, pitch), band(&noise, pitch));
        let mut loudness = 0.0;
        for ((sample, said), rustle) in sum.iter_mut().zip(&speech).zip(&noise) {
            loudness += 0.01 * (said.abs() - loudness);
            *sample += loudness * rustle;
        }
        pitch *= 1.25;
    }
    at_level(&sum, -12.0)
}

/// What lies about `pitch`: a filter with two poles.
fn band(samples: &[f32], pitch: f32) -> Vec<f32> {
    let (angle, width) = (TAU * pitch / RATE, 0.11);
    let alpha = angle.sin() * width;
    let (mut x, mut y) = ([0.0; 2], [0.0; 2]);
    let filtered = samples.iter().map(|&sample| {
        let next = (alpha * (sample - x[1]) + 2.0 * angle.cos() * y[0] - (1.0 - alpha) * y[1]) / (1.0 + alpha);
        (x, y) = ([sample, x[0]], [next, y[0]]);
        next
    });
    filtered.collect()
}

/// Keys of a telephone: two tones each.
fn dialling(seconds: f32, random: &mut Random) -> Vec<f32> {
    let keys: Vec<(f32, f32)> = (0..=(seconds * 4.0) as usize)
        .map(|_| {
            let (low, high) = (random.between(0.0, 3.99) as usize, random.between(0.0, 2.99) as usize);
            ([697.0, 770.0, 852.0, 941.0][low], [1209.0, 1336.0, 1477.0][high])
        })
        .collect();
    let tone = times(seconds).map(|t| {
        let (low, high) = keys[(t * 4.0) as usize % keys.len()];
        (TAU * low * t).sin() + (TAU * high * t).sin()
    });
    gated(&tone.collect::<Vec<_>>(), 0.12, 0.25)
}

/// Things that are hit and ring.
fn struck(seconds: f32, per_s: f32, random: &mut Random) -> Vec<f32> {
    let mut samples: Vec<f32> = times(seconds).map(|_| 0.0).collect();
    for _ in 0..(seconds * per_s) as usize {
        let start = random.between(0.0, samples.len() as f32) as usize;
        let (pitch, decay, loudness) =
            (random.between(800.0, 6000.0), random.between(15.0, 90.0), random.between(0.1, 1.0));
        for (sample, t) in samples[start..].iter_mut().zip(times(0.3)) {
            *sample += loudness * (TAU * pitch * t).sin() * (-decay * t).exp();
        }
    }
    samples
}

fn add(a: &[f32], b: &[f32], loudness: f32) -> Vec<f32> {
    a.iter().enumerate().map(|(n, s)| s + loudness * b.get(n).unwrap_or(&0.0)).collect()
}

/// What changes from sample to sample: a high pass.
fn difference(samples: &[f32]) -> Vec<f32> {
    samples.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn swelling(samples: &[f32], per_s: f32) -> Vec<f32> {
    samples.iter().enumerate().map(|(n, s)| s * (TAU * per_s * n as f32 / RATE).sin().max(0.0).powi(2)).collect()
}

/// On for `on_s` of every `period_s`.
fn gated(samples: &[f32], on_s: f32, period_s: f32) -> Vec<f32> {
    let is_on = |n: usize| (n as f32 / RATE) % period_s < on_s;
    samples.iter().enumerate().map(|(n, s)| if is_on(n) { *s } else { 0.0 }).collect()
}
