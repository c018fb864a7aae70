//! Owns how urgent a note is, and why: the intent's own urgency, the playbook's rules, and built-in signals that hold
//! in every contact centre. Every ground has a name; the highest level wins.
//!
//! * `signals.rs`: the built-in ones. Life and limb come first: a false alarm costs a look, a missed one does not.
//! * [`said`]: whether a phrase is said, and not denied.

pub(crate) mod said;
mod signals;

use std::ops::Range;

use self::{
    said::{Said, Spoken},
    signals::SIGNALS,
};
use super::{
    playbook::{Playbook, UrgencyRule},
    text::{self, Word},
};
use crate::{
    event::processed::{Ground, Urgency, UrgencyLevel},
    private::Private,
};

/// The ground that says how the customer feels.
pub const ANGER: &str = "anger";

/// Grounds on which no text from a playbook is an answer, whatever else the note is about: who speaks of killing, be it
/// themselves or others, needs a human being.
pub const FOR_PEOPLE: [&str; 2] = ["self_harm", "threat"];

#[must_use]
pub fn is_builtin(name: &str) -> bool {
    SIGNALS.iter().any(|signal| signal.name == name)
}

/// The rules of one playbook, ready to be applied.
#[derive(Debug)]
pub struct UrgencyRules {
    rules: Vec<Rule>,
}

/// A rule of the playbook, or a signal.
#[derive(Debug)]
struct Rule {
    is: UrgencyRule,
    harmless: Vec<Vec<String>>,
}

impl Rule {
    /// Where its words are said and mean it, in bytes of the note.
    fn said(&self, words: &[Word], spoken: &Spoken) -> Option<Range<usize>> {
        let mut all = self.is.phrases.iter().flat_map(|phrase| spoken.all(phrase));
        let said = all.find(|said| self.is_meant(spoken, said))?;
        Some(words[said.words.start].at.start..words[said.words.end - 1].at.end)
    }

    fn is_meant(&self, spoken: &Spoken, said: &Said) -> bool {
        let denied = if self.is.lack_counts { spoken.is_called_none(said) } else { spoken.is_denied(said) };
        let name = said.words.len() == 1 && spoken.is_name(said.words.start);
        !denied && !name && !self.is_harmless(spoken, said)
    }

    fn is_harmless(&self, spoken: &Spoken, said: &Said) -> bool {
        let covers = |harmless: Said| harmless.words.start < said.words.end && said.words.start < harmless.words.end;
        self.harmless.iter().any(|phrase| spoken.all(phrase).any(covers))
    }
}

impl UrgencyRules {
    #[must_use]
    pub fn new(playbook: &Playbook) -> Self {
        let phrases = |phrases: &[&str]| phrases.iter().map(|phrase| text::phrase(phrase)).collect();
        let builtin = SIGNALS.iter().filter(|signal| !playbook.urgency.iter().any(|rule| rule.name == signal.name));
        let builtin = builtin.map(|signal| Rule {
            is: UrgencyRule {
                name: signal.name.to_owned(),
                level: signal.level,
                phrases: phrases(signal.phrases),
                patterns: Vec::new(),
                lack_counts: signal.lack_counts,
            },
            harmless: phrases(signal.harmless),
        });
        let own = playbook.urgency.iter().cloned().map(|is| Rule { is, harmless: Vec::new() });
        Self { rules: own.chain(builtin).collect() }
    }

