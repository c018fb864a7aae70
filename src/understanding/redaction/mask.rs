//! Owns which letters of a text are hidden, and by what. Letters are counted without spaces, so that the same mask fits
//! the text, its segments and its words, between which engines place spaces differently.

use std::ops::Range;

/// A range of bytes that is to go.
pub(super) struct Span {
    pub at: Range<usize>,
    pub placeholder: String,
}

/// What is hidden in one text.
pub(super) struct Mask {
    text: String,
    /// Ranges of letters, in order and apart from each other.
    hidden: Vec<(Range<usize>, String)>,
}

pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !c.is_whitespace())
}

impl Mask {
    /// Where spans overlap they become one, with the placeholder of the one that was named first.
    pub(super) fn new(text: &str, spans: Vec<Span>) -> Self {
        let count = |to: usize| letters(&text[..to]).count();
        let mut ranked: Vec<(Range<usize>, usize, String)> = spans
            .into_iter()
            .enumerate()
            .map(|(rank, span)| (count(span.at.start)..count(span.at.end), rank, span.placeholder))
            .filter(|(at, ..)| !at.is_empty())
            .collect();
        ranked.sort_by_key(|(at, rank, _)| (at.start, *rank));
        let mut merged: Vec<(Range<usize>, usize, String)> = Vec::new();
        for (at, rank, placeholder) in ranked {
            match merged.last_mut().filter(|(last, ..)| at.start < last.end) {
                Some(last) => {
                    last.0.end = last.0.end.max(at.end);
                    if rank < last.1 {
                        (last.1, last.2) = (rank, placeholder);
                    }
                }
                None => merged.push((at, rank, placeholder)),
            }
        }
        let hidden = merged.into_iter().map(|(at, _, placeholder)| (at, placeholder)).collect();
        Self { text: text.to_owned(), hidden }
    }

    /// True if these pieces together are the text.
    pub(super) fn is_of<'a>(&self, pieces: impl Iterator<Item = &'a str>) -> bool {
        letters(&self.text).eq(pieces.flat_map(letters))
    }

    /// True if any of these letters is hidden.
    pub(super) fn touches(&self, letters: Range<usize>) -> bool {
        self.hidden.iter().any(|(at, _)| at.start < letters.end && at.end > letters.start)
    }

    /// A piece of the text that begins with its letter number `first`, with placeholders.
    pub(super) fn apply(&self, piece: &str, first: usize) -> String {
        let mut out = String::with_capacity(piece.len());
        let mut letter = first;
        // What is being hidden, and the space since its last letter, which stays if it ends there.
        let mut hiding = None;
        let mut space = String::new();
        for c in piece.chars() {
            if c.is_whitespace() {
                space.push(c);
                continue;
            }
            let hidden = self.hidden.iter().position(|(at, _)| at.contains(&letter));
            if hidden.is_none() || hidden != hiding {
                out.push_str(&space);
                match hidden {
                    Some(index) => out.push_str(&self.hidden[index].1),
                    None => out.push(c),
                }
            }
            space.clear();
            hiding = hidden;
            letter += 1;
        }
        out + &space
    }

    /// A sentence of the text; None if it stands there more than once, or not at all.
    pub(super) fn apply_to_part(&self, part: &str) -> Option<String> {
        let mut places = self.text.match_indices(part);
        let (at, _) = places.next().filter(|_| !part.is_empty())?;
        places.next().is_none().then(|| self.apply(part, letters(&self.text[..at]).count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str, spans: &[(&str, &str)]) -> Mask {
        let span = |&(part, placeholder): &(&str, &str)| {
            let start = text.find(part).unwrap();
            Span { at: start..start + part.len(), placeholder: placeholder.to_owned() }
        };
        Mask::new(text, spans.iter().map(span).collect())
    }

    #[test]
    fn one_mask_fits_the_text_and_its_pieces_however_they_are_spaced() {
        let mask = mask("Nummer vier sieben. Danke!", &[("vier sieben", "[Zahl]")]);
        assert_eq!(mask.apply("Nummer vier sieben. Danke!", 0), "Nummer [Zahl]. Danke!");
        assert_eq!(mask.apply(" sieben.  Danke! ", 10), " [Zahl].  Danke! ");
        assert!(mask.touches(6..10) && mask.touches(15..16) && !mask.touches(0..6) && !mask.touches(16..30));
        assert!(mask.is_of([" Nummer vier", "sieben. Danke !"].into_iter()) && !mask.is_of(["Nummer"].into_iter()));
    }

    #[test]
    fn overlapping_spans_are_one_and_touching_ones_are_two() {
        let both = mask("a bcd e", &[("cd", "[first]"), ("bc", "[second]")]);
        assert_eq!(both.apply("a bcd e", 0), "a [first] e");
        let apart = mask("ab cd", &[("ab", "[x]"), ("cd", "[y]")]);
        assert_eq!(apart.apply("ab cd", 0), "[x] [y]");
    }

    #[test]
    fn a_part_that_is_not_sure_where_it_stands_is_left_out() {
        let mask = mask("Ja 4711. Nein. Nein.", &[("4711", "[Zahl]")]);
        assert_eq!(mask.apply_to_part("Ja 4711.").as_deref(), Some("Ja [Zahl]."));
        assert_eq!(
            [mask.apply_to_part("Nein."), mask.apply_to_part("Doch"), mask.apply_to_part("")],
            [None, None, None]
        );
    }
}
