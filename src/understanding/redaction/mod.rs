//! Owns what is left of a result for consumers that may not see personal data.
//!
//! Everything that was recognised as a fact goes, in whatever words it was said, and so does what only may be one:
//! longer numbers, what is spelled, names after a title, streets with a number. Better too much than too little. It is
//! no anonymisation in the sense of the law: people can be known by what they tell.
//!
//! Every field is copied by name: one that is added to the event later does not compile until somebody has decided
//! what becomes of it here.

mod mail;
mod mask;
mod names;
mod numbers;

use std::{collections::BTreeMap, ops::Range};

use jiff::Timestamp;

use self::mask::{Mask, Span};
use super::{
    entities,
    playbook::EntityRule,
    streets,
    text::{self, Seen},
};
use crate::{
    event::{
        Processed, Redacted,
        processed::{
            ContactPreferences, EarlierContact, Entity, Ground, Intent, Reply, Segment, Transcript, Understanding,
            Urgency, Word as TimedWord,
        },
    },
    private::Private,
};

/// Takes out what is personal. `rules` are the playbook's.
#[must_use]
pub fn redact(processed: &Processed, rules: &BTreeMap<String, EntityRule>) -> Redacted {
    let Processed {
        note_id,
        tenant,
        channel,
        message_id: _,
        conversation: _,
        ticket: _,
        sender: _,
        sent_at,
        reply_window_ends_at,
        outcome,
        reason,
        detail,
        audio,
        recording: _,
        transcript,
        understanding,
        reply,
        drafting,
        route,
        follow_up,
        relief,
        timings_ms,
        attempt,
        replay,
        worker,
        software,
    } = processed.clone();
    let entities = understanding.as_ref().map_or(&[][..], |understanding| &understanding.entities);
    let mask = transcript.as_ref().map(|transcript| mask_of(transcript, entities, rules, sent_at));
    let reply = reply.map(|reply| redacted_reply(reply, entities));
    Redacted::vouched_for(Processed {
        note_id,
        tenant,
        channel,
        message_id: None,
        conversation: None,
        ticket: None,
        sender: None,
        sent_at,
        reply_window_ends_at,
        outcome,
        reason,
        detail,
        audio,
        // Paths and addresses name people and carry tokens; who may not see the text may not hear it either.
        recording: None,
        reply,
        drafting,
        understanding: understanding.map(|understanding| redacted_understanding(understanding, mask.as_ref())),
        transcript: transcript.zip(mask.as_ref()).map(|(transcript, mask)| redacted_transcript(transcript, mask)),
        route,
        follow_up,
        relief,
        timings_ms,
        attempt,
        replay,
        worker,
        software,
    })
}

/// What stands in place of a fact: the same words in every language, for machines to find.
fn placeholder(kind: &str) -> String {
    let word = match kind {
        "iban" => "IBAN",
        "phone" => "Telefon",
        "email" => "E-Mail",
        "name" => "Name",
        "customer_number" => "Kundennummer",
        "order_number" => "Bestellnummer",
        "date" => "Datum",
        "time" => "Uhrzeit",
        "amount" => "Betrag",
        "address" => "Adresse",
        NUMBER => "Zahl",
        SPELLED => "Buchstabiert",
        other => other,
    };
    format!("[{word}]")
}

/// A number that is no fact as far as anybody knows.
const NUMBER: &str = "number";
/// Letter by letter.
const SPELLED: &str = "spelled";

/// Words that are to go, and the kind of what they are.
type Found = (String, Range<usize>);

fn mask_of(
    transcript: &Transcript,
    entities: &[Entity],
    rules: &BTreeMap<String, EntityRule>,
    sent_at: Option<Timestamp>,
) -> Mask {
    let note = transcript.text.expose();
    let words = text::words(note);
    let seen = Seen { text: note, words: &words, german: transcript.language != "en" };
    // The first that is said of a word counts, so what is known comes before what is guessed.
    let mut found = entities::places(transcript, &words, rules, sent_at);
    found.extend(guesses(&seen, entities));
    let spans = found.into_iter().map(|(kind, at)| {
        let at = words[at.start].at.start..words[at.end - 1].at.end;
        Span { at, placeholder: placeholder(&kind) }
    });
    Mask::new(note, spans.collect())
}

fn guesses(seen: &Seen, entities: &[Entity]) -> Vec<Found> {
    let mut found = repeated(seen, entities);
    found.extend(mail::find(seen));
    found.extend(streets::find(seen).into_iter().map(|street| ("address".to_owned(), street.at)));
    found.extend(names::find(seen, entities));
    found.extend(numbers::find(seen, entities));
    found
}

/// Values that are said once more in the very same words.
fn repeated(seen: &Seen, entities: &[Entity]) -> Vec<Found> {
    let mut found = Vec::new();
    for entity in entities {
        let value: Vec<String> = text::words(entity.value.expose()).into_iter().map(|word| word.folded).collect();
        if value.is_empty() {
            continue;
        }
        for (first, words) in seen.words.windows(value.len()).enumerate() {
            if words.iter().map(|word| &word.folded).eq(&value) {
                found.push((entity.kind.clone(), first..first + value.len()));
            }
        }
    }
    found
}

