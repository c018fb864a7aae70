#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Deserialize;
use sprachpost::{
    audio::{
        Decoded, Pcm,
        decode::{self, DecodeError, decode},
        speech::{self, Verdict},
    },
    event::Reason,
};

/// One line of a clip folder's `manifest.jsonl`, as far as it concerns audio.
#[derive(Deserialize)]
struct Clip {
    file: String,
    seconds: Option<f64>,
    outcome: Option<String>,
    reason: Option<Reason>,
    container: Option<String>,
    codec: Option<String>,
    partial: Option<bool>,
    #[serde(default)]
    variant: String,
}

fn clips(folder: &Path) -> Vec<(Clip, Vec<u8>)> {
    let manifest = fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let clips: Vec<_> = manifest
        .lines()
        .map(|line| {
            let clip: Clip = serde_json::from_str(line).unwrap();
            let bytes = fs::read(folder.join(&clip.file)).unwrap();
            (clip, bytes)
        })
        .collect();
    assert!(!clips.is_empty(), "{} holds no clips", folder.display());
    clips
}

fn own_clips() -> Vec<(Clip, Vec<u8>)> {
    clips(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips"))
}

/// The clips of the evaluation folder, or nothing and a word about it.
fn eval_clips(test: &str) -> Vec<(Clip, Vec<u8>)> {
    let Some(folder) = std::env::var_os("SPRACHPOST_EVAL_DIR").map(PathBuf::from) else {
        // Written past the test harness, which keeps to itself what a test that passes prints.
        let skipped = format!("SKIPPED in part: {test} runs on tests/clips only, as SPRACHPOST_EVAL_DIR is not set\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return Vec::new();
    };
    clips(&folder)
}

fn assert_sane(file: &str, decoded: &Decoded) {
    let Decoded { pcm, info } = decoded;
    assert!(pcm.0.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0), "{file}: out of range");
    assert!(
        (pcm.duration_s() - info.duration_s).abs() < 0.001,
        "{file}: {} s, {} s",
        pcm.duration_s(),
        info.duration_s
    );
}

/// AAC comes with up to 40 ms of run-in, which not every writer declares.
const LENGTH_TOLERANCE_S: f64 = 0.05;

#[test]
fn every_clip_decodes_to_its_length_or_is_refused_with_its_reason() {
    for (clip, bytes) in own_clips() {
        let file = &clip.file;
        let result = decode(&bytes, &decode::Config::default());
        if clip.outcome.as_deref() == Some("rejected") {
            let error = result.err().unwrap_or_else(|| panic!("{file} must be refused"));
            assert_eq!(Some(error.reason()), clip.reason, "{file}: {error}");
            if let (Reason::UnsupportedCodec, Some(codec)) = (error.reason(), &clip.codec) {
                assert!(error.to_string().contains(codec.as_str()), "{file}: {error}");
            }
            continue;
        }
        let decoded = result.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_sane(file, &decoded);
        let info = &decoded.info;
        assert_eq!(Some(&info.container), clip.container.as_ref(), "{file}");
        assert_eq!(Some(&info.codec), clip.codec.as_ref(), "{file}");
        let seconds = clip.seconds.unwrap();
        assert!((info.duration_s - seconds).abs() < LENGTH_TOLERANCE_S, "{file}: {} s of {seconds} s", info.duration_s);
        assert!(clip.partial.is_none_or(|partial| partial == info.partial), "{file}: partial is {}", info.partial);
    }
}

#[test]
fn every_clip_of_the_evaluation_folder_decodes_to_its_length_or_is_refused() {
    for (clip, bytes) in eval_clips("decoding") {
        let file = &clip.file;
        match (expected_refusal(file), decode(&bytes, &decode::Config::default())) {
            (Some(reason), Err(error)) => assert_eq!(error.reason(), reason, "{file}: {error}"),
            (Some(reason), Ok(_)) => panic!("{file} must be refused as {reason}"),
            (None, Err(error)) => panic!("{file}: {error}"),
            (None, Ok(decoded)) => {
                assert_sane(file, &decoded);
                let damaged = ["cut_midpage", "bitflips", "wav_header_lie"].iter().any(|name| file.contains(name));
                assert_eq!(decoded.info.partial, damaged, "{file}");
                if let Some(seconds) = clip.seconds {
                    let difference = (decoded.info.duration_s - seconds).abs();
                    assert!(difference < LENGTH_TOLERANCE_S, "{file}: {} s of {seconds} s", decoded.info.duration_s);
                }
            }
        }
    }
}

fn expected_refusal(file: &str) -> Option<Reason> {
    const REFUSALS: [(&str, Reason); 12] = [
        ("c_p_zero.", Reason::EmptyAudio),
        ("c_p_headers_only.", Reason::EmptyAudio),
        ("c_p_cut_header.", Reason::CorruptAudio),
        ("c_p_m4a_no_moov.", Reason::CorruptAudio),
        ("c_p_pdf_named.", Reason::UnsupportedContainer),
        ("c_p_random.", Reason::UnsupportedContainer),
        ("_amr", Reason::UnsupportedCodec),
        ("q_speex.", Reason::UnsupportedCodec),
        ("q_gsm.", Reason::UnsupportedCodec),
        ("q_surround51.", Reason::UnsupportedCodec),
        ("b_4h_silence.flac", Reason::AudioTooLong),
        ("b_2h_silence.", Reason::AudioTooLong),
    ];
    REFUSALS.iter().find(|(name, _)| file.contains(name)).map(|(_, reason)| *reason)
}

#[test]
fn a_note_cut_anywhere_or_with_flipped_bits_is_decoded_or_refused_within_the_limits() {
    const CASES_A_CLIP: u64 = 6;
    let limits = decode::Config { duration_s_max: 60, decode_s_max: 20, ..decode::Config::default() };
    let mut random = Random(0x5eed);
    for (clip, bytes) in own_clips().into_iter().chain(eval_clips("damage")) {
        // Long files take long and show nothing that short ones do not.
        if bytes.len() < 2 || bytes.len() > 600_000 {
            continue;
        }
        for case in 0..CASES_A_CLIP {
            let mut damaged = bytes.clone();
            if case % 2 == 0 {
                damaged.truncate(random.below(bytes.len()));
            } else {
                // Half of the flips hit the headers, where they do most.
                for flip in 0..=random.below(20) {
                    let end = if flip % 2 == 0 { bytes.len() } else { bytes.len().min(512) };
                    damaged[random.below(end)] ^= 1 << random.below(8);
                }
            }
            let began = Instant::now();
            match decode(&damaged, &limits) {
                Ok(decoded) => {
                    assert_sane(&clip.file, &decoded);
                    assert!(decoded.info.duration_s <= 60.0, "{} case {case}", clip.file);
                }
                Err(DecodeError::Corrupt { what }) => {
                    assert!(!what.contains("broke off"), "{} case {case}: a decoder panicked", clip.file);
                }
                Err(_) => {}
            }
            assert!(began.elapsed() < Duration::from_secs(25), "{} case {case} took too long", clip.file);
        }
    }
}

/// The same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn a_cut_note_keeps_what_comes_before_the_cut() {
    for (clip, bytes) in own_clips() {
        let keeps_its_index_at_the_front =
            ["ogg", "wav", "flac", "adts", "mp3", "webm"].iter().any(|name| clip.container.as_deref() == Some(*name))
                || clip.file.contains("faststart")
                || clip.file.contains("fragmented");
        let whole = clip.outcome.as_deref() == Some("completed") && clip.partial == Some(false);
        if !(whole && keeps_its_index_at_the_front) || clip.file.contains("streamed") {
            continue;
        }
        let Decoded { info, .. } = decode(&bytes[..bytes.len() * 6 / 10], &decode::Config::default())
            .unwrap_or_else(|error| panic!("{}: {error}", clip.file));
        let seconds = clip.seconds.unwrap();
        assert!(info.partial, "{} is cut", clip.file);
        assert!((0.3 * seconds..0.8 * seconds).contains(&info.duration_s), "{}: {} s", clip.file, info.duration_s);
    }
}

