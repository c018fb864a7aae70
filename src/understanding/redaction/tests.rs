use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    event::processed::{ContactPreferences, Urgency, UrgencyLevel},
    note::{AudioSource, Channel, Recording, VoiceNote},
    report::{Attempt, Report},
    understanding::playbook::Playbook,
};

fn rules() -> BTreeMap<String, EntityRule> {
    Playbook::builtin().unwrap().entities
}

/// The result of a note with these words, in segments of so many words each, as the pipeline makes it.
fn processed(language: &str, said: &str, words_a_segment: usize) -> Processed {
    let pieces: Vec<&str> = said.split_inclusive(' ').collect();
    let segments = pieces.chunks(words_a_segment).map(|pieces| Segment {
        start_s: 0.0,
        end_s: 1.0,
        text: pieces.concat().trim_end().into(),
        confidence: 0.9,
        words: pieces
            .iter()
            .map(|word| TimedWord {
                start_s: 0.0,
                end_s: 0.5,
                text: format!(" {}", word.trim()).into(),
                confidence: 0.9,
            })
            .collect(),
    });
    let transcript = Transcript {
        text: said.into(),
        language: language.to_owned(),
        language_confidence: 1.0,
        confidence: 0.9,
        segments: segments.collect(),
        model: "test".to_owned(),
    };
    let sent_at: Timestamp = "2026-11-21T18:02:11Z".parse().unwrap();
    let entities = entities::find(&transcript, &text::words(said), &rules(), Some(sent_at));
    let entities: Vec<Entity> = entities.into_iter().map(|fact| fact.entity).collect();
    let sentence = text::sentences(said).into_iter().next_back().map(|at| Private::new(&said[at]));
    let filled: Vec<&str> = entities.iter().map(|entity| entity.value.expose()).collect();
    let audio = AudioSource::Inline { data: String::new() };
    let note = VoiceNote {
        conversation: Some("4917055501".into()),
        sender: Some("c:9f2b".into()),
        ticket: Some("T-815".to_owned()),
        ..VoiceNote::new("musterstrom".parse().unwrap(), Channel::upload(), "wamid.geheim".to_owned(), audio)
    };
    let mut report = Report::begin(&note, Attempt::only(), "worker");
    report.data.sent_at = Some(sent_at);
    report.data.reply = Some(Reply::Suggestion {
        text: format!("Guten Tag, danke für {}.", filled.join(" und ")).into(),
        language: language.to_owned(),
        template: "parcel.first".to_owned(),
        facts: vec![],
    });
    report.data.understanding = Some(Understanding {
        intent: Some(Intent { name: "parcel".to_owned(), confidence: 0.9, evidence: sentence }),
        alternatives: vec![],
        urgency: Urgency { level: UrgencyLevel::Normal, grounds: vec![], evidence: vec![] },
        entities,
        contact: ContactPreferences::default(),
        earlier_contact: None,
        sentiment: None,
    });
    report.data.transcript = Some(transcript);
    report.finish()
}

fn left_of(language: &str, said: &str) -> String {
    let redacted = redact(&processed(language, said, 4), &rules());
    redacted.get().transcript.as_ref().unwrap().text.expose().to_owned()
}

#[test]
fn facts_become_placeholders_that_name_their_kind() {
    for (said, left) in [
        ("Meine IBAN ist DE89 3704 0044 0532 0130 00, danke.", "Meine IBAN ist [IBAN], danke."),
        ("Die Bestellnummer ist vier, sieben, eins, eins, null, acht.", "Die Bestellnummer ist [Bestellnummer]."),
        ("Meine Kundennummer ist 98203. Danke.", "Meine Kundennummer ist [Kundennummer]. Danke."),
        ("Rufen Sie an unter null eins sieben sechs, fünf fünf drei.", "Rufen Sie an unter [Telefon]."),
        ("Mail an max Punkt muster at beispiel Punkt de bitte", "Mail an [E-Mail] bitte"),
        ("Hier ist Familie Brandt. Brandts Paket fehlt.", "Hier ist Familie [Name]. [Name] Paket fehlt."),
        ("Ich bin am 3.3.1985 geboren.", "Ich bin am [Datum] geboren."),
        ("Da stehen 39,90 Euro drauf.", "Da stehen [Betrag] drauf."),
    ] {
        assert_eq!(left_of("de", said), left, "{said}");
    }
}

