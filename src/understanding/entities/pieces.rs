//! Owns the pieces in which a number is read out, what may be said between them, and after which of them it ends:
//! before another number, and before what counts something.

use std::ops::Range;

use super::{
    Scan,
    counts::{self, Counted},
    numbers,
};

/// No number but an account's has more digits: two were said one after the other.
const ONE_NUMBER_DIGITS_MAX: usize = 13;
/// So many digits may be a number of their own, and so many from a zero on another one, a phone's.
pub(super) const COMPLETE_DIGITS_MIN: usize = 5;
const WHOLE_PHONE_DIGITS_MIN: usize = 9;
/// A word that somebody writes with so many figures is a number, not a pair or a single digit of one.
const LONG_PIECE_DIGITS: usize = 4;
pub(super) const PHONE_DIGITS_MIN: usize = 7;

/// What adds digits to a number.
pub(super) struct Piece {
    pub digits: String,
    pub at: Range<usize>,
    /// In figures.
    written: bool,
    /// A comma stands before it.
    comma: bool,
    /// Grouped as no number is written.
    pub doubtful: bool,
}

/// The pieces from this word on, and whether the last may have been followed by another.
pub(super) fn pieces(scan: &Scan, from: usize, digits_max: usize) -> (Vec<Piece>, bool) {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut at, mut comma, mut digits) = (from, false, 0);
    while digits < digits_max {
        let Some((piece, weak)) = piece(scan, at, comma) else { break };
        if weak && !weak_belongs(scan, pieces.last(), &piece) {
            let doubtful = pieces.last().is_some_and(|last| !last.written && !comma);
            return (pieces, doubtful);
        }
        digits += piece.digits.len();
        let last = piece.at.end - 1;
        pieces.push(piece);
        match joined(scan, last) {
            Some(next) => (at, comma) = next,
            None => break,
        }
    }
    (pieces, false)
}

fn piece(scan: &Scan, at: usize, comma: bool) -> Option<(Piece, bool)> {
    let word = scan.words.get(at).filter(|_| scan.is_free(at..at + 1))?;
    let written = word.folded.starts_with(|c: char| c.is_ascii_digit());
    if let Some(spoken) = numbers::spoken(&scan.words[at..]) {
        let at = at..at + spoken.words;
        return Some((Piece { digits: spoken.digits, at, written, comma, doubtful: false }, spoken.weak));
    }
    // "471.108", "10.482.337"; "12.3.45" is in groups of another kind.
    let groups: Vec<&str> = word.folded.split('.').collect();
    let thousands = groups.len() > 1 && groups[1..].iter().all(|group| group.len() == 3) && groups[0].len() <= 3;
    let is_number = groups.iter().all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    (is_number && (thousands || groups.len() > 2))
        .then(|| (Piece { digits: groups.concat(), at: at..at + 1, written, comma, doubtful: !thousands }, false))
}

/// "ein" and "one" are digits among digits, and articles elsewhere: "98203, eine Rechnung", "471108, one parcel".
fn weak_belongs(scan: &Scan, last: Option<&Piece>, piece: &Piece) -> bool {
    let end = piece.at.end;
    let word = scan.word(piece.at.start);
    let next = joined(scan, end - 1).and_then(|(next, comma)| self::piece(scan, next, comma));
    let is_digit =
        |next: &(Piece, bool)| !next.0.written && next.0.digits.len() == 1 && scan.word(next.0.at.start) != "eine";
    match last {
        _ if word == "eine" => false,
        None => next.as_ref().is_some_and(is_digit),
        Some(last) if last.written => false,
        Some(_) if next.as_ref().is_some_and(is_digit) => true,
        // At the end of what is said.
        Some(_) if word == "ein" => !piece.comma && !scan.gap_after(end - 1).trim().is_empty(),
        Some(_) => counts::after(scan.text, scan.words, scan.german, end - 1) == Counted::Nothing,
    }
}

