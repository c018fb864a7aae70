//! Owns the templates that drafts of the tests belong to, as they are filled.

/// Language, text, facts in it.
pub(super) type Case = (&'static str, &'static str, &'static [&'static str]);

pub(super) const PARCEL: Case = (
    "de",
    "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass Ihre Sendung noch fehlt. Wir prüfen, wo die Bestellung \
     471108 geblieben ist, und schreiben Ihnen hier.",
    &["471108"],
);
pub(super) const OUTAGE: Case = (
    "de",
    "Guten Tag, danke für Ihre Nachricht. Es tut uns leid, dass bei Ihnen etwas nicht funktioniert. Wir geben Ihre \
     Störung zur Kundennummer 98203 an unsere Technik weiter und melden uns hier, sobald wir mehr wissen.",
    &["98203"],
);
pub(super) const INVOICE: Case = (
    "de",
    "Guten Tag, danke für Ihre Nachricht. Wir sehen uns Ihre Rechnung zur Kundennummer 98203 an und erklären Ihnen hier, \
     wie sie zustande kommt.",
    &["98203"],
);
pub(super) const CALLS: Case =
    ("de", "Guten Tag, danke für den Hinweis. Wir antworten Ihnen schriftlich und rufen Sie nicht an.", &[]);
pub(super) const FAMILY: Case = (
    "de",
    "Guten Tag Brandt, Ihr Termin ist am Dienstag um 14:30 Uhr. Näheres steht auf hilfe.beispiel.de.",
    &["Brandt", "14:30"],
);
pub(super) const FRIENDLY: Case =
    ("de", "Hallo, danke für deine Nachricht. Wir sehen uns deine Rechnung an und schreiben dir hier.", &[]);
pub(super) const CHANGE: Case = (
    "de",
    "Guten Tag, danke für Ihre Nachricht. Wir prüfen sofort, ob sich die Bestellung 471108 noch ändern lässt, und \
     schreiben Ihnen hier.",
    &["471108"],
);
pub(super) const PARCEL_EN: Case = (
    "en",
    "Hello, thank you for your message. We are sorry that your parcel is missing. We are checking what happened to order \
     471108 and will write to you here.",
    &["471108"],
);
pub(super) const CANCEL_EN: Case = (
    "en",
    "Hello, thank you for your message. We have noted that you wish to cancel, under customer number 98203. A colleague \
     will check your contract and write to you on which date it can end.",
    &["98203"],
);
pub(super) const CHANGE_EN: Case = (
    "en",
    "Hello, thank you for your message. We are checking whether order 471108 can still be changed and will write to you \
     here.",
    &["471108"],
);