#[test]
fn what_may_be_personal_goes_though_nobody_knows_what_it_is() {
    for (said, left) in [
        ("Ich wohne in der Hauptstraße siebzehn b.", "Ich wohne in der [Adresse]."),
        ("Lange Straße 5, 80331 München", "[Adresse]"),
        ("acht null drei drei eins München bitte", "[Adresse] bitte"),
        ("Da steht 12345 drauf.", "Da steht [Zahl] drauf."),
        ("sieben vier äh eins, und dann noch acht acht", "[Zahl]"),
        ("dreizehnter Mai neunzehnhundertachtzig", "[Datum]"),
        ("dreizehnter fünfter neunzehnhundertachtzig", "[Datum]"),
        ("Geräte XK4711Z und XK-47-11-08", "Geräte [Zahl] und XK-[Zahl]"),
        ("Ich buchstabiere: B wie Berta, R, A, N, D, T.", "Ich buchstabiere: [Buchstabiert]."),
        ("Frau Müller hat mir das gesagt", "Frau [Name] hat mir das gesagt"),
        ("mein name ist brandt und das paket fehlt", "mein name ist [Name] und das paket fehlt"),
        ("Schreiben Sie an max@muster.shop bitte", "Schreiben Sie an [E-Mail] bitte"),
        ("an max punkt muster klammeraffe firma punkt shop bitte", "an [E-Mail] bitte"),
    ] {
        assert_eq!(left_of("de", said), left, "{said}");
    }
    assert_eq!(left_of("en", "it says nine eight two zero three on it"), "it says [Zahl] on it");
    assert_eq!(left_of("en", "my name is Sarah Jones, thanks"), "my name is [Name], thanks");
}

/// What is left of a note, for all that are left otherwise.
fn check(language: &str, cases: &[(&str, &str)]) {
    let wrong =
        cases.iter().map(|&(said, left)| (said, left_of(language, said), left)).filter(|(_, is, left)| is != left);
    assert_eq!(wrong.collect::<Vec<_>>(), [], "said, what is left, what should be");
}

#[test]
fn a_street_goes_whole_however_it_is_called() {
    check(
        "de",
        &[
            ("Ich wohne in der Goethestr. 5b.", "Ich wohne in der [Adresse]."),
            ("Es ist die Lindenstr. 12 im Hof", "Es ist die [Adresse] im Hof"),
            ("Schillerstraße, Hausnummer 8", "[Adresse]"),
            ("Es geht um Am Alten Markt 3.", "Es geht um [Adresse]."),
            ("Lieferung Unter den Linden 5 bitte", "Lieferung [Adresse] bitte"),
            ("Das ist Neuer Wall 14.", "Das ist [Adresse]."),
            ("Ich wohne Am Hof 2.", "Ich wohne [Adresse]."),
            ("Das Haus steht An der Kirche 1.", "Das Haus steht [Adresse]."),
            ("Ich wohne Steintor 4.", "Ich wohne [Adresse]."),
            ("Es ist die Karl-Marx-Straße 7.", "Es ist die [Adresse]."),
            ("Es ist die Karl Marx Straße 7.", "Es ist die [Adresse]."),
            ("Musterweg 12 a, fünf null sechs sechs sieben Köln", "[Adresse]"),
            ("Musterweg 12, 61348 Bad Homburg", "[Adresse]"),
            ("Musterweg 12-14 in Köln.", "[Adresse]."),
            ("Am Router 3 Lampen, am Montag um 14 Uhr", "Am Router 3 Lampen, am Montag um [Uhrzeit]"),
        ],
    );
    check(
        "en",
        &[
            ("I live at 12 Baker Street, thanks", "I live at [Adresse], thanks"),
            ("It is 221B Baker Street.", "It is [Adresse]."),
        ],
    );
}

#[test]
fn a_name_goes_wherever_somebody_says_it_of_themselves() {
    check(
        "de",
        &[
            ("Schmidt hier, guten Tag.", "[Name] hier, guten Tag."),
            ("Hallo, Karin Schmidt hier.", "Hallo, [Name] hier."),
            ("Ich bin's, der Thomas Becker.", "Ich bin's, der [Name]."),
            ("Hier ist wieder Petra Lang.", "Hier ist wieder [Name]."),
            ("Guten Tag, hier ist Müller, Sabine Müller.", "Guten Tag, hier ist [Name]."),
            ("Das sagte Herr Doktor von der Heide.", "Das sagte Herr [Name]."),
            ("auf den Namen Karin Vogel.", "auf den Namen [Name]."),
            ("Nachname Vogel, Vorname Karin.", "Nachname [Name], Vorname [Name]."),
            ("Karin Vogel am Apparat.", "[Name] am Apparat."),
            ("Ich bin Karin Vogel.", "Ich bin [Name]."),
        ],
    );
    check("en", &[("Hello, I'm John Smith.", "Hello, I'm [Name]."), ("John Smith speaking.", "[Name] speaking.")]);
    for said in [
        "Ich bin der Meinung, dass das nicht geht.",
        "Ich bin die Einzige, die wartet.",
        "Ich bin Kunde bei Ihnen.",
        "Das Internet hier, das geht nicht.",
    ] {
        assert_eq!(left_of("de", said), said);
    }
}