fn redacted_transcript(transcript: Transcript, mask: &Mask) -> Transcript {
    let Transcript { text, language, language_confidence, confidence, segments, model } = transcript;
    // Segments that do not add up to the text lose theirs: it is not known what in them has to go.
    let adds_up = mask.is_of(segments.iter().map(|segment| segment.text.expose()));
    let mut at = 0;
    let segments = segments
        .into_iter()
        .map(|segment| {
            let first = at;
            at += mask::letters(segment.text.expose()).count();
            redacted_segment(segment, mask, adds_up.then_some(first))
        })
        .collect();
    let text = Private::new(mask.apply(text.expose(), 0));
    Transcript { text, language, language_confidence, confidence, segments, model }
}

/// `first` is the place of its first letter in the text, where that is known.
fn redacted_segment(segment: Segment, mask: &Mask, first: Option<usize>) -> Segment {
    let Segment { start_s, end_s, text, confidence, words } = segment;
    let all = words.iter().flat_map(|word| mask::letters(word.text.expose()));
    let mut at = first.filter(|_| all.eq(mask::letters(text.expose())));
    let words = words
        .into_iter()
        .map(|word| {
            let TimedWord { start_s, end_s, text, confidence } = word;
            let letters = mask::letters(text.expose()).count();
            let stays = at.is_some_and(|first| !mask.touches(first..first + letters));
            at = at.map(|first| first + letters);
            TimedWord { start_s, end_s, text: if stays { text } else { Private::default() }, confidence }
        })
        .collect();
    let text = first.map(|first| mask.apply(text.expose(), first)).unwrap_or_default();
    Segment { start_s, end_s, text: Private::new(text), confidence, words }
}

/// Numbers go, and so do times, as they do where they are facts.
fn redacted_contact(contact: &ContactPreferences) -> ContactPreferences {
    let &ContactPreferences { phone_allowed, call: _, write_only, channel } = contact;
    ContactPreferences { phone_allowed, call: None, write_only, channel }
}

fn redacted_understanding(understanding: Understanding, mask: Option<&Mask>) -> Understanding {
    let Understanding { intent, alternatives, urgency, entities, contact, earlier_contact, sentiment } = understanding;
    let redacted = |intent: Intent| {
        let Intent { name, confidence, evidence } = intent;
        let evidence = evidence.zip(mask).and_then(|(evidence, mask)| mask.apply_to_part(evidence.expose()));
        Intent { name, confidence, evidence: evidence.map(Private::new) }
    };
    let Urgency { level, grounds, evidence } = urgency;
    let evidence = evidence.into_iter().filter_map(|Ground { ground, words }| {
        let words = Private::new(mask?.apply_to_part(words.expose())?);
        Some(Ground { ground, words })
    });
    let entities = entities.into_iter().map(|entity| {
        let Entity { kind, value: _, verified, start_s, end_s } = entity;
        Entity { value: Private::new(placeholder(&kind)), kind, verified, start_s, end_s }
    });
    Understanding {
        intent: intent.map(redacted),
        alternatives: alternatives.into_iter().map(redacted).collect(),
        urgency: Urgency { level, grounds, evidence: evidence.collect() },
        entities: entities.collect(),
        contact: redacted_contact(&contact),
        earlier_contact: earlier_contact.and_then(|EarlierContact { evidence, date: _, ticket: _ }| {
            let evidence = Private::new(mask?.apply_to_part(evidence.expose())?);
            Some(EarlierContact { evidence, date: None, ticket: None })
        }),
        sentiment,
    }
}

fn redacted_reply(reply: Reply, entities: &[Entity]) -> Reply {
    match reply {
        Reply::Suggestion { text, language, template, facts } => {
            Reply::Suggestion { text: redacted_text(&text, &language, entities), language, template, facts }
        }
        Reply::Question { text, language, template, missing } => {
            Reply::Question { text: redacted_text(&text, &language, entities), language, template, missing }
        }
        Reply::Abstention { reason } => Reply::Abstention { reason },
    }
}

/// A text that was filled with facts. The playbook's own numbers go as well: nobody can tell them apart any more.
fn redacted_text(filled: &Private, language: &str, entities: &[Entity]) -> Private {
    let filled = filled.expose();
    let words = text::words(filled);
    let found = guesses(&Seen { text: filled, words: &words, german: language != "en" }, entities);
    let mut spans: Vec<Span> = Vec::new();
    for entity in entities.iter().filter(|entity| !entity.value.is_empty()) {
        let value = entity.value.expose();
        let at = filled.match_indices(value).map(|(at, _)| at..at + value.len());
        spans.extend(at.map(|at| Span { at, placeholder: placeholder(&entity.kind) }));
    }
    spans.extend(found.into_iter().map(|(kind, at)| {
        let at = words[at.start].at.start..words[at.end - 1].at.end;
        Span { at, placeholder: placeholder(&kind) }
    }));
    Private::new(Mask::new(filled, spans).apply(filled, 0))
}

#[cfg(test)]
mod tests;
