//! Owns mail addresses, written ("info@beispiel.de") or spoken ("max Punkt muster at beispiel Punkt de").
//!
//! A spoken one is a fact only if it is clear where it begins: what stands before its first word is a separator or
//! announces it. Of "sabine 1978 at gmail dot com" nobody knows whether the name belongs to it.

use super::{Scan, Standing};
use crate::understanding::text::Word;

const TOP_LEVEL: [&str; 25] = [
    "de", "com", "net", "org", "at", "ch", "eu", "info", "uk", "fr", "it", "nl", "be", "lu", "pl", "cz", "dk", "se",
    "es", "tr", "io", "biz", "shop", "online", "co",
];
/// Said before an address.
const ANNOUNCING: [&str; 30] = [
    "ist",
    "lautet",
    "an",
    "unter",
    "auf",
    "adresse",
    "mailadresse",
    "emailadresse",
    "email",
    "mail",
    "mails",
    "per",
    "is",
    "to",
    "on",
    "under",
    "address",
    "waere",
    "war",
    "also",
    "aeh",
    "aehm",
    "bitte",
    "und",
    "and",
    "oder",
    "or",
    "von",
    "from",
    "nochmal",
];
/// Said of how an address is written, between it and its sign.
const REMARKS: [&str; 14] = [
    "alles",
    "klein",
    "kleingeschrieben",
    "gross",
    "grossgeschrieben",
    "zusammen",
    "zusammengeschrieben",
    "geschrieben",
    "in",
    "einem",
    "wort",
    "all",
    "lowercase",
    "together",
];
/// So many words before the sign may belong to an address that nothing announces.
const UNANNOUNCED_WORDS_MAX: usize = 3;

pub(super) fn find(scan: &mut Scan) {
    for at in 1..scan.words.len() {
        let written = scan.gap_after(at - 1) == "@";
        let spoken = is_sign(scan.word(at)) && at + 1 < scan.words.len();
        let found = if written {
            written_address(scan, at)
        } else if spoken {
            spoken_address(scan, at)
        } else {
            None
        };
        if let Some((value, standing, at)) = found
            && scan.is_free(at.clone())
        {
            scan.take("email", value, standing, at);
        }
    }
}

fn is_sign(word: &str) -> bool {
    matches!(word, "at" | "aet" | "klammeraffe" | "affenschwanz")
}

fn separator(word: &str) -> Option<char> {
    match word {
        "punkt" | "dot" => Some('.'),
        "minus" | "bindestrich" | "dash" | "hyphen" => Some('-'),
        "unterstrich" | "underscore" => Some('_'),
        _ => None,
    }
}

/// What a keyboard puts between the words of an address.
fn joint(gap: &str) -> bool {
    matches!(gap, "." | "-" | "_" | "+")
}

type Address = (String, Standing, std::ops::Range<usize>);

/// As somebody wrote it: all that no space parts.
fn written_address(scan: &Scan, second: usize) -> Option<Address> {
    let (mut start, mut end) = (second - 1, second);
    while start > 0 && joint(scan.gap_after(start - 1)) {
        start -= 1;
    }
    while matches!(scan.gap_after(end), "." | "-") {
        end += 1;
    }
    let last = scan.word(end);
    let has_domain = end > second && last.len() >= 2 && last.bytes().all(|b| b.is_ascii_alphabetic());
    let value = scan.text[scan.words[start].at.start..scan.words[end].at.end].to_lowercase();
    (has_domain && value.is_ascii()).then_some((value, Standing::Said, start..end + 1))
}

fn spoken_address(scan: &Scan, sign: usize) -> Option<Address> {
    let (end, domain) = domain(scan, sign + 1)?;
    let last = before_remarks(scan.words, sign)?;
    let (start, local) = local_part(scan, last);
    let announced = begins_clearly(scan.text, scan.words, start);
    // A remark with nothing else before it says nothing.
    let is_named = local.bytes().any(|b| b.is_ascii_alphanumeric());
    let standing = if announced && is_named { Standing::Said } else { Standing::Withdrawn };
    Some((format!("{local}@{domain}"), standing, said_from(scan.text, scan.words, sign)..end))
}

