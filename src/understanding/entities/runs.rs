//! Owns numbers that are read out: digit by digit, in pairs, with letters before them. Which kind they are is said by
//! the words around them, as far as their form allows it.

use std::{collections::BTreeMap, ops::Range};

use super::{
    EntityRule, Scan, Standing,
    announced::{Announced, announced},
    corrections,
    counts::{self, Counted},
    iban,
    pieces::{COMPLETE_DIGITS_MIN, PHONE_DIGITS_MIN, goes_on, is_mobile, part, pieces, trim},
};

/// Lines that no customer has: free of charge, shared cost, premium.
const SERVICE_LINES: [&str; 4] = ["0800", "0180", "0137", "0900"];
const DIGITS_MAX: usize = 34;
const POSTAL_CODE_DIGITS: usize = 5;

/// A number, what it is, and how sure.
pub(super) struct Read {
    pub value: String,
    pub at: Range<usize>,
    pub kind: Option<String>,
    /// It was named, and as something that nobody asked for.
    pub is_other: bool,
    pub standing: Standing,
}

impl Read {
    /// A checksum is not talked away.
    pub(super) fn doubt(&mut self) {
        if self.standing == Standing::Said {
            self.standing = Standing::Doubtful;
        }
    }
}

/// A number as it was read out.
struct Run {
    value: String,
    at: Range<usize>,
    /// It may end elsewhere.
    doubtful: bool,
    /// Read in one go, without letters.
    single: bool,
}

pub(super) fn find(scan: &mut Scan, rules: &BTreeMap<String, EntityRule>) {
    let mut reads = Vec::new();
    let mut from = 0;
    while from < scan.words.len() {
        let Some(run) = run(scan, from) else {
            from += 1;
            continue;
        };
        from = run.at.end;
        let announced = announced(scan, &run.at, rules);
        let is_other = announced.as_ref().is_some_and(|announced| announced.kind.is_none());
        let kind = kind(scan, &run, announced);
        let standing = match kind.as_deref() {
            Some("iban") if iban::is_valid(&run.value) => Standing::Proven,
            _ if run.doubtful => Standing::Doubtful,
            _ => Standing::Said,
        };
        reads.push(Read { value: run.value, at: run.at, kind, is_other, standing });
    }
    corrections::apply(scan, &mut reads);
    for read in reads {
        if let Some(kind) = read.kind {
            scan.take(&kind, read.value, read.standing, read.at);
        }
    }
}

/// The number that begins at this word: letters first, then digits.
fn run(scan: &Scan, from: usize) -> Option<Run> {
    let mut value = String::new();
    let mut at = from;
    if scan.word(at) == "plus" || (at < scan.words.len() && scan.text[..scan.words[at].at.start].ends_with('+')) {
        value.push('+');
        at += usize::from(scan.word(at) == "plus");
    }
    let mut open = true;
    while let Some((letters, next)) = letters(scan, at).filter(|_| open) {
        value.push_str(&letters);
        at = next;
        open = goes_on(scan, at - 1);
    }
    let has_letters = value.bytes().any(|b| b.is_ascii_uppercase());
    let (mut pieces, mut doubtful) =
        if open { pieces(scan, at, DIGITS_MAX - value.len().min(DIGITS_MAX)) } else { (Vec::new(), false) };
    if pieces.is_empty() {
        let mixed = value.bytes().any(|b| b.is_ascii_digit());
        return mixed.then_some(Run { value, at: from..at, doubtful, single: false });
    }
    if !has_letters {
        doubtful |= part(scan, &mut pieces);
    }
    doubtful |= trim(scan, &mut pieces);
    doubtful |= pieces.iter().any(|piece| piece.doubtful);
    let single = value.is_empty() && pieces.len() == 1;
    let end = pieces.last()?.at.end;
    value.extend(pieces.into_iter().map(|piece| piece.digits));
    Some(Run { value, at: from..end, doubtful, single })
}

/// A letter, "A wie Anton", or a word of capitals and digits that the recogniser wrote.
fn letters(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let word = scan.words.get(at).filter(|_| scan.is_free(at..at + 1))?;
    let written = &scan.text[word.at.clone()];
    let single = written.len() == 1 && written.bytes().all(|b| b.is_ascii_alphabetic());
    if single && matches!(scan.word(at + 1), "wie" | "as" | "for") && at + 2 < scan.words.len() {
        return Some((written.to_ascii_uppercase(), at + 3));
    }
    // "IBAN ist De 89": the country of an account, which the recogniser took for a word.
    let country = written.len() == 2
        && written.bytes().all(|b| b.is_ascii_alphabetic())
        && scan.word(at + 1).starts_with(|c: char| c.is_ascii_digit())
        && (1..=3).any(|back| at.checked_sub(back).is_some_and(|before| scan.word(before) == "iban"));
    if country {
        return Some((written.to_ascii_uppercase(), at + 1));
    }
    let code = written.len() <= DIGITS_MAX
        && written.starts_with(|c: char| c.is_ascii_uppercase())
        && written.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && (written.len() <= 3 || written.bytes().any(|b| b.is_ascii_digit()));
    let spelled = single && written.bytes().all(|b| b.is_ascii_uppercase());
    (spelled || code).then(|| (written.to_owned(), at + 1))
}

fn kind(scan: &Scan, run: &Run, announced: Option<Announced>) -> Option<String> {
    let value = &run.value;
    if iban::is_valid(value) {
        return Some("iban".to_owned());
    }
    let is_phone = value.starts_with(['0', '+'])
        && value.len() >= PHONE_DIGITS_MIN
        && !SERVICE_LINES.iter().any(|line| value.starts_with(line));
    let Some(Announced { kind, bare, adjacent }) = announced else {
        return is_phone.then(|| "phone".to_owned());
    };
    let kind = kind?;
    let fits = match kind.as_str() {
        "iban" => iban::looks_like(value),
        "phone" => is_phone,
        // "Kundennummer 98203, 0171 2345678": it says by itself what it is.
        _ if is_phone && is_mobile(value) && !adjacent => return Some("phone".to_owned()),
        _ => is_number_of_its_own(scan, run, bare, adjacent),
    };
    fits.then_some(kind)
}

/// Neither a count ("Bestellung von drei Tischen") nor a postal code ("die Bestellung sollte nach 50667 Köln").
fn is_number_of_its_own(scan: &Scan, run: &Run, bare: bool, adjacent: bool) -> bool {
    let length = run.value.len();
    let counted = counts::after(scan.text, scan.words, scan.german, run.at.end - 1);
    let is_count = run.single && counted == Counted::Unit;
    let may_be_place = length <= POSTAL_CODE_DIGITS && counted == Counted::Noun && (bare || !adjacent);
    let enough = if bare { length >= COMPLETE_DIGITS_MIN } else { length >= 3 || run.at.len() >= 3 };
    // "Kundennummer 98203, seit 2019"
    let is_year = run.single && length == 4 && ["19", "20"].iter().any(|century| run.value.starts_with(century));
    enough && !is_count && !may_be_place && (adjacent || !is_year)
}
