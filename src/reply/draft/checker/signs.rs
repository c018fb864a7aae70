//! Owns what can be told of a text by its words alone, whatever it is about: the numbers, times and addresses in it,
//! promises, the form of address, and whether it says no. German and English; all words folded.

use std::collections::HashSet;

use crate::understanding::{
    entities::numbers::{self, Spoken},
    text::Word,
};

/// Web and e-mail addresses, also those that are spelled.
pub fn links(text: &str) -> HashSet<String> {
    const ENDS: [&str; 10] = ["de", "com", "net", "org", "at", "ch", "eu", "info", "io", "shop"];
    let around = |c: char| c.is_ascii_punctuation() && c != '/' || matches!(c, '„' | '“' | '”' | '…');
    let pieces = text.split_whitespace().map(|piece| piece.trim_matches(around).to_lowercase());
    let mut found: HashSet<String> = pieces.clone().filter(|piece| is_address(piece)).collect();
    let pieces: Vec<String> = pieces.collect();
    for spelled in pieces.windows(2) {
        if matches!(spelled[0].as_str(), "punkt" | "dot") && ENDS.contains(&spelled[1].as_str()) {
            found.insert(spelled.join(" "));
        }
    }
    found
}

fn is_address(piece: &str) -> bool {
    let domain = |(left, right): (&str, &str)| {
        let name: String = left.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
        let end: String = right.chars().take_while(|c| c.is_alphabetic()).collect();
        name.chars().count() >= 2 && end.chars().count() >= 2 && !name.chars().all(|c| c.is_ascii_digit())
    };
    piece.contains('@')
        || piece.contains("://")
        || piece.starts_with("www")
        || piece.match_indices('.').any(|(at, dot)| domain((&piece[..at], &piece[at + dot.len()..])))
}

/// All numbers, as figures where they are.
pub fn numbers(words: &[Word]) -> HashSet<String> {
    let (mut found, mut at) = (HashSet::new(), 0);
    while at < words.len() {
        match figure(&words[at..]) {
            Some((number, taken)) => {
                found.insert(number);
                at += taken;
            }
            None => at += 1,
        }
    }
    found
}

/// True for a word that by itself is a number.
pub fn is_figure(folded: &str) -> bool {
    figure(&[Word { folded: folded.to_owned(), at: 0..0 }]).is_some()
}

const AMOUNTS: [&str; 22] = [
    "hundred",
    "thousand",
    "million",
    "millionen",
    "dozen",
    "dutzend",
    "half",
    "halb",
    "halbe",
    "halben",
    "haelfte",
    "quarter",
    "viertel",
    "doppelt",
    "doppelte",
    "double",
    "twice",
    "prozent",
    "percent",
    "euro",
    "euros",
    "cent",
];

fn figure(words: &[Word]) -> Option<(String, usize)> {
    let word = words.first()?.folded.as_str();
    if word.contains(|c: char| c.is_numeric()) || AMOUNTS.contains(&word) {
        return Some((word.to_owned(), 1));
    }
    match numbers::spoken(words) {
        Some(Spoken { weak: true, .. }) => None,
        Some(Spoken { digits, words, .. }) => Some((digits, words)),
        // "Zuerst" and "first" say nothing of how many.
        None => numbers::ordinal(word)
            .filter(|&number| number > 1)
            .or_else(|| multiple(word))
            .map(|number| (number.to_string(), 1)),
    }
}

/// "zweimal", "dreifache", "zehntägig"
fn multiple(word: &str) -> Option<u32> {
    const KINDS: [&str; 7] = ["mal", "fach", "taegig", "woechig", "monatig", "stuendig", "prozentig"];
    let stem = KINDS.iter().find_map(|kind| word.find(kind).map(|at| &word[..at]))?;
    numbers::german(stem).filter(|&number| number > 1)
}

const DAYS: [&str; 34] = [
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonnabend",
    "sonntag",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "januar",
    "februar",
    "maerz",
    "april",
    "mai",
    "juni",
    "juli",
    "september",
    "oktober",
    "november",
    "dezember",
    "january",
    "february",
    "june",
    "july",
    "october",
    "december",
    "august",
    "noon",
];
const MOMENTS: [&str; 21] = [
    "heute",
    "morgen",
    "uebermorgen",
    "gestern",
    "vorgestern",
    "abend",
    "mittag",
    "nacht",
    "uhr",
    "oclock",
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "morning",
    "afternoon",
    "evening",
    "night",
    "weekend",
    "midnight",
    "wochenende",
];
const PERIODS: [&str; 17] = [
    "stunde",
    "minute",
    "sekunde",
    "woche",
    "monat",
    "jahr",
    "werktag",
    "arbeitstag",
    "vormittag",
    "nachmittag",
    "tage",
    "hour",
    "week",
    "month",
    "year",
    "days",
    "minutes",
];

