//! How well are intents recognised? `cargo bench --bench intent -- FOLDER [--shots N] [--seeds N] [--encoder none]
//! [--precision P] [--sets a,b]`
//!
//! FOLDER, or the environment variable SPRACHPOST_INTENT_DIR, holds public sets, each in a folder of its own:
//! `de-service`, `banking77`, `clinc`, `hint3`, `xsid`. Of each training set, N examples an intent are drawn; every
//! figure is the mean over the seeds. Sets that are not there are said to be missing.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use sprachpost::{
    config::Config,
    models::Store,
    understanding::{
        self, Understander,
        encoder::Encoder,
        evaluation::{self, LabelledNote, Scores},
        playbook::Playbook,
    },
};

type Labelled = Vec<(String, Option<String>)>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1)).cloned();
    let number = |name: &str, default: usize| {
        option(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
    };
    let named = arguments.first().filter(|a| !a.starts_with("--")).map(PathBuf::from);
    let Some(folder) = named.or_else(|| std::env::var_os("SPRACHPOST_INTENT_DIR").map(PathBuf::from)) else {
        eprintln!("NOTHING MEASURED: name the folder with the public sets, or set SPRACHPOST_INTENT_DIR");
        return;
    };
    let mut config = Config::default();
    if let Some(encoder) = option("--encoder") {
        config.understanding.encoder = encoder;
    }
    let store = Store::open(&config.models).unwrap_or_else(|e| panic!("{e}"));
    let encoder = understanding::load_encoder(&config.understanding, &store).unwrap_or_else(|e| panic!("{e}"));
    let precision = option("--precision").map(|text| text.parse().expect("--precision takes a share"));
    let bench = Bench { encoder, shots: number("--shots", 10), seeds: number("--seeds", 3) as u64, precision };
    println!("{:24} accuracy   auto  right  leaked  AUROC  calibration  train ms  note ms", "");
    let wanted = option("--sets");
    for (set, measure) in SETS {
        if wanted.as_ref().is_some_and(|wanted| !wanted.split(',').any(|name| name == set)) {
            continue;
        }
        let at = folder.join(set);
        if at.is_dir() {
            measure(&bench, &at);
        } else {
            println!("{set:24} MISSING: there is no folder {}", at.display());
        }
    }
}

/// Measures the set that lies in a folder.
type Measure = fn(&Bench, &Path);

const SETS: [(&str, Measure); 5] =
    [("de-service", de_service), ("banking77", banking77), ("clinc", clinc), ("hint3", hint3), ("xsid", xsid)];

struct Bench {
    encoder: Option<Arc<Encoder>>,
    shots: usize,
    seeds: u64,
    /// What the playbooks ask for.
    precision: Option<f32>,
}

impl Bench {
    /// Trains on `shots` examples an intent and prints what comes of each test set.
    fn measure(&self, language: &str, train: &Labelled, tests: &[(String, Labelled)]) {
        let mut sums: Vec<Vec<(Scores, f64, f64)>> = tests.iter().map(|_| Vec::new()).collect();
        for seed in 0..self.seeds {
            let mut playbook = drawn(language, train, self.shots, seed);
            playbook.thresholds.precision = self.precision;
            let started = Instant::now();
            let understander = Understander::train(&playbook, self.encoder.clone());
            let train_ms = started.elapsed().as_secs_f64() * 1e3;
            for ((_, test), sums) in tests.iter().zip(&mut sums) {
                let notes = notes(test, &playbook);
                let started = Instant::now();
                let scores = evaluation::evaluate(&playbook, &understander, &notes);
                let note_ms = started.elapsed().as_secs_f64() * 1e3 / notes.len().max(1) as f64;
                sums.push((scores, train_ms, note_ms));
            }
        }
        for ((name, _), runs) in tests.iter().zip(sums) {
            print_row(name, &runs);
        }
    }
}

