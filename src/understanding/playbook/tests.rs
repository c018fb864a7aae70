use super::*;

fn faults(text: &str) -> Vec<String> {
    match Playbook::parse(text, "p.toml") {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_builtin_playbook_is_complete() {
    let playbook = Playbook::builtin().unwrap_or_else(|errors| panic!("{errors}"));
    assert!(playbook.warnings.is_empty(), "{:?}", playbook.warnings);
    assert_eq!(playbook.intents.len(), 14);
    for intent in &playbook.intents {
        assert!(intent.examples.len() >= 12, "{}", intent.name);
        assert!(intent.team.is_some() && intent.description.is_some(), "{}", intent.name);
        assert!(
            intent.left_to_people || ["de", "en"].iter().all(|l| intent.replies.contains_key(*l)),
            "{}",
            intent.name
        );
    }
}

#[test]
fn a_starter_is_valid_and_takes_intents_at_its_end() {
    for language in ["de", "en"] {
        let starter = Playbook::starter(language).unwrap();
        assert!(Playbook::parse(starter, "starter").unwrap().intents.is_empty());
        let grown = format!("{starter}\n[[intent]]\nname = \"hello\"\nexamples = [\"Hallo ihr\", \"Guten Tag\"]\n");
        let playbook = Playbook::parse(&grown, "grown").unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((playbook.intents.len(), playbook.language.as_str()), (1, language));
    }
    assert!(Playbook::starter("fr").is_none());
}

#[test]
fn the_smallest_playbook_is_one_line() {
    let playbook = Playbook::parse("version = 1", "p.toml").unwrap();
    assert!(playbook.intents.is_empty() && playbook.teams.is_empty());
}

#[test]
fn every_fault_is_named_with_line_column_and_field_in_one_go() {
    let text = r#"version = 1
teams = ["technik"]
default_team = "nirgends"
[[intent]]
name = "Große Störung"
examples = ["geht nicht"]
team = "vertrag"
follow_up_after = "bald"
[intent.reply.de]
text = "Hallo {{ kundennumer }}"
[[intent]]
name = "leer"
examples = []
[[intent]]
name = "leer"
examples = ["a", "  "]
[intent.reply.deutsch]
text = "offen {"
[[urgency]]
name = "wut"
level = "high"
patterns = ['(']
[[escalation]]
name = "x"
grounds = ["unbekannt"]
"#;
    insta::assert_snapshot!(faults(text).join("\n"));
}

#[test]
fn a_word_that_the_format_does_not_know_is_named_with_its_place() {
    for (text, place) in [
        (
            "version = 1\n[[intent]]\nname = \"a\"\nexamples = [\"b\"]\nteem = \"c\"",
            "p.toml: line 5, column 1: intent[0]",
        ),
        ("version = 1\n[[urgency]]\nname = \"a\"\nlevel = \"hoch\"", "p.toml: line 4, column 9: urgency[0].level"),
        ("version = 1\n[[intent]]\nname = 5\nexamples = []", "p.toml: line 3, column 8: intent[0].name"),
        ("version = 1\nx", "p.toml: line 2, column 2: "),
        ("", "p.toml: line 1, column 1: "),
        ("version = 2", "p.toml: line 1, column 11: version"),
    ] {
        let faults = faults(text);
        assert!(faults.first().is_some_and(|fault| fault.starts_with(place)), "{text}: {faults:?}");
    }
}

#[test]
fn few_and_doubled_examples_are_warned_about() {
    let text = "version = 1\n[[intent]]\nname = \"a\"\nexamples = [\"Störung!\"]\n[[intent]]\nname = \"b\"\n\
                examples = [\"stoerung\", \"1\", \"2\", \"3\", \"4\"]\n";
    let warnings: Vec<String> = Playbook::parse(text, "p").unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 7, column 13: intent[1].examples[0]: this example is also an example of \"a\"",
            "line 4, column 12: intent[0].examples: with 1 of at least 5 examples it is recognised by luck",
        ]
    );
}

#[test]
fn a_follow_up_is_hours_days_or_weeks() {
    let after = |text: &str| {
        let toml = format!("version = 1\n[[intent]]\nname = \"a\"\nexamples = [\"b\"]\nfollow_up_after = \"{text}\"");
        Playbook::parse(&toml, "p").ok().and_then(|playbook| playbook.intents[0].follow_up_after)
    };
    assert_eq!(after("7d"), Some(SignedDuration::from_hours(168)));
    assert_eq!(
        (after("48h"), after("2w")),
        (Some(SignedDuration::from_hours(48)), Some(SignedDuration::from_hours(336)))
    );
    for wrong in ["", "7", "d", "-1d", "0h", "7m", "400d", "99999999999999999999w", "7ä"] {
        assert_eq!(after(wrong), None, "{wrong}");
    }
}

