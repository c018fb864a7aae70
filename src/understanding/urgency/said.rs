//! Owns whether something is said in a note: where its clauses end, where a phrase stands, and whether it is denied there.
//!
//! In a phrase `*` at the start or end of a word stands for the rest of it and alone for any one word; `**` stands for up
//! to four words of the same clause, so that "riecht ** nach gas" is also heard in "riecht hier ganz stark nach Gas".

use std::ops::Range;

use crate::understanding::text::{self, Word};

/// The word of a phrase that stands for a few others, or for none.
const GAP: &str = "**";
const GAP_WORDS: usize = 4;

/// What stands behind a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    None,
    Clause,
    Sentence,
}

/// A note's words with what its punctuation says of them.
#[derive(Debug)]
pub(crate) struct Spoken<'a> {
    words: &'a [Word],
    stops: Vec<Stop>,
    /// True for the words of a question.
    asked: Vec<bool>,
}

/// Where a phrase is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// From its first word to behind its last.
    pub words: Range<usize>,
    /// Those of them that the phrase itself names; between them are its gaps.
    pub named: Vec<usize>,
}

impl<'a> Spoken<'a> {
    pub(crate) fn new(note: &str, words: &'a [Word]) -> Self {
        let (mut stops, mut asked) = (vec![Stop::None; words.len()], vec![false; words.len()]);
        let mut question = false;
        for at in (0..words.len()).rev() {
            let next = words.get(at + 1).map_or(note.len(), |next| next.at.start);
            let between = &note[words[at].at.end..next];
            if let Some(end) = between.chars().find(|c| matches!(c, '.' | '!' | '?' | '…' | '\n')) {
                question = end == '?';
                stops[at] = Stop::Sentence;
            } else if between.chars().any(|c| matches!(c, ',' | ';' | ':' | '–' | '—' | '(' | ')')) {
                stops[at] = Stop::Clause;
            }
            asked[at] = question;
        }
        if let Some(last) = stops.last_mut() {
            *last = Stop::Sentence;
        }
        Self { words, stops, asked }
    }

    pub(crate) fn stop(&self, word: usize) -> Stop {
        self.stops[word]
    }

    /// The first place from the word `from` on where the phrase is said.
    pub(crate) fn find(&self, phrase: &[String], from: usize) -> Option<Said> {
        (from..self.words.len()).find_map(|start| {
            let mut named = Vec::new();
            self.reach(start, phrase, &mut named).then(|| {
                let end = named.last().map_or(start, |last| last + 1);
                Said { words: start..end, named }
            })
        })
    }

    /// All places where it is said, each behind the start of the one before.
    pub(crate) fn all<'s>(&'s self, phrase: &'s [String]) -> impl Iterator<Item = Said> + 's {
        let mut from = 0;
        std::iter::from_fn(move || {
            let said = self.find(phrase, from)?;
            from = said.words.start + 1;
            Some(said)
        })
    }

    fn reach(&self, at: usize, phrase: &[String], named: &mut Vec<usize>) -> bool {
        let Some(first) = phrase.first() else { return !named.is_empty() };
        if first == GAP {
            for next in at..=(at + GAP_WORDS).min(self.words.len()) {
                if next > 0 && self.stops[next - 1] != Stop::None {
                    return false;
                }
                if self.reach(next, &phrase[1..], named) {
                    return true;
                }
            }
            return false;
        }
        if self.words.get(at).is_none() || !text::begins_with(&self.words[at..], &phrase[..1]) {
            return false;
        }
        named.push(at);
        let reached = self.reach(at + 1, &phrase[1..], named);
        if !reached {
            named.pop();
        }
        reached
    }

    /// The clause around a place.
    pub(crate) fn clause(&self, at: &Range<usize>) -> Range<usize> {
        let mut clause = at.clone();
        while clause.start > 0 && self.stops[clause.start - 1] == Stop::None {
            clause.start -= 1;
        }
        while clause.end < self.words.len() && self.stops[clause.end - 1] == Stop::None {
            clause.end += 1;
        }
        clause
    }

    fn word(&self, at: usize) -> &str {
        &self.words[at].folded
    }

    /// Whether it is denied where it is said: "das ist nicht ganz so dringend", "keine akute Gefahr", "es eilt überhaupt
    /// nicht".
    ///
    /// A denial reaches what it denies over small words only, so what was denied before in the same breath, or where the
    /// recogniser left out the comma, changes nothing. In a question nothing is denied: "ist das nicht gefährlich?"
    pub(crate) fn is_denied(&self, said: &Said) -> bool {
        !self.asked[said.words.start]
            && (self.is_denied_before(said) || self.is_denied_between(said) || self.is_denied_behind(said))
    }

