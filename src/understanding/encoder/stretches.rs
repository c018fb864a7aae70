//! Owns where a text is cut that has more pieces than the model reads at once. It knows nothing of the model.

use std::ops::Range;

use super::tokenizer::Token;

/// The bytes of stretches of `text` that have at most `room` of its `tokens` each and are all of it together.
///
/// A stretch ends, in its second half, before the last of the `borders` (bytes, where sentences begin), or else between
/// two words, or else where it is full.
pub fn cut(text: &str, tokens: &[Token], borders: &[usize], room: usize) -> Vec<Range<usize>> {
    let places: Vec<&Range<usize>> = tokens.iter().filter_map(|token| token.at.as_ref()).collect();
    let begins_sentence = |at: &Range<usize>| borders.iter().any(|border| at.contains(border));
    let begins_word = |at: &Range<usize>| text[at.start..].starts_with(char::is_whitespace);
    let (mut stretches, mut first, mut start) = (Vec::new(), 0, 0);
    while places.len() - first > room.max(1) {
        let full = first + room.max(1);
        // One character can be several pieces, all of them in one place: no stretch begins among them.
        let mut candidates = (first + room / 2..=full).rev().filter(|&next| places[next].start > start);
        let next = candidates.clone().find(|&next| begins_sentence(places[next]));
        let next = next.or_else(|| candidates.clone().find(|&next| begins_word(places[next])));
        let Some(next) = next.or_else(|| candidates.next()) else { break };
        stretches.push(start..places[next].start);
        (first, start) = (next, places[next].start);
    }
    stretches.push(start..text.len());
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece a word, with the space before it.
    fn tokens(text: &str) -> Vec<Token> {
        let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at)).collect();
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        starts.iter().zip(ends).map(|(&start, end)| Token { id: 0, at: Some(start..end) }).collect()
    }

    #[test]
    fn stretches_end_where_sentences_do_and_lose_nothing() {
        let text = "eins zwei drei. vier fünf sechs sieben. acht neun zehn.";
        let borders: Vec<usize> = ["eins", "vier", "acht"].iter().filter_map(|word| text.find(word)).collect();
        let cut: Vec<&str> = cut(text, &tokens(text), &borders, 5).into_iter().map(|at| &text[at]).collect();
        assert_eq!(cut, ["eins zwei drei.", " vier fünf sechs sieben.", " acht neun zehn."]);
        assert_eq!(cut.concat(), text);
    }

    #[test]
    fn a_sentence_without_end_is_cut_between_words_and_a_word_without_end_anywhere() {
        let text = vec!["wort"; 20].join(" ");
        let stretches = cut(&text, &tokens(&text), &[0], 7);
        assert_eq!(stretches.len(), 3);
        assert!(stretches.iter().all(|at| text[at.clone()].split_whitespace().all(|word| word == "wort")));

        let letters: Vec<Token> = (0..20).map(|at| Token { id: 0, at: Some(at..at + 1) }).collect();
        let stretches = cut(&"a".repeat(20), &letters, &[], 6);
        assert_eq!(stretches, [0..6, 6..12, 12..18, 18..20]);
    }

    #[test]
    fn many_pieces_of_one_character_do_not_hang_it() {
        let same: Vec<Token> = (0..20).map(|_| Token { id: 0, at: Some(0..2) }).collect();
        assert_eq!(cut("ä", &same, &[], 6), vec![0..2; 1]);
    }
}