#[test]
fn no_rest_of_an_address_a_plate_or_a_card_stays() {
    check(
        "de",
        &[
            ("Meine Mail ist sabine 1978 at gmail dot com", "Meine Mail ist [E-Mail]"),
            ("Meine Mail ist mustermann, alles klein, ät gmx Punkt de", "Meine Mail ist [E-Mail]"),
            ("Sie lautet anna fünfundachtzig ät web.de", "Sie lautet [E-Mail]"),
            ("Mein Auto, K AB 1234, steht da.", "Mein Auto, [Zahl], steht da."),
            ("gültig bis 12 28, Prüfziffer 123.", "gültig bis [Zahl], Prüfziffer [Zahl]."),
            ("Mein Passwort ist Sonnenschein.", "Mein Passwort ist [Zahl]."),
            ("Bestellnummer 47 12, nicht 47 11.", "Bestellnummer [Bestellnummer], nicht [Bestellnummer]."),
        ],
    );
}

#[test]
fn what_says_nothing_about_anybody_stays() {
    for said in [
        "Ich habe drei Kinder und seit zwölf Jahren Internet bei euch.",
        "Mein Paket ist weg, eins von zwei kam 2024 an.",
        "Bei uns geht seit gestern Abend das Internet nicht mehr, die Lampe am Router ist rot.",
    ] {
        let left = left_of("de", said);
        let same = left == said || left.replace("[Datum]", "gestern") == said;
        assert!(same, "{left}");
    }
}

#[test]
fn who_it_was_and_where_it_lies_is_left_out_and_the_rest_stays() {
    let mut whole = processed("de", "Meine Kundennummer ist 98203, danke. Mein Paket ist nicht da.", 3);
    whole.recording = Some(Recording::File { path: "/spool/4917055501.ogg".to_owned() });
    let redacted = redact(&whole, &rules());
    let left = redacted.get();
    assert_eq!((&left.message_id, &left.conversation, &left.sender, &left.ticket), (&None, &None, &None, &None));
    assert_eq!(left.recording, None);
    assert_eq!((left.note_id, &left.tenant, left.outcome), (whole.note_id, &whole.tenant, whole.outcome));
    let understanding = left.understanding.as_ref().unwrap();
    let entity = &understanding.entities[0];
    assert_eq!(
        (entity.kind.as_str(), entity.value.expose(), entity.verified),
        ("customer_number", "[Kundennummer]", true)
    );
    let evidence = understanding.intent.as_ref().unwrap().evidence.as_ref().unwrap();
    assert_eq!(evidence.expose(), "Mein Paket ist nicht da.");
    let Some(Reply::Suggestion { text, .. }) = &left.reply else { panic!() };
    assert_eq!(text.expose(), "Guten Tag, danke für [Kundennummer].");
    assert!(redacted.routing_key().starts_with("redacted.musterstrom.upload.completed.de.parcel.normal"));
    assert_ne!(redacted.event_id(), whole.event_id());
}

#[test]
fn hidden_words_keep_their_times_and_lose_their_text() {
    let redacted = redact(&processed("de", "Meine Kundennummer ist 98 20 3 danke", 4), &rules());
    let transcript = redacted.get().transcript.as_ref().unwrap();
    let segments: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.expose()).collect();
    assert_eq!(segments, ["Meine Kundennummer ist [Kundennummer]", "[Kundennummer] danke"]);
    let words = transcript.segments.iter().flat_map(|segment| &segment.words);
    let words: Vec<(&str, f64)> = words.map(|word| (word.text.expose(), word.end_s)).collect();
    assert_eq!(words.iter().map(|(text, _)| *text).collect::<String>(), " Meine Kundennummer ist danke");
    assert!(words.len() == 7 && words.iter().all(|(_, end_s)| *end_s > 0.0), "{words:?}");
}

#[test]
fn segments_that_are_not_the_text_lose_theirs() {
    let mut whole = processed("de", "Mein Paket ist weg.", 2);
    whole.transcript.as_mut().unwrap().segments[0].text = "Hier ist Brandt".into();
    let redacted = redact(&whole, &rules());
    let segments = &redacted.get().transcript.as_ref().unwrap().segments;
    assert!(segments.iter().all(|segment| segment.text.is_empty()), "{segments:?}");
    assert!(segments.iter().flat_map(|segment| &segment.words).all(|word| word.text.is_empty()));
}

#[test]
fn a_result_without_a_transcript_is_redacted_as_well() {
    let whole = Processed { transcript: None, understanding: None, ..processed("de", "egal", 1) };
    assert_eq!(redact(&whole, &rules()).get().message_id, None);
}

const DIGITS_DE: [&str; 10] = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];