    /// `intent` is the name and the own urgency of what was recognised.
    #[must_use]
    pub fn assess(&self, note: &str, words: &[Word], intent: Option<(&str, Option<UrgencyLevel>)>) -> Urgency {
        let mut found: Vec<(UrgencyLevel, &str, Option<Range<usize>>)> = Vec::new();
        if let Some((name, Some(level))) = intent {
            found.push((level, name, None));
        }
        let spoken = Spoken::new(note, words);
        for rule in &self.rules {
            let patterns = &rule.is.patterns;
            let matches = || patterns.iter().find_map(|pattern| pattern.find(note).map(|found| found.range()));
            if let Some(at) = rule.said(words, &spoken).or_else(matches) {
                found.push((rule.is.level, &rule.is.name, Some(at)));
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

    fn builtin(note: &str) -> Vec<String> {
        let playbook = Playbook::builtin().unwrap();
        let urgency = UrgencyRules::new(&playbook).assess(note, &text::words(note), None);
        assert_eq!(urgency.level == UrgencyLevel::High, urgency.grounds.iter().any(|g| g != "no_hurry"), "{note}");
        urgency.grounds
    }

    #[test]
    fn life_and_limb_are_heard_however_they_are_said() {
        for (note, ground) in [
            ("Ich bin ohne Insulin, das Paket ist nicht angekommen.", "health"),
            ("Wir haben keine Medikamente mehr, wo bleibt das Paket?", "health"),
            ("Meine Mutter hat seit gestern keinen Hausnotruf mehr.", "medical_alarm"),
            ("Ich rufe an, weil der Hausnotruf nicht funktioniert.", "medical_alarm"),
            ("Hier geht keiner ran, Lebensgefahr, kommen Sie her.", "danger"),
            ("hier geht keiner ran lebensgefahr kommen sie her", "danger"),
            ("Keiner kommt, es brennt im Keller.", "danger"),
            ("keiner kommt es brennt im keller", "danger"),
            ("Das ist lebensgefährlich, keine Ahnung, was ich machen soll.", "danger"),
            ("das ist lebensgefährlich keine ahnung was ich machen soll", "danger"),
            ("In der Wohnung riecht es stark nach Gas.", "danger"),
            ("Im Flur ist ein Gasleck, es zischt.", "danger"),
            ("In meiner Wohnung brennt es, der Zähler hat Feuer gefangen.", "danger"),
            ("Es stinkt verschmort aus dem Sicherungskasten, und es kommen Funken.", "danger"),
            ("Es riecht nach Rauch aus der Steckdose", "danger"),
            ("Aus der Steckdose kommt Rauch und es funkt.", "danger"),
            ("Bei mir qualmt der Router ganz fürchterlich.", "danger"),
            ("There are sparks and smoke coming from the socket.", "danger"),
            ("I can smell gas in the hallway.", "danger"),
            ("Im Keller rieche ich Gas.", "danger"),
            ("Der Zähler steht in Flammen.", "danger"),
            ("Mein Vater braucht Sauerstoff, und der Strom ist weg.", "medical_alarm"),
            ("Mein Sohn ist auf ein Beatmungsgerät angewiesen, und wir haben keinen Strom.", "medical_alarm"),
            ("Ich brauche meine Insulinlieferung", "medical_alarm"),
            ("Wir haben ein Neugeborenes hier und keine Heizung.", "health"),
            ("My father needs oxygen and the power is out.", "medical_alarm"),
            ("Ich bringe mich um, wenn das so weitergeht, ich kann nicht mehr.", "self_harm"),
            ("Ich will nicht mehr leben, so geht das nicht weiter.", "self_harm"),
            ("I want to kill myself because of this.", "self_harm"),
            ("Wenn das Paket nicht kommt, komm ich mit dem Messer vorbei.", "threat"),
            ("Ich bringe euch alle um.", "threat"),
            ("I know where you live.", "threat"),
            ("Kommt das Paket mit den Lebensmitteln nicht an, verdirbt alles.", "perishable"),
        ] {
            let grounds = builtin(note);
            assert!(grounds.iter().any(|found| found == ground), "{note}: {grounds:?}");
        }
    }

    #[test]
    fn life_and_limb_go_to_people() {
        let playbook = Playbook::builtin().unwrap();
        let escalates = |ground: &str| playbook.escalations.iter().any(|e| e.grounds.iter().any(|g| g == ground));
        assert!(["danger", "medical_alarm", "self_harm", "threat"].into_iter().all(escalates));
    }

    #[test]
    fn harmless_words_raise_nothing() {
        for note in [
            "Wir sind Feuer und Flamme für den Tarif.",
            "Ich möchte Rauchmelder bestellen.",
            "Es brennt noch Licht am Gerät.",
            "Am Router brennt die LED rot.",
            "Am Router brennt die rote Lampe.",
            "Ich habe ein Feuerzeug bestellt.",
            "Das ist völlig ungefährlich.",
            "Ich benutze den Internet Explorer.",
            "Es ist keine akute Gefahr, es brennt nicht.",
            "Das ist kein Notruf.",
            "Hier spricht Frau Sauer aus Köln.",
            "Ich habe die Rechnung sofort bezahlt.",
            "Die Rechnung sofort bezahlt, und trotzdem eine Mahnung.",
            "Mein Gericht war kalt.",
            "Das bringt mich noch um den Verstand.",
            "Ich bringe Sie um 5 Uhr vorbei.",
            "Ich habe den Karton mit dem Messer aufgemacht.",
            "Ich komme mit dem Messer nicht zurecht.",
            "Das Set kommt mit einem Messer.",
            "Ich hätte gern einen Fire TV Stick.",
            "Herr Feuer ist nicht zu Hause.",
        ] {
            assert_eq!(builtin(note), [""; 0], "{note}");
        }
    }

    #[test]
    fn who_says_that_it_is_not_urgent_is_in_no_hurry() {
        for note in [
            "Es eilt überhaupt nicht",
            "Das eilt jetzt nicht",
            "Dringend ist es nicht",
            "Das ist nicht ganz so dringend",
            "Es ist nicht dringend",
            "It's not that urgent",
        ] {
            assert_eq!(assess(note, None).grounds, ["no_hurry"], "{note}");
        }
    }

    #[test]
    fn what_is_urgent_stays_so_beside_a_denial_of_something_else() {
        for note in ["Das Internet geht nicht, es ist dringend", "das internet geht nicht bitte kommen sie sofort"] {
            assert_eq!(assess(note, None).grounds, ["deadline"], "{note}");
        }
    }

    #[test]
    fn a_playbook_says_whether_a_lack_counts() {
        let level = |lack: bool| {
            let text = format!(
                "version = 1\n[[urgency]]\nname = \"water\"\nlevel = \"high\"\nphrases = [\"wasser\"]\n\
                 lack_counts = {lack}"
            );
            let playbook = Playbook::parse(&text, "test").unwrap();
            let note = "Wir haben kein Wasser";
            UrgencyRules::new(&playbook).assess(note, &text::words(note), None).level
        };
        assert_eq!((level(true), level(false)), (UrgencyLevel::High, UrgencyLevel::Normal));
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
