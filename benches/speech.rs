//! How fast and how right is recognition? `cargo bench --bench speech -- FOLDER [--model NAME] [--profile fast|balanced|
//! accurate] [--slots N] [--only PART-OF-A-NAME] [--language-known]`
//!
//! Without `--language-known` the language is detected, and what that costs in words counts.
//!
//! FOLDER holds labelled clips with a `manifest.jsonl` (the repository's own: `tests/clips`). Prints one line a clip
//! and a table: word error rates beside speeds, because neither means anything without the other. A note without a
//! transcript, because it was not believed, has got all its words wrong.

#[path = "../tests/support/clips.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod clips;
#[path = "../tests/support/wer.rs"]
mod wer;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use sprachpost::{
    app,
    config::Config,
    event::{Event, Processed, envelope::Received, processed::OutcomeKind},
    note::{AudioSource, Channel, VoiceNote},
    pipeline::{self, Stages},
    report::Attempt,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1)).cloned();
    let folder = arguments.first().map_or_else(|| PathBuf::from("tests/clips"), PathBuf::from);
    let mut config = Config::default();
    config.fetch.file_roots.push(folder.clone());
    config.worker.retry.attempts_max = 1;
    if let Some(model) = option("--model") {
        config.asr.model = model;
    }
    if let Some(profile) = option("--profile") {
        config.asr.profile =
            serde_json::from_value(profile.into()).expect("--profile takes fast, balanced or accurate");
    }
    if let Some(slots) = option("--slots") {
        config.asr.slots = slots.parse().expect("--slots takes a number");
    }
    let only = option("--only").unwrap_or_default();
    let clips: Vec<clips::Clip> = clips::read(&folder).into_iter().filter(|c| c.file.contains(&only)).collect();
    let language_known = arguments.iter().any(|a| a == "--language-known");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(&config, clips, language_known));
}

async fn measure(config: &Config, clips: Vec<clips::Clip>, language_known: bool) {
    let stages = app::stages(config).unwrap_or_else(|e| panic!("{e}"));
    let (started, cpu_before_s) = (Instant::now(), cpu_s());
    let results: Vec<(clips::Clip, Processed)> = stream::iter(clips)
        .map(|clip| process(clip, language_known, Arc::clone(&stages)))
        .buffered(stages.pool.slots())
        .collect()
        .await;
    let (wall_s, cpu_s) = (started.elapsed().as_secs_f64(), cpu_s() - cpu_before_s);

    let mut by_group = BTreeMap::<String, Tally>::new();
    for (clip, processed) in &results {
        let one = Tally::of(clip, processed);
        let rate = if one.words == 0 { "    -".to_owned() } else { format!("{:4.0}%", one.error_rate()) };
        let reason = processed.reason.map_or("", sprachpost::event::Reason::as_str);
        let outcome = processed.outcome.as_str();
        println!("{rate} {:6} ms  {outcome:14} {reason:22} {}", processed.timings_ms.total, clip.file);
        for group in groups(clip, one.audio_s) {
            by_group.entry(group).or_default().add(&one);
        }
    }
    println!("\n{:24} clips  audio s   WER %  no text  dropped  other lang.  p50 ms  p95 ms", "");
    for (group, tally) in &mut by_group {
        println!("{group:24} {}", tally.row());
    }
    let audio_s: f64 = by_group.get(ALL).map_or(0.0, |all| all.audio_s);
    println!(
        "\n{:?}, {} slots: {audio_s:.0} s of audio in {wall_s:.1} s, {:.1} × real time; {cpu_s:.1} s of processor time, \
         {:.1} × real time a core; at most {:.0} MB",
        config.asr.profile,
        stages.pool.slots(),
        audio_s / wall_s,
        audio_s / cpu_s,
        peak_mb(),
    );
}

const ALL: &str = "all";

/// The rows of the table in which a clip counts.
fn groups(clip: &clips::Clip, audio_s: f64) -> Vec<String> {
    let length = match audio_s {
        s if s < 5.0 => "length under 5 s",
        s if s < 10.0 => "length 5 to 10 s",
        s if s < 30.0 => "length 10 to 30 s",
        _ => "length over 30 s",
    };
    let speech = clip.text.is_some();
    let noise = match clip.variant.as_deref() {
        _ if !speech => "sound without speech",
        Some(variant) if variant.starts_with("noise:") => "sound noisy",
        _ => "sound other",
    };
    let language = clip.language.as_ref().filter(|_| speech).map(|code| format!("language {code}"));
    [ALL, length, noise].map(str::to_owned).into_iter().chain(language).collect()
}

/// What is counted of one clip or of many.
#[derive(Default)]
struct Tally {
    clips: usize,
    audio_s: f64,
    errors: usize,
    words: usize,
    /// Labelled speech without a transcript, …
    untold: usize,
    /// … and among that what was taken for no speech at all.
    dropped: usize,
    other_language: usize,
    took_ms: Vec<u64>,
}

impl Tally {
    fn of(clip: &clips::Clip, processed: &Processed) -> Self {
        let mut tally = Self { clips: 1, took_ms: vec![processed.timings_ms.total], ..Self::default() };
        tally.audio_s = processed.audio.as_ref().map_or(0.0, |a| a.duration_s);
        if let (Some(text), Some(_)) = (&clip.text, &processed.audio) {
            let heard = processed.transcript.as_ref();
            let written = clip.text_written.as_deref().unwrap_or(text);
            (tally.errors, tally.words) = wer::errors(heard.map_or("", |t| t.text.expose()), text, written);
            tally.untold = usize::from(heard.is_none());
            tally.dropped = usize::from(processed.outcome == OutcomeKind::NoSpeech);
            tally.other_language = usize::from(heard.is_some_and(|t| Some(&t.language) != clip.language.as_ref()));
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        self.clips += other.clips;
        self.audio_s += other.audio_s;
        self.errors += other.errors;
        self.words += other.words;
        self.untold += other.untold;
        self.dropped += other.dropped;
        self.other_language += other.other_language;
        self.took_ms.extend(&other.took_ms);
    }

    fn error_rate(&self) -> f64 {
        100.0 * self.errors as f64 / self.words.max(1) as f64
    }

    fn row(&mut self) -> String {
        self.took_ms.sort_unstable();
        let percentile = |p: usize| self.took_ms.get(self.took_ms.len() * p / 100).copied().unwrap_or_default();
        format!(
            "{:5} {:8.0} {:7.1} {:8} {:8} {:12} {:7} {:7}",
            self.clips,
            self.audio_s,
            self.error_rate(),
            self.untold,
            self.dropped,
            self.other_language,
            percentile(50),
            percentile(95),
        )
    }
}

/// Processor time of this process so far: fields 14 and 15 of its status, in hundredths of a second.
fn cpu_s() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = status.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The most memory this process held so far.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

async fn process(clip: clips::Clip, language_known: bool, stages: Arc<Stages>) -> (clips::Clip, Processed) {
    let audio = AudioSource::File { path: clip.path.canonicalize().expect("a clip").to_string_lossy().into_owned() };
    let mut note = VoiceNote::new("bench".parse().expect("a tenant"), Channel::upload(), clip.file.clone(), audio);
    note.language = clip.language.clone().filter(|_| language_known);
    let outcome = pipeline::process(&Received { note, traceparent: None }, Attempt::only(), &stages).await;
    match outcome.effects.into_iter().next() {
        Some(Event::Processed { data, .. }) => (clip, *data),
        _ => panic!("{}: no event", clip.file),
    }
}
