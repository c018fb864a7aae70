//! Owns the words that commit nobody to anything, by language: courtesy, sympathy, grammar, and the work of reading and
//! answering. A draft may use these, and the words of its template.

use std::{collections::HashSet, sync::LazyLock};

use crate::understanding::text::fold;

/// What a language's drafts may always say.
#[derive(Debug)]
pub struct Vocabulary {
    exact: HashSet<String>,
    /// With any ending.
    beginnings: Vec<String>,
}

/// None for a language in which drafts cannot be checked.
pub fn of(language: &str) -> Option<&'static Vocabulary> {
    static GERMAN: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::parse(include_str!("words.de.txt")));
    static ENGLISH: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::parse(include_str!("words.en.txt")));
    match language {
        "de" => Some(&GERMAN),
        "en" => Some(&ENGLISH),
        _ => None,
    }
}

impl Vocabulary {
    fn parse(text: &str) -> Self {
        let words = || text.split_whitespace().map(fold);
        let plain = |word: String| word.replace('\'', "");
        Self {
            exact: words().filter(|word| !word.ends_with('*')).map(plain).collect(),
            beginnings: words().filter_map(|word| word.strip_suffix('*').map(str::to_owned)).collect(),
        }
    }

    /// `word` is folded.
    pub fn has(&self, word: &str) -> bool {
        self.exact.contains(word) || self.beginnings.iter().any(|beginning| word.starts_with(beginning.as_str()))
    }
}
