//! Owns by which channel somebody wishes to be answered, and whether in writing only.
//!
//! What is sent by mail is not always the answer: "die Rechnung bitte per Mail" wishes for nothing here, and neither does
//! what somebody did ("ich habe Ihnen eine Mail geschrieben").

use std::sync::LazyLock;

use super::calls::is_not;
use crate::{
    event::processed::ContactChannel,
    understanding::text::{self, Word},
};

/// Phrases that leave writing as the only way.
const WRITE_ONLY: [&str; 12] = [
    "nur schreiben",
    "nur schriftlich",
    "ausschliesslich schriftlich",
    "nur per mail",
    "nur per nachricht",
    "nur per e mail",
    "nur per whatsapp",
    "lass* * mit dem telefonieren",
    "only text",
    "text only",
    "only write",
    "in writing only",
];

static WRITE_ONLY_PHRASES: LazyLock<Vec<Vec<String>>> =
    LazyLock::new(|| WRITE_ONLY.iter().map(|phrase| text::phrase(phrase)).collect());

/// What stands before the name of a channel by which something comes.
const BY: [&str; 7] = ["per", "via", "ueber", "by", "through", "auf", "als"];
const ARTICLES: [&str; 6] = ["eine", "ne", "einen", "an", "a", "als"];
/// Beginnings of words that ask for an answer.
const ANSWERING: [&str; 14] = [
    "antwort",
    "meld",
    "schreib",
    "kontakt",
    "erreich",
    "bescheid",
    "schriftlich",
    "reply",
    "answer",
    "contact",
    "write",
    "reach",
    "respond",
    "text",
];
const SENDING: [&str; 4] = ["schick", "send", "drop", "schreib"];
/// What makes a wish of a sentence.
const ASKING: [&str; 28] = [
    "bitte",
    "koennen",
    "koennten",
    "koennt",
    "koenntet",
    "kann",
    "lieber",
    "gern",
    "gerne",
    "besten",
    "nur",
    "please",
    "can",
    "could",
    "would",
    "prefer",
    "rather",
    "preferably",
    "moechte",
    "wuerde",
    "haette",
    "will",
    "sondern",
    "einfach",
    "stattdessen",
    "instead",
    "only",
    "only",
];
/// Of something that was.
const REPORTING: [&str; 22] = [
    "habe", "hab", "haben", "hatte", "hatten", "hat", "habt", "wurde", "war", "kam", "bekommen", "erhalten",
    "gekriegt", "have", "has", "had", "sent", "wrote", "got", "received", "came", "was",
];
/// With these, who speaks of themselves wishes.
const WISHING: [&str; 9] = ["haette", "moechte", "wuerde", "will", "lieber", "prefer", "rather", "like", "bin"];

/// Whether a phrase in the note leaves writing as the only way.
pub(super) fn is_the_only_way(words: &[Word]) -> bool {
    WRITE_ONLY_PHRASES.iter().any(|phrase| text::find_phrase(words, phrase).is_some())
}

/// The channel that a clause wishes to be answered by.
pub(super) fn channel(clause: &[&str]) -> Option<ContactChannel> {
    let asks = asks_for_an_answer(clause);
    let named = (0..clause.len()).find_map(|at| {
        let (channel, words) = channel_at(&clause[at..])?;
        let before = at.checked_sub(1).map_or("", |before| clause[before]);
        let by = BY.contains(&before);
        let message = ARTICLES.contains(&before) && matches!(channel, ContactChannel::Email | ContactChannel::Sms);
        let sent = message && holds_stem(clause, &SENDING);
        let alone = by && is_fragment(&clause[..at - 1], &clause[at + words..]);
        ((by && asks) || sent || alone).then_some(channel)
    })?;
    is_wish(clause).then_some(named)
}

/// Whether a clause asks to be answered in writing, by whichever channel.
pub(super) fn is_wanted(clause: &[&str]) -> bool {
    const WRITING: [&str; 4] = ["schreib", "schriftlich", "text", "write"];
    holds_stem(clause, &WRITING) && is_wish(clause)
}

fn channel_at(words: &[&str]) -> Option<(ContactChannel, usize)> {
    match words {
        ["e", "mail" | "mails", ..] => Some((ContactChannel::Email, 2)),
        ["mail" | "email" | "mails" | "emails", ..] => Some((ContactChannel::Email, 1)),
        ["sms", ..] => Some((ContactChannel::Sms, 1)),
        ["whatsapp", ..] => Some((ContactChannel::Whatsapp, 1)),
        ["telegram", ..] => Some((ContactChannel::Telegram, 1)),
        ["signal", ..] => Some((ContactChannel::Signal, 1)),
        ["post" | "brief" | "briefpost" | "letter", ..] => Some((ContactChannel::Letter, 1)),
        _ => None,
    }
}

fn asks_for_an_answer(clause: &[&str]) -> bool {
    holds_stem(clause, &ANSWERING)
}

fn holds_stem(clause: &[&str], stems: &[&str]) -> bool {
    clause.iter().any(|word| stems.iter().any(|stem| word.starts_with(stem)))
}

/// Nobody denies it, and it is neither a report nor what the speaker does.
fn is_wish(clause: &[&str]) -> bool {
    const LACKING: [&str; 5] = ["kein", "keine", "keinen", "ohne", "no"];
    const LEADS: [&str; 6] = ["und", "dann", "also", "oder", "and", "then"];
    let holds = |words: &[&str]| clause.iter().any(|word| words.contains(word));
    let denied = clause.iter().any(|word| is_not(word)) || holds(&LACKING);
    let own = holds(&["ich", "wir", "i", "we"]) && !holds(&WISHING);
    let first = clause.iter().find(|word| !LEADS.contains(word)).copied().unwrap_or_default();
    let imperative = ANSWERING.iter().chain(&SENDING).any(|stem| first.starts_with(stem));
    !denied && !holds(&REPORTING) && !own && (holds(&ASKING) || imperative)
}

/// Nothing but a plea: "bitte per Mail", "lieber schriftlich per Post".
fn is_fragment(before: &[&str], behind: &[&str]) -> bool {
    const REST: [&str; 18] = [
        "bitte",
        "lieber",
        "nur",
        "gerne",
        "gern",
        "am",
        "besten",
        "sondern",
        "aber",
        "dann",
        "einfach",
        "stattdessen",
        "schriftlich",
        "please",
        "only",
        "rather",
        "preferably",
        "instead",
    ];
    before.iter().chain(behind).all(|word| REST.contains(word))
}
