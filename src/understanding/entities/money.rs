//! Owns amounts of money: "39,90 Euro", "neununddreißig Euro neunzig", "fünfzig Cent", "nineteen ninety nine".

use super::{Scan, numbers};

pub(super) fn find(scan: &mut Scan) {
    let mut at = 0;
    while at < scan.words.len() {
        let found = amount(scan, at).or_else(|| bare_english(scan, at));
        match found {
            Some((value, end)) if scan.is_free(at..end) => {
                scan.take("amount", value, false, at..end);
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

fn amount(scan: &Scan, at: usize) -> Option<(String, usize)> {
    let (whole, cents, mut end) = number(scan, at)?;
    let sign = scan.words.get(end - 1).map(|word| scan.text[word.at.end..].trim_start()).unwrap_or_default();
    if sign.starts_with('€') {
        return Some((shown(scan, whole, cents, Some("EUR")), end));
    }
    if matches!(scan.word(end), "cent" | "cents") && cents == 0 && whole < 100 {
        return Some((shown(scan, 0, whole, Some("EUR")), end + 1));
    }
    let currency = currency(scan.word(end))?;
    end += 1;
    if cents > 0 {
        return Some((shown(scan, whole, cents, Some(currency)), end));
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
        if named || (skip == 0 && cents >= 10) {
            return Some((shown(scan, whole, cents, Some(currency)), next + usize::from(named)));
        }
    }
    Some((shown(scan, whole, 0, Some(currency)), end))
}

/// Whole, hundredths, and the word after.
fn number(scan: &Scan, at: usize) -> Option<(u32, u32, usize)> {
    let word = scan.word(at);
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

/// "a charge of nineteen ninety nine": two numbers below a hundred after a word of paying.
fn bare_english(scan: &Scan, at: usize) -> Option<(String, usize)> {
    const PAYING: [&str; 7] = ["charge", "charged", "paid", "pay", "price", "cost", "costs"];
    if scan.german || !(1..=3).any(|back| at.checked_sub(back).is_some_and(|w| PAYING.contains(&scan.word(w)))) {
        return None;
    }
    let whole = numbers::spoken(&scan.words[at..])?;
    let cents = numbers::spoken(scan.words.get(at + whole.words..)?)?;
    if cents.digits.len() != 2 || whole.digits.len() > 3 {
        return None;
    }
    let end = at + whole.words + cents.words;
    Some((shown(scan, whole.digits.parse().ok()?, cents.digits.parse().ok()?, None), end))
}

/// As it is written in the customer's language.
fn shown(scan: &Scan, whole: u32, cents: u32, currency: Option<&str>) -> String {
    let point = if scan.german { ',' } else { '.' };
    let currency = currency.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{whole}{point}{cents:02}{currency}")
}
