//! Owns whether a draft says what its template says and nothing else: a pure function of two texts, the facts, and what
//! the customer said.
//!
//! Nobody can list what a model may make up, so the rule is the other way round: a draft may use the words of its
//! template and words that commit nobody to anything (`words.rs`), and no others. A name, a claim that something is
//! done, or an order from the note has no place in that. What those words could still do harm with is looked for by
//! itself: numbers, times, promises, the form of address, a "not" (`signs.rs`). Better the template than a doubtful
//! draft.

mod signs;
mod words;

use std::collections::HashSet;

use crate::{
    event::DraftRefused,
    understanding::text::{self, Word},
};
use words::Vocabulary;

/// What a draft has to say.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The template, filled.
    pub template: &'a str,
    /// ISO 639-1 code of its language.
    pub language: &'a str,
    /// What it was filled with.
    pub facts: &'a [String],
    /// What the customer said.
    pub note: &'a str,
    /// Characters that the channel takes.
    pub chars_max: usize,
    /// Further words that commit nobody to anything, folded.
    pub words: &'a HashSet<String>,
}

/// A draft may have this many times its template's characters, and a few more.
const LONGER_MAX: f64 = 1.6;
const LONGER_CHARS: usize = 60;
const SHORTER_MAX: f64 = 0.4;
/// So much of what only this template says has to be in the draft.
const KEPT_MIN: f64 = 0.5;
/// So many words of a note in a row are no accident.
const NOTE_RUN: usize = 5;
/// A sentence of fewer words is in no language in particular.
const LANGUAGE_WORDS_MIN: usize = 3;

/// True if drafts in this language can be checked.
#[must_use]
pub fn speaks(language: &str) -> bool {
    words::of(language).is_some()
}

/// The draft as it can be used: without space and quotes around it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(draft: &str, wanted: &Wanted) -> Result<String, DraftRefused> {
    let vocabulary = words::of(wanted.language).ok_or(DraftRefused::LanguageUnsupported)?;
    let draft = tidy(draft, wanted.template);
    length(&draft, wanted)?;
    characters(&draft, wanted.template)?;
    let (new, old) = (Text::of(&draft), Text::of(wanted.template));
    let allowed = Allowed { vocabulary, template: &old, further: wanted.words };
    language(&new, &allowed, wanted.language)?;
    same(&signs::links(&draft), &signs::links(wanted.template), DraftRefused::Link)?;
    same(&signs::numbers(&new.words), &signs::numbers(&old.words), DraftRefused::Number)?;
    same(&signs::times(&new.words), &signs::times(&old.words), DraftRefused::Time)?;
    if signs::promises(&new.words).iter().any(|promise| !signs::promises(&old.words).contains(promise)) {
        return Err(DraftRefused::Promise);
    }
    formality(&new, &old, wanted.language)?;
    negation(&new, &old)?;
    known_words(&new, &allowed, wanted)?;
    complete(&new, &allowed, wanted)?;
    if takes_up(&new, &old, wanted.note) {
        return Err(DraftRefused::FollowsNote);
    }
    Ok(draft)
}

/// A text with its words.
struct Text<'a> {
    text: &'a str,
    words: Vec<Word>,
}

impl<'a> Text<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, words: text::words(text) }
    }

    fn has(&self, folded: &str) -> bool {
        self.words.iter().any(|word| word.folded == folded)
    }

    fn is_capitalised(&self, word: &Word) -> bool {
        self.text[word.at.clone()].starts_with(char::is_uppercase)
    }

    /// True for the first word of a sentence or a line, which is capitalised whatever it is.
    fn begins_sentence(&self, word: &Word) -> bool {
        let before = self.text[..word.at.start].trim_end_matches([' ', '"', '„', '“', '”', '(', '–', '—']);
        before.is_empty() || before.ends_with(['.', '!', '?', ':', '…', '\n'])
    }
}

/// What a draft may be made of.
struct Allowed<'a> {
    vocabulary: &'a Vocabulary,
    template: &'a Text<'a>,
    further: &'a HashSet<String>,
}

impl Allowed<'_> {
    fn has(&self, folded: &str) -> bool {
        self.vocabulary.has(folded) || self.further.contains(folded) || self.template_has(folded)
    }

    fn template_has(&self, folded: &str) -> bool {
        self.template.words.iter().any(|word| is_form_of(folded, &word.folded))
    }
}

