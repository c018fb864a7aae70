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
        .map(|Named { entity, .. }| (entity.kind, entity.value.expose().to_owned(), entity.verified))
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
fn addresses_are_taken_where_they_are_sure() {
    check_kind(
        "de",
        "address",
        &[
            ("Ich wohne in der Hauptstraße 17 b, 50667 Köln.", &["Hauptstraße 17b, 50667 Köln?"]),
            (
                "Die neue Adresse ist Musterweg zwölf, fünf null sechs sechs sieben Köln.",
                &["Musterweg 12, 50667 Köln?"],
            ),
            ("Bitte liefern Sie in die Lange Straße 5.", &["Lange Straße 5?"]),
            ("Wir sind in die Goethestr. 5 in Berlin umgezogen.", &["Goethestr 5, Berlin?"]),
            ("Ich wohne Am Alten Markt 3, 50667 Köln.", &["Am Alten Markt 3, 50667 Köln?"]),
            ("Karl-Marx-Allee 12-14 ist richtig.", &["Karl-Marx-Allee 12-14?"]),
            ("Nicht mehr Bachstraße, sondern Mühlgasse 12, Hinterhaus.", &["Mühlgasse 12?"]),
            ("Ich wohne in der Dr.-Otto-Hahn-Straße 3.", &["Dr.-Otto-Hahn-Straße 3?"]),
            ("Das Paket liegt am Parkplatz 3 Meter neben der Tür.", &[]),
            ("Vom Bahnhof 5 Minuten zu Fuß.", &[]),
            ("Das Paket ist weg, eins fehlt.", &[]),
            ("Nicht Hauptstraße 5, sondern Hauptstraße 7.", &["Hauptstraße 7?"]),
            ("Hauptstraße 5, nein, Hauptstraße 7 ist es.", &["Hauptstraße 7?"]),
            ("Auf der Straße 5 Leute.", &[]),
        ],
    );
    check_kind("en", "address", &[("I live at 221 Baker Street, London.", &["221 Baker Street?"])]);
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
    assert_eq!(without[0].entity.value.expose(), "--03-03");
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

/// Facts of a kind, with a mark for those that nothing confirms.
fn of_kind(language: &str, sent_at: &str, note: &str, kind: &str) -> Vec<String> {
    let playbook = Playbook::builtin().unwrap();
    find(&transcript(language, note), &text::words(note), &playbook.entities, Some(sent_at.parse().unwrap()))
        .into_iter()
        .map(|fact| fact.entity)
        .filter(|entity| entity.kind == kind)
        .map(|entity| format!("{}{}", entity.value.expose(), if entity.verified { "" } else { "?" }))
        .collect()
}

/// As many facts of this kind, and these; a question mark for those that nothing confirms.
fn check_kind(language: &str, kind: &str, cases: &[(&str, &[&str])]) {
    let found = |note: &str| of_kind(language, "2026-11-23T09:00:00Z", note, kind);
    let wrong =
        cases.iter().map(|&(note, wanted)| (note, found(note), wanted)).filter(|(_, found, wanted)| found != wanted);
    assert_eq!(wrong.collect::<Vec<_>>(), [], "{kind}: note, found, wanted");
}

#[test]
fn a_number_ends_where_something_is_counted() {
    check_kind(
        "de",
        "order_number",
        &[
            ("Bestellnummer 471108, zwei Wochen warte ich schon", &["471108"]),
            ("Bestellnummer vier, sieben, eins, eins, null, acht, zwei Wochen warte ich schon", &["471108"]),
            ("Bestellnummer 471108, zwei weitere Pakete fehlen auch", &["471108"]),
            ("Bestellnummer vier sieben äh eins eins null acht Danke", &["471108"]),
            ("Bestellnummer 471.108", &["471108"]),
            ("Die Bestellnummer ist 471108, 50667 Köln", &["471108"]),
            ("Die Bestellnummer ist 471108, 2025 bestellt", &["471108"]),
        ],
    );
    check_kind(
        "de",
        "customer_number",
        &[
            ("Kundennummer 98203, drei Tage kein Internet jetzt.", &["98203"]),
            ("Kundennummer 98203 drei tage kein internet", &["98203"]),
            ("Meine Kundennummer ist 98203, eine Rechnung habe ich nicht bekommen.", &["98203"]),
            ("Meine Kundennummer ist 98203, ein Techniker war da.", &["98203"]),
            ("Kundennummer 98203, drei kaputt sind es", &["98203?"]),
            ("Kundennummer 98203, 0171 2345678 ist meine Nummer", &["98203"]),
            ("Kundennummer 9 8 2 0 3, eins noch, rufen Sie an", &["982031?"]),
            ("Kundennummer neun acht zwei null drei", &["98203"]),
            ("Kundennr. 98203", &["98203"]),
            ("Kundennummer 10.482.337", &["10482337"]),
        ],
    );
    check_kind(
        "en",
        "order_number",
        &[
            ("The order number is 471108, one parcel is missing.", &["471108"]),
            ("The order number is 471108, two screws are missing.", &["471108"]),
            ("The order number is four, seven, one, one, zero, one.", &["471101"]),
            ("The order number four, seven, one, one, zero, eight hasn't arrived", &["471108"]),
            ("The order number is one two three four five six please", &["123456"]),
        ],
    );
    check_kind(
        "de",
        "phone",
        &[
            ("Rückruf unter 0171 2345678, 24 Stunden erreichbar.", &["01712345678"]),
            ("Kundennummer 98203, 0171 2345678 ist meine Nummer", &["01712345678"]),
            ("Meine Nummer ist 0221 Schrägstrich 12 34 56 78", &["022112345678"]),
        ],
    );
    check_kind(
        "en",
        "phone",
        &[("call me on oh seven seven double zero nine double zero one two three", &["07700900123"])],
    );
}

#[test]
fn what_is_taken_back_is_no_fact_and_what_is_half_mended_is_not_sure() {
    check_kind(
        "de",
        "phone",
        &[
            ("Meine Nummer ist 0151 23 45 67 89, nein, am Ende 98. Bitte rufen Sie mich an.", &["015123456789?"]),
            ("Meine Nummer ist 0151 23 45 67 nein 68 9", &["0151234567?"]),
            ("Meine Nummer ist 0151 23456789, nein, 0151 23456798.", &["015123456798"]),
        ],
    );
    check_kind(
        "de",
        "order_number",
        &[
            ("Bestellnummer 47 12, nein, warte, 47 11 08", &["471108"]),
            ("Bestellnummer 47 12, nicht 47 11", &["4712"]),
            ("Bestellnummer ist nicht 471109, sondern 471108", &["471108"]),
            ("Bestellnummer 471109. Quatsch, 471108.", &["471108"]),
            ("Bestellnummer 471109, ich meine 471108.", &["471108"]),
            ("Bestellnummer 471108, nein, die Rechnungsnummer ist 20245567", &["471108"]),
            ("Bestellnummer 471109, Quatsch, das ist was anderes", &["471109?"]),
            ("Bestellnummer 471108, nein, drei Pakete waren es nicht", &["471108"]),
        ],
    );
    check_kind(
        "en",
        "order_number",
        &[
            ("Please cancel order 471108, not 471109.", &["471108"]),
            ("The order number is 471109, no wait, 471108.", &["471108"]),
        ],
    );
}

#[test]
fn a_number_has_the_nearest_name_even_if_it_is_none_of_ours() {
    for note in [
        "Kundennummer hab ich nicht, Postleitzahl ist 50667 Köln.",
        "Die Kundennummer weiß ich nicht, aber die Rechnungsnummer ist 20245567",
        "Ich habe keine Kundennummer, 50667 Köln",
        "Meine Bestellung, die sollte nach 50667 Köln gehen",
        "Meine Bestellung vom letzten Jahr, also 2025",
        "bei der Bestellung 1000 Blatt Papier",
        "Meine Kontonummer ist 0532 013 000, bitte rufen Sie mich an.",
        "Vorgangsnummer 0012 345 678",
        "Ihre Nummer 0800 330 1000 schon dreimal angerufen",
        "Kundennummer kommt gleich, meine PIN ist 1234",
        "Ich habe Kundennummer und alles, die Rechnungs Nummer ist 20245567",
    ] {
        let facts = facts("de", note);
        let numbers = facts.iter().filter(|(kind, ..)| kind.ends_with("number") || kind == "phone");
        assert_eq!(numbers.collect::<Vec<_>>(), Vec::<&(String, String, bool)>::new(), "{note}");
    }
    for note in ["My invoice number is 20245567", "My order has the reference number 20245567"] {
        assert_eq!(facts("en", note), [], "{note}");
    }
    check_kind(
        "de",
        "phone",
        &[
            ("Meine Handynummer ist 0151 2345678", &["01512345678"]),
            ("Meine Rückrufnummer ist 0151 2345678", &["01512345678"]),
            ("Ich bin zu erreichen 0151 2345678", &["01512345678"]),
        ],
    );
    check_kind(
        "de",
        "order_number",
        &[
            ("Es geht um die Bestellung 471108, die fehlt", &["471108"]),
            ("Die Bestellung ist nicht angekommen, die Nummer ist 471108", &["471108"]),
            ("Bestellnummer, wenn ich mich nicht irre, 471108", &["471108"]),
        ],
    );
    check_kind("en", "order_number", &[("I want to cancel order 471108 please", &["471108"])]);
    check_kind("de", "iban", &[("Meine IBAN ist De 89 3704 0044 0532 0130 00", &["DE89370400440532013000"])]);
}

#[test]
fn dates_have_their_year_their_week_and_their_side_of_today() {
    check_kind(
        "de",
        "date",
        &[
            ("Ich bin am 13. Mai 1980 geboren", &["1980-05-13?"]),
            ("geboren am 4. Juli 1962", &["1962-07-04?"]),
            ("am dritten Mai neunzehnhundertachtzig", &["1980-05-03?"]),
            ("am 3.3.85 geboren", &["1985-03-03?"]),
            ("Kommt die Lieferung am 5. Dezember?", &["2026-12-05?"]),
            ("Die Lieferung war für den 10. Dezember angekündigt", &["2026-12-10?"]),
            ("Bitte liefern Sie meine Bestellung am 18. Dezember.", &["2026-12-18?"]),
            ("meine Bestellung vom 18. Dezember", &["2025-12-18?"]),
            ("Die Bestellung kam am 18. Dezember an", &["2025-12-18?"]),
            ("nächste Woche Dienstag", &["2026-12-01?"]),
            ("nächste Woche am Freitag", &["2026-12-04?"]),
            ("am Dienstag nächster Woche", &["2026-12-01?"]),
            ("diese Woche Freitag", &["2026-11-27?"]),
            ("Am Freitag Morgen", &[]),
            ("am nächsten Morgen", &[]),
            ("Morgen zusammen", &[]),
            ("Morgen, hier ist Brandt.", &[]),
            ("Morgen kommt der Techniker", &["2026-11-24?"]),
            ("der Techniker, der morgen kommt", &["2026-11-24?"]),
            ("geht es morgen?", &["2026-11-24?"]),
            ("am dritten zwölften", &["2026-12-03?"]),
            ("am siebenundzwanzigsten elften", &["2026-11-27?"]),
            ("am ersten ersten", &["2027-01-01?"]),
            ("am 3. 12. bitte", &["2026-12-03?"]),
            ("Kundennummer ist 12.3.45", &[]),
        ],
    );
    check_kind("de", "customer_number", &[("am 4. Juli 1962 geboren, Kundennummer hab ich keine", &[])]);
    let letzte = of_kind("de", "2026-11-27T09:00:00Z", "letzte Woche Montag", "date");
    assert_eq!(letzte, ["2026-11-16?"]);
}

#[test]
fn a_time_is_of_the_half_of_the_day_that_is_said() {
    check_kind(
        "de",
        "time",
        &[
            ("heute Abend um halb acht", &["19:30?"]),
            ("um halb neun morgens", &["08:30?"]),
            ("um viertel nach drei nachmittags", &["15:15?"]),
            ("halb eins mittags", &["12:30?"]),
            ("um halb acht", &[]),
            ("heute Mittag um 1 Uhr", &["13:00?"]),
            ("um 8 Uhr abends", &["20:00?"]),
            ("heute Abend um 8 Uhr", &["20:00?"]),
            ("um 8 Uhr 2 Monteure", &["08:00?"]),
            ("um acht Uhr fünf", &["08:05?"]),
            ("um 14 Uhr 30 Termin", &["14:30?"]),
            ("zwischen 8 und 12 Uhr", &["08:00?", "12:00?"]),
            ("von 8 bis 12 Uhr", &["08:00?", "12:00?"]),
            ("Guten Abend, um 8 Uhr war es", &["08:00?"]),
        ],
    );
    check_kind(
        "en",
        "time",
        &[
            ("at quarter past three pm", &["15:15?"]),
            ("at quarter to three pm", &["14:45?"]),
            ("half past seven in the evening", &["19:30?"]),
            ("half past seven", &[]),
            ("between 2 and 4 pm", &["14:00?", "16:00?"]),
            ("at 4 p.m. please", &["16:00?"]),
        ],
    );
}

#[test]
fn cents_are_cents_and_thousands_belong_together() {
    check_kind(
        "de",
        "amount",
        &[
            ("45 Euro 23 Tage", &["45,00 EUR?"]),
            ("59 Euro 12 Monate", &["59,00 EUR?"]),
            ("50 Euro zehn Prozent", &["50,00 EUR?"]),
            ("1 249 Euro 50", &["1249,50 EUR?"]),
            ("1 249,50 €", &["1249,50 EUR?"]),
            ("39 Euro 90 Gebühr", &[]),
            ("€ 20", &["20,00 EUR?"]),
            ("50 € 20 Stück", &["50,00 EUR?"]),
            ("Sie haben neunundvierzig neunzig abgebucht", &["49,90?"]),
        ],
    );
    check_kind("en", "amount", &[("a bill of £49.90", &["49.90 GBP?"]), ("it was $20 too much", &["20.00 USD?"])]);
}

#[test]
fn a_mail_address_is_left_out_where_nobody_knows_where_it_begins() {
    check_kind(
        "de",
        "email",
        &[
            ("sabine 1978 at gmail dot com", &[]),
            ("Meine Mail ist mustermann, alles klein, ät gmx Punkt de", &["mustermann@gmx.de?"]),
            ("meine Adresse ist M A X M U S T E R ät gmx Punkt de", &["maxmuster@gmx.de?"]),
            ("mustermann zusammengeschrieben ät gmx Punkt de", &["mustermann@gmx.de?"]),
            ("anna fünfundachtzig ät web.de", &[]),
            ("Meine Mail ist anna ät web.de", &["anna@web.de?"]),
            ("schreiben an ayse@firma.com.tr bitte", &["ayse@firma.com.tr?"]),
            ("jan@bakker.nl", &["jan@bakker.nl?"]),
            ("unter ayse ät firma Punkt com Punkt tr", &["ayse@firma.com.tr?"]),
            ("unter max ät G M X Punkt de", &["max@gmx.de?"]),
        ],
    );
}

#[test]
fn what_only_looks_like_an_introduction_names_nobody() {
    for note in [
        "Ich bin der Meinung, dass das so nicht geht.",
        "Ich bin der Meinung das geht nicht.",
        "Ich bin die Einzige, die wartet.",
        "Hier ist Weihnachten bald.",
        "Hier ist Stromausfall seit gestern",
    ] {
        check_kind("de", "name", &[(note, &[])]);
    }
    check_kind("en", "name", &[("This is Outrageous.", &[])]);
    check_kind(
        "de",
        "name",
        &[
            ("Hier ist Petra Lang, guten Tag", &["Petra Lang?"]),
            ("Hier ist wieder Petra Lang.", &["Petra Lang?"]),
            ("Hier ist Brandt aus Köln", &["Brandt?"]),
            ("Ich bin die Sabine.", &["Sabine?"]),
            ("Mein Name ist Hartung.", &["Hartung?"]),
        ],
    );
}
