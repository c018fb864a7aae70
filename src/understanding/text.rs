//! Owns how text is looked at: folding, words and sentences, each with its place in the original. Knows no meaning.

use std::ops::Range;

/// A run of letters and digits, folded for comparison, with its place in the text it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Lower case, `ä ö ü ß` as `ae oe ue ss`, without apostrophes.
    pub folded: String,
    /// Bytes in the original.
    pub at: Range<usize>,
}

/// A text that is looked through, with its words.
pub(crate) struct Seen<'a> {
    pub text: &'a str,
    pub words: &'a [Word],
    pub german: bool,
}

impl Seen<'_> {
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &word.folded)
    }

    pub fn written(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &self.text[word.at.clone()])
    }

    /// What stands between a word and the next.
    pub fn gap_after(&self, index: usize) -> &str {
        match (self.words.get(index), self.words.get(index + 1)) {
            (Some(word), Some(next)) => &self.text[word.at.end..next.at.start],
            _ => "",
        }
    }

    pub fn is_capitalised(&self, index: usize) -> bool {
        self.written(index).starts_with(char::is_uppercase)
    }
}

/// Lower case with `ä ö ü ß` written as `ae oe ue ss` and accents dropped, so that "Störung", "STÖRUNG" and
/// "Stoerung" are one word, composed or decomposed.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            'a'..='z' | '0'..='9' | ' ' => out.push(c),
            'A'..='Z' => out.push(c.to_ascii_lowercase()),
            'ä' | 'Ä' | 'æ' | 'Æ' => out.push_str("ae"),
            'ö' | 'Ö' | 'ø' | 'Ø' | 'œ' | 'Œ' => out.push_str("oe"),
            'ü' | 'Ü' => out.push_str("ue"),
            'ß' | 'ẞ' => out.push_str("ss"),
            'á' | 'à' | 'â' | 'Á' | 'À' | 'Â' | 'å' | 'Å' => out.push('a'),
            // The last is the mark of a decomposed umlaut, which follows its letter.
            'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' | '\u{308}' => out.push('e'),
            'í' | 'ì' | 'î' | 'ï' => out.push('i'),
            'ó' | 'ò' | 'ô' => out.push('o'),
            'ú' | 'ù' | 'û' => out.push('u'),
            'ç' | 'Ç' => out.push('c'),
            'ş' | 'Ş' => out.push('s'),
            '\u{300}'..='\u{36f}' => {}
            _ => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// The words of a text, in order. "geht's" is one word; so are "39,90" and "14:30", because a number stays whole.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut start = None;
    let mut chars = text.char_indices().peekable();
    let mut previous = ' ';
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |&(_, next)| next);
        let inside = is_word(c)
            || (start.is_some() && is_apostrophe(c) && previous.is_alphabetic() && next.is_alphabetic())
            || (start.is_some() && matches!(c, ',' | '.' | ':') && previous.is_ascii_digit() && next.is_ascii_digit());
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(word(text, from..at));
                start = None;
            }
            _ => {}
        }
        previous = c;
    }
    if let Some(from) = start {
        found.push(word(text, from..text.len()));
    }
    found
}

fn word(text: &str, at: Range<usize>) -> Word {
    let folded = fold(&text[at.clone()]).chars().filter(|&c| !is_apostrophe(c)).collect();
    Word { folded, at }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '`' | '´')
}

/// Longer than this many words, a sentence is looked at in overlapping pieces: recognisers drop punctuation.
const PIECE_WORDS: usize = 16;

/// Words by which people who do not stop to breathe go on to something else.
const TURNS: [&[&str]; 16] = [
    &["und", "ausserdem"],
    &["ausserdem"],
    &["ach", "ja"],
    &["ach", "und"],
    &["ach", "so", "und"],
    &["und", "dann", "noch"],
    &["und", "noch", "was"],
    &["und", "noch", "etwas"],
    &["noch", "eine", "frage"],
    &["und", "zweitens"],
    &["zweitens"],
    &["des", "weiteren"],
    &["oh", "and"],
    &["and", "also"],
    &["one", "more", "thing"],
    &["another", "thing"],
];
/// Fewer words are no sentence of their own, wherever people pause.
const TURN_WORDS_MIN: usize = 3;

