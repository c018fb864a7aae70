//! Owns amounts of money: "39,90 Euro", "neununddreißig Euro neunzig", "fünfzig Cent", "nineteen ninety nine".

use super::{
    Scan, Standing,
    counts::{self, Counted},
    numbers,
};

pub(super) fn find(scan: &mut Scan) {
    let mut at = 0;
    while at < scan.words.len() {
        let found = amount(scan, at).or_else(|| bare(scan, at).map(|(value, end)| (value, Standing::Said, end)));
        match found {
            Some((value, standing, end)) if scan.is_free(at..end) => {
                scan.take("amount", value, standing, at..end);
                at = end;
            }
            _ => at += 1,
        }
    }
}

fn currency(word: &str) -> Option<&'static str> {
    match word {
        "euro" | "euros" | "eur" => Some("EUR"),
        "franken" | "chf" => Some("CHF"),
        "pound" | "pounds" => Some("GBP"),
        "dollar" | "dollars" => Some("USD"),
        _ => None,
    }
}

fn sign(sign: char) -> Option<&'static str> {
    match sign {
        '€' => Some("EUR"),
        '£' => Some("GBP"),
        '$' => Some("USD"),
        _ => None,
    }
}

/// "£49.90", but not what belongs to the amount before: "50 € 20 Stück".
fn sign_before(text: &str) -> Option<&'static str> {
    let mut before = text.trim_end().chars();
    let currency = before.next_back().and_then(sign)?;
    let rest = before.as_str().trim_end();
    (!rest.ends_with(|c: char| c.is_ascii_digit())).then_some(currency)
}

fn amount(scan: &Scan, at: usize) -> Option<(String, Standing, usize)> {
    let (whole, cents, mut end) = number(scan, at)?;
    let before = sign_before(&scan.text[..scan.words[at].at.start]);
    let behind = scan.words.get(end - 1).and_then(|word| scan.text[word.at.end..].trim_start().chars().next());
    if let Some(currency) = behind.and_then(sign).or(before) {
        return Some((shown(scan, whole, cents, Some(currency)), Standing::Said, end));
    }
    if matches!(scan.word(end), "cent" | "cents") && cents == 0 && whole < 100 {
        return Some((shown(scan, 0, whole, Some("EUR")), Standing::Said, end + 1));
    }
    let currency = currency(scan.word(end))?;
    end += 1;
    if cents > 0 {
        return Some((shown(scan, whole, cents, Some(currency)), Standing::Said, end));
    }
    // "… Euro neunzig", "… Euro und fünf Cent"
    let skip = usize::from(matches!(scan.word(end), "und" | "and"));
    let after = scan.words.get(end + skip..).and_then(numbers::spoken);
    let joined = scan.gap_after(end - 1).trim().is_empty();
    if let Some(part) = after.filter(|part| joined && !part.weak && part.digits.len() <= 2)
        && let Ok(cents) = part.digits.parse::<u32>()
    {
        let next = end + skip + part.words;
        let named = matches!(scan.word(next), "cent" | "cents");
        let counted = counts::after(scan.text, scan.words, scan.german, next - 1);
        // "59 Euro 12 Monate" has no cents, "39 Euro 90 Gebühr" may have: better no amount than a wrong one.
        if named || (skip == 0 && cents >= 10 && counted != Counted::Unit) {
            let standing = if named || counted == Counted::Nothing { Standing::Said } else { Standing::Withdrawn };
            return Some((shown(scan, whole, cents, Some(currency)), standing, next + usize::from(named)));
        }
    }
    Some((shown(scan, whole, 0, Some(currency)), Standing::Said, end))
}

/// Whole, hundredths, and the word after.
fn number(scan: &Scan, at: usize) -> Option<(u32, u32, usize)> {
    let word = scan.word(at);
    if let Some((hundreds, cents)) = thousands(scan, at) {
        return Some((format!("{word}{hundreds}").parse().ok()?, cents.parse().ok()?, at + 2));
    }
    if word.contains([',', '.']) {
        let (whole, cents) = match word.len().checked_sub(3).and_then(|cut| word.split_at_checked(cut)) {
            Some((whole, cents)) if cents.starts_with([',', '.']) => (whole, &cents[1..]),
            _ => (word, "0"),
        };
        let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
        return Some((whole.parse().ok()?, cents.parse().ok()?, at + 1));
    }
    let spoken = numbers::spoken(scan.words.get(at..)?)?;
    Some((spoken.digits.parse().ok()?, 0, at + spoken.words))
}

/// "1 249 Euro", "1 249,50 €": what a space parts from the thousands, and its hundredths.
fn thousands<'a>(scan: &'a Scan, at: usize) -> Option<(&'a str, &'a str)> {
    let (first, rest) = (scan.word(at), scan.word(at + 1));
    let is_figures = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (hundreds, cents) = rest.split_once([',', '.']).unwrap_or((rest, "00"));
    let gap = scan.gap_after(at);
    let parted = !gap.is_empty() && gap.chars().all(char::is_whitespace);
    let behind = scan.words.get(at + 1).and_then(|word| scan.text[word.at.end..].trim_start().chars().next());
    let is_money = currency(scan.word(at + 2)).is_some() || behind.and_then(sign).is_some();
    let fits = is_figures(first)
        && first.len() <= 3
        && is_figures(hundreds)
        && hundreds.len() == 3
        && is_figures(cents)
        && cents.len() == 2;
    (fits && parted && is_money && !first.starts_with('0')).then_some((hundreds, cents))
}

/// "a charge of nineteen ninety nine", "neunundvierzig neunzig abgebucht": two numbers beside a word of paying.
fn bare(scan: &Scan, at: usize) -> Option<(String, usize)> {
    const PAYING: [&str; 7] = ["charge", "charged", "paid", "pay", "price", "cost", "costs"];
    const PAYING_DE: [&str; 8] =
        ["abgebucht", "eingezogen", "bezahlt", "gezahlt", "berechnet", "kostet", "gekostet", "ueberwiesen"];
    let paying = if scan.german { &PAYING_DE[..] } else { &PAYING[..] };
    let whole = numbers::spoken(&scan.words[at..])?;
    let cents = numbers::spoken(scan.words.get(at + whole.words..)?)?;
    let end = at + whole.words + cents.words;
    let before = (1..=3).any(|back| at.checked_sub(back).is_some_and(|w| paying.contains(&scan.word(w))));
    let behind = scan.german && paying.contains(&scan.word(end));
    let in_words = (at..end).all(|word| !scan.word(word).starts_with(|c: char| c.is_ascii_digit()));
    let counts = scan.german && counts::after(scan.text, scan.words, true, end - 1) != Counted::Nothing;
    let parted = scan.german && (!in_words || scan.gap_after(at + whole.words - 1) != " " || whole.weak);
    // A third number, and it is something else that is read out.
    let goes_on = scan.words.get(end..).and_then(numbers::spoken).is_some();
    if !(before || behind) || counts || parted || goes_on || cents.digits.len() != 2 || whole.digits.len() > 3 {
        return None;
    }
    Some((shown(scan, whole.digits.parse().ok()?, cents.digits.parse().ok()?, None), end))
}

/// As it is written in the customer's language.
fn shown(scan: &Scan, whole: u32, cents: u32, currency: Option<&str>) -> String {
    let point = if scan.german { ',' } else { '.' };
    let currency = currency.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{whole}{point}{cents:02}{currency}")
}