/// Models like to put quotes around what they were asked for.
fn tidy(draft: &str, template: &str) -> String {
    let mut draft = draft.trim().replace('\u{a0}', " ").replace("\r\n", "\n");
    for (open, close) in [('"', '"'), ('„', '“'), ('“', '”'), ('\'', '\'')] {
        let inner = draft.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.contains(open) && !template.starts_with(open)) {
            draft = inner.trim().to_owned();
        }
    }
    draft
}

fn length(draft: &str, wanted: &Wanted) -> Result<(), DraftRefused> {
    let (chars, template) = (draft.chars().count(), wanted.template.chars().count());
    if draft.is_empty() {
        Err(DraftRefused::Empty)
    } else if chars > wanted.chars_max || chars > (template as f64 * LONGER_MAX) as usize + LONGER_CHARS {
        Err(DraftRefused::TooLong)
    } else if (chars as f64) < template as f64 * SHORTER_MAX {
        Err(DraftRefused::TooShort)
    } else {
        Ok(())
    }
}

/// Letters of the languages that are spoken here, figures, and what sentences are made of. Everything else only as often
/// as the template has it.
fn characters(draft: &str, template: &str) -> Result<(), DraftRefused> {
    const SENTENCE: &str = " \n.,;:!?'’‘\"„“”‚–—-()/…&";
    let usual = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '\u{c0}'..='\u{17f}' | 'ẞ') && c.is_alphabetic()
            || SENTENCE.contains(c)
    };
    let often = |text: &str, c: char| text.chars().filter(|&other| other == c).count();
    let strange = draft.chars().any(|c| !usual(c) && often(draft, c) > often(template, c));
    let listed = |text: &str| text.lines().any(|line| line.trim_start().starts_with(['-', '–', '—', '&', '/']));
    if strange || (listed(draft) && !listed(template)) { Err(DraftRefused::Characters) } else { Ok(()) }
}

/// Every sentence is in the template's language, as far as its words tell.
fn language(draft: &Text, allowed: &Allowed, language: &str) -> Result<(), DraftRefused> {
    let other = words::of(if language == "de" { "en" } else { "de" });
    let mut known = 0;
    for at in text::sentences(draft.text) {
        let words = || draft.words.iter().filter(|word| at.contains(&word.at.start));
        let own = words().filter(|word| allowed.has(&word.folded)).count();
        let foreign = |word: &&Word| !allowed.has(&word.folded) && other.is_some_and(|other| other.has(&word.folded));
        if words().count() >= LANGUAGE_WORDS_MIN && words().filter(foreign).count() > own {
            return Err(DraftRefused::Language);
        }
        known += own;
    }
    if known * 2 < draft.words.len() { Err(DraftRefused::Language) } else { Ok(()) }
}

/// What the draft has beyond the template is refused for `added`, what it lacks as dropped.
fn same(draft: &HashSet<String>, template: &HashSet<String>, added: DraftRefused) -> Result<(), DraftRefused> {
    if !draft.is_subset(template) {
        Err(added)
    } else if draft.len() < template.len() {
        Err(DraftRefused::FactDropped)
    } else {
        Ok(())
    }
}

fn formality(draft: &Text, template: &Text, language: &str) -> Result<(), DraftRefused> {
    if language != "de" {
        return Ok(());
    }
    let informal = |text: &Text| text.words.iter().any(|word| signs::is_informal(&word.folded));
    let formal = |text: &Text| {
        let polite = |word: &&Word| signs::is_polite(&word.folded) && text.is_capitalised(word);
        text.words.iter().filter(polite).any(|word| !text.begins_sentence(word))
    };
    let changed =
        (informal(draft) && !informal(template)) || (formal(draft) && informal(template) && !formal(template));
    if changed { Err(DraftRefused::Formality) } else { Ok(()) }
}

/// "Noch nicht" only says otherwise what is missing; any other "not" has to be the template's.
fn negation(draft: &Text, template: &Text) -> Result<(), DraftRefused> {
    let negated = |text: &Text| signs::negations(&text.words) > 0;
    if negated(draft) == negated(template) { Ok(()) } else { Err(DraftRefused::Negation) }
}