/// The sentences of a text as byte ranges, without surrounding space; a very long one comes in overlapping pieces.
#[must_use]
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    sentences_heard(text, &[])
}

/// The same where it is known before which bytes the speaker paused: a long stretch without punctuation ends there.
#[must_use]
pub fn sentences_heard(text: &str, pauses: &[usize]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let next = text[end..].chars().next();
        let ends = match c {
            '!' | '?' | '…' | '\n' | ';' => true,
            // "3. März" and "z. B." go on.
            '.' => {
                next.is_none_or(char::is_whitespace)
                    && at > 0
                    && !bytes[at - 1].is_ascii_digit()
                    && !one_letter_before(text, at)
            }
            _ => false,
        };
        if ends {
            push_sentence(text, start..end, pauses, &mut found);
            start = end;
        }
    }
    push_sentence(text, start..text.len(), pauses, &mut found);
    found
}

fn one_letter_before(text: &str, at: usize) -> bool {
    let mut back = text[..at].chars().rev();
    back.next().is_some_and(char::is_alphabetic) && back.next().is_none_or(|c| !is_word(c))
}

fn push_sentence(text: &str, range: Range<usize>, pauses: &[usize], found: &mut Vec<Range<usize>>) {
    let words = words(&text[range.clone()]);
    let turns = (0..words.len()).filter(|&word| turns_at(&words, word)).collect();
    for part in cut(&words, turns) {
        let (from, to) = (part.start, part.end);
        // What stands before the first word and behind the last belongs to them: quotes, full stops.
        let start = if from == 0 { range.start } else { range.start + words[from].at.start };
        let end = words.get(to).map_or(range.end, |next| range.start + next.at.start);
        let mut stops = Vec::new();
        if part.len() > PIECE_WORDS + PIECE_WORDS / 2 {
            let begins_anew = |word: &Word| pauses.contains(&(range.start + word.at.start));
            stops.extend((from..to).filter(|&word| begins_anew(&words[word])).map(|word| word - from));
        }
        for heard in cut(&words[part], stops) {
            let first = if heard.start == 0 { start } else { range.start + words[from + heard.start].at.start };
            let behind = words[..to].get(from + heard.end);
            push_pieces(text, first..behind.map_or(end, |next| range.start + next.at.start), found);
        }
    }
}

/// True if the speaker turns to something else with this word.
fn turns_at(words: &[Word], at: usize) -> bool {
    let begins =
        |turn: &[&str]| words.len() >= at + turn.len() && words[at..].iter().zip(turn).all(|(w, t)| w.folded == *t);
    TURNS.iter().any(|turn| begins(turn))
}

/// The words between the places, each of them long enough to stand alone.
fn cut(words: &[Word], places: Vec<usize>) -> Vec<Range<usize>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for place in places {
        if place >= start + TURN_WORDS_MIN && place + TURN_WORDS_MIN <= words.len() {
            parts.push(start..place);
            start = place;
        }
    }
    if start < words.len() {
        parts.push(start..words.len());
    }
    parts
}

fn push_pieces(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let words = words(&text[range.clone()]);
    if words.is_empty() {
        return;
    }
    if words.len() <= PIECE_WORDS + PIECE_WORDS / 2 {
        let slice = &text[range.clone()];
        let from = range.start + slice.len() - slice.trim_start().len();
        found.push(from..from + slice.trim().len());
        return;
    }
    let mut from = 0;
    while from < words.len() {
        let to = (from + PIECE_WORDS).min(words.len());
        found.push(range.start + words[from].at.start..range.start + words[to - 1].at.end);
        if to == words.len() {
            break;
        }
        from += PIECE_WORDS / 2;
    }
}

/// True if `phrase` (words of a pattern, `*` at the start or end of a word stands for anything) occurs in `words`.
/// Returns the index of its first word.
#[must_use]
pub fn find_phrase(words: &[Word], phrase: &[String]) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    words.windows(phrase.len()).position(|window| begins_with(window, phrase))
}

