//! `sprachpost playbook`: check, try out and start playbooks. Written for team leads, not for engineers.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{labelled, out};
use crate::{
    config::Config,
    models::Store,
    understanding::{
        self, Understander,
        encoder::Encoder,
        evaluation::{self, LabelledNote, Scores, SelfTest},
        playbook::{Playbook, PlaybookErrors},
    },
};

/// How many sentences of a confused pair are shown.
const SENTENCES_SHOWN: usize = 3;
const PAIRS_SHOWN: usize = 8;

/// Check, try out and start playbooks.
#[derive(Debug, Args)]
pub struct PlaybookArgs {
    #[command(subcommand)]
    command: PlaybookCommand,
}

#[derive(Debug, Subcommand)]
enum PlaybookCommand {
    /// Say whether a playbook is valid, and what is in it.
    Check {
        /// The playbook; left out: `playbook.path`, or else the one that comes with the program.
        file: Option<PathBuf>,
    },
    /// Print a valid playbook without intents, to be continued.
    Template {
        /// Language of the playbook: de or en.
        #[arg(long, default_value = "de", value_parser = ["de", "en"])]
        language: String,
    },
    /// Find out how well a playbook's own examples are told apart.
    Test {
        /// The playbook; left out: `playbook.path`, or else the one that comes with the program.
        file: Option<PathBuf>,
        /// Print JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Measure a playbook on notes of which somebody said what they are.
    #[command(long_about = "Measure a playbook on labelled notes: one JSON object a line with `text`, or `file` \
        for a recording that is heard with the configured model (its path is relative to the notes), and `intent` (null \
        for a note that is none of the intents), and optionally `language`.")]
    Evaluate {
        /// The labelled notes, one JSON object a line.
        notes: PathBuf,
        /// The playbook; left out: `playbook.path`, or else the one that comes with the program.
        #[arg(long)]
        playbook: Option<PathBuf>,
        /// Print JSON for machines: shares from 0 to 1.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command; where it names no file, the configured one is meant (`playbook.path`), or else the built-in playbook.
pub async fn run(args: PlaybookArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let or_configured = |file: Option<PathBuf>| file.or_else(|| config.playbook.path.clone());
    let encoder = || {
        let loaded = understanding::load_encoder(&config.understanding, &Store::open(&config.models)?);
        loaded.map_err(anyhow::Error::from)
    };
    let text = match args.command {
        PlaybookCommand::Template { language } => Playbook::starter(&language).unwrap_or_default().to_owned(),
        PlaybookCommand::Check { file } => describe(&load(or_configured(file).as_deref())?),
        PlaybookCommand::Test { file, json } => test(or_configured(file).as_deref(), encoder()?, json)?,
        PlaybookCommand::Evaluate { notes, playbook, json } => {
            let notes = labelled::read(&notes, config).await?;
            evaluate(&notes, or_configured(playbook).as_deref(), encoder()?, json)?
        }
    };
    out::text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the sentence encoder read the playbook's examples, if both are there, so that no later start has to wait for it.
pub fn read_ahead(config: &Config) {
    let encoder = Store::open(&config.models)
        .map_err(understanding::SetupError::from)
        .and_then(|store| understanding::load_encoder(&config.understanding, &store));
    // Whoever starts with what is missing or wrong is told then; here it was asked for models only.
    if let (Ok(Some(encoder)), Ok(playbook)) = (encoder, load(config.playbook.path.as_deref())) {
        drop(Understander::train(&playbook, Some(encoder)));
    }
}

fn load(file: Option<&Path>) -> Result<Playbook, anyhow::Error> {
    if let Some(file) = file {
        // What cannot be opened has no lines to correct.
        let opened = std::fs::File::open(file);
        opened.with_context(|| format!("the playbook {} cannot be opened; check the path", file.display()))?;
    }
    let loaded: Result<Playbook, PlaybookErrors> = file.map_or_else(Playbook::builtin, Playbook::load);
    loaded.map_err(|errors| {
        let faults = if errors.problems.len() == 1 { "fault" } else { "faults" };
        anyhow::anyhow!("{errors}\n{} {faults}: correct the lines named above and check again", errors.problems.len())
    })
}

fn test(file: Option<&Path>, encoder: Option<Arc<Encoder>>, json: bool) -> anyhow::Result<String> {
    let playbook = load(file)?;
    let result = evaluation::self_test(&playbook, &Understander::train(&playbook, encoder));
    if json {
        return Ok(serde_json::to_string_pretty(&result)? + "\n");
    }
    Ok(report(&playbook, &result))
}

fn evaluate(
    notes: &[LabelledNote],
    playbook: Option<&Path>,
    encoder: Option<Arc<Encoder>>,
    json: bool,
) -> anyhow::Result<String> {
    let playbook = load(playbook)?;
    let unknown = notes.iter().filter_map(|note| note.intent.as_deref()).find(|name| playbook.intent(name).is_none());
    if let Some(name) = unknown {
        let known: Vec<&str> = playbook.intents.iter().map(|intent| intent.name.as_str()).collect();
        anyhow::bail!("a note is labelled {name:?}, which is no intent of the playbook; it has {}", known.join(", "));
    }
    let scores = evaluation::evaluate(&playbook, &Understander::train(&playbook, encoder), notes);
    if json {
        return Ok(serde_json::to_string_pretty(&scores)? + "\n");
    }
    Ok(describe_scores(&scores))
}

fn describe(playbook: &Playbook) -> String {
    let mut out = String::new();
    let examples: usize = playbook.intents.iter().map(|intent| intent.examples.len()).sum();
    let (intents, teams) = (playbook.intents.len(), playbook.teams.len());
    let counts = [counted(intents, "intent"), counted(examples, "example"), counted(teams, "team")].join(", ");
    line(&mut out, format_args!("The playbook is valid: {counts}."));
    if playbook.intents.is_empty() {
        line(&mut out, format_args!("Without intents every note goes to people: add [[intent]] tables."));
    }
    for intent in &playbook.intents {
        let team = intent.team.as_ref().or(playbook.default_team.as_ref()).map_or("nobody", String::as_str);
        let languages: Vec<&str> = intent.replies.keys().map(String::as_str).collect();
        let reply = match (intent.left_to_people, languages.is_empty()) {
            (true, _) => "left to people".to_owned(),
            (false, true) => "no reply".to_owned(),
            (false, false) => format!("replies in {}", languages.join(", ")),
        };
        let escalates = if intent.escalate { ", escalates" } else { "" };
        let name = &intent.name;
        let count = counted(intent.examples.len(), "example");
        line(&mut out, format_args!("  {name:<20} {count:>12}, to {team}, {reply}{escalates}"));
    }
    for warning in &playbook.warnings {
        line(&mut out, format_args!("Worth a look: {warning}"));
    }
    out
}

fn report(playbook: &Playbook, result: &SelfTest) -> String {
    let mut out = String::new();
    if result.examples == 0 {
        return "The playbook has no examples, so there is nothing to test: add [[intent]] tables.\n".to_owned();
    }
    line(&mut out, format_args!("Each example was judged by a reader that had not seen it ({}).\n", result.examples));
    line(&mut out, format_args!("  recognised                 {:>4}", percent(result.accuracy)));
    line(&mut out, format_args!("  sure enough to act on      {:>4}", percent(result.coverage)));
    line(&mut out, format_args!("  right, where it was sure   {:>4}", percent(result.right)));
    line(&mut out, format_args!("  confidence is off by       {:>4}", percent(result.calibration_error)));
    line(
        &mut out,
        format_args!("\nSure means a confidence of {:.2} or more. The rest goes to people.", result.confidence_min),
    );

    line(&mut out, format_args!("\nIntents, the weakest first:"));
    let mut intents: Vec<_> = result.intents.iter().collect();
    intents.sort_by(|a, b| a.recognised.total_cmp(&b.recognised));
    for intent in intents {
        let few = if intent.examples < 5 { "  ← too few examples, give it at least 5" } else { "" };
        let (name, share) = (&intent.name, percent(intent.recognised));
        line(&mut out, format_args!("  {name:<20} {share:>4} of {} examples{few}", intent.examples));
    }
    if !result.confused.is_empty() {
        line(&mut out, format_args!("\nMost often confused (clearer or more examples help):"));
    }
    for pair in result.confused.iter().take(PAIRS_SHOWN) {
        line(&mut out, format_args!("  {} taken for {}, {} times:", pair.is, pair.taken_for, pair.examples.len()));
        for sentence in pair.examples.iter().take(SENTENCES_SHOWN) {
            line(&mut out, format_args!("    „{sentence}“"));
        }
    }
    if !result.contradictions.is_empty() {
        line(&mut out, format_args!("\nNearly the same example under two intents (decide for one):"));
    }
    for pair in &result.contradictions {
        let ([left, right], [a, b]) = (&pair.intents, &pair.examples);
        line(&mut out, format_args!("  {left}: „{a}“\n  {right}: „{b}“"));
    }
    for warning in &playbook.warnings {
        line(&mut out, format_args!("Worth a look: {warning}"));
    }
    out
}

fn describe_scores(scores: &Scores) -> String {
    let mut out = String::new();
    let (in_scope, out_of_scope) = (scores.in_scope, scores.out_of_scope);
    let share = |share: f32, of: bool| if of { percent(share) } else { "-".to_owned() };
    let sure = in_scope > 0 && scores.auto > 0.0;
    line(&mut out, format_args!("{} with an intent, {out_of_scope} with none.\n", counted(in_scope, "note")));
    line(&mut out, format_args!("  recognised, sure or not         {:>4}", share(scores.accuracy, in_scope > 0)));
    line(&mut out, format_args!("  sure enough to act on           {:>4}", share(scores.auto, in_scope > 0)));
    line(&mut out, format_args!("  right, where it was sure        {:>4}", share(scores.right, sure)));
    line(&mut out, format_args!("  none, but taken for an intent   {:>4}", share(scores.leaked, out_of_scope > 0)));
    line(&mut out, format_args!("  confidence is off by            {:>4}", percent(scores.calibration_error)));
    out
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_a_team_lead_speaks_no_mathematics() {
        let playbook = Playbook::builtin().unwrap();
        let page = report(&playbook, &evaluation::self_test(&playbook, &Understander::train(&playbook, None)));
        assert!(page.contains("recognised") && page.contains("Intents, the weakest first:"), "{page}");
        for word in ["cross", "F1", "logit", "NaN"] {
            assert!(!page.contains(word), "{word}: {page}");
        }
    }

    #[test]
    fn what_a_check_prints_names_every_intent_with_its_team() {
        let page = describe(&Playbook::builtin().unwrap());
        assert!(page.starts_with("The playbook is valid: 14 intents,"), "{page}");
        assert!(page.contains("complaint") && page.contains("to beschwerde, left to people, escalates"), "{page}");
    }
}
