//! How fast and how right is recognition? `cargo bench --bench speech -- FOLDER [--model NAME] [--slots N]`
//!
//! FOLDER holds labelled clips with a `manifest.jsonl` (the repository's own: `tests/clips`). Prints one line a clip
//! and a summary: word error rate beside speed, because neither means anything without the other.

#[path = "../tests/support/clips.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod clips;
#[path = "../tests/support/wer.rs"]
mod wer;

use std::{path::PathBuf, sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use sprachpost::{
    app,
    config::Config,
    event::{Event, Processed, envelope::Received},
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
    if let Some(slots) = option("--slots") {
        config.asr.slots = slots.parse().expect("--slots takes a number");
    }
    let only = option("--only").unwrap_or_default();
    let clips: Vec<clips::Clip> = clips::read(&folder).into_iter().filter(|c| c.file.contains(&only)).collect();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(&config, clips));
}

async fn measure(config: &Config, clips: Vec<clips::Clip>) {
    let stages = app::stages(config).await.unwrap_or_else(|e| panic!("{e}"));
    let started = Instant::now();
    let results: Vec<(clips::Clip, Processed)> = stream::iter(clips)
        .map(|clip| process(clip, Arc::clone(&stages)))
        .buffered(stages.pool.slots())
        .collect()
        .await;
    let wall_s = started.elapsed().as_secs_f64();

    let (mut errors, mut words, mut audio_s, mut detected, mut spoken) = (0, 0, 0.0, 0, 0);
    let mut took_ms: Vec<u64> = vec![];
    for (clip, processed) in &results {
        let heard = processed.transcript.as_ref().map_or("", |t| t.text.expose());
        audio_s += processed.audio.as_ref().map_or(0.0, |a| a.duration_s);
        took_ms.push(processed.timings_ms.total);
        let mut rate = String::from("    -");
        if let (Some(text), Some(_)) = (&clip.text, &processed.audio) {
            let (e, w) = wer::errors(heard, text, clip.text_written.as_deref().unwrap_or(text));
            (errors, words, spoken) = (errors + e, words + w, spoken + 1);
            detected += usize::from(processed.transcript.as_ref().map(|t| &t.language) == clip.language.as_ref());
            rate = format!("{:4.0}%", 100.0 * e as f64 / w.max(1) as f64);
        }
        let reason = processed.reason.map_or("", sprachpost::event::Reason::as_str);
        println!(
            "{rate} {:6} ms  {:14} {reason:22} {}",
            processed.timings_ms.total,
            processed.outcome.as_str(),
            clip.file
        );
    }
    took_ms.sort_unstable();
    println!(
        "\n{} clips, {audio_s:.0} s of audio in {wall_s:.1} s with {} slots: {:.1} × real time, median {} ms a note\n\
         word error rate {:.1} % ({errors} of {words} words), language right in {detected} of {spoken}",
        results.len(),
        stages.pool.slots(),
        audio_s / wall_s,
        took_ms.get(took_ms.len() / 2).unwrap_or(&0),
        100.0 * errors as f64 / words.max(1) as f64,
    );
}

async fn process(clip: clips::Clip, stages: Arc<Stages>) -> (clips::Clip, Processed) {
    let note = VoiceNote {
        tenant: "bench".parse().expect("a tenant"),
        channel: Channel::upload(),
        message_id: clip.file.clone(),
        conversation: None,
        ticket: None,
        sender: None,
        sent_at: None,
        language: None,
        reply_window_ends_at: None,
        audio: AudioSource::File { path: clip.path.canonicalize().expect("a clip").to_string_lossy().into_owned() },
    };
    let outcome = pipeline::process(&Received { note, traceparent: None }, Attempt::only(), &stages).await;
    match outcome.effects.into_iter().next() {
        Some(Event::Processed { data, .. }) => (clip, *data),
        None => panic!("{}: no event", clip.file),
    }
}
