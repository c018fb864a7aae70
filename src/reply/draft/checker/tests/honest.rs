//! Owns drafts that people and models write when they do as they are told.

use super::templates::{
    CALLS, CANCEL_EN, CHANGE, CHANGE_EN, Case, FAMILY, FRIENDLY, INVOICE, OUTAGE, PARCEL, PARCEL_EN,
};

pub(super) const HONEST: [(Case, &str); 44] = [
    (
        PARCEL,
        "Guten Tag, vielen Dank für Ihre Nachricht. Es tut uns sehr leid, dass Ihre Sendung noch nicht angekommen ist. Wir prüfen, wo die Bestellung 471108 geblieben ist, und melden uns hier bei Ihnen.",
    ),
    (
        PARCEL,
        "Hallo, danke für Ihre Sprachnachricht! Dass Ihre Sendung noch fehlt, ist wirklich ärgerlich, das tut uns leid. Wir schauen nach, wo Ihre Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        "Guten Tag, danke für Ihre Nachricht. Wir verstehen Ihren Ärger: Ihre Sendung fehlt noch immer. Wir prüfen nun, wo die Bestellung 471108 ist, und schreiben Ihnen hier, was wir erfahren.",
    ),
    (
        PARCEL,
        "Danke für Ihre Nachricht. Wir verstehen gut, dass das Warten auf Ihre Sendung frustrierend ist. Wir gehen der Sache nach, prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        "Guten Tag! Es tut uns leid, dass Ihre Sendung noch fehlt. Wir kümmern uns darum, prüfen, wo Ihre Bestellung 471108 geblieben ist, und geben Ihnen hier Bescheid.",
    ),
    (
        PARCEL,
        "Guten Tag, danke für Ihre freundliche Nachricht und Ihre Geduld. Leider fehlt Ihre Sendung noch, das tut uns leid. Wo die Bestellung 471108 geblieben ist, prüfen wir gerade, und schreiben Ihnen dann hier.",
    ),
    (
        PARCEL,
        "„Guten Tag, vielen Dank für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen gern, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.“",
    ),
    (
        PARCEL,
        "Guten Tag,\nvielen Dank für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt.\nWir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        "Moin, danke für Ihre Nachricht. Das ist natürlich blöd, dass Ihre Sendung noch fehlt, entschuldigen Sie bitte. Wir prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier.",
    ),
    (
        PARCEL,
        "Guten Tag, wir bedauern sehr, dass Ihre Sendung noch fehlt. Wir gehen dem gründlich nach, prüfen, wo die Bestellung 471108 geblieben ist, und schreiben Ihnen hier. Danke für Ihr Verständnis.",
    ),
    (
        OUTAGE,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass bei Ihnen etwas nicht funktioniert. Wir geben Ihre Störung zur Kundennummer 98203 gleichzeitig an unsere Technik weiter und melden uns hier, sobald wir mehr wissen.",
    ),
    (
        OUTAGE,
        "Hallo, vielen Dank für Ihre Nachricht. Wir verstehen, wie ärgerlich es ist, wenn etwas nicht funktioniert. Ihre Störung zur Kundennummer 98203 leiten wir an unsere Technik weiter und melden uns hier, sobald wir mehr wissen.",
    ),
    (
        OUTAGE,
        "Guten Tag, danke, dass Sie uns Bescheid geben. Dass bei Ihnen etwas nicht funktioniert, tut uns leid. Ihre Störung (Kundennummer 98203) geben wir an unsere Technik weiter. Sobald wir mehr wissen, melden wir uns hier.",
    ),
    (
        OUTAGE,
        "Guten Tag, danke für Ihre Nachricht. Es tut uns wirklich leid, dass das bei Ihnen nicht funktioniert. Unsere Technik bekommt Ihre Störung zur Kundennummer 98203 von uns, und sobald wir mehr wissen, hören Sie hier von uns.",
    ),
    (
        OUTAGE,
        "Guten Tag, wir haben Ihre Nachricht gehört und verstehen, dass Sie verärgert sind. Es tut uns leid, dass bei Ihnen etwas nicht funktioniert. Wir geben die Störung zur Kundennummer 98203 an unsere Technik weiter und melden uns hier, sobald wir mehr wissen.",
    ),
    (
        INVOICE,
        "Guten Tag, vielen Dank für Ihre Nachricht. Gern sehen wir uns Ihre Rechnung zur Kundennummer 98203 genau an und erklären Ihnen hier, wie sie zustande kommt.",
    ),
    (
        INVOICE,
        "Hallo, danke für Ihre Frage. Wir schauen uns Ihre Rechnung zur Kundennummer 98203 in Ruhe an und erklären Ihnen hier, wie sie zustande kommt.",
    ),
    (
        INVOICE,
        "Guten Tag, danke für Ihre Nachricht. Wir verstehen, dass Ihre Rechnung Fragen offen lässt. Wir sehen sie uns zur Kundennummer 98203 an und erklären Ihnen hier, wie sie zustande kommt.",
    ),
    (
        INVOICE,
        "Guten Tag, danke, dass Sie sich melden. Wir prüfen Ihre Rechnung zur Kundennummer 98203 und erklären Ihnen hier gern, wie sie zustande kommt.",
    ),
    (CALLS, "Guten Tag, vielen Dank für den Hinweis. Wir antworten Ihnen gern schriftlich und rufen Sie nicht an."),
    (CALLS, "Guten Tag, danke, dass Sie uns das sagen. Wir rufen Sie nicht an, sondern antworten Ihnen schriftlich."),
    (CALLS, "Hallo, danke für den Hinweis, das verstehen wir gut. Wir antworten schriftlich und rufen Sie nicht an."),
    (FAMILY, "Guten Tag Brandt, Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres finden Sie auf hilfe.beispiel.de."),
    (
        FAMILY,
        "Guten Tag Brandt, gern noch einmal: Ihr Termin ist am Dienstag um 14:30 Uhr. Auf hilfe.beispiel.de steht Näheres.",
    ),
    (
        FRIENDLY,
        "Hallo, vielen Dank für deine Nachricht. Wir schauen uns deine Rechnung gern an und schreiben dir hier.",
    ),
    (FRIENDLY, "Hey, danke für deine Nachricht! Deine Rechnung sehen wir uns an und schreiben dir dann hier."),
    (
        CHANGE,
        "Guten Tag, vielen Dank für Ihre Nachricht. Wir prüfen sofort, ob sich Ihre Bestellung 471108 noch ändern lässt, und melden uns hier.",
    ),
    (
        CHANGE,
        "Hallo, danke für Ihre Nachricht. Ob sich die Bestellung 471108 noch ändern lässt, prüfen wir sofort und schreiben Ihnen hier.",
    ),
    (
        PARCEL_EN,
        "Hello, thank you so much for your message. We are really sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        "Hi, thanks for your message. We're sorry your parcel is missing, we know how annoying that is. We are looking into what happened to order 471108 and will get back to you here.",
    ),
    (
        PARCEL_EN,
        "Hello, thank you for letting us know. We understand how frustrating it is that your parcel is missing. We are checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        "Hello, thanks for getting in touch. We are very sorry about the missing parcel. We're checking what happened to your order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        "Hello, we are sorry to hear that your parcel is missing. We are checking what has happened to order 471108 and will let you know here. Thank you for your patience.",
    ),
    (
        PARCEL_EN,
        "\"Hello, thank you for your message. We apologise that your parcel is missing. We are checking what happened to order 471108 and will write to you here.\"",
    ),
    (
        PARCEL_EN,
        "Hello,\nthank you for your message. I am sorry that your parcel is missing. We are checking what happened to order 471108 and will write to you here.",
    ),
    (
        PARCEL_EN,
        "Hi there, thank you for your message, and we are truly sorry that your parcel is missing. Order 471108 is being checked, and we will write to you here about what happened.",
    ),
    (
        PARCEL_EN,
        "Hello, thank you for your message. That must be upsetting, and we are sorry that your parcel is missing. We are checking carefully what happened to order 471108 and will write to you here.",
    ),
    (
        CANCEL_EN,
        "Hello, thank you for your message. We have noted your wish to cancel under customer number 98203. A colleague will check your contract and write to you on which date it can end.",
    ),
    (
        CANCEL_EN,
        "Hi, thanks for your message. We have noted that you want to cancel, customer number 98203. One of our colleagues will check your contract and write to you about the date on which it can end.",
    ),
    (
        CANCEL_EN,
        "Hello, thank you for getting in touch. We understand that you wish to cancel and have noted this under customer number 98203. A colleague will check your contract and write to you on which date it can end.",
    ),
    (
        CANCEL_EN,
        "Hello, thank you for letting us know. Your wish to cancel is noted under customer number 98203. A colleague will look at your contract and write to you with the date on which it can end.",
    ),
    (
        CHANGE_EN,
        "Hello, thank you very much for your message. We are checking whether order 471108 can still be changed and will write to you here.",
    ),
    (
        CHANGE_EN,
        "Hi, thanks for your message! We're checking if order 471108 can still be changed and will let you know here.",
    ),
    (
        CHANGE_EN,
        "Hello, thank you for your message. We will see whether your order 471108 can still be changed and write to you here.",
    ),
];