/// How somebody reads out a number.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Written,
    InPairs,
    DigitByDigit,
    WithBreaks,
}

fn read_out(number: &str, reading: Reading) -> String {
    let digit = |c: char| DIGITS_DE[c.to_digit(10).unwrap() as usize];
    let chars: Vec<char> = number.chars().collect();
    match reading {
        Reading::Written => number.to_owned(),
        Reading::InPairs => chars.chunks(2).map(|pair| pair.iter().collect()).collect::<Vec<String>>().join(" "),
        Reading::DigitByDigit => chars.iter().map(|&c| digit(c)).collect::<Vec<_>>().join(", "),
        Reading::WithBreaks => chars.iter().map(|&c| digit(c)).collect::<Vec<_>>().join(" äh "),
    }
}

/// A personal sentence, and what of it must be nowhere afterwards.
fn personal() -> impl Strategy<Value = (String, Vec<String>)> {
    let reading = select(vec![Reading::Written, Reading::InPairs, Reading::DigitByDigit, Reading::WithBreaks]);
    let before = select(vec![
        "Meine Kundennummer ist",
        "Die Bestellnummer lautet",
        "Sie erreichen mich unter",
        "Auf dem Zettel steht",
        "Es geht um die",
        "Kontonummer",
    ]);
    let number = ("[0-9]{5,12}", reading, before).prop_map(|(number, reading, before)| {
        let said = read_out(&number, reading);
        (format!("{before} {said}."), vec![number, said])
    });
    let iban = ("[0-9]{20}", any::<bool>()).prop_map(|(digits, spaced)| {
        let iban = format!("DE{digits}");
        let said = if spaced {
            iban.as_bytes()
                .chunks(4)
                .map(|four| String::from_utf8_lossy(four).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            iban.clone()
        };
        (format!("Meine IBAN ist {said}."), vec![iban, said, digits])
    });
    let name = ("[A-Z][a-z]{4,9}qu", "[A-Z][a-z]{4,9}xo").prop_map(|(first, last)| {
        (format!("Mein Name ist {first} {last}. {last} mit Vornamen {first}."), vec![first, last])
    });
    let mail = ("[a-z]{5,9}q", "[a-z]{5,9}x", any::<bool>()).prop_map(|(local, host, spoken)| {
        let said = if spoken { format!("{local} ät {host} punkt de") } else { format!("{local}@{host}.de") };
        (format!("Meine Adresse ist {said} bitte."), vec![local, host, said])
    });
    prop_oneof![number, iban, name, mail]
}

fn harmless() -> impl Strategy<Value = String> {
    select(vec!["Mein Paket ist nicht da.", "Hallo zusammen,", "Bitte melden Sie sich!", "Und noch etwas:"])
        .prop_map(str::to_owned)
}

/// A confidence has so many digits that any short number stands in one now and then.
fn without_fractions(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.is_f64() => *value = Value::Null,
        Value::Array(values) => values.iter_mut().for_each(without_fractions),
        Value::Object(fields) => fields.values_mut().for_each(without_fractions),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_personal_is_anywhere_in_a_redacted_event(
        sentences in vec((harmless(), personal()), 1..4),
        words_a_segment in 1_usize..12,
    ) {
        let said: Vec<String> = sentences.iter().map(|(before, (said, _))| format!("{before} {said}")).collect();
        let whole = processed("de", &said.join(" "), words_a_segment);
        let redacted = redact(&whole, &rules());
        let mut value = serde_json::to_value(&redacted).unwrap();
        // It is random in itself.
        value["note_id"] = serde_json::Value::Null;
        without_fractions(&mut value);
        let shown = value.to_string().to_lowercase();
        let words = redacted.get().transcript.iter().flat_map(|transcript| &transcript.segments);
        let joined: String = words.flat_map(|segment| &segment.words).map(|word| word.text.expose()).collect();
        for secret in sentences.iter().flat_map(|(_, (_, secrets))| secrets).map(|secret| secret.to_lowercase()) {
            prop_assert!(!shown.contains(&secret), "{secret:?} of {said:?} in {shown}");
            prop_assert!(!joined.to_lowercase().contains(&secret), "{secret:?} in {joined}");
        }
        for entity in &whole.understanding.as_ref().unwrap().entities {
            let value = entity.value.expose().to_lowercase();
            prop_assert!(value.len() < 5 || !shown.contains(&value), "{} of {said:?} in {shown}", entity.kind);
        }
    }

    #[test]
    fn any_text_can_be_redacted_and_always_the_same_way(said in ".{0,80}", words_a_segment in 1_usize..6) {
        let whole = processed("de", &said, words_a_segment);
        let again = redact(&whole, &rules());
        prop_assert_eq!(redact(&whole, &rules()), again);
    }
}
