//! Owns drafts that say something else than their template, and what is wrong with each.

use super::{
    super::DraftRefused as No,
    templates::{CALLS, CANCEL_EN, CHANGE, CHANGE_EN, Case, FAMILY, FRIENDLY, INVOICE, OUTAGE, PARCEL, PARCEL_EN},
};

pub(super) const HARMFUL: [(Case, No, &str); 90] = [
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen, wo die Bestellung 471109 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen in vier Sätzen hier.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen zweimal, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier. Sie bekommen siebenundvierzig Euro.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen unter 0170 1234567.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch zum dritten Mal. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Number,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die halbe Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::Number,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you twice here.",
    ),
    (
        PARCEL_EN,
        No::Number,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here, number twenty three.",
    ),
    (
        PARCEL_EN,
        No::Number,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here for a hundred words.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier ④.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und erstatten ٥ Euro hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "**Guten Tag**, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung {order_number} 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, <b>und</b> schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "- Guten Tag, danke für Ihre Nachricht.\n- Ihre Sendung fehlt noch.\n- Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt\u{202e} noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht 😊. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sеndung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::Characters,
        "Hello [Name], thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        No::Characters,
        "<think>The user is angry.</think> Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen heute noch, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen am Montag hier.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen in einer Stunde hier.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen innerhalb eines Tages hier.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Abend, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Time,
        "Guten Tag, danke für Ihre Nachricht vom März. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::Time,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here tomorrow.",
    ),
    (
        PARCEL_EN,
        No::Time,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here on Friday.",
    ),
    (
        PARCEL_EN,
        No::Time,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here within a week.",
    ),
    (FAMILY, No::FactDropped, "Guten Tag Brandt, Ihr Termin ist um 14:30 Uhr. Näheres steht auf hilfe.beispiel.de."),
    (
        FAMILY,
        No::Time,
        "Guten Tag Brandt, Ihr Termin ist am Mittwoch um 14:30 Uhr. Näheres steht auf hilfe.beispiel.de.",
    ),
    (
        FAMILY,
        No::Number,
        "Guten Tag Brandt, Ihr Termin ist am Dienstag um 15:30 Uhr. Näheres steht auf hilfe.beispiel.de.",
    ),
    (
        FAMILY,
        No::FactDropped,
        "Guten Tag, Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres steht auf hilfe.beispiel.de.",
    ),
    (
        FAMILY,
        No::FactDropped,
        "Guten Tag Brandt, Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres steht hier geschrieben.",
    ),
    (
        FAMILY,
        No::Link,
        "Guten Tag Brandt, Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres steht auf hilfe.beispie1.de.",
    ),
    (
        FAMILY,
        No::Name,
        "Guten Tag Brandt, hier ist Sabine. Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres steht auf hilfe.beispiel.de.",
    ),
    (
        PARCEL,
        No::Link,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben auf www.boese.example hier.",
    ),
    (
        PARCEL,
        No::Link,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen auf paket-finden.de, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Characters,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist; schreiben Sie an hilfe@boese.example hier.",
    ),
    (
        PARCEL,
        No::Link,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen bei Boese Punkt de, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::Link,
        "Hello, thank you for your message. We are sorry that your parcel is missing. See https://evil.example/x for what happened to order 471108, we will write to you here.",
    ),
    (
        PARCEL_EN,
        No::Link,
        "Hello, thank you for your message. We are sorry that your parcel is missing. See evil dot com for what happened to order 471108, we will write to you here.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen sofort, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und erstatten Ihnen den Preis hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir garantieren, dass wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen kostenlos, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen so schnell wie möglich, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen in Kürze hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir versprechen: Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Promise,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und geben Ihnen hier einen Gutschein.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and we will refund you here.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We guarantee that we are checking what happened to order 471108 and will write here.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking immediately what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here as soon as possible.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will send a replacement here.",
    ),
    (
        PARCEL_EN,
        No::Promise,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking for free what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL,
        No::Name,
        "Guten Tag Frau Meier, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Name,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier. Viele Grüße, Sabine",
    ),
    (
        PARCEL,
        No::Name,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen mit Hermes, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Name,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch in Kassel. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Name,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.\nIhr Kundenservice",
    ),
    (
        PARCEL,
        No::Word,
        "guten tag, danke für ihre nachricht, hier ist sabine. ihre sendung fehlt noch. wir prüfen, wo die bestellung 471108 geblieben ist, und schreiben ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::Name,
        "Hello Sarah, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        No::Name,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here.\nBest wishes\nHope",
    ),
    (
        PARCEL_EN,
        No::Name,
        "Hello, thank you for your message. We are sorry that your parcel is missing. Our colleague Will is checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL,
        No::Word,
        "Guten Tag, danke für Ihre Nachricht. Wir haben Ihre Sendung gefunden. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Word,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, haben sie verschickt und schreiben Ihnen hier.",
    ),
    (
        CHANGE,
        No::Word,
        "Guten Tag, danke für Ihre Nachricht. Wir haben sofort die Bestellung 471108 geändert, falls möglich, und schreiben Ihnen hier.",
    ),
    (
        CHANGE_EN,
        No::FactDropped,
        "Hello, thank you for your message. We have changed order 471108 and will still be here and write to you here.",
    ),
    (
        CANCEL_EN,
        No::Word,
        "Hello, thank you for your message. We have noted your wish to cancel, customer number 98203, and cancelled your contract. A colleague will check on which date it can end.",
    ),
    (
        INVOICE,
        No::Word,
        "Guten Tag, danke für Ihre Nachricht. Wir sehen uns Ihre Rechnung zur Kundennummer 98203 an, mahnen Sie ab und erklären Ihnen hier, wie sie zustande kommt.",
    ),
    (
        OUTAGE,
        No::Word,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass bei Ihnen etwas nicht funktioniert. Ihre Störung zur Kundennummer 98203 ist behoben und unsere Technik meldet sich hier, sobald wir mehr wissen.",
    ),
    (
        PARCEL,
        No::FactDropped,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen, wo die Bestellung geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::FactDropped,
        "Guten Tag, danke für Ihre Nachricht 471108 und Ihre Geduld. Wir haben Ihr Anliegen gelesen, verstehen den Ärger und kümmern uns gern um alles weitere.",
    ),
    (PARCEL, No::TooShort, "Wir prüfen die Bestellung 471108."),
    (PARCEL, No::Empty, "  \n "),
    (PARCEL, No::Empty, "\"\""),
    (
        PARCEL,
        No::Language,
        "Hello, thank you for your message. We are sorry that it is missing. We are checking what happened to 471108 and will write to you here.",
    ),
    (
        PARCEL,
        No::Language,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist. We will write to you here about your request.",
    ),
    (
        PARCEL_EN,
        No::Language,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass sie noch fehlt. Wir prüfen, was mit 471108 passiert ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::Language,
        "Bonjour, merci pour votre message. Nous sommes désolés que votre colis manque encore. Nous vérifions la commande 471108 et vous écrirons ici.",
    ),
    (
        PARCEL,
        No::Formality,
        "Hallo, danke für deine Nachricht. Es tut uns leid, dass deine Sendung noch fehlt. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben dir hier.",
    ),
    (
        FRIENDLY,
        No::Formality,
        "Hallo, danke für Ihre Nachricht. Wir sehen uns Ihre Rechnung an und schreiben Ihnen hier.",
    ),
    (CALLS, No::Negation, "Guten Tag, danke für den Hinweis. Wir antworten Ihnen schriftlich und rufen Sie gern an."),
    (
        PARCEL,
        No::Negation,
        "Guten Tag, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen nicht, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::FollowsNote,
        "Guten Tag, danke für Ihre Nachricht. Der Ahornsirup wird geliefert, Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        No::FollowsNote,
        "Guten Tag Peter Brandt, danke für Ihre Nachricht. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        No::FollowsNote,
        "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking the maple syrup of order 471108 and will write to you here.",
    ),
    (
        PARCEL,
        No::FollowsNote,
        "Guten Tag, wir danken für alles was wir haben und sind. Ihre Sendung fehlt noch. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
];