/// The word where the local part of a spoken address begins, for all that anybody knows: it takes along what may belong
/// to it. `sign` is the word that says "@".
pub(crate) fn said_from(text: &str, words: &[Word], sign: usize) -> usize {
    let word = |at: usize| words.get(at).map_or("", |word| word.folded.as_str());
    let mut start = before_remarks(words, sign).unwrap_or(sign - 1);
    while start > 0 {
        if start >= 2 && separator(word(start - 1)).is_some() {
            start -= 2;
        } else if joint(&text[words[start - 1].at.end..words[start].at.start])
            || (is_letter(text, &words[start]) && is_letter(text, &words[start - 1]))
        {
            start -= 1;
        } else {
            break;
        }
    }
    let mut taken = 0;
    while !begins_clearly(text, words, start) && taken < UNANNOUNCED_WORDS_MAX {
        start -= 1;
        taken += 1;
    }
    start
}

/// Nothing before it belongs to it.
fn begins_clearly(text: &str, words: &[Word], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).and_then(|at| words.get(at)) else { return true };
    let gap = &text[before.at.end..words[start].at.start];
    gap.contains(['.', '!', '?', ':', ';']) || ANNOUNCING.contains(&before.folded.as_str())
}

/// The last word before the sign that is no remark on the spelling.
fn before_remarks(words: &[Word], sign: usize) -> Option<usize> {
    (0..sign).rev().find(|&at| !REMARKS.contains(&words[at].folded.as_str()))
}

fn is_letter(text: &str, word: &Word) -> bool {
    text[word.at.clone()].chars().count() == 1
}

/// Backwards from its last word: what separators join, and what is spelled letter by letter.
fn local_part(scan: &Scan, last: usize) -> (usize, String) {
    let mut start = last;
    let mut local = scan.word(last).to_owned();
    let spelled = |at: usize| is_letter(scan.text, &scan.words[at]);
    loop {
        let before = start.checked_sub(1);
        if let Some(gap) = before.map(|before| scan.gap_after(before)).filter(|gap| joint(gap)) {
            start -= 1;
            local = format!("{}{gap}{local}", scan.word(start));
        } else if let Some(sign) = start.checked_sub(2).and_then(|at| separator(scan.word(at + 1))) {
            start -= 2;
            local = format!("{}{sign}{local}", scan.word(start));
        } else if before.is_some_and(|before| spelled(start) && spelled(before)) {
            start -= 1;
            local = format!("{}{local}", scan.word(start));
        } else {
            return (start, local);
        }
    }
}

/// Forwards to a top-level domain, and on while another one follows: "com punkt tr". None if there is none.
fn domain(scan: &Scan, first: usize) -> Option<(usize, String)> {
    let mut domain = scan.word(first).to_owned();
    let mut last = first;
    let mut whole = None;
    loop {
        let (sign, next) = match scan.gap_after(last) {
            "." => (Some('.'), last + 1),
            "-" => (Some('-'), last + 1),
            // "g m x"
            _ if domain.len() == last + 1 - first
                && last + 1 < scan.words.len()
                && is_letter(scan.text, &scan.words[last + 1]) =>
            {
                (None, last + 1)
            }
            _ => match separator(scan.word(last + 1)) {
                Some(sign) => (Some(sign), last + 2),
                None => return whole,
            },
        };
        let part = scan.word(next);
        let is_top = sign == Some('.') && TOP_LEVEL.contains(&part);
        if part.is_empty() || (whole.is_some() && !is_top) {
            return whole;
        }
        domain.extend(sign);
        domain.push_str(part);
        last = next;
        if is_top {
            whole = Some((last + 1, domain.clone()));
        }
    }
}
