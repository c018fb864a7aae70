//! Owns what a text looks like to the classifier: character n-grams within words, whole words, and the concepts of a
//! built-in lexicon, weighted by TF-IDF.
//!
//! Character n-grams forgive what recognisers and dialects do to words, across a gap too, because compounds come split;
//! whole words and their neighbours keep apart what is made of the same syllables; concepts, which are looked for across a
//! gap as well, stand for what a few examples cannot teach.

use std::{collections::HashMap, ops::RangeInclusive};

use super::concepts;
use crate::understanding::{contact, text};

/// Feature and weight, sorted by feature; its length as a vector is at most 1.
pub type Sparse = Vec<(u32, f32)>;

const GRAMS: RangeInclusive<usize> = 2..=5;
/// N-grams of these lengths are also taken across a gap between words ("kün digung").
const GAP_GRAMS: RangeInclusive<usize> = 4..=5;

/// What is familiar in a text counts at most so many times what its share of the text is.
const CLEARER_MAX: f32 = 4.0;

/// No word is longer; what a broken recogniser or a hostile text runs together is cut, because the work grows with the
/// square of it.
const WORD_CHARS_MAX: usize = 48;

/// A feature is a hash; its highest bits say what it is, so that two kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gram,
    Word,
    Concept,
}

impl Kind {
    /// How much one feature of this kind counts. Found by cross-validation: there are hundreds of n-grams to a concept.
    fn weight(self) -> f32 {
        match self {
            Self::Gram | Self::Word => 1.0,
            Self::Concept => 3.5,
        }
    }

    fn mark(self, hash: u64) -> u64 {
        (hash >> 2) | ((self as u64) << 62)
    }

    fn of(feature: u64) -> Self {
        match feature >> 62 {
            0 => Self::Gram,
            1 => Self::Word,
            _ => Self::Concept,
        }
    }
}

/// The features that occur in the training texts, with their weights.
#[derive(Debug)]
pub struct Vocabulary {
    ids: HashMap<u64, u32>,
    /// Inverse document frequency times the weight of the feature's kind, by feature.
    weights: Vec<f32>,
    /// True if more than one text has the feature.
    shared: Vec<bool>,
    /// What a feature that was never seen would count, before its kind.
    unseen: f32,
}

impl Vocabulary {
    #[must_use]
    pub fn learn(texts: &[&str]) -> Self {
        let mut ids = HashMap::new();
        let mut seen_in: Vec<(u32, Kind)> = Vec::new();
        for text in texts {
            let mut seen = features(text);
            seen.sort_unstable();
            seen.dedup();
            for feature in seen {
                let id = *ids.entry(feature).or_insert(seen_in.len() as u32);
                match seen_in.get_mut(id as usize) {
                    Some((count, _)) => *count += 1,
                    None => seen_in.push((1, Kind::of(feature))),
                }
            }
        }
        let documents = texts.len() as f32;
        let idf = |count: u32| ((1.0 + documents) / (1.0 + count as f32)).ln() + 1.0;
        let shared = seen_in.iter().map(|&(count, _)| count > 1).collect();
        let weights = seen_in.into_iter().map(|(count, kind)| idf(count) * kind.weight()).collect();
        Self { ids, weights, shared, unseen: idf(1) }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// As [`familiar`] for one of the texts that the vocabulary was learnt from, as if it had not been among them.
    #[must_use]
    pub fn familiar_to_others(&self, vector: &Sparse) -> f32 {
        clearer(vector.iter().filter(|&&(id, _)| self.shared[id as usize]).map(|&(_, weight)| weight))
    }

    /// The text as a vector; empty if nothing in it was ever seen.
    ///
    /// What was never seen has no place in it but counts in its length: a text of strange words with one familiar
    /// among them is a faint text, not a clear one.
    #[must_use]
    pub fn vector(&self, text: &str) -> Sparse {
        let mut features = features(text);
        features.sort_unstable();
        let mut vector = Sparse::new();
        let mut squares = 0.0;
        for same in features.chunk_by(|a, b| a == b) {
            let often = 1.0 + (same.len() as f32).ln();
            let id = self.ids.get(&same[0]).copied();
            let weight = often * id.map_or(self.unseen * Kind::of(same[0]).weight(), |id| self.weights[id as usize]);
            squares += weight * weight;
            vector.extend(id.map(|id| (id, weight)));
        }
        vector.sort_unstable_by_key(|&(id, _)| id);
        let norm = f32::sqrt(squares);
        for (_, weight) in &mut vector {
            *weight /= norm;
        }
        vector
    }
}

/// The factor that gives a text's vector the length 1, with what was never seen left out, up to a limit: a text of
/// which next to nothing is familiar stays faint.
#[must_use]
pub fn familiar(vector: &Sparse) -> f32 {
    clearer(vector.iter().map(|&(_, weight)| weight))
}

fn clearer(weights: impl Iterator<Item = f32>) -> f32 {
    let length = weights.map(|weight| weight * weight).sum::<f32>().sqrt();
    if length > 0.0 { (1.0 / length).min(CLEARER_MAX) } else { 1.0 }
}

/// Vectors that another is compared with all at once.
#[derive(Debug)]
pub struct Index {
    size: usize,
    weights: Weights,
}

/// The vectors' weights by feature.
#[derive(Debug)]
enum Weights {
    /// Which vectors have the feature, and with what weight.
    Few(Vec<Vec<(u32, f32)>>),
    /// Every vector has every feature: one row of weights a feature, which is added up much faster.
    All(Vec<f32>),
}

impl Index {
    #[must_use]
    pub fn of(vectors: &[Sparse], features: usize) -> Self {
        if vectors.iter().all(|vector| vector.len() == features) {
            let mut rows = vec![0.0; features * vectors.len()];
            for (number, vector) in vectors.iter().enumerate() {
                for &(feature, weight) in vector {
                    rows[feature as usize * vectors.len() + number] = weight;
                }
            }
            return Self { size: vectors.len(), weights: Weights::All(rows) };
        }
        let mut postings = vec![Vec::new(); features];
        for (number, vector) in (0..).zip(vectors) {
            for &(feature, weight) in vector {
                postings[feature as usize].push((number, weight));
            }
        }
        Self { size: vectors.len(), weights: Weights::Few(postings) }
    }

