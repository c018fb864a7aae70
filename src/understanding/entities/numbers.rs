//! Owns number words: what a word, or words that belong together, says in digits. German and English.
//!
//! "siebenundsiebzig" → 77, "neun und dreißig" → 39, "zwölftausenddreihundertvier" → 12304, "thirty nine" → 39.
//! Leading zeros matter in spoken numbers, so a piece is kept as digits, not as a value.

use crate::understanding::text::Word;

/// Folded.
const UNITS_DE: [(&str, u32); 14] = [
    ("null", 0),
    ("ein", 1),
    ("eins", 1),
    ("eine", 1),
    ("zwei", 2),
    ("zwo", 2),
    ("drei", 3),
    ("vier", 4),
    ("fuenf", 5),
    ("sechs", 6),
    ("sieben", 7),
    ("acht", 8),
    ("neun", 9),
    ("nuell", 0),
];
const TEENS_DE: [(&str, u32); 10] = [
    ("zehn", 10),
    ("elf", 11),
    ("zwoelf", 12),
    ("dreizehn", 13),
    ("vierzehn", 14),
    ("fuenfzehn", 15),
    ("sechzehn", 16),
    ("siebzehn", 17),
    ("achtzehn", 18),
    ("neunzehn", 19),
];
const TENS_DE: [(&str, u32); 9] = [
    ("zwanzig", 20),
    ("dreissig", 30),
    ("vierzig", 40),
    ("fuenfzig", 50),
    ("sechzig", 60),
    ("siebzig", 70),
    ("achtzig", 80),
    ("neunzig", 90),
    ("dreiszig", 30),
];
const UNITS_EN: [(&str, u32); 11] = [
    ("zero", 0),
    ("oh", 0),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
];
const TEENS_EN: [(&str, u32); 10] = [
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
];
const TENS_EN: [(&str, u32); 8] = [
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];

/// One number as it was spoken, which may take several words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// With leading zeros.
    pub digits: String,
    /// How many words it takes.
    pub words: usize,
    /// True for "ein", "eine", "one" and "oh", which are numbers only among others.
    pub weak: bool,
}

/// The number that begins with the first of `words`, if one does.
#[must_use]
pub fn spoken(words: &[Word]) -> Option<Spoken> {
    let first = words.first()?.folded.as_str();
    if first.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Spoken { digits: first.to_owned(), words: 1, weak: false });
    }
    if let Some(times) = multiple(first)
        && let Some(next) = words.get(1).and_then(|word| digit(&word.folded))
    {
        return Some(Spoken { digits: next.to_string().repeat(times), words: 2, weak: false });
    }
    grown(words).or_else(|| {
        let value = german(first).or_else(|| english(first))?;
        Some(Spoken { digits: value.to_string(), words: 1, weak: matches!(first, "ein" | "eine" | "one" | "oh") })
    })
}

/// "doppel fünf", "double five", "triple zero"
fn multiple(word: &str) -> Option<usize> {
    match word {
        "doppel" | "double" => Some(2),
        "triple" | "dreimal" => Some(3),
        _ => None,
    }
}

fn digit(word: &str) -> Option<u32> {
    look(&UNITS_DE, word).or_else(|| look(&UNITS_EN, word)).or_else(|| word.parse().ok()).filter(|&value| value < 10)
}

/// Numbers that a recogniser wrote, or that English writes, in several words.
fn grown(words: &[Word]) -> Option<Spoken> {
    let at = |index: usize| words.get(index).map_or("", |word| word.folded.as_str());
    let of = |value: u32, words: usize| Some(Spoken { digits: value.to_string(), words, weak: false });
    // "neun und dreißig"
    if let (Some(unit), "und", Some(tens)) = (look(&UNITS_DE, at(0)).filter(|&u| u > 0), at(1), look(&TENS_DE, at(2))) {
        return of(tens + unit, 3);
    }
    // "thirty nine"
    if let (Some(tens), Some(unit)) = (look(&TENS_EN, at(0)), look(&UNITS_EN, at(1)).filter(|&unit| unit > 0)) {
        return of(tens + unit, 2);
    }
    // "drei hundert vier", "two thousand and five"
    let scale = match at(1) {
        "hundert" | "hundred" => 100,
        "tausend" | "thousand" => 1000,
        _ => return None,
    };
    let many =
        german(at(0)).or_else(|| english(at(0))).or_else(|| at(0).parse().ok()).filter(|m| (1..1000).contains(m))?;
    let skip = 2 + usize::from(matches!(at(2), "und" | "and"));
    match words.get(skip..).filter(|rest| !rest.is_empty()).and_then(spoken) {
        Some(rest) if !rest.weak && rest.digits.len() < scale.to_string().len() && !rest.digits.starts_with('0') => {
            of(many * scale + rest.digits.parse::<u32>().ok()?, skip + rest.words)
        }
        _ => of(many * scale, 2),
    }
}

/// A German number written as one word, up to 999,999.
#[must_use]
pub fn german(word: &str) -> Option<u32> {
    if let Some((thousands, rest)) = word.split_once("tausend") {
        let thousands = if thousands.is_empty() { 1 } else { below_thousand(thousands)? };
        let rest = rest.strip_prefix("und").unwrap_or(rest);
        let rest = if rest.is_empty() { 0 } else { below_thousand(rest)? };
        return (thousands > 0).then_some(thousands * 1000 + rest);
    }
    below_thousand(word)
}

fn below_thousand(word: &str) -> Option<u32> {
    if let Some((hundreds, rest)) = word.split_once("hundert") {
        let hundreds = if hundreds.is_empty() { 1 } else { look(&UNITS_DE, hundreds).filter(|&h| h > 0)? };
        let rest = rest.strip_prefix("und").unwrap_or(rest);
        let rest = if rest.is_empty() { 0 } else { below_hundred(rest)? };
        return Some(hundreds * 100 + rest);
    }
    below_hundred(word)
}