/// The same recording at another level, with the few bits that are left of it there.
fn at_level(pcm: &Pcm, rms_dbfs: f32) -> Pcm {
    let rms = (pcm.0.iter().map(|sample| sample * sample).sum::<f32>() / pcm.0.len() as f32).sqrt();
    let gain = 10_f32.powf(rms_dbfs / 20.0) / rms;
    Pcm(pcm.0.iter().map(|sample| ((sample * gain * 32_768.0).round() / 32_768.0).clamp(-1.0, 1.0)).collect())
}

#[test]
fn no_note_in_which_somebody_speaks_is_stopped_however_quiet_it_is() {
    for (clip, bytes) in own_clips().into_iter().chain(eval_clips("speech detection")) {
        let no_speech = clip.outcome.as_deref() == Some("no_speech") || clip.file.contains("/x_");
        let Ok(Decoded { pcm, .. }) = decode(&bytes, &decode::Config::default()) else { continue };
        if no_speech {
            continue;
        }
        let verdict = |pcm: &Pcm| speech::detect(pcm, &speech::Config::default()).verdict;
        assert_eq!(verdict(&pcm), Verdict::Speech, "{} {}", clip.file, clip.variant);
        for rms_dbfs in [-40.0, -60.0] {
            assert_eq!(verdict(&at_level(&pcm, rms_dbfs)), Verdict::Speech, "{} at {rms_dbfs} dBFS", clip.file);
        }
    }
}

#[test]
fn what_surely_is_no_speech_is_stopped() {
    for (clip, bytes) in own_clips().into_iter().chain(eval_clips("silence detection")) {
        let expected = ["silent.ogg", "hiss", "silence_digital", "busy", "bike"]
            .iter()
            .any(|name| clip.file.contains(name) && (clip.outcome.is_some() || clip.file.contains("/x_")));
        if !expected {
            continue;
        }
        let pcm = decode(&bytes, &decode::Config::default()).unwrap().pcm;
        let activity = speech::detect(&pcm, &speech::Config::default());
        assert_ne!(activity.verdict, Verdict::Speech, "{}: {activity:?}", clip.file);
        if let Some(reason) = clip.reason {
            assert_eq!(activity.verdict.reason(), Some(reason), "{}: {activity:?}", clip.file);
        }
    }
}
