//! Owns how urgent a note is, and why: the intent's own urgency, the playbook's rules, and built-in signals that hold
//! in every contact centre. Every ground has a name; the highest level wins.

use std::ops::Range;

use super::{
    playbook::{Playbook, UrgencyRule},
    text::{self, Word},
};
use crate::{
    event::processed::{Ground, Urgency, UrgencyLevel},
    private::Private,
};

/// A signal in every playbook that has no rule of that name.
struct Signal {
    name: &'static str,
    level: UrgencyLevel,
    phrases: &'static [&'static str],
}

const SIGNALS: [Signal; 7] = [
    Signal {
        name: "danger",
        level: UrgencyLevel::High,
        phrases: &[
            "lebensgefahr*",
            "*gefaehrlich",
            "es brennt",
            "brandgeruch",
            "gasgeruch",
            "riecht nach gas",
            "gas leck*",
            "stromschlag*",
            "explo*",
            "dangerous",
            "smell of gas",
            "smells like gas",
            "on fire",
            "electric shock",
        ],
    },
    Signal {
        name: "health",
        level: UrgencyLevel::High,
        phrases: &[
            "*notruf",
            "*notrufgeraet*",
            "notarzt",
            "medikament*",
            "insulin",
            "herzproblem*",
            "beatmungs*",
            "sauerstoffgeraet*",
            "dialyse*",
            "ein baby",
            "saeugling*",
            "medical alarm*",
            "medication*",
            "medicine",
            "emergency alarm",
            "oxygen",
            "newborn",
        ],
    },
    Signal {
        name: "legal",
        level: UrgencyLevel::High,
        phrases: &[
            "*anwalt",
            "*anwaeltin",
            "rechtsanwalts*",
            "anwaltlich*",
            "gericht",
            "verklag*",
            "klage",
            "strafanzeige",
            "anzeige erstatten",
            "verbraucherzentrale",
            "bundesnetzagentur",
            "lawyer*",
            "solicitor*",
            "legal action",
            "take you to court",
            "ombudsman",
            "sue you",
        ],
    },
    Signal {
        name: "deadline",
        level: UrgencyLevel::High,
        phrases: &[
            "sofort",
            "dringend*",
            "heute noch",
            "noch heute",
            "so schnell wie moeglich",
            "schnellstmoeglich*",
            "umgehend",
            "unverzueglich",
            "eilt",
            "es ist eilig",
            "bis heute abend",
            "uebermorgen flieg*",
            "urgent*",
            "immediately",
            "right away",
            "asap",
            "as soon as possible",
            "by tonight",
        ],
    },
    Signal {
        name: "repeated_contact",
        level: UrgencyLevel::High,
        phrases: &[
            "zum dritten mal",
            "zum vierten mal",
            "zum fuenften mal",
            "zum zehnten mal",
            "zum x ten mal",
            "das dritte mal",
            "das vierte mal",
            "das fuenfte mal",
            "zum wiederholten mal*",
            "third time",
            "fourth time",
            "fifth time",
        ],
    },
    Signal {
        name: "anger",
        level: UrgencyLevel::High,
        phrases: &[
            "*sauer",
            "unverschaemt*",
            "frechheit",
            "saftladen",
            "sauerei",
            "verarsch*",
            "zum kotzen",
            "schnauze voll",
            "reicht es mir",
            "mir reichts",
            "unter aller sau",
            "unzumutbar*",
            "furious",
            "disgrace*",
            "outrageous",
            "fed up",
            "unacceptable",
            "ridiculous",
        ],
    },
    Signal {
        name: "no_hurry",
        level: UrgencyLevel::Low,
        phrases: &[
            "eilt nicht",
            "eilt ned",
            "nicht eilig",
            "hat zeit",
            "keine eile",
            "kein stress",
            "wenn sie mal zeit haben",
            "no rush",
            "no hurry",
            "not urgent",
            "whenever you have time",
        ],
    },
];

const NEGATIONS: [&str; 13] =
    ["nicht", "ned", "net", "nich", "nit", "kein", "keine", "keinen", "keiner", "ohne", "no", "not", "isnt"];

/// The ground that says how the customer feels.
pub const ANGER: &str = "anger";

#[must_use]
pub fn is_builtin(name: &str) -> bool {
    SIGNALS.iter().any(|signal| signal.name == name)
}

/// The rules of one playbook, ready to be applied.
#[derive(Debug)]
pub struct UrgencyRules {
    rules: Vec<UrgencyRule>,
}

impl UrgencyRules {
    #[must_use]
    pub fn new(playbook: &Playbook) -> Self {
        let builtin = SIGNALS.iter().filter(|signal| !playbook.urgency.iter().any(|rule| rule.name == signal.name));
        let builtin = builtin.map(|signal| UrgencyRule {
            name: signal.name.to_owned(),
            level: signal.level,
            phrases: signal.phrases.iter().map(|phrase| text::phrase(phrase)).collect(),
            patterns: Vec::new(),
        });
        Self { rules: playbook.urgency.iter().cloned().chain(builtin).collect() }
    }

