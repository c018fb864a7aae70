//! Owns what a text looks like to the classifier: character n-grams within words and whole words, weighted by TF-IDF.
//!
//! Character n-grams forgive what recognisers and dialects do to words, across a gap too, because compounds come split;
//! whole words and their neighbours keep apart what is made of the same syllables.

use std::collections::HashMap;

use crate::understanding::text;

/// Feature and weight, sorted by feature; its length as a vector is 1.
pub type Sparse = Vec<(u32, f32)>;

const GRAM_SHORTEST: usize = 2;
const GRAM_LONGEST: usize = 5;
/// How much whole words count beside their parts.
const WORD_WEIGHT: f32 = 1.0;
/// Recognisers split compounds ("kün digung"): n-grams of these lengths are also taken across a gap.
const GAP_GRAMS: std::ops::RangeInclusive<usize> = 4..=5;

/// The features that occur in the training texts, with their weights.
#[derive(Debug)]
pub struct Vocabulary {
    ids: HashMap<u64, u32>,
    idf: Vec<f32>,
}

impl Vocabulary {
    #[must_use]
    pub fn learn(texts: &[&str]) -> Self {
        let mut ids = HashMap::new();
        let mut document_counts: Vec<u32> = Vec::new();
        for text in texts {
            let mut seen = features(text);
            seen.sort_unstable();
            seen.dedup();
            for feature in seen {
                let id = *ids.entry(feature).or_insert(document_counts.len() as u32);
                match document_counts.get_mut(id as usize) {
                    Some(count) => *count += 1,
                    None => document_counts.push(1),
                }
            }
        }
        let documents = texts.len() as f32;
        let idf = document_counts.iter().map(|&count| ((1.0 + documents) / (1.0 + count as f32)).ln() + 1.0).collect();
        Self { ids, idf }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.idf.len()
    }

    /// The text as a vector; empty if nothing in it was ever seen.
    #[must_use]
    pub fn vector(&self, text: &str) -> Sparse {
        let mut counts: HashMap<u32, f32> = HashMap::new();
        let mut word_features = std::collections::HashSet::new();
        for feature in features(text) {
            if let Some(&id) = self.ids.get(&feature) {
                *counts.entry(id).or_default() += 1.0;
                if feature & WORD_BIT != 0 {
                    word_features.insert(id);
                }
            }
        }
        let mut vector: Sparse = counts
            .into_iter()
            .map(|(id, count)| {
                let weight = if word_features.contains(&id) { WORD_WEIGHT } else { 1.0 };
                (id, weight * (1.0 + count.ln()) * self.idf[id as usize])
            })
            .collect();
        vector.sort_unstable_by_key(|&(id, _)| id);
        let norm = vector.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        if norm > 0.0 {
            for (_, weight) in &mut vector {
                *weight /= norm;
            }
        }
        vector
    }
}

/// The cosine of two vectors.
#[must_use]
pub fn dot(a: &Sparse, b: &Sparse) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while let (Some(&(left, x)), Some(&(right, y))) = (a.get(i), b.get(j)) {
        match left.cmp(&right) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += x * y;
                i += 1;
                j += 1;
            }
        }
    }
    sum
}

/// Marks the features that are words; two features of different kinds never meet.
const WORD_BIT: u64 = 1 << 63;

/// Hashes of all features, with repetitions, in the order of the text.
fn features(text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut padded: Vec<char> = Vec::new();
    let mut previous: Option<String> = None;
    for word in text::words(text) {
        padded.clear();
        padded.push(' ');
        padded.extend(word.folded.chars());
        padded.push(' ');
        for n in GRAM_SHORTEST..=GRAM_LONGEST {
            found.extend(padded.windows(n).map(|gram| hash(gram.iter().copied()) & !WORD_BIT));
        }
        found.push(hash(word.folded.chars()) | WORD_BIT);
        if let Some(previous) = previous {
            across_the_gap(&previous, &word.folded, &mut found);
            found.push(hash(previous.chars().chain([' ']).chain(word.folded.chars())) | WORD_BIT);
        }
        previous = Some(word.folded);
    }
    found
}

/// The n-grams that begin in one word and end in the next, as if they were one.
fn across_the_gap(left: &str, right: &str, found: &mut Vec<u64>) {
    let reach = GAP_GRAMS.end() - 1;
    let tail = left.chars().count().min(reach);
    let skipped = left.chars().count() - tail;
    let joined: Vec<char> = left.chars().skip(skipped).chain(right.chars().take(reach)).collect();
    for n in GAP_GRAMS {
        let crossing = joined.windows(n).enumerate().filter(|(start, _)| *start < tail && start + n > tail);
        found.extend(crossing.map(|(_, gram)| hash(gram.iter().copied()) & !WORD_BIT));
    }
}

/// FNV-1a: the same on every machine and in every run, which the standard library's hasher does not promise.
fn hash(chars: impl Iterator<Item = char>) -> u64 {
    chars.fold(0xcbf2_9ce4_8422_2325, |hash, c| (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_variants_of_a_german_word_look_alike() {
        let texts = ["die Störung im Netz", "meine Rechnung ist falsch", "das Paket fehlt"];
        let vocabulary = Vocabulary::learn(&texts);
        let same = dot(&vocabulary.vector("STOERUNG"), &vocabulary.vector("Störung"));
        assert!((same - 1.0).abs() < 1e-5, "{same}");
        let compound = vocabulary.vector("Netzstörungen");
        assert!(dot(&compound, &vocabulary.vector(texts[0])) > dot(&compound, &vocabulary.vector(texts[1])) + 0.2);
    }

    #[test]
    fn a_compound_that_was_split_still_looks_like_itself() {
        let vocabulary = Vocabulary::learn(&["meine Kündigung", "ein Paket", "die Störung im Netz"]);
        let split = vocabulary.vector("kün digung");
        assert!(dot(&split, &vocabulary.vector("Kündigung")) > 0.6);
    }

    #[test]
    fn unknown_text_is_nothing_and_no_division_by_zero() {
        let vocabulary = Vocabulary::learn(&["abc"]);
        assert!(vocabulary.vector("xyz 123").is_empty() && vocabulary.vector("").is_empty());
    }
}
