//! Owns the file of labelled notes that a playbook is measured on: a JSON object a line, with what was said as text or
//! as a recording, which is heard as the configuration says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde::Deserialize;

use crate::{
    app,
    config::Config,
    event::{Event, envelope::Received, processed::Transcript},
    note::{AudioSource, Channel, VoiceNote},
    pipeline::{self, Stages},
    reply,
    report::Attempt,
    understanding::{self, evaluation::LabelledNote},
};

#[derive(Debug, Deserialize)]
struct Line {
    text: Option<String>,
    /// Relative to the folder of the labelled notes.
    file: Option<PathBuf>,
    intent: Option<String>,
    language: Option<String>,
}

/// Reads the notes, and hears those that are recordings.
pub async fn read(path: &Path, config: &Config) -> anyhow::Result<Vec<LabelledNote>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{} cannot be read; check the path", path.display()))?;
    let lines = parse(&text, &path.display().to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for file in lines.iter().filter_map(|line| line.file.as_ref()) {
        let found = folder.join(file).canonicalize();
        files.push(found.with_context(|| format!("the recording {} cannot be opened", file.display()))?);
    }
    let recordings = lines.iter().filter(|line| line.file.is_some());
    let asked: Vec<_> = files.iter().cloned().zip(recordings.map(|line| line.language.clone())).collect();
    let mut heard = hear_all(config, asked).await?.into_iter();
    let note = |Line { text, file, intent, language }| LabelledNote {
        text: text.unwrap_or_default(),
        intent,
        language,
        heard: file.and_then(|_| heard.next().flatten()),
    };
    Ok(lines.into_iter().map(note).collect())
}

fn parse(text: &str, file: &str) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        // The parser's own words could repeat what a customer said; where it stopped is enough.
        let line: Line = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            anyhow::anyhow!("{file}:{number}:{column}: not a labelled note; {EXPECTED}")
        })?;
        anyhow::ensure!(line.text.is_some() != line.file.is_some(), "{file}:{number}: neither or both; {EXPECTED}");
        lines.push(line);
    }
    anyhow::ensure!(!lines.is_empty(), "{file} holds no notes; {EXPECTED}");
    Ok(lines)
}

const EXPECTED: &str = "each line is a JSON object with `text` or `file`, and `intent`";

/// What was heard in each recording, in their order; none where nothing was understood that can be trusted.
async fn hear_all(
    config: &Config,
    recordings: Vec<(PathBuf, Option<String>)>,
) -> anyhow::Result<Vec<Option<Transcript>>> {
    if recordings.is_empty() {
        return Ok(Vec::new());
    }
    let stages = ears(config, &recordings.iter().map(|(file, _)| file.clone()).collect::<Vec<_>>())?;
    let hearing = recordings.into_iter().map(|(file, language)| hear(file, language, Arc::clone(&stages)));
    Ok(stream::iter(hearing).buffered(stages.pool.slots()).collect().await)
}

/// Only what is needed to hear: what it means is judged elsewhere.
fn ears(config: &Config, files: &[PathBuf]) -> anyhow::Result<Arc<Stages>> {
    let mut config = Config { understanding: understanding::Config::without_encoder(), ..config.clone() };
    config.fetch.file_roots.extend(files.iter().filter_map(|file| file.parent()).map(Path::to_owned));
    config.worker.retry.attempts_max = 1;
    config.reply = reply::Config::default();
    Ok(app::stages(&config)?)
}

async fn hear(file: PathBuf, language: Option<String>, stages: Arc<Stages>) -> Option<Transcript> {
    let audio = AudioSource::File { path: file.to_string_lossy().into_owned() };
    let tenant = "local".parse().ok()?;
    let note = VoiceNote::new(tenant, Channel::upload(), file.to_string_lossy().into_owned(), audio);
    let received = Received { note: VoiceNote { language, ..note }, traceparent: None };
    let outcome = pipeline::process(&received, Attempt::only(), &stages.learning.in_force(), &stages).await;
    outcome.effects.iter().find_map(Event::as_processed)?.transcript.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_line_of_notes_is_named_but_not_repeated() {
        for faulty in
            ["{\"text\": \"Meine Nummer ist 4711\"", "{\"intent\": \"4711\"}", "{\"text\": \"\", \"file\": \"4711\"}"]
        {
            let error = parse(&format!("{{\"text\": \"a\", \"intent\": null}}\n{faulty}"), "n.jsonl");
            let shown = format!("{:#}", error.unwrap_err());
            assert!(shown.starts_with("n.jsonl:2:") && !shown.contains("4711"), "{shown}");
        }
    }
}
