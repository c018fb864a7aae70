//! Owns the pieces that the model knows, and finds those with which a text begins.
//!
//! There are a quarter of a million of them. They lie one behind the other, with an alphabetical list of their numbers: a
//! table of strings takes three times the memory, and has to be asked for every length that a piece might have.

use std::{collections::HashMap, ops::Range};

#[derive(Debug)]
pub struct Pieces {
    text: Vec<u8>,
    /// Where each piece begins in the text, and where the last one ends.
    offsets: Vec<u32>,
    scores: Vec<f32>,
    /// The numbers of the pieces in the order of their bytes; of several that read the same, the first.
    sorted: Vec<u32>,
    /// Where in that order those lie that begin with a character, and with two.
    by_first: HashMap<char, Range<u32>>,
    by_two: HashMap<[char; 2], Range<u32>>,
    bytes_max: usize,
}

/// The pieces that begin as a text does, as far as it was looked at.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// In the order of their bytes.
    range: Range<usize>,
    bytes: usize,
    /// The only character so far.
    only: Option<char>,
}

impl Pieces {
    /// None if there is not one score a piece, a place is none of the text, or a score is no number. What is no UTF-8
    /// cannot occur in a text.
    #[must_use]
    pub fn new(text: Vec<u8>, offsets: Vec<u32>, scores: Vec<f32>) -> Option<Self> {
        let place = |ends: &[u32]| text.get(ends[0] as usize..ends[1] as usize);
        if offsets.len() != scores.len() + 1 || scores.iter().any(|score| !score.is_finite()) {
            return None;
        }
        let places: Vec<&[u8]> = offsets.windows(2).map(place).collect::<Option<_>>()?;
        let mut sorted: Vec<u32> = (0..places.len() as u32).collect();
        sorted.retain(|&id| std::str::from_utf8(places[id as usize]).is_ok_and(|piece| !piece.is_empty()));
        sorted.sort_by_key(|&id| (places[id as usize], id));
        sorted.dedup_by_key(|id| places[*id as usize]);
        sorted.shrink_to_fit();

        let (mut by_first, mut by_two) = (HashMap::new(), HashMap::new());
        for (at, &id) in (0_u32..).zip(&sorted) {
            let mut characters = std::str::from_utf8(places[id as usize]).unwrap_or_default().chars();
            let (first, second) = (characters.next(), characters.next());
            if let Some(first) = first {
                by_first.entry(first).or_insert(at..at).end = at + 1;
            }
            if let Some((first, second)) = first.zip(second) {
                by_two.entry([first, second]).or_insert(at..at).end = at + 1;
            }
        }
        let bytes_max = sorted.iter().map(|&id| places[id as usize].len()).max().unwrap_or(0).max(1);
        Some(Self { text, offsets, scores, sorted, by_first, by_two, bytes_max })
    }

    /// No piece is longer.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The score of the least likely piece, 0 at most.
    #[must_use]
    pub fn least_score(&self) -> f32 {
        self.scores.iter().copied().fold(0.0, f32::min)
    }

    /// The pieces that begin with a character; None if no piece does.
    #[must_use]
    pub fn beginning(&self, first: char) -> Option<Beginning> {
        let range = self.by_first.get(&first)?;
        let range = range.start as usize..range.end as usize;
        Some(Beginning { range, bytes: first.len_utf8(), only: Some(first) })
    }

    /// Those of them that have this character next; None if none has.
    #[must_use]
    pub fn narrowed(&self, beginning: &Beginning, next: char) -> Option<Beginning> {
        let Beginning { mut range, mut bytes, only } = beginning.clone();
        // Most of the work would be here, where so many pieces are left.
        if let Some(first) = only {
            let range = self.by_two.get(&[first, next])?;
            let range = range.start as usize..range.end as usize;
            return Some(Beginning { range, bytes: bytes + next.len_utf8(), only: None });
        }
        for byte in next.encode_utf8(&mut [0; 4]).bytes() {
            let known = &self.sorted[range.clone()];
            // What ends before that byte sorts before what goes on.
            let at = |id: u32| self.piece(id).get(bytes).copied();
            let start = known.partition_point(|&id| at(id) < Some(byte));
            let count = known[start..].partition_point(|&id| at(id) == Some(byte));
            if count == 0 {
                return None;
            }
            range = range.start + start..range.start + start + count;
            bytes += 1;
        }
        Some(Beginning { range, bytes, only })
    }

    /// The piece that ends here, and its score.
    #[must_use]
    pub fn ending(&self, beginning: &Beginning) -> Option<(u32, f32)> {
        let id = self.sorted[beginning.range.start];
        (self.piece(id).len() == beginning.bytes).then(|| (id, self.scores[id as usize]))
    }

    fn piece(&self, id: u32) -> &[u8] {
        &self.text[self.offsets[id as usize] as usize..self.offsets[id as usize + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&[u8]]) -> Option<Pieces> {
        let mut offsets = vec![0];
        offsets.extend(texts.iter().scan(0, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        }));
        Pieces::new(texts.concat(), offsets, (0..texts.len()).map(|id| -(id as f32)).collect())
    }

    fn find(pieces: &Pieces, text: &str) -> Option<u32> {
        let mut characters = text.chars();
        let mut beginning = pieces.beginning(characters.next()?)?;
        for next in characters {
            beginning = pieces.narrowed(&beginning, next)?;
        }
        pieces.ending(&beginning).map(|(id, _)| id)
    }

    #[test]
    fn every_piece_is_found_and_nothing_else() {
        let texts = ["Paket", "Pa", "ä", "Päckchen", "", "P", "ket", "Pa", "你好", "Pakete", "\u{2581}P"];
        let pieces = pieces(&texts.map(str::as_bytes)).unwrap();
        for (id, text) in (0..).zip(texts) {
            let wanted = if text.is_empty() { None } else { Some(if text == "Pa" { 1 } else { id }) };
            assert_eq!(find(&pieces, text), wanted, "{text}");
        }
        for text in ["Pak", "Pakets", "p", "Q", "你", "Päckch", "好"] {
            assert_eq!(find(&pieces, text), None, "{text}");
        }
        assert_eq!((pieces.bytes_max(), pieces.least_score()), ("Päckchen".len(), -10.0));
    }

    #[test]
    fn what_is_no_text_is_passed_over_and_what_is_no_list_refused() {
        let mixed = pieces(&[b"a\xff", b"a"]).unwrap();
        assert_eq!(find(&mixed, "a"), Some(1));
        assert!(Pieces::new(vec![b'a'], vec![0, 2], vec![0.0]).is_none());
        assert!(Pieces::new(vec![b'a'], vec![1, 0], vec![0.0]).is_none());
        assert!(Pieces::new(vec![b'a'], vec![0, 1], vec![f32::NAN]).is_none());
        assert!(Pieces::new(vec![b'a'], vec![0, 1], Vec::new()).is_none());
        assert!(Pieces::new(Vec::new(), vec![0], Vec::new()).is_some());
    }
}