    fn is_denied_before(&self, said: &Said) -> bool {
        let start = said.words.start;
        if STARTS.contains(&self.word(start)) {
            return false;
        }
        for at in (0..start).rev() {
            let word = self.word(at);
            if self.stops[at] != Stop::None {
                return false;
            }
            if LACKS.contains(&word) {
                return true;
            }
            if NOTS.contains(&word) {
                return !THINGS.iter().any(|thing| self.word(start).starts_with(thing));
            }
            if !SMALL.contains(&word) {
                return false;
            }
        }
        false
    }

    fn is_denied_between(&self, said: &Said) -> bool {
        said.words.clone().any(|at| !said.named.contains(&at) && is_negation(self.word(at)))
    }

    fn is_denied_behind(&self, said: &Said) -> bool {
        if !said.named.iter().any(|&at| is_predicate(self.word(at))) {
            return false;
        }
        for at in said.words.end..self.words.len() {
            let word = self.word(at);
            let next = self.words.get(at + 1).map_or("", |next| next.folded.as_str());
            if self.stops[at - 1] != Stop::None || (matches!(word, "das" | "es") && matches!(next, "ist" | "war")) {
                return false;
            }
            if NOTS.contains(&word) {
                return !matches!(next, "nur" | "bloss" | "allein" | "only" | "just");
            }
            if !SMALL.contains(&word) {
                return false;
            }
        }
        false
    }

    /// Whether it is said that this is none: "das ist kein Notruf". That something of the kind is lacking ("ich habe kein
    /// Insulin", "der Notruf geht nicht") is the opposite of a denial.
    pub(crate) fn is_called_none(&self, said: &Said) -> bool {
        let Range { start, end } = said.words;
        let before: Vec<&str> = (start.saturating_sub(4)..start)
            .filter(|&at| self.stops[at] == Stop::None)
            .map(|at| self.word(at))
            .filter(|word| !matches!(*word, "a" | "an" | "ja" | "jetzt"))
            .collect();
        let named = match before.as_slice() {
            [.., subject, "ist" | "war" | "waere" | "is" | "was", no] => {
                matches!(*subject, "es" | "das" | "dies" | "it" | "this" | "that") && is_negation(no)
            }
            [.., "its" | "thats", no] => is_negation(no),
            [.., "it" | "this" | "that", "isnt" | "wasnt"] => true,
            _ => false,
        };
        named && self.stops[end - 1] != Stop::None && !self.asked[start]
    }

    /// Whether it is stated: neither denied in its clause, nor asked, wished or reported of others.
    pub(crate) fn is_stated(&self, said: &Said) -> bool {
        let doubtful = |at: usize| is_negation(self.word(at)) || DOUBTS.contains(&self.word(at));
        !self.asked[said.words.start] && !self.clause(&said.words).any(doubtful)
    }

    /// Whether a word is somebody's name: "Frau Sauer", "mein Name ist Sauer". "Meine Frau" is nobody's title.
    pub(crate) fn is_name(&self, at: usize) -> bool {
        let before = |n: usize| at.checked_sub(n).map_or("", |at| self.word(at));
        let title = TITLES.contains(&before(1)) && !POSSESSIVES.contains(&before(2));
        title || matches!((before(2), before(1)), (_, "heisse") | ("name", "ist" | "is"))
    }
}

/// What says that a statement does not hold.
const NOTS: [&str; 17] = [
    "nicht", "nich", "ned", "net", "nit", "nie", "niemals", "nimmer", "weder", "not", "isnt", "wasnt", "dont",
    "doesnt", "didnt", "arent", "never",
];

/// What says that there is none of what follows. "Keiner" is nobody, and denies nothing that follows.
const LACKS: [&str; 11] =
    ["kein", "keine", "keinen", "keinem", "keines", "keinerlei", "ohne", "nichts", "no", "without", "nothing"];

/// Words over which a denial reaches: they weigh, or point.
const SMALL: [&str; 55] = [
    "ganz",
    "so",
    "sehr",
    "besonders",
    "wirklich",
    "unbedingt",
    "gerade",
    "grad",
    "zu",
    "zum",
    "allzu",
    "sonderlich",
    "super",
    "extrem",
    "furchtbar",
    "gar",
    "ueberhaupt",
    "jetzt",
    "ja",
    "noch",
    "eigentlich",
    "ist",
    "es",
    "das",
    "mir",
    "uns",
    "bei",
    "momentan",
    "im",
    "moment",
    "direkt",
    "akut",
    "akute",
    "unmittelbare",
    "offenes",
    "echte",
    "wirkliche",
    "grosse",
    "lange",
    "mal",
    "halt",
    "also",
    "a",
    "an",
    "that",
    "all",
    "very",
    "really",
    "terribly",
    "particularly",
    "it",
    "is",
    "right",
    "now",
    "at",
];

