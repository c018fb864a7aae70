//! Owns the built-in lexicon: words that mean much the same in customer service, whatever the playbook.
//!
//! It is what lets "mein Kasten blinkt nur noch rot" resemble "das Internet ist ausgefallen", and English resemble
//! German, with a handful of examples an intent. It decides nothing: a concept is a feature like any word.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// By what a word is found.
#[derive(Default)]
struct Lexicon {
    whole: HashMap<&'static str, Vec<usize>>,
    beginnings: HashMap<&'static str, Vec<usize>>,
    endings: HashMap<&'static str, Vec<usize>>,
    within: Vec<(&'static str, usize)>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon::default();
    let lines = include_str!("concepts.txt").lines().filter(|line| !line.starts_with('#'));
    for (concept, (_, words)) in lines.filter_map(|line| line.split_once(':')).enumerate() {
        for word in words.split_whitespace() {
            match (word.strip_prefix('*'), word.strip_suffix('*')) {
                (Some(_), Some(_)) => lexicon.within.push((word.trim_matches('*'), concept)),
                (Some(end), None) => lexicon.endings.entry(end).or_default().push(concept),
                (None, Some(start)) => lexicon.beginnings.entry(start).or_default().push(concept),
                (None, None) => lexicon.whole.entry(word).or_default().push(concept),
            }
        }
    }
    lexicon
});

/// The concepts of a folded word, by number, each once, ascending.
#[must_use]
pub fn of(word: &str) -> Vec<usize> {
    let lexicon = &*LEXICON;
    let mut found: HashSet<usize> = HashSet::new();
    let mut add = |concepts: Option<&Vec<usize>>| found.extend(concepts.into_iter().flatten());
    add(lexicon.whole.get(word));
    for (at, _) in word.char_indices().skip(1) {
        add(lexicon.beginnings.get(&word[..at]));
        add(lexicon.endings.get(&word[at..]));
    }
    add(lexicon.beginnings.get(word));
    add(lexicon.endings.get(word));
    found.extend(lexicon.within.iter().filter(|(part, _)| word.contains(part)).map(|&(_, concept)| concept));
    let mut found: Vec<usize> = found.into_iter().collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::understanding::text::fold;

    #[test]
    fn german_and_english_share_a_concept() {
        assert!(of("parcel").iter().any(|concept| of(&fold("Päckchen")).contains(concept)));
        assert!(of("kuendigungsfrist").iter().any(|concept| of("cancelled").contains(concept)));
    }

    #[test]
    fn a_compound_has_the_concepts_of_its_ends_and_an_unknown_word_none() {
        let compound = of(&fold("Monatsabrechnung"));
        assert!(of(&fold("Rechnung")).iter().any(|concept| compound.contains(concept)));
        assert!(of("xylophon").is_empty() && of("").is_empty() && of("ä").is_empty());
    }

    #[test]
    fn the_lexicon_is_folded() {
        for line in include_str!("concepts.txt").lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(fold(line), line);
        }
    }
}