fn known_words(draft: &Text, allowed: &Allowed, wanted: &Wanted) -> Result<(), DraftRefused> {
    let note: HashSet<String> = text::words(wanted.note).into_iter().map(|word| word.folded).collect();
    for word in &draft.words {
        let capitalised = draft.is_capitalised(word);
        let known = allowed.has(&word.folded) || signs::is_figure(&word.folded) || signs::is_time(&word.folded);
        if !known && note.contains(&word.folded) {
            return Err(DraftRefused::FollowsNote);
        }
        if !known {
            return Err(if capitalised { DraftRefused::Name } else { DraftRefused::Word });
        }
        // In English a capital within a sentence is a name, be it one that is a word as well: Mark, Hope, Will.
        let english_name = wanted.language == "en" && capitalised && !word.folded.starts_with('i');
        if english_name && !draft.begins_sentence(word) && !wanted.template.contains(&draft.text[word.at.clone()]) {
            return Err(DraftRefused::Name);
        }
    }
    if is_signed(draft.text) && !is_signed(wanted.template) { Err(DraftRefused::Name) } else { Ok(()) }
}

/// True if the last line is no sentence: somebody's name.
fn is_signed(text: &str) -> bool {
    let mut lines = text.trim_end().lines();
    lines.next_back().is_some_and(|last| !last.ends_with(['.', '!', '?', '…'])) && lines.next().is_some()
}

/// Every fact stands there as it was filled in, and most of what only this template says, its conditions too.
fn complete(draft: &Text, allowed: &Allowed, wanted: &Wanted) -> Result<(), DraftRefused> {
    if !wanted.facts.iter().all(|fact| holds(draft.text, fact)) {
        return Err(DraftRefused::FactDropped);
    }
    let own = |word: &&Word| word.folded.len() >= 4 && !allowed.vocabulary.has(&word.folded);
    let specific: HashSet<&str> = allowed.template.words.iter().filter(own).map(|word| word.folded.as_str()).collect();
    let kept = |word: &&&str| draft.words.iter().any(|other| is_form_of(&other.folded, word));
    if (specific.iter().filter(kept).count() as f64) < specific.len() as f64 * KEPT_MIN {
        return Err(DraftRefused::FactDropped);
    }
    let conditional = |text: &Text| signs::CONDITIONS.iter().any(|word| text.has(word));
    if conditional(allowed.template) && !conditional(draft) { Err(DraftRefused::FactDropped) } else { Ok(()) }
}

/// The fact by itself, not within a longer word or number.
fn holds(text: &str, fact: &str) -> bool {
    text.match_indices(fact).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + fact.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !behind.is_some_and(char::is_alphanumeric)
    })
}

/// True if the draft repeats words of the note in a row that are not the template's.
fn takes_up(draft: &Text, template: &Text, note: &str) -> bool {
    let note = text::words(note);
    let within = |words: &[Word], run: &[Word]| {
        words.windows(NOTE_RUN).any(|window| window.iter().zip(run).all(|(a, b)| a.folded == b.folded))
    };
    draft.words.windows(NOTE_RUN).any(|run| within(&note, run) && !within(&template.words, run))
}

/// Letters that two forms of one word share at least, and that either may have behind them.
const STEM_MIN: usize = 5;
const ENDING_MAX: usize = 3;

/// True if `word` is `of`, or the same word with another ending. What says that something is done ("storniert",
/// "cancelled") is a form of nothing: a template that speaks of doing it does not say that it is done.
fn is_form_of(word: &str, of: &str) -> bool {
    if word == of {
        return true;
    }
    let done = ["ge", "be", "er", "ver", "zer", "ent", "ab", "an", "auf", "aus", "ein", "um", "zu"];
    let participle = word.ends_with("iert")
        || word.ends_with("ed")
        || (word.ends_with('t') && done.iter().any(|beginning| word.starts_with(beginning)));
    let shared = word.bytes().zip(of.bytes()).take_while(|(a, b)| a == b).count();
    !participle && shared >= STEM_MIN && word.len().max(of.len()) - shared <= ENDING_MAX
}

#[cfg(test)]
mod tests;
