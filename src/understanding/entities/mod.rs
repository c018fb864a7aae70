//! Owns the facts that a customer names: numbers, amounts, dates, times, names and addresses of mail, normalised, each
//! with its place in the text and, where the recogniser gave times, in the audio.
//!
//! A fact is `verified` only if a checksum or a pattern of the playbook confirms it. What is unsure is left out: a
//! missing fact leads to a question, a wrong one to a wrong answer.

mod email;
mod heard;
mod iban;
mod moments;
mod money;
mod names;
pub(crate) mod numbers;
mod runs;

use std::{collections::BTreeMap, ops::Range};

use jiff::Timestamp;

use super::{playbook::EntityRule, text::Word};
use crate::{
    event::processed::{Entity, Transcript},
    private::Private,
};

/// A fact in the text, before the playbook has been asked about it.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    kind: String,
    value: String,
    /// Confirmed by itself, by a checksum.
    proven: bool,
    /// Words of the note.
    at: Range<usize>,
}

/// The note as all finders see it. A word belongs to one fact only; who comes first takes it.
struct Scan<'a> {
    text: &'a str,
    words: &'a [Word],
    german: bool,
    taken: Vec<bool>,
    found: Vec<Found>,
}

impl Scan<'_> {
    fn take(&mut self, kind: &str, value: String, proven: bool, at: Range<usize>) {
        self.taken[at.clone()].fill(true);
        self.found.push(Found { kind: kind.to_owned(), value, proven, at });
    }

    fn is_free(&self, at: Range<usize>) -> bool {
        at.end <= self.taken.len() && !self.taken[at].iter().any(|taken| *taken)
    }

    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &word.folded)
    }

    /// What stands between a word and the next, with punctuation.
    fn gap_after(&self, index: usize) -> &str {
        match (self.words.get(index), self.words.get(index + 1)) {
            (Some(word), Some(next)) => &self.text[word.at.end..next.at.start],
            _ => "",
        }
    }
}