/// True if the words begin with the phrase.
#[must_use]
pub fn begins_with(words: &[Word], phrase: &[String]) -> bool {
    words.len() >= phrase.len() && words.iter().zip(phrase).all(|(word, p)| fits(&word.folded, p))
}

fn fits(word: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => word.contains(pattern.trim_matches('*')),
        (Some(end), None) => word.ends_with(end),
        (None, Some(start)) => word.starts_with(start),
        (None, None) => word == pattern,
    }
}

/// The folded words of a phrase as it stands in a playbook; `*` stays.
#[must_use]
pub fn phrase(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| fold(word).chars().filter(|&c| c.is_alphanumeric() || c == '*').collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn german_letters_fold_to_one_spelling_however_they_are_written() {
        for word in ["Größe", "GRÖSSE", "groesse", "GRÖẞE", "Gro\u{308}ße"] {
            assert_eq!(fold(word), "groesse", "{word}");
        }
        assert_eq!(fold("ÜBERMÄẞIG Café"), "uebermaessig cafe");
    }

    #[test]
    fn words_keep_their_place_and_numbers_stay_whole() {
        let text = "Äh, geht’s um 39,90 Euro? Um 14:30.";
        let found = words(text);
        let folded: Vec<_> = found.iter().map(|w| w.folded.as_str()).collect();
        assert_eq!(folded, ["aeh", "gehts", "um", "39,90", "euro", "um", "14:30"]);
        assert_eq!(&text[found[1].at.clone()], "geht’s");
    }

    #[test]
    fn a_date_and_an_abbreviation_do_not_end_a_sentence() {
        assert_eq!(
            cut("Seit dem 3. März, z. B. hier. Und jetzt? Ja!"),
            ["Seit dem 3. März, z. B. hier.", "Und jetzt?", "Ja!"]
        );
    }

    #[test]
    fn speech_without_punctuation_is_cut_into_overlapping_pieces() {
        let text = vec!["wort"; 40].join(" ");
        let pieces = cut(&text);
        assert!(pieces.len() >= 4 && pieces.iter().all(|p| p.split(' ').count() <= PIECE_WORDS), "{pieces:?}");
    }

    #[test]
    fn a_turn_to_something_else_ends_a_sentence_without_punctuation() {
        assert_eq!(
            cut("mein paket ist nicht da und außerdem stimmt die rechnung nicht"),
            ["mein paket ist nicht da", "und außerdem stimmt die rechnung nicht"]
        );
        assert_eq!(cut("Das war's, ach ja, und danke."), ["Das war's, ach ja, und danke."], "too short to stand alone");
        assert_eq!(cut("Ach ja, die Rechnung stimmt nicht."), ["Ach ja, die Rechnung stimmt nicht."]);
    }

    #[test]
    fn a_long_stretch_without_punctuation_ends_where_the_speaker_paused() {
        let text = vec!["wort"; 15].join(" ") + " " + &vec!["anders"; 15].join(" ");
        let pause = text.find("anders").unwrap();
        let heard: Vec<&str> = sentences_heard(&text, &[10, pause]).into_iter().map(|at| &text[at]).collect();
        assert_eq!(heard.len(), 2, "two words before the first pause do not stand alone: {heard:?}");
        assert!(heard[1].split(' ').count() == 15 && heard[1].starts_with("anders"), "{heard:?}");
        assert_eq!(sentences_heard("kurz und gut gesagt", &[9]).len(), 1, "short ones stay whole");
    }

    #[test]
    fn nothing_but_punctuation_has_no_sentences() {
        assert!(sentences("… !? \n.").is_empty() && sentences("").is_empty());
    }

    #[test]
    fn a_star_in_a_phrase_stands_for_the_rest_of_a_compound() {
        let words = words("Meine Mutter hat ein Hausnotrufgerät");
        assert_eq!(find_phrase(&words, &phrase("*notruf*")), Some(4));
        assert_eq!(find_phrase(&words, &phrase("mutter hat")), Some(1));
        assert_eq!(find_phrase(&words, &phrase("notruf")), None);
    }
}