    /// `intent` is the name and the own urgency of what was recognised.
    #[must_use]
    pub fn assess(&self, note: &str, words: &[Word], intent: Option<(&str, Option<UrgencyLevel>)>) -> Urgency {
        let mut found: Vec<(UrgencyLevel, &str, Option<Range<usize>>)> = Vec::new();
        if let Some((name, Some(level))) = intent {
            found.push((level, name, None));
        }
        for rule in &self.rules {
            let said = rule.phrases.iter().find_map(|phrase| said(words, phrase));
            let matches = || rule.patterns.iter().find_map(|pattern| pattern.find(note).map(|found| found.range()));
            if let Some(at) = said.or_else(matches) {
                found.push((rule.level, &rule.name, Some(at)));
            }
        }
        // What raises a note outweighs what lowers it: nobody is harmed by a note that is read too early.
        let raised = found.iter().map(|(level, ..)| *level).max().filter(|&level| level > UrgencyLevel::Normal);
        let lowered = || found.iter().any(|(level, ..)| *level == UrgencyLevel::Low);
        let level = raised.unwrap_or_else(|| if lowered() { UrgencyLevel::Low } else { UrgencyLevel::Normal });
        let deciding = || found.iter().filter(|(l, ..)| *l == level && *l != UrgencyLevel::Normal);
        let evidence = deciding().filter_map(|(_, name, at)| {
            Some(Ground { ground: (*name).to_owned(), words: Private::new(&note[at.clone()?]) })
        });
        Urgency {
            level,
            grounds: deciding().map(|(_, name, _)| (*name).to_owned()).collect(),
            evidence: evidence.collect(),
        }
    }
}

/// Where it is said, in bytes of the note, and not denied: "das ist nicht dringend" says nothing of a deadline.
fn said(words: &[Word], phrase: &[String]) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = text::find_phrase(&words[from..], phrase) {
        let at = from + at;
        let before = &words[at.saturating_sub(2)..at];
        let after = words.get(at + phrase.len());
        let denied = before
            .iter()
            .chain(after.filter(|_| phrase.len() == 1))
            .any(|word| NEGATIONS.contains(&word.folded.as_str()));
        if !denied {
            return Some(words[at].at.start..words[at + phrase.len() - 1].at.end);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assess(note: &str, intent: Option<(&str, Option<UrgencyLevel>)>) -> Urgency {
        let playbook = Playbook::parse("version = 1", "test").unwrap();
        UrgencyRules::new(&playbook).assess(note, &text::words(note), intent)
    }

    #[test]
    fn danger_health_and_lawyers_are_urgent_and_named() {
        for (note, ground) in [
            ("Meine Mutter hat einen Hausnotruf!", "health"),
            ("Das ist LEBENSGEFÄHRLICH, was da passiert", "danger"),
            ("sonst gehe ich zum Anwalt", "legal"),
            ("Ich brauche das heute noch", "deadline"),
            ("I have to talk to my lawyer", "legal"),
        ] {
            let urgency = assess(note, None);
            assert_eq!((urgency.level, urgency.grounds), (UrgencyLevel::High, vec![ground.to_owned()]), "{note}");
        }
    }

    #[test]
    fn the_words_that_decided_are_named() {
        let urgency = assess("Das ist eine Frechheit, ich gehe zum Anwalt!", None);
        let evidence: Vec<_> = urgency.evidence.iter().map(|e| (e.ground.as_str(), e.words.expose())).collect();
        assert_eq!(evidence, [("legal", "Anwalt"), ("anger", "Frechheit")]);
    }

    #[test]
    fn a_denied_word_raises_nothing() {
        for note in ["Das ist nicht dringend", "Das eilt nicht", "es ist kein Notruf", "It's not urgent"] {
            assert_ne!(assess(note, None).level, UrgencyLevel::High, "{note}");
        }
    }

    #[test]
    fn the_intents_own_urgency_is_a_ground_and_a_higher_one_wins() {
        let low = Some(("thanks", Some(UrgencyLevel::Low)));
        assert_eq!(assess("Danke", low).level, UrgencyLevel::Low);
        assert_eq!(assess("Danke, aber bitte sofort", low).grounds, ["deadline"]);
        assert_eq!(assess("Hallo", None), Urgency { level: UrgencyLevel::Normal, grounds: vec![], evidence: vec![] });
    }

    #[test]
    fn a_playbooks_rule_takes_the_place_of_a_signal_of_the_same_name() {
        let rule = "version = 1\n[[urgency]]\nname = \"legal\"\nlevel = \"low\"\npatterns = ['\\bparagraph\\b']";
        let playbook = Playbook::parse(rule, "test").unwrap();
        let rules = UrgencyRules::new(&playbook);
        let level = |note: &str| rules.assess(note, &text::words(note), None).level;
        assert_eq!(level("Ich gehe zum Anwalt"), UrgencyLevel::Normal);
        assert_eq!(level("Siehe Paragraph drei"), UrgencyLevel::Low);
    }
}
