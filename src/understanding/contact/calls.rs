//! Owns whether somebody wishes to be called. What they did ("ich habe dreimal angerufen") or what others do ("keiner ruft
//! zurück") is no wish, and a limit ("nicht vor neun", "nicht auf dem Handy, sondern zu Hause") is no ban.

/// What a clause wishes of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// "Bitte anrufen."
    Call,
    /// "Nicht anrufen."
    NoCall,
    /// "Nicht vor neun anrufen."
    OnlyThen,
}

/// A word that speaks of telephoning in a way that can be a wish.
pub(super) fn is_call(word: &str) -> bool {
    const WORDS: [&str; 26] = [
        "ruf",
        "ruft",
        "rufe",
        "rufen",
        "rufts",
        "anruf",
        "anrufe",
        "anrufen",
        "anrufst",
        "anzurufen",
        "anrufversuche",
        "rueckruf",
        "rueckrufe",
        "zurueckrufen",
        "zurueckruft",
        "zurueckzurufen",
        "telefonieren",
        "telefonat",
        "telefonate",
        "anlaeuten",
        "durchklingeln",
        "anklingeln",
        "call",
        "calls",
        "calling",
        "phone",
    ];
    WORDS.contains(&word) || word == "ring" || word == "phoning"
}

/// How far from the word for calling its denial may stand, in words of its clause.
const REACH: usize = 6;

/// "…, sondern auf dem Festnetz": then not every call was meant. "…, sondern schreiben Sie" says that every one was.
pub(super) fn is_another_way_to_call(clause: &[&str]) -> bool {
    const WRITING: [&str; 9] =
        ["schreib", "schrift", "mail", "nachricht", "whatsapp", "sms", "chat", "brief", "antwort"];
    clause.first() == Some(&"sondern")
        && !clause.iter().any(|word| WRITING.iter().any(|stem| word.contains(stem)))
        && !clause.iter().any(|word| matches!(*word, "post" | "text"))
}

/// What the word at `at` of a clause says; None if it is no word for calling, or no wish.
pub(super) fn wish(clause: &[&str], at: usize, corrected: bool) -> Option<Wish> {
    let word = clause[at];
    // "Ich will nicht mehr angerufen werden", not "ich habe angerufen".
    if !is_call(word) && (word, clause.get(at + 1)) != ("angerufen", Some(&"werden")) {
        return None;
    }
    let before = &clause[at.saturating_sub(REACH)..at];
    let after = &clause[at + 1..(at + 1 + REACH).min(clause.len())];
    if is_report(clause, at) {
        return None;
    }
    let not = before.iter().chain(after).any(|word| is_not(word)) || has_idiom(clause);
    let negated = (not || is_lacking(word, before)) && !doubly_negated(before, after);
    match negated && !corrected && !is_encouragement(clause) {
        true if is_limited(clause) => Some(Wish::OnlyThen),
        true => Some(Wish::NoCall),
        false => is_request(word, before, after).then_some(Wish::Call),
    }
}

/// What denies the clause that it is in.
pub(super) fn is_not(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "nicht",
        "nich",
        "ned",
        "net",
        "nit",
        "nie",
        "niemals",
        "nimmer",
        "keinesfalls",
        "dont",
        "not",
        "never",
        "stop",
        "stopp",
        "aufhoeren",
        "unterlassen",
        "unterlasst",
    ];
    WORDS.contains(&word)
}

/// Several words that deny the clause that they are in.
fn has_idiom(clause: &[&str]) -> bool {
    const IDIOMS: [[&str; 2]; 5] =
        [["keinen", "fall"], ["keinem", "fall"], ["keinen", "umstaenden"], ["no", "need"], ["kein", "bedarf"]];
    let stops = clause.iter().any(|word| word.starts_with("hoer")) && clause.contains(&"auf");
    stops || clause.windows(2).any(|pair| IDIOMS.iter().any(|idiom| pair == idiom))
}

/// "Keine weiteren Anrufe", "statt mich anzurufen", "lieber schreiben als telefonieren": only what follows is denied.
fn is_lacking(word: &str, before: &[&str]) -> bool {
    const LACKS: [&str; 10] =
        ["kein", "keine", "keinen", "keinerlei", "ohne", "statt", "anstatt", "no", "without", "instead"];
    const BETWEEN: [&str; 8] = ["phone", "more", "mehr", "bitte", "of", "mich", "uns", "me"];
    if matches!(word, "ruf" | "rufe" | "ruft" | "rufen" | "rufts" | "phone") {
        return false;
    }
    let describes = |word: &str| ["e", "en", "er", "es"].iter().any(|end| word.ends_with(end));
    let denial = before.iter().rev().find(|word| !BETWEEN.contains(word) && (LACKS.contains(word) || !describes(word)));
    let rather = before.last() == Some(&"als") && matches!(word, "anrufen" | "telefonieren" | "zurueckrufen");
    rather || denial.is_some_and(|word| LACKS.contains(word))
}

/// "Zögern Sie nicht, mich anzurufen."
fn is_encouragement(clause: &[&str]) -> bool {
    clause.iter().any(|word| ["zoeger", "scheu", "hesitat"].iter().any(|stem| word.starts_with(stem)))
}