fn print_row(name: &str, runs: &[(Scores, f64, f64)]) {
    let mean = |of: &dyn Fn(&(Scores, f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len().max(1) as f64;
    let percent = |of: fn(&Scores) -> f32| 100.0 * mean(&|run| f64::from(of(&run.0)));
    println!(
        "{name:24} {:8.1} {:6.1} {:6.1} {:7.1} {:6.1} {:12.1} {:9.0} {:8.1}",
        percent(|s| s.accuracy),
        percent(|s| s.auto),
        percent(|s| s.right),
        percent(|s| s.leaked),
        percent(|s| s.auroc),
        percent(|s| s.calibration_error),
        mean(&|run| run.1),
        mean(&|run| run.2),
    );
}

/// A playbook of `shots` examples an intent, drawn by the seed.
fn drawn(language: &str, train: &Labelled, shots: usize, seed: u64) -> Playbook {
    let mut by_intent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (text, intent) in train {
        if let Some(intent) = intent {
            by_intent.entry(intent).or_default().push(text);
        }
    }
    // A generator of Knuth's; all that matters is that it draws the same every time.
    let mut state = seed.wrapping_add(1);
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    let mut text = format!("version = 1\nlanguage = \"{language}\"\n");
    for (intent, mut examples) in by_intent {
        for i in 0..examples.len().min(shots) {
            let other = i + random(examples.len() - i);
            examples.swap(i, other);
        }
        examples.truncate(shots);
        let examples: Vec<String> = examples.into_iter().map(|e| toml::Value::from(e).to_string()).collect();
        let (name, examples) = (name_of(intent), examples.join(", "));
        writeln!(text, "[[intent]]\nname = \"{name}\"\nexamples = [{examples}]").expect("a string takes everything");
    }
    Playbook::parse(&text, "drawn").unwrap_or_else(|e| panic!("{e}"))
}

/// The label as a playbook allows it.
fn name_of(label: &str) -> String {
    let name: String = label.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("i_{name}")
}

/// An intent that nothing was drawn of, the playbook does not have: such notes are out of its scope.
fn notes(test: &Labelled, playbook: &Playbook) -> Vec<LabelledNote> {
    let known = |name: &String| playbook.intents.iter().any(|intent| intent.name == *name);
    let note = |(text, intent): &(String, Option<String>)| LabelledNote {
        text: text.clone(),
        intent: intent.as_deref().map(name_of).filter(known),
        language: None,
        heard: None,
    };
    test.iter().map(note).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn de_service(bench: &Bench, folder: &Path) {
    let (mut train, mut test) = (Labelled::new(), Labelled::new());
    for line in read(&folder.join("notes.jsonl")).lines() {
        let note: serde_json::Value = serde_json::from_str(line).expect("a note a line");
        let (Some(said), split) = (note["text"].as_str(), note["split"].as_str()) else { continue };
        let to = if split == Some("train") { &mut train } else { &mut test };
        to.push((said.to_owned(), note["intent"].as_str().map(str::to_owned)));
    }
    bench.measure("de", &train, &[("de-service".to_owned(), test.clone())]);
    // The playbook that comes with the program knows the same intents, from examples of its own.
    let mut playbook = Playbook::builtin().unwrap_or_else(|e| panic!("{e}"));
    playbook.thresholds.precision = bench.precision;
    let started = Instant::now();
    let understander = Understander::train(&playbook, bench.encoder.clone());
    let train_ms = started.elapsed().as_secs_f64() * 1e3;
    let note = |(text, intent): (String, Option<String>)| LabelledNote { text, intent, language: None, heard: None };
    let notes: Vec<_> = test.into_iter().map(note).collect();
    let started = Instant::now();
    let scores = evaluation::evaluate(&playbook, &understander, &notes);
    let note_ms = started.elapsed().as_secs_f64() * 1e3 / notes.len().max(1) as f64;
    print_row("de-service, built-in", &[(scores, train_ms, note_ms)]);
}

fn banking77(bench: &Bench, folder: &Path) {
    let of = |file: &str| csv(&read(&folder.join(file)), "");
    bench.measure("en", &of("train.csv"), &[("banking77".to_owned(), of("test.csv"))]);
}

fn clinc(bench: &Bench, folder: &Path) {
    let data: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&read(&folder.join("data_full.json"))).expect("lists of texts and labels");
    let of = |part: &str| -> Labelled {
        let known = |label: &String| (label != "oos").then(|| label.clone());
        data.get(part).into_iter().flatten().map(|(text, label)| (text.clone(), known(label))).collect()
    };
    let test = [of("test"), of("oos_test")].concat();
    bench.measure("en", &of("train"), &[("clinc150".to_owned(), test)]);
}

fn hint3(bench: &Bench, folder: &Path) {
    for bot in ["curekart", "sofmattress"] {
        let of = |part: &str| csv(&read(&folder.join(format!("{bot}_{part}.csv"))), "NO_NODES_DETECTED");
        bench.measure("en", &of("train"), &[(format!("hint3 {bot}"), of("test"))]);
    }
}

fn xsid(bench: &Bench, folder: &Path) {
    let of = |file: &str| -> Labelled {
        let text = read(&folder.join(file));
        let value = |line: &str, key: &str| line.strip_prefix(key).map(|rest| rest.trim().to_owned());
        let texts = text.lines().filter_map(|line| value(line, "# text = "));
        let intents = text.lines().filter_map(|line| value(line, "# intent = "));
        texts.zip(intents.map(Some)).collect()
    };
    let tests =
        ["de", "de-ba", "de-muc", "gsw"].map(|code| (format!("xsid {code}"), of(&format!("{code}.test.conll"))));
    bench.measure("de", &of("de.valid.conll"), &tests);
}

/// Two columns with a heading; quotes are doubled within quotes. What is labelled `none` has no intent.
fn csv(text: &str, none: &str) -> Labelled {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    let pair = |row: Vec<String>| <[String; 2]>::try_from(row).ok();
    let labelled = rows.into_iter().skip(1).filter_map(pair);
    labelled.map(|[text, label]| (text, (label != none).then_some(label))).collect()
}