/// The word where a number goes on after this one, past hesitation and spoken strokes, and whether a comma parts them.
fn joined(scan: &Scan, last: usize) -> Option<(usize, bool)> {
    let (mut word, mut comma) = (last, false);
    for _ in 0..3 {
        if !goes_on(scan, word) {
            return None;
        }
        comma |= scan.gap_after(word).contains(',');
        word += 1;
        let is_joint = match scan.word(word) {
            "um" | "er" => !scan.german,
            "aeh" | "aehm" | "eh" | "ehm" | "hm" | "uh" | "uhm" | "erm" | "schraegstrich" | "querstrich" | "slash"
            | "strich" | "bindestrich" | "minus" | "dash" | "hyphen" => true,
            _ => false,
        };
        if !is_joint {
            return Some((word, comma));
        }
    }
    None
}

/// Nothing but a breath between this word and the next.
pub(super) fn goes_on(scan: &Scan, word: usize) -> bool {
    let gap = scan.gap_after(word);
    !gap.is_empty() && gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | ',' | '-' | '/' | '–'))
}

/// "98203, 0171 2345678", "471108, 50667 Köln": ends a number where another begins. True if it is not sure that one
/// does.
pub(super) fn part(scan: &Scan, pieces: &mut Vec<Piece>) -> bool {
    let digits = |pieces: &[Piece]| pieces.iter().map(|piece| piece.digits.len()).sum::<usize>();
    let total = digits(pieces);
    for at in 1..pieces.len() {
        let (head, rest) = pieces.split_at(at);
        let (last, next) = (&head[at - 1], &rest[0]);
        let begins_with_zero = head[0].digits.starts_with('0');
        let enough = if begins_with_zero { PHONE_DIGITS_MIN } else { COMPLETE_DIGITS_MIN };
        if digits(head) < enough {
            continue;
        }
        let is_phone = next.digits.starts_with('0')
            && digits(rest) >= WHOLE_PHONE_DIGITS_MIN
            && (next.comma || (next.written && is_mobile(&next.digits)));
        // Two that are written at length, with a comma between them.
        let are_whole = next.comma && next.written && last.written && last.digits.len() >= COMPLETE_DIGITS_MIN;
        let is_long = are_whole && total > ONE_NUMBER_DIGITS_MAX;
        let is_other = are_whole && at == 1 && !begins_with_zero && next.digits.len() >= LONG_PIECE_DIGITS;
        if is_phone || is_long || is_other {
            let is_year = next.digits.len() == 4 && ["19", "20"].iter().any(|century| next.digits.starts_with(century));
            let is_place = counts::after(scan.text, scan.words, scan.german, next.at.end - 1) == Counted::Noun;
            let is_sure = is_phone || is_long || is_year || is_place;
            pieces.truncate(at);
            return !is_sure;
        }
    }
    false
}

/// By the code of a German mobile network.
pub(super) fn is_mobile(digits: &str) -> bool {
    ["015", "016", "017"].iter().any(|code| digits.starts_with(code))
}

/// Takes off what counts something: "471108, zwei Wochen". True if it is not sure where the number ends.
pub(super) fn trim(scan: &Scan, pieces: &mut Vec<Piece>) -> bool {
    let mut doubtful = false;
    while let [.., before, last] = pieces.as_slice() {
        let counted = counts::after(scan.text, scan.words, scan.german, last.at.end - 1);
        let spoken_after_written = before.written && !last.written;
        let otherwise = before.written != last.written
            || (before.digits.len() >= LONG_PIECE_DIGITS && last.digits.len() + 2 <= before.digits.len().min(4));
        match counted {
            Counted::Unit => {}
            // Nobody counts thousands in a breath.
            Counted::Noun if last.digits.len() >= LONG_PIECE_DIGITS => break,
            Counted::Noun if (last.comma && otherwise) || spoken_after_written => {}
            Counted::Noun if last.comma => return true,
            // In figures, and then in words: another one may have begun.
            Counted::Nothing if last.comma && spoken_after_written => {
                doubtful = true;
                if before.digits.len() < LONG_PIECE_DIGITS {
                    break;
                }
            }
            _ => break,
        }
        pieces.pop();
    }
    doubtful
}
