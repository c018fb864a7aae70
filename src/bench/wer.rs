//! Owns the counting of words that were heard wrong: edit distance by word, over the words that were really said.
//!
//! Case, punctuation and hyphens do not count. The command, the tests and `benches/compare-asr` all count like this.

/// What one transcript comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Words put in, left out, or taken for others.
    pub errors: usize,
    /// Words that were said.
    pub words: usize,
    /// For each word that was heard, in order: was it said there?
    pub right: Vec<bool>,
}

/// Compares a transcript with what was said, as spoken or as written ("vierzehn" or "14"), whichever is nearer.
#[must_use]
pub fn count(heard: &str, spoken: &str, written: &str) -> Counted {
    let heard = words(heard);
    [spoken, written]
        .map(words)
        .map(|said| compare(&heard, &said))
        .into_iter()
        .min_by_key(|counted| counted.errors * 1000 / counted.words.max(1))
        .unwrap_or_default()
}

/// The words of a text as they are compared: lower case, letters and digits only.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let clean = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.split(|c: char| c.is_whitespace() || c == '-').map(clean).filter(|w: &String| !w.is_empty()).collect()
}

/// Levenshtein distance between two word lists, and which of `heard` it leaves in place.
fn compare(heard: &[String], said: &[String]) -> Counted {
    let width = said.len() + 1;
    // costs[i * width + j]: from the first i words heard to the first j said.
    let mut costs: Vec<usize> = (0..width).collect();
    costs.resize(width * (heard.len() + 1), 0);
    for i in 1..=heard.len() {
        costs[i * width] = i;
        for j in 1..width {
            let substituted = costs[(i - 1) * width + j - 1] + usize::from(heard[i - 1] != said[j - 1]);
            costs[i * width + j] = substituted.min(costs[(i - 1) * width + j] + 1).min(costs[i * width + j - 1] + 1);
        }
    }
    let mut right = vec![false; heard.len()];
    let (mut i, mut j) = (heard.len(), said.len());
    while i > 0 && j > 0 {
        let cost = costs[i * width + j];
        let is_same = heard[i - 1] == said[j - 1];
        if cost == costs[(i - 1) * width + j - 1] + usize::from(!is_same) {
            right[i - 1] = is_same;
            (i, j) = (i - 1, j - 1);
        } else if cost == costs[(i - 1) * width + j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    Counted { errors: costs[heard.len() * width + said.len()], words: said.len(), right }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(heard: &str, spoken: &str, written: &str) -> (usize, usize) {
        let counted = count(heard, spoken, written);
        (counted.errors, counted.words)
    }

    #[test]
    fn errors_are_counted_by_word_and_the_nearer_reading_counts() {
        assert_eq!(errors("Bitte um vierzehn Uhr!", "bitte um vierzehn uhr", "bitte um 14 Uhr"), (0, 4));
        assert_eq!(errors("bitte um 14 Uhr", "bitte um vierzehn uhr", "bitte um 14 Uhr"), (0, 4));
        assert_eq!(errors("", "ja nein", "ja nein"), (2, 2));
        assert_eq!(errors("a b c d", "a c d", "a c d"), (1, 3));
    }

    #[test]
    fn a_word_is_right_where_it_was_said_and_not_wherever_it_stands() {
        let counted = count("ja der Router ist blau", "der Router war rot ja", "");
        assert_eq!(counted.right, [false, true, true, false, false]);
        assert!(count("zu viel", "", "").right.iter().all(|right| !right));
    }
}