/// "Nicht vor neun", "ab 18 Uhr nicht mehr", "vorher nicht": at other times one may call.
fn is_limited(clause: &[&str]) -> bool {
    const TIMES: [&str; 8] = ["vor", "nach", "zwischen", "ab", "bis", "before", "after", "until"];
    clause.iter().enumerate().any(|(at, word)| {
        let next = &clause[at + 1..];
        match *word {
            "vorher" | "davor" | "frueher" | "danach" | "spaeter" | "sonst" | "earlier" => true,
            "nicht" | "ned" | "net" | "not" => matches!(next.first(), Some(&("vor" | "nach" | "zwischen" | "before"))),
            word => TIMES.contains(&word) && next.iter().take(2).any(|word| is_time(word)),
        }
    })
}

fn is_time(word: &str) -> bool {
    const WORDS: [&str; 28] = [
        "uhr",
        "mittag",
        "abend",
        "feierabend",
        "montag",
        "dienstag",
        "mittwoch",
        "donnerstag",
        "freitag",
        "samstag",
        "sonntag",
        "wochenende",
        "halb",
        "sieben",
        "acht",
        "neun",
        "zehn",
        "elf",
        "zwoelf",
        "achtzehn",
        "neunzehn",
        "zwanzig",
        "noon",
        "nine",
        "ten",
        "eight",
        "six",
        "monday",
    ];
    WORDS.contains(&word) || word.starts_with(|c: char| c.is_ascii_digit())
}

/// Said of somebody else, or of oneself: a report, no wish.
pub(super) fn is_reporter(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "ich", "i", "wir", "we", "keiner", "niemand", "mensch", "schwein", "man", "er", "nobody", "noone", "hab",
        "habe", "hatte", "tried", "have",
    ];
    WORDS.contains(&word)
}

/// "Ich rufe jetzt zum vierten Mal an", "ich kann nicht anrufen", "keiner ruft zurück", "no phone connection".
fn is_report(clause: &[&str], at: usize) -> bool {
    let (word, before, after) = (clause[at], &clause[..at], &clause[at + 1..]);
    let holds = |words: &[&str]| before.iter().chain(after).any(|word| words.contains(word));
    let mut nearest = before.iter().rev().take(2);
    let finite = matches!(word, "ruf" | "rufe" | "ruft" | "rufen" | "call" | "calling" | "phone" | "calls");
    let own_doing = finite && nearest.any(|word| is_reporter(word));
    let inverted = finite && after.first().is_some_and(|word| matches!(*word, "ich" | "wir" | "keiner" | "niemand"));
    let able = holds(&["kann", "konnte", "koennen", "konnten"]) && holds(&["ich", "wir", "man", "keiner", "niemand"]);
    let ability = match word {
        "anrufen" | "angerufen" | "zurueckrufen" => able,
        // For who cannot just now it is a wish, for who cannot any more a fault.
        "telefonieren" => able && holds(&["mehr", "seit", "weder"]),
        _ => false,
    };
    let noun = matches!(word, "anruf" | "anrufe" | "rueckruf" | "rueckrufe" | "telefonate" | "phone" | "calls");
    let wished = holds(&["moechte", "will", "wuensche", "want", "bitte", "please"]);
    // "Kein Internet, kein Telefon, keine Anrufe möglich", "kein Rückruf erhalten": the fault, not the wish.
    let faults = [
        "annehmen",
        "entgegennehmen",
        "empfangen",
        "taetigen",
        "fuehren",
        "bekommen",
        "erhalten",
        "gekommen",
        "kam",
        "erfolgt",
        "got",
        "received",
    ];
    let near = ["moeglich", "gehen", "line", "connection", "number", "is"];
    let fault = noun && ((holds(&faults) && !wished) || after.iter().take(2).any(|word| near.contains(word)));
    // An emergency call that came split: "da steht nur not rufe".
    let emergency = before.last() == Some(&"not") && matches!(word, "ruf" | "rufe");
    own_doing || inverted || ability || fault || emergency
}

fn doubly_negated(before: &[&str], after: &[&str]) -> bool {
    // "Warum ruft mich keiner an?"
    before.first() == Some(&"warum") || after.contains(&"keiner")
}

fn is_request(word: &str, before: &[&str], after: &[&str]) -> bool {
    const ASKING: [&str; 25] = [
        "bitte", "koennen", "koennten", "koennt", "kann", "koennte", "moechte", "wuerde", "waere", "wunsch", "um",
        "einen", "gern", "gerne", "please", "could", "can", "would", "me", "mich", "uns", "einer", "lieber", "besser",
        "sondern",
    ];
    let imperative = matches!(word, "ruf" | "ruft" | "rufen" | "rufts" | "call" | "ring" | "phone")
        && after.iter().take(3).any(|word| matches!(*word, "mich" | "uns" | "ihn" | "me" | "us" | "sie" | "s"));
    let asked = !matches!(word, "phone" | "calls" | "calling" | "anrufe")
        && before.iter().chain(after.iter().take(2)).any(|word| ASKING.contains(word));
    imperative || asked
}