fn below_hundred(word: &str) -> Option<u32> {
    let whole = look(&UNITS_DE, word).or_else(|| look(&TEENS_DE, word)).or_else(|| look(&TENS_DE, word));
    whole.or_else(|| {
        let (unit, tens) = word.split_once("und")?;
        Some(look(&UNITS_DE, unit).filter(|&unit| unit > 0)? + look(&TENS_DE, tens)?)
    })
}

fn english(word: &str) -> Option<u32> {
    look(&UNITS_EN, word).or_else(|| look(&TEENS_EN, word)).or_else(|| look(&TENS_EN, word))
}

fn look(table: &[(&str, u32)], word: &str) -> Option<u32> {
    table.iter().find(|(name, _)| *name == word).map(|&(_, value)| value)
}

/// A year as it is said in German: "neunzehnhundertachtzig", "zweitausendsechsundzwanzig".
#[must_use]
pub fn year(word: &str) -> Option<u32> {
    let Some((century, rest)) = word.split_once("hundert").filter(|(century, _)| !century.contains("tausend")) else {
        return german(word).filter(|year| *year >= 1000);
    };
    let rest = rest.strip_prefix("und").unwrap_or(rest);
    let rest = if rest.is_empty() { 0 } else { german(rest).filter(|&rest| rest < 100)? };
    Some(german(century).filter(|century| (10..100).contains(century))? * 100 + rest)
}

/// An ordinal from 1 to 31: "dritten", "einundzwanzigsten", "third", or the digits of "3.".
#[must_use]
pub fn ordinal(word: &str) -> Option<u32> {
    let value = match word {
        "ersten" | "erste" | "erster" | "first" | "1st" => Some(1),
        "dritten" | "dritte" | "dritter" | "third" | "3rd" => Some(3),
        "siebten" | "siebte" | "siebter" => Some(7),
        "achten" | "achte" | "achter" | "eighth" => Some(8),
        "second" | "2nd" => Some(2),
        "fifth" => Some(5),
        "ninth" => Some(9),
        "twelfth" => Some(12),
        "twentieth" => Some(20),
        "thirtieth" => Some(30),
        _ => None,
    };
    let german_stem =
        || ["sten", "ste", "ster", "ten", "te", "ter"].iter().find_map(|end| german(word.strip_suffix(end)?));
    let english_stem = || english(word.strip_suffix("th")?);
    let figures = || word.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok();
    value.or_else(german_stem).or_else(english_stem).or_else(figures).filter(|day| (1..=31).contains(day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::understanding::text::{fold, words};

    /// How a German says a number below a million.
    fn say(n: u32) -> String {
        let units = ["", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];
        let below_twenty = [
            "zehn",
            "elf",
            "zwölf",
            "dreizehn",
            "vierzehn",
            "fünfzehn",
            "sechzehn",
            "siebzehn",
            "achtzehn",
            "neunzehn",
        ];
        let tens = ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
        let unit = |n: u32| units[n as usize];
        match n {
            0 => "null".to_owned(),
            1 => "eins".to_owned(),
            2..=9 => unit(n).to_owned(),
            10..=19 => below_twenty[(n - 10) as usize].to_owned(),
            20..=99 if n.is_multiple_of(10) => tens[(n / 10) as usize].to_owned(),
            20..=99 => format!("{}und{}", unit(n % 10), tens[(n / 10) as usize]),
            100..=999 if n.is_multiple_of(100) => format!("{}hundert", unit(n / 100)),
            100..=999 => format!("{}hundert{}", unit(n / 100), say(n % 100)),
            _ => {
                let thousands = say(n / 1000);
                let thousands = thousands.strip_suffix("eins").map_or(thousands.clone(), |stem| format!("{stem}ein"));
                let rest = if n.is_multiple_of(1000) { String::new() } else { say(n % 1000) };
                format!("{thousands}tausend{rest}")
            }
        }
    }

    #[test]
    fn every_number_below_a_million_spoken_in_german_parses_back() {
        for n in 0..1_000_000 {
            let word = say(n);
            assert_eq!(german(&fold(&word)), Some(n), "{word}");
        }
    }

    #[test]
    fn numbers_in_several_words_are_one() {
        for (text, digits, taken) in [
            ("neun und dreißig Euro", "39", 3),
            ("thirty nine pounds", "39", 2),
            ("drei hundert vier Leute", "304", 3),
            ("two thousand and five", "2005", 4),
            ("Doppel fünf", "55", 2),
            ("siebenundvierzig elf", "47", 1),
            ("0049", "0049", 1),
        ] {
            let spoken = spoken(&words(text)).unwrap();
            assert_eq!((spoken.digits.as_str(), spoken.words), (digits, taken), "{text}");
        }
    }

    #[test]
    fn words_that_only_look_like_numbers_are_none() {
        for word in ["achtung", "einfach", "elfenbein", "hundertwasser", "undzwanzig", "neunauge", "und", ""] {
            assert_eq!(german(word), None, "{word}");
        }
    }

    #[test]
    fn days_of_the_month_are_heard() {
        for (word, day) in
            [("dritten", 3), ("einundzwanzigsten", 21), ("zwoelften", 12), ("third", 3), ("fourteenth", 14), ("31", 31)]
        {
            assert_eq!(ordinal(word), Some(day), "{word}");
        }
        assert_eq!((ordinal("zweiunddreissigsten"), ordinal("tausendsten"), ordinal("alten")), (None, None, None));
    }
}