/// All facts in a transcript, in the order of the text. Relative dates need `sent_at`.
#[must_use]
pub fn find(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<Entity> {
    let times = heard::Times::of(transcript);
    scan(transcript, words, rules, sent_at)
        .into_iter()
        .map(|fact| {
            let verified = fact.proven || rules.get(&fact.kind).is_some_and(|rule| rule.pattern.is_match(&fact.value));
            let place = words[fact.at.start].at.start..words[fact.at.end - 1].at.end;
            let (start_s, end_s) = times.heard(place).unzip();
            Entity { kind: fact.kind, value: Private::new(fact.value), verified, start_s, end_s }
        })
        .collect()
}

/// The bytes of the transcript's text before which the speaker paused; none where the recogniser gave no times.
pub(super) fn pauses(transcript: &Transcript) -> Vec<usize> {
    heard::pauses(transcript)
}

/// Where the same facts stand: their kind, and the words that name them.
pub(super) fn places(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<(String, Range<usize>)> {
    scan(transcript, words, rules, sent_at).into_iter().map(|fact| (fact.kind, fact.at)).collect()
}

/// In the order of the text.
fn scan(
    transcript: &Transcript,
    words: &[Word],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Vec<Found> {
    let text = transcript.text.expose();
    let german = transcript.language != "en";
    let mut scan = Scan { text, words, german, taken: vec![false; words.len()], found: Vec::new() };
    email::find(&mut scan);
    money::find(&mut scan);
    moments::find(&mut scan, sent_at);
    runs::find(&mut scan, rules);
    names::find(&mut scan);
    scan.found.sort_by_key(|fact| fact.at.start);
    scan.found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::understanding::{playbook::Playbook, text};

    pub(crate) fn transcript(language: &str, text: &str) -> Transcript {
        Transcript {
            text: text.into(),
            language: language.to_owned(),
            language_confidence: 1.0,
            confidence: 0.9,
            segments: Vec::new(),
            model: "test".to_owned(),
        }
    }

    fn facts(language: &str, note: &str) -> Vec<(String, String, bool)> {
        let playbook = Playbook::builtin().unwrap();
        let sent_at = "2026-11-21T18:02:11Z".parse().unwrap();
        find(&transcript(language, note), &text::words(note), &playbook.entities, Some(sent_at))
            .into_iter()
            .map(|entity| (entity.kind, entity.value.expose().to_owned(), entity.verified))
            .collect()
    }

    fn check(language: &str, note: &str, wanted: &[(&str, &str, bool)]) {
        let wanted: Vec<_> = wanted.iter().map(|&(k, v, sure)| (k.to_owned(), v.to_owned(), sure)).collect();
        assert_eq!(facts(language, note), wanted, "{note}");
    }

    #[test]
    fn spoken_numbers_become_digits_of_the_kind_that_was_announced() {
        check("de", "Die Bestellnummer ist vier, sieben, eins, eins, null, acht.", &[("order_number", "471108", true)]);
        check("de", "Bestellung A, B, siebenundsiebzig, zwölf.", &[("order_number", "AB7712", true)]);
        check("de", "Meine Kunden Nummer ist neun acht zwo null drei, danke", &[("customer_number", "98203", true)]);
        check("de", "471108 ist meine Kundennummer", &[("customer_number", "471108", true)]);
        check("de", "Kundennummer: A wie Anton, 12 34 5", &[("customer_number", "A12345", false)]);
        check("en", "The order number is four seven one one zero eight.", &[("order_number", "471108", true)]);
        check("en", "customer number double five one two three", &[("customer_number", "55123", true)]);
    }

    #[test]
    fn a_number_that_does_not_fit_the_pattern_is_kept_unverified() {
        check("de", "Meine Kundennummer ist eins zwei drei.", &[("customer_number", "123", false)]);
    }

    #[test]
    fn a_number_that_nobody_announced_is_left_out() {
        check("de", "Ich habe drei Kinder und seit zwölf Jahren Internet bei euch, 12345.", &[]);
    }

    #[test]
    fn phone_numbers_are_heard_in_groups() {
        let note = "unter null eins sieben sechs, fünf fünf drei, zwei zwei eins, null neun. Danke.";
        check("de", note, &[("phone", "017655322109", true)]);
        check("de", "Meine Nummer ist +49 176 5532210", &[("phone", "+491765532210", true)]);
        check(
            "en",
            "call me on plus four four seven seven double zero nine zero zero one two three",
            &[("phone", "+447700900123", true)],
        );
    }

    #[test]
    fn amounts_are_normalised() {
        for (note, amount) in [
            ("Da stehen neununddreißig Euro neunzig drauf", "39,90 EUR"),
            ("Da stehen 39,90 Euro drauf", "39,90 EUR"),
            ("das kostet 1.299,00 € bei euch", "1299,00 EUR"),
            ("neun und dreißig Euro und fünf Cent", "39,05 EUR"),
            ("siebzig Euro statt", "70,00 EUR"),
            ("fünfzig Cent", "0,50 EUR"),
        ] {
            check("de", note, &[("amount", amount, false)]);
        }
        check("en", "a charge of nineteen ninety nine that", &[("amount", "19.99", false)]);
        check("en", "you charged me twenty five pounds", &[("amount", "25.00 GBP", false)]);
    }

    #[test]
    fn dates_are_iso_and_relative_ones_need_the_moment_of_sending() {
        check("de", "Rechnung vom dritten März", &[("date", "2026-03-03", false)]);
        check("de", "die Bestellung am 20. Dezember kam nie an", &[("date", "2025-12-20", false)]);
        check("de", "vom 3. März bis Ostern bin ich weg", &[("date", "2027-03-03", false)]);
        check("de", "die Rechnung zahle ich am 20. Dezember", &[("date", "2026-12-20", false)]);
        check("de", "seit dem 12. Oktober", &[("date", "2026-10-12", false)]);
        check("de", "am 24.12. bitte", &[("date", "2026-12-24", false)]);
        check("de", "am 3.3.2025", &[("date", "2025-03-03", false)]);
        check("de", "Guten Morgen, geht es übermorgen?", &[("date", "2026-11-23", false)]);
        check("de", "bis Freitag bitte", &[("date", "2026-11-27", false)]);
        check("en", "on the third of March", &[("date", "2027-03-03", false)]);
        let playbook = Playbook::builtin().unwrap();
        let note = "vom dritten März, und morgen";
        let without = find(&transcript("de", note), &text::words(note), &playbook.entities, None);
        assert_eq!(without.len(), 1);
        assert_eq!(without[0].value.expose(), "--03-03");
    }

    #[test]
    fn times_are_heard_where_they_are_clear() {
        check("de", "so ab vierzehn Uhr?", &[("time", "14:00", false)]);
        check("de", "um 14 Uhr 30", &[("time", "14:30", false)]);
        check("de", "um 8:15 Uhr", &[("time", "08:15", false)]);
        check("en", "at half past three pm or 4 pm", &[("time", "15:30", false), ("time", "16:00", false)]);
        check("de", "um fünfundzwanzig Uhr", &[]);
    }

    #[test]
    fn a_name_is_taken_only_where_it_is_introduced() {
        check("de", "Hallo, ähm, hier ist Familie Brandt. Also", &[("name", "Brandt", false)]);
        check("de", "Guten Tag, Schneider mein Name.", &[("name", "Schneider", false)]);
        check("de", "Mein Name ist Jörg Müller-Lüdenscheidt, ich", &[("name", "Jörg Müller-Lüdenscheidt", false)]);
        check("de", "Hier ist alles kaputt. Hier ist Internet weg.", &[]);
        check("en", "My name is Sarah Jones and", &[("name", "Sarah Jones", false)]);
    }

    #[test]
    fn an_iban_is_verified_by_its_checksum_and_never_mended() {
        check("de", "Meine IBAN ist DE89 3704 0044 0532 0130 00", &[("iban", "DE89370400440532013000", true)]);
        check("de", "die IBAN D E 89 3704 0044 0532 0130 01", &[("iban", "DE89370400440532013001", false)]);
    }

    #[test]
    fn mail_addresses_are_heard_when_they_are_spelled() {
        check("de", "max Punkt muster at beispiel Punkt de", &[("email", "max.muster@beispiel.de", false)]);
        check("de", "Schreiben Sie an Info@Beispiel.de bitte", &[("email", "info@beispiel.de", false)]);
        check("de", "Ich komme auf den Punkt", &[]);
    }
}