/// Days, times and periods.
pub fn times(words: &[Word]) -> HashSet<String> {
    let greeting = |at: usize| {
        let before = at.checked_sub(1).map_or("", |before| words[before].folded.as_str());
        matches!(before, "guten" | "schoenen" | "good" | "nice" | "lovely" | "great")
    };
    let day = |at: usize, word: &str| matches!(word, "tag" | "day") && !greeting(at);
    let times = words.iter().enumerate().filter(|(at, word)| is_time(&word.folded) || day(*at, &word.folded));
    times.map(|(_, word)| word.folded.clone()).collect()
}

pub fn is_time(folded: &str) -> bool {
    let plural = |day: &&&str| folded.strip_prefix(**day).is_some_and(|end| matches!(end, "" | "s" | "e" | "en"));
    DAYS.iter().chain(&MOMENTS).any(|day| plural(&day))
        || PERIODS.iter().any(|period| folded.starts_with(period))
        || matches!(folded, "abends" | "nachts" | "mittags" | "morgens" | "fruehmorgens")
}

/// Beginnings of words that promise something.
const PROMISES: [&str; 54] = [
    "garant",
    "versprech",
    "versprich",
    "versproch",
    "erstatt",
    "rueckerstatt",
    "kostenlos",
    "kostenfrei",
    "gratis",
    "umsonst",
    "geschenk",
    "schenk",
    "gutschrift",
    "gutschein",
    "rabatt",
    "nachlass",
    "ersatz",
    "ersetz",
    "entschaedig",
    "schadenersatz",
    "schadensersatz",
    "kulan",
    "zusicher",
    "zusage",
    "zugesagt",
    "sicherstell",
    "hundertprozent",
    "sofort",
    "umgehend",
    "unverzueglich",
    "schnellst",
    "baldmoeglich",
    "kuerze",
    "bald",
    "demnaechst",
    "gleich",
    "rasch",
    "zeitnah",
    "guarant",
    "promis",
    "refund",
    "reimburs",
    "compensat",
    "complimentary",
    "voucher",
    "discount",
    "gift",
    "replac",
    "assur",
    "ensur",
    "immediate",
    "instant",
    "prompt",
    "shortly",
];

/// The promises that are made, each by its beginning.
pub fn promises(words: &[Word]) -> HashSet<&'static str> {
    let mut found = HashSet::new();
    for (at, word) in words.iter().enumerate() {
        found.extend(PROMISES.iter().filter(|promise| word.folded.starts_with(**promise)));
        let before = |back: usize| at.checked_sub(back).map_or("", |before| words[before].folded.as_str());
        match word.folded.as_str() {
            "free" if before(1) != "feel" => drop(found.insert("free")),
            "soon" if before(1) != "as" => drop(found.insert("soon")),
            "possible" if before(1) == "as" => drop(found.insert("as possible")),
            "moeglich" if before(1) == "wie" => drop(found.insert("wie moeglich")),
            "once" if before(1) == "at" => drop(found.insert("at once")),
            "away" if before(1) == "right" => drop(found.insert("right away")),
            "sicher" if before(1) == "stellen" => drop(found.insert("stellen sicher")),
            _ => {}
        }
    }
    found
}

/// Words by which something is left open.
pub const CONDITIONS: [&str; 8] = ["ob", "whether", "if", "falls", "moeglich", "possible", "wenn", "can"];

/// How often the text says no; "noch nicht" and "not yet" do not count.
pub fn negations(words: &[Word]) -> usize {
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", |word| word.folded.as_str());
    let denies = |at: usize| match word(Some(at)) {
        "nicht" => !matches!(word(at.checked_sub(1)), "noch" | "immer"),
        "not" => word(Some(at + 1)) != "yet",
        other => {
            matches!(other, "nie" | "niemals" | "never" | "cannot" | "no" | "nothing" | "nichts" | "without" | "ohne")
                || (other.starts_with("kein") && other.len() <= 6)
                || (other.ends_with("nt") && matches!(other, "dont" | "doesnt" | "wont" | "cant" | "isnt" | "arent"))
        }
    };
    (0..words.len()).filter(|&at| denies(at)).count()
}

pub fn is_informal(folded: &str) -> bool {
    matches!(folded, "du" | "dich" | "dir" | "euch" | "euer")
        || folded.starts_with("dein")
        || folded.starts_with("eure")
}

pub fn is_polite(folded: &str) -> bool {
    matches!(folded, "sie" | "ihnen" | "ihr" | "ihre" | "ihrem" | "ihren" | "ihrer" | "ihres")
}