#[test]
fn a_reply_that_announces_a_call_is_noticed() {
    let calls = |text: &str, flag: &str| {
        let toml = format!(
            "version = 1\n[[intent]]\nname = \"a\"\nexamples = [\"b\"]\n[intent.reply.de]\ntext = \"{text}\"\n{flag}"
        );
        Playbook::parse(&toml, "p").unwrap().intents[0].replies["de"].calls
    };
    assert!(calls("Wir rufen Sie zurück.", "") && calls("Unser Rückruf kommt.", "") && calls("Zu {{ phone }}", ""));
    assert!(!calls("Wir schreiben Ihnen.", "") && !calls("Wir rufen Sie nicht an.", "calls = false"));
}

#[test]
fn an_acknowledgement_says_what_is_wrong_with_it() {
    let text = r#"version = 1
[acknowledgement]
time_zone = "Europe/Bielefeld"
holidays = ["24.12."]
[acknowledgement.text.en]
open = "Hello {{ name }}"
closed = ""
"#;
    let faults = faults(text).join("\n");
    for part in [
        "acknowledgement.text.de: there is no text in \"de\"",
        "line 3, column 13: acknowledgement.time_zone: there is no such time zone",
        "line 4, column 13: acknowledgement.holidays[0]: a holiday is a date",
        "line 6, column 8: acknowledgement.text.en.open: nobody has listened to the note yet",
        "line 7, column 10: acknowledgement.text.en.closed: a reply needs a text",
    ] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
}

#[test]
fn hours_that_are_none_are_named_with_their_place() {
    let text = "version = 1\n[acknowledgement]\ntime_zone = \"UTC\"\nhours.monday = [\"8 to 5\"]";
    let faults = faults(text).join("\n");
    assert!(faults.contains("acknowledgement.hours.monday") && faults.contains("08:00-18:00"), "{faults}");
}

#[test]
fn the_builtin_acknowledgement_is_complete_and_off() {
    let acknowledgement = Playbook::builtin().unwrap().acknowledgement.unwrap();
    assert!(!acknowledgement.enabled && acknowledgement.hours.is_some());
    assert!(["de", "en"].iter().all(|language| acknowledgement.texts[*language].busy.is_some()));
}

#[test]
fn an_expression_that_would_eat_the_memory_is_refused() {
    let faults = faults("version = 1\n[entities.x]\npattern = '((a{1000}){1000}){1000}'");
    assert!(faults[0].contains("entities.x.pattern: the expression is too large"), "{faults:?}");
}

#[test]
fn whoever_is_answered_in_german_can_be_answered_by_du_with_the_same_facts() {
    const DU: [&str; 6] = ["du", "dich", "dir", "dein", "deine", "deinen"];
    const SIE: [&str; 6] = ["Sie", "Ihnen", "Ihr", "Ihre", "Ihren", "Ihrer"];
    let playbook = Playbook::builtin().unwrap();
    for intent in playbook.intents.iter().filter(|intent| intent.replies.contains_key("de")) {
        let texts = &intent.replies["de"];
        let informal = texts.informal.as_ref().unwrap_or_else(|| panic!("{} by du", intent.name));
        let templates = |wording: &Wording| [Some(wording.text.clone()), wording.plain.clone()];
        let slots = |wording: &Wording| {
            let slots = |template: Template| template.slots().into_iter().map(str::to_owned).collect::<Vec<_>>();
            (templates(wording).map(|template| template.map(slots)), wording.ask.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(slots(&texts.formal), slots(informal), "{}", intent.name);
        let say = |wording: &Wording, words: &[&str]| {
            let filled = templates(wording).into_iter().flatten();
            let filled = filled.map(|template| template.fill(|_| Some("4711".to_owned())).unwrap());
            let said = filled.map(|filled| filled.text.expose().to_owned()).chain(wording.ask.values().cloned());
            said.flat_map(|text| text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>())
                .any(|word| words.contains(&word.as_str()))
        };
        assert!(!say(&texts.formal, &DU) && !say(informal, &SIE), "{}", intent.name);
    }
}