/// Words that begin a statement, so that what stands before belongs to another one: "ich weiß nicht es brennt".
const STARTS: [&str; 14] =
    ["es", "ich", "wir", "er", "i", "we", "it", "brennt", "riecht", "stinkt", "raucht", "funkt", "smells", "theres"];

/// What one says "kein" of: a "nicht" before it belongs to what was said before ("das Telefon geht nicht Feuer im Haus").
const THINGS: [&str; 12] = [
    "feuer",
    "rauch",
    "qualm",
    "funken",
    "gas",
    "brand",
    "explosion",
    "lebensgefahr",
    "stromschl",
    "kohlenmonoxid",
    "smoke",
    "fire",
];

/// Words that leave open whether something is so.
const DOUBTS: [&str; 25] = [
    "wenn",
    "falls",
    "ob",
    "wann",
    "bis",
    "damit",
    "dass",
    "sobald",
    "laut",
    "angeblich",
    "soll",
    "sollte",
    "sollen",
    "steht",
    "heisst",
    "hiess",
    "if",
    "when",
    "until",
    "whether",
    "says",
    "said",
    "should",
    "supposedly",
    "hoffentlich",
];

const TITLES: [&str; 11] = ["frau", "herr", "herrn", "familie", "dr", "doktor", "mr", "mrs", "ms", "miss", "mister"];
const POSSESSIVES: [&str; 8] = ["meine", "meiner", "seine", "unsere", "unserer", "eine", "my", "our"];

pub(crate) fn is_negation(word: &str) -> bool {
    NOTS.contains(&word) || LACKS.contains(&word)
}

/// A verb or an adjective, whose denial may follow it. "Den Anwalt nicht erreicht" denies no lawyer.
fn is_predicate(word: &str) -> bool {
    const NOUNS: [&str; 3] = ["anwalt", "notarzt", "gericht"];
    const ADJECTIVES: [&str; 4] = ["dringend", "eilig", "sauer", "dangerous"];
    let verb_like = word.ends_with('t') && !NOUNS.iter().any(|noun| word.ends_with(noun));
    verb_like || word.ends_with("lich") || ADJECTIVES.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heard {
        denied: bool,
        stated: bool,
        name: bool,
    }

    fn hear(note: &str, phrase: &str) -> Option<Heard> {
        let words = text::words(note);
        let spoken = Spoken::new(note, &words);
        let said = spoken.find(&text::phrase(phrase), 0)?;
        let name = spoken.is_name(said.words.start);
        Some(Heard { denied: spoken.is_denied(&said), stated: spoken.is_stated(&said), name })
    }

    #[test]
    fn a_gap_is_up_to_four_words_of_one_clause() {
        for (note, said) in [
            ("Es riecht nach Gas", true),
            ("Es riecht hier ganz schön stark nach Gas", true),
            ("Es riecht hier im Flur schon ganz stark nach Gas", false),
            ("Es riecht komisch, nach Gas", false),
        ] {
            assert_eq!(hear(note, "riecht ** nach gas").is_some(), said, "{note}");
        }
    }

    #[test]
    fn a_denial_reaches_over_small_words_and_no_further() {
        for (note, phrase, denied) in [
            ("Das ist nicht ganz so dringend", "dringend*", true),
            ("Dringend ist es nicht", "dringend*", true),
            ("Es ist kein dringender Fall", "dringend*", true),
            ("Das geht nicht, es ist dringend", "dringend*", false),
            ("Das Internet geht nicht ich brauche dringend Hilfe", "dringend*", false),
            ("Ist das nicht gefährlich?", "gefaehrlich", false),
            ("Es brennt nicht nur im Keller", "es brennt", false),
            ("Es brennt das ist nicht mehr lustig", "es brennt", false),
            ("Das Telefon geht nicht Feuer im Haus", "feuer", false),
            ("Wir können das Feuer nicht löschen", "feuer", false),
            ("Es riecht nicht nach Gas", "riecht ** nach gas", true),
        ] {
            assert_eq!(hear(note, phrase).map(|heard| heard.denied), Some(denied), "{note}");
        }
    }

    #[test]
    fn what_is_asked_wished_or_reported_of_others_is_not_stated() {
        for (note, stated) in [
            ("Das Internet geht wieder, danke", true),
            ("Das Internet geht wieder nicht", false),
            ("Geht wieder alles?", false),
            ("Laut Ihnen geht wieder alles", false),
        ] {
            assert_eq!(hear(note, "geht wieder").map(|heard| heard.stated), Some(stated), "{note}");
        }
    }

    #[test]
    fn a_name_follows_a_title() {
        for (note, name) in [
            ("Hier ist Frau Sauer", true),
            ("Mein Name ist Sauer", true),
            ("Meine Frau sauer wie nie", false),
            ("Ich bin sauer", false),
        ] {
            assert_eq!(hear(note, "sauer").map(|heard| heard.name), Some(name), "{note}");
        }
    }
}
