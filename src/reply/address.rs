//! Owns whether customers say "du" to the company, so that they are answered as they speak.

use crate::understanding::text::{self, Seen};

/// Whether a note in this language is said to somebody by "du" or "ihr", and nowhere by "Sie". Of other languages than
/// German it is not known.
pub(super) fn is_informal(note: &str, language: &str) -> bool {
    if language != "de" {
        return false;
    }
    let words = text::words(note);
    let seen = Seen { text: note, words: &words, german: true };
    let informal = (0..words.len()).any(|at| is_du(&seen, at));
    informal && !(0..words.len()).any(|at| is_sie(&seen, at))
}

fn is_du(seen: &Seen, at: usize) -> bool {
    const PRONOUNS: [&str; 13] =
        ["du", "dich", "dir", "dein", "deine", "deinen", "deiner", "euch", "euer", "eure", "euren", "eurer", "eurem"];
    /// Verbs that only "ihr" has: "könnt ihr", "habt ihr". "Ihr" alone may be hers.
    const OF_IHR: [&str; 12] = [
        "koennt", "koenntet", "habt", "seid", "wollt", "macht", "schaut", "muesst", "sollt", "wisst", "schickt",
        "meldet",
    ];
    let word = seen.word(at);
    let next = seen.word(at + 1);
    // "Ruf mich an", "schreib mir": nobody who says "Sie" asks like that.
    let asked =
        matches!(word, "ruf" | "ruft" | "schreib" | "schreibt" | "schick" | "schickt" | "meld" | "sag" | "sagt")
            && matches!(next, "mich" | "mir" | "uns" | "bitte" | "dich" | "euch" | "mal");
    PRONOUNS.contains(&word) || (OF_IHR.contains(&word) && next == "ihr") || asked
}

/// "Ihnen", "können Sie": where recognisers write it small, only what stands behind its verb is sure.
fn is_sie(seen: &Seen, at: usize) -> bool {
    const VERBS: [&str; 12] = [
        "koennen",
        "koennten",
        "haben",
        "sind",
        "rufen",
        "schicken",
        "melden",
        "schreiben",
        "wollen",
        "wuerden",
        "sagen",
        "geben",
    ];
    let before = at.checked_sub(1).map_or("", |before| seen.word(before));
    match seen.word(at) {
        "ihnen" => seen.is_capitalised(at),
        "sie" => VERBS.contains(&before) && (seen.is_capitalised(at) || before != "haben"),
        "ihre" | "ihren" | "ihrem" | "ihrer" => seen.is_capitalised(at) && !before.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_du_is_told_from_who_says_sie() {
        for note in [
            "Hallo, könnt ihr mal schauen, mein Paket fehlt.",
            "Sag mal, hast du die Rechnung noch?",
            "Ruf mich bitte nicht an.",
            "Schreibt mir einfach hier zurück.",
            "Ich hab euch schon geschrieben.",
        ] {
            assert!(is_informal(note, "de"), "{note}");
        }
        for note in [
            "Könnten Sie mich bitte zurückrufen?",
            "können sie mir bitte sagen, wo mein paket ist",
            "Mein Paket ist nicht da.",
            "Meine Frau hat ihr Paket nicht bekommen.",
            "Ich habe Ihnen geschrieben, da hat mein Chef gesagt: Ruf mich an.",
        ] {
            assert!(!is_informal(note, "de"), "{note}");
        }
        assert!(!is_informal("can you call me, du weisst schon", "en"));
    }
}
