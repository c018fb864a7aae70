//! Owns what people see of work that takes a while: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines about the same work.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where reports go.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Bars,
    Lines,
    Silent,
}

impl Progress {
    /// On stderr: bars if that is a terminal, lines if it is not.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self { style: if std::io::stderr().is_terminal() { Style::Bars } else { Style::Lines } }
    }

    /// Nowhere.
    #[must_use]
    pub fn silent() -> Self {
        Self { style: Style::Silent }
    }

    /// Says one sentence.
    pub fn say(&self, sentence: &str) {
        if self.style != Style::Silent {
            eprintln!("{sentence}");
        }
    }

    /// Begins a piece of work of so many bytes, or of unknown size.
    #[must_use]
    pub fn meter(&self, label: &str, total_bytes: Option<u64>) -> Meter {
        let bar = match self.style {
            Style::Bars => bar(total_bytes),
            Style::Lines | Style::Silent => ProgressBar::hidden(),
        };
        bar.set_message(label.to_owned());
        if self.style == Style::Lines {
            eprintln!("{label} …");
        }
        let lines = (self.style == Style::Lines).then(|| Mutex::new(Instant::now()));
        Meter { bar, lines, label: label.to_owned(), total_bytes }
    }
}

fn bar(total_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match total_bytes {
        Some(total) => {
            (ProgressBar::new(total), "{msg}  {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {msg}  {bytes}  {elapsed}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// One piece of work; its bar goes away when it is dropped.
#[derive(Debug)]
pub struct Meter {
    bar: ProgressBar,
    lines: Option<Mutex<Instant>>,
    label: String,
    total_bytes: Option<u64>,
}

impl Meter {
    /// So many bytes are done, of all.
    pub fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let Some(Ok(mut last)) = self.lines.as_ref().map(Mutex::lock) else { return };
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let of = self.total_bytes.map(|total| format!(" of {}", megabytes(total))).unwrap_or_default();
            eprintln!("{}: {}{of}", self.label, megabytes(bytes));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `148.0 MB`.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