    /// The cosine with each of the vectors.
    #[must_use]
    pub fn cosines(&self, vector: &Sparse) -> Vec<f32> {
        let mut cosines = vec![0.0; self.size];
        for &(feature, weight) in vector {
            match &self.weights {
                Weights::Few(postings) => {
                    for &(number, other) in &postings[feature as usize] {
                        cosines[number as usize] += weight * other;
                    }
                }
                Weights::All(rows) => {
                    let row = &rows[feature as usize * self.size..][..self.size];
                    cosines.iter_mut().zip(row).for_each(|(cosine, other)| *cosine += weight * other);
                }
            }
        }
        cosines
    }
}

/// All features, with repetitions.
fn features(text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut padded: Vec<char> = Vec::new();
    let mut previous: Option<(String, bool)> = None;
    for mut word in text::words(text) {
        if let Some((end, _)) = word.folded.char_indices().nth(WORD_CHARS_MAX) {
            word.folded.truncate(end);
        }
        padded.clear();
        padded.push(' ');
        padded.extend(word.folded.chars());
        padded.push(' ');
        for n in GRAMS {
            found.extend(padded.windows(n).map(|gram| Kind::Gram.mark(hash(gram.iter().copied()))));
        }
        found.push(Kind::Word.mark(hash(word.folded.chars())));
        let mut meant = concepts::of(&word.folded);
        let means_nothing = meant.is_empty();
        if let Some((previous, previous_means_nothing)) = previous {
            across_the_gap(&previous, &word.folded, &mut found);
            found.push(Kind::Word.mark(hash(previous.chars().chain([' ']).chain(word.folded.chars()))));
            // Two that mean nothing alone may be one that came split: "kün digen".
            if means_nothing && previous_means_nothing {
                meant = concepts::of(&(previous + &word.folded));
            }
        }
        found.extend(meant.into_iter().map(|concept| Kind::Concept.mark((concept as u64) << 2)));
        previous = Some((word.folded, means_nothing));
    }
    // "Ruf mich an" and "ruf mich nicht an" are made of the same pieces: that wish is told apart by rules.
    if let Some(allowed) = contact::phone_allowed(text) {
        found.push(Kind::Concept.mark(hash(if allowed { "+call" } else { "-call" }.chars())));
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
        found.extend(crossing.map(|(_, gram)| Kind::Gram.mark(hash(gram.iter().copied()))));
    }
}

/// FNV-1a: the same on every machine and in every run, which the standard library's hasher does not promise.
fn hash(chars: impl Iterator<Item = char>) -> u64 {
    chars.fold(0xcbf2_9ce4_8422_2325, |hash, c| (hash ^ u64::from(u32::from(c))).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(vocabulary: &Vocabulary, a: &str, b: &str) -> f32 {
        Index::of(&[vocabulary.vector(a)], vocabulary.len()).cosines(&vocabulary.vector(b))[0]
    }

    #[test]
    fn spelling_variants_of_a_german_word_look_alike() {
        let texts = ["die Störung im Netz", "meine Rechnung ist falsch", "das Paket fehlt"];
        let vocabulary = Vocabulary::learn(&texts);
        let same = cosine(&vocabulary, "STOERUNG", "Störung");
        assert!((same - 1.0).abs() < 1e-5, "{same}");
        let compound = "Netzstörungen";
        assert!(cosine(&vocabulary, compound, texts[0]) > cosine(&vocabulary, compound, texts[1]) + 0.1);
    }

    #[test]
    fn a_compound_that_was_split_still_looks_like_itself() {
        let vocabulary = Vocabulary::learn(&["mein Xylophonkonzert", "ein Paket", "die Störung im Netz"]);
        assert!(cosine(&vocabulary, "xylo phon konzert", "Xylophonkonzert") > 0.5);
    }

    #[test]
    fn the_same_words_with_and_without_a_call_are_told_apart() {
        let (wanted, unwanted) = ("ruf mich bitte an", "ruf mich bitte nicht an");
        let vocabulary = Vocabulary::learn(&[wanted, unwanted, "das Paket fehlt"]);
        let similarity = cosine(&vocabulary, wanted, unwanted);
        assert!(similarity < 0.75, "{similarity}");
    }

    #[test]
    fn a_familiar_word_among_strange_ones_is_faint() {
        let vocabulary = Vocabulary::learn(&["Rechnung", "Paket"]);
        let alone = cosine(&vocabulary, "Rechnung", "Rechnung");
        assert!(cosine(&vocabulary, "Qualle Xylophon Zypern Rechnung Yucca", "Rechnung") < 0.7 * alone);
    }

    #[test]
    fn what_is_familiar_counts_in_full_where_the_rest_is_strange() {
        let vocabulary = Vocabulary::learn(&["Rechnung", "Paket", "meine Rechnung"]);
        let (plain, mixed) = (vocabulary.vector("Rechnung"), vocabulary.vector("Rechnung Xylophon"));
        assert!((familiar(&plain) - 1.0).abs() < 1e-5);
        assert!(familiar(&mixed) > 1.2 && familiar(&mixed) < CLEARER_MAX);
        let strange = vocabulary.vector("Rechnung Qualle Xylophon Zypern Yucca Xenia Quitte Wombat Zwickmühle Bagger");
        assert!(familiar(&strange) <= CLEARER_MAX && (familiar(&Sparse::new()) - 1.0).abs() < 1e-6);
        let own = vocabulary.vector("meine Rechnung");
        assert!(vocabulary.familiar_to_others(&own) > familiar(&own) + 0.1);
    }

    #[test]
    fn vectors_that_have_every_feature_are_compared_like_any_others() {
        let full = |a: f32, b: f32| vec![(0, a), (1, b)];
        let vectors = [full(0.6, 0.8), full(1.0, 0.0), full(-0.8, 0.6)];
        let mixed: Vec<Sparse> = vectors.iter().cloned().chain([vec![(1, 1.0)]]).collect();
        let (all, few) = (Index::of(&vectors, 2), Index::of(&mixed, 2));
        assert!(matches!((&all.weights, &few.weights), (Weights::All(_), Weights::Few(_))));
        for vector in &mixed {
            assert_eq!(all.cosines(vector), few.cosines(vector)[..3]);
        }
        assert!(Index::of(&[], 2).cosines(&vectors[0]).is_empty());
    }

    #[test]
    fn unknown_text_is_nothing_and_no_division_by_zero() {
        let vocabulary = Vocabulary::learn(&["abc"]);
        assert!(vocabulary.vector("xyz 123").is_empty() && vocabulary.vector("").is_empty());
    }
}
