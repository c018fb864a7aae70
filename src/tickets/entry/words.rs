//! Owns the sentences of a note, in German and English. Whoever adds a reason or an outcome has to say here what an
//! agent reads.

use super::Playback;
use crate::{
    event::{
        Reason,
        processed::{Abstained, OutcomeKind, Sentiment, UrgencyLevel},
    },
    tickets::config::Language,
};

/// The sentences of one language.
#[derive(Clone, Copy)]
pub(super) struct Words {
    language: Language,
}

impl Words {
    pub(super) fn of(language: Language) -> Self {
        Self { language }
    }

    pub(super) fn say(self, german: &'static str, english: &'static str) -> &'static str {
        match self.language {
            Language::De => german,
            Language::En => english,
        }
    }

    pub(super) fn voice_note(self) -> &'static str {
        self.say("Sprachnachricht", "Voice note")
    }

    pub(super) fn sent(self) -> &'static str {
        self.say("gesendet", "sent")
    }

    pub(super) fn said(self) -> &'static str {
        self.say("GESAGT WURDE", "WHAT WAS SAID")
    }

    pub(super) fn unclear(self) -> &'static str {
        self.say("nicht eindeutig", "not clear")
    }

    pub(super) fn intent(self) -> &'static str {
        self.say("Anliegen", "Request")
    }

    pub(super) fn alternatives(self) -> &'static str {
        self.say("Vielleicht auch", "Maybe also")
    }

    pub(super) fn urgency(self) -> &'static str {
        self.say("Dringlichkeit", "Urgency")
    }

    pub(super) fn mood(self) -> &'static str {
        self.say("Stimmung", "Mood")
    }

    pub(super) fn contact(self) -> &'static str {
        self.say("Kontaktwunsch", "Contact")
    }

    pub(super) fn earlier(self) -> &'static str {
        self.say("War schon in Kontakt", "In touch before")
    }

    pub(super) fn facts(self) -> &'static str {
        self.say("Angaben", "Facts")
    }

    pub(super) fn at(self) -> &'static str {
        self.say("bei", "at")
    }

    pub(super) fn nobody(self) -> &'static str {
        self.say("niemand Bestimmtes", "nobody in particular")
    }

    pub(super) fn escalated(self) -> &'static str {
        self.say(", eskaliert", ", escalated")
    }

    pub(super) fn team(self) -> &'static str {
        self.say("Zuständig", "Team")
    }

    pub(super) fn follow_up(self) -> &'static str {
        self.say("Wieder melden am", "Get back to the customer on")
    }

    pub(super) fn reply_window(self) -> &'static str {
        self.say("Antworten möglich bis", "The channel takes answers until")
    }

    pub(super) fn suggestion(self) -> &'static str {
        self.say("ANTWORTVORSCHLAG (nicht gesendet)", "SUGGESTED REPLY (not sent)")
    }

    pub(super) fn question(self) -> &'static str {
        self.say("RÜCKFRAGE ALS VORSCHLAG (nicht gesendet)", "SUGGESTED QUESTION (not sent)")
    }

    pub(super) fn abstention(self) -> &'static str {
        self.say("KEIN ANTWORTVORSCHLAG", "NO SUGGESTED REPLY")
    }

    pub(super) fn worded_by(self) -> &'static str {
        self.say("im Wortlaut von", "worded by")
    }

    pub(super) fn template(self) -> &'static str {
        self.say("Vorlage", "template")
    }

    pub(super) fn uses(self) -> &'static str {
        self.say("enthält", "uses")
    }

    pub(super) fn missing(self) -> &'static str {
        self.say("es fehlt", "missing")
    }

    pub(super) fn link(self) -> &'static str {
        self.say("Anhören", "Listen")
    }

    pub(super) fn relief(self) -> &'static str {
        self.say(
            "Wegen vieler wartender Nachrichten wurde diese nur schnell erkannt; bitte im Zweifel anhören.",
            "Because many notes were waiting, this one was recognised in haste; listen to it in case of doubt.",
        )
    }

    pub(super) fn partial(self) -> &'static str {
        self.say("Ein Teil der Aufnahme fehlt oder ist beschädigt.", "A part of the recording is missing or damaged.")
    }

    /// How the note ended, for a title.
    pub(super) fn outcome(self, outcome: OutcomeKind) -> &'static str {
        match outcome {
            OutcomeKind::Completed => self.say("verstanden", "understood"),
            OutcomeKind::NoSpeech => self.say("nichts gesprochen", "nothing said"),
            OutcomeKind::Unintelligible => self.say("nicht sicher verstanden", "not understood with certainty"),
            OutcomeKind::Rejected => self.say("nicht lesbar", "cannot be read"),
            OutcomeKind::Failed => self.say("nicht bearbeitet", "not processed"),
        }
    }

    /// What the agent had better do where there is no trusted transcript.
    pub(super) fn listen(self, outcome: OutcomeKind) -> &'static str {
        match outcome {
            OutcomeKind::Completed | OutcomeKind::Unintelligible => self.say("Bitte anhören.", "Please listen to it."),
            OutcomeKind::NoSpeech => self.say(
                "Wahrscheinlich ein Versehen; im Zweifel anhören oder nachfragen.",
                "Probably sent by mistake; in case of doubt listen, or ask.",
            ),
            OutcomeKind::Rejected => self.say(
                "Bitte nach einer neuen Nachricht oder nach Text fragen.",
                "Please ask the customer for a new note, or for text.",
            ),
            OutcomeKind::Failed => self.say(
                "Bitte anhören, falls die Aufnahme da ist, sonst nachfragen.",
                "Please listen to it where the recording is there, else ask.",
            ),
        }
    }

    /// Why the note was not understood.
    pub(super) fn reason(self, reason: Reason) -> &'static str {
        match reason {
            Reason::Silence => self.say("Die Aufnahme ist still.", "The recording is silent."),
            Reason::NoSpeechDetected => {
                self.say("Es ist etwas zu hören, aber niemand spricht.", "There is sound, but nobody speaks.")
            }
            Reason::LowConfidence => self.say(
                "Es wird gesprochen, aber das Erkannte ist nicht verlässlich.",
                "Somebody speaks, but what was recognised cannot be relied on.",
            ),
            Reason::Repetition => self.say(
                "Es wird gesprochen, aber die Erkennung blieb an einer Stelle hängen.",
                "Somebody speaks, but recognition got stuck.",
            ),
            Reason::LanguageNotAccepted => self.say(
                "Es wird in einer Sprache gesprochen, die hier nicht vorgesehen ist.",
                "The language spoken is not one that is expected here.",
            ),
            Reason::MalformedEvent | Reason::UnsupportedEvent => self.say(
                "Die Nachricht kam in einer Form an, die nicht gelesen werden kann.",
                "The message arrived in a form that cannot be read.",
            ),
            Reason::EmptyAudio => self.say("Die Aufnahme ist leer.", "The recording is empty."),
            Reason::UnsupportedContainer | Reason::UnsupportedCodec => {
                self.say("Das Format der Aufnahme wird nicht unterstützt.", "The recording's format is not supported.")
            }
            Reason::CorruptAudio => self.say("Die Aufnahme ist beschädigt.", "The recording is damaged."),
            Reason::AudioTooLarge => {
                self.say("Die Aufnahme ist größer als erlaubt.", "The recording is larger than allowed.")
            }
            Reason::AudioTooLong => {
                self.say("Die Aufnahme ist länger als erlaubt.", "The recording is longer than allowed.")
            }
            Reason::DecodeTimeExceeded => self.say(
                "Die Aufnahme ließ sich nicht in der erlaubten Zeit lesen.",
                "The recording could not be read within the time allowed.",
            ),
            Reason::InvalidInlineAudio => self.say(
                "Die mitgeschickte Aufnahme ist unlesbar oder zu groß.",
                "The recording in the message cannot be read, or is too large.",
            ),
            Reason::SourceForbidden => self.say(
                "Die Aufnahme liegt an einem Ort, von dem nichts geholt werden darf.",
                "The recording lies where nothing may be fetched from.",
            ),
            Reason::AudioNotFound => {
                self.say("Die Aufnahme war nicht mehr da.", "The recording was not there any more.")
            }
            Reason::AudioUnreachable => {
                self.say("Die Aufnahme konnte nicht geholt werden.", "The recording could not be fetched.")
            }
            Reason::TranscriptionTimeout => {
                self.say("Die Erkennung wurde nicht rechtzeitig fertig.", "Recognition did not finish in time.")
            }
            Reason::Backlog => self.say(
                "Zu viele Nachrichten warteten; diese wurde zurückgestellt und nicht angehört.",
                "Too many notes were waiting; this one was set aside unheard.",
            ),
            Reason::ResultTooLarge => self.say(
                "Die Nachricht wurde verstanden, aber das Ergebnis war zu groß zum Weitergeben.",
                "The note was understood, but the result was too large to be passed on.",
            ),
            Reason::TranscriberFailed
            | Reason::WorkerCrashed
            | Reason::ResultNotPublished
            | Reason::TicketRefused
            | Reason::InternalError => self.say(
                "Bei der Bearbeitung ist ein technischer Fehler aufgetreten.",
                "A technical fault occurred while it was processed.",
            ),
        }
    }

    /// Why there is no suggestion.
    pub(super) fn abstained(self, reason: Abstained) -> &'static str {
        match reason {
            Abstained::NothingUnderstood => {
                self.say("Es gibt nichts verlässlich Verstandenes.", "Nothing was understood reliably.")
            }
            Abstained::IntentUnsure => {
                self.say("Das Anliegen ist nicht eindeutig.", "It is not clear what the customer wants.")
            }
            Abstained::SeveralIntents => {
                self.say("Es geht um mehrere Anliegen auf einmal.", "The note holds more than one request.")
            }
            Abstained::NoTemplate => {
                self.say("Für dieses Anliegen gibt es keine Vorlage.", "There is no template for this request.")
            }
            Abstained::NoTemplateInLanguage => self.say(
                "In der Sprache des Kunden gibt es keine Vorlage.",
                "There is no template in the customer's language.",
            ),
            Abstained::FactMissing => {
                self.say("Für die Vorlage fehlt eine Angabe.", "A fact is missing that the template needs.")
            }
            Abstained::LeftToPeople => {
                self.say("Dieses Anliegen beantworten Menschen.", "Such requests are answered by people.")
            }
            Abstained::Contradicted => self
                .say("Die Vorlage passt nicht zu dem, was gesagt wurde.", "The template does not fit what was said."),
            Abstained::TooLong => {
                self.say("Die Vorlage ist für diesen Kanal zu lang.", "The template is too long for this channel.")
            }
        }
    }

    pub(super) fn urgency_level(self, level: UrgencyLevel) -> &'static str {
        match level {
            UrgencyLevel::Low => self.say("niedrig", "low"),
            UrgencyLevel::Normal => self.say("normal", "normal"),
            UrgencyLevel::High => self.say("hoch", "high"),
        }
    }

    pub(super) fn sentiment(self, sentiment: Sentiment) -> &'static str {
        match sentiment {
            Sentiment::Negative => self.say("negativ", "negative"),
            Sentiment::Neutral => self.say("neutral", "neutral"),
            Sentiment::Positive => self.say("positiv", "positive"),
        }
    }

    /// By checksum or pattern.
    pub(super) fn verified(self, verified: bool) -> &'static str {
        if verified { self.say("geprüft", "verified") } else { self.say("nicht geprüft", "not verified") }
    }

    /// None where there is nothing to say about it.
    pub(super) fn playback(self, playback: &Playback) -> Option<&'static str> {
        Some(match playback {
            Playback::NotWanted => return None,
            Playback::Attached(_) => self.say("Die Aufnahme ist angehängt.", "The recording is attached."),
            Playback::NotKept => self.say("Die Aufnahme wurde nicht aufbewahrt.", "The recording was not kept."),
            Playback::Gone => {
                self.say("Die Aufnahme ist nicht mehr abrufbar.", "The recording can no longer be fetched.")
            }
            Playback::TooLarge => {
                self.say("Die Aufnahme ist zu groß zum Anhängen.", "The recording is too large to attach.")
            }
        })
    }

    /// How far the transcript can be trusted.
    pub(super) fn trust(self, confidence: f32) -> String {
        let word = match confidence {
            high if high >= 0.85 => self.say("sicher erkannt", "recognised with certainty"),
            fair if fair >= 0.6 => self.say("weitgehend sicher erkannt", "mostly recognised with certainty"),
            _ => self.say("unsicher erkannt, bitte anhören", "recognised with doubts, please listen"),
        };
        format!("{word}, {}", self.percent(confidence))
    }

    /// By its ISO 639-1 code, which stands for languages without a name here.
    pub(super) fn language(self, code: &str) -> &str {
        match code {
            "de" => self.say("Deutsch", "German"),
            "en" => self.say("Englisch", "English"),
            "fr" => self.say("Französisch", "French"),
            "it" => self.say("Italienisch", "Italian"),
            "es" => self.say("Spanisch", "Spanish"),
            "nl" => self.say("Niederländisch", "Dutch"),
            "pl" => self.say("Polnisch", "Polish"),
            "ru" => self.say("Russisch", "Russian"),
            "tr" => self.say("Türkisch", "Turkish"),
            "uk" => self.say("Ukrainisch", "Ukrainian"),
            "ar" => self.say("Arabisch", "Arabic"),
            other => other,
        }
    }

    /// By its name in the playbook, which stands for kinds without a name here.
    pub(super) fn kind(self, kind: &str) -> &str {
        match kind {
            "customer_number" => self.say("Kundennummer", "customer number"),
            "order_number" => self.say("Bestellnummer", "order number"),
            "invoice_number" => self.say("Rechnungsnummer", "invoice number"),
            "phone" => self.say("Telefonnummer", "phone number"),
            "email" => self.say("E-Mail-Adresse", "email address"),
            "iban" => "IBAN",
            "amount" => self.say("Betrag", "amount"),
            "date" => self.say("Datum", "date"),
            "time" => self.say("Uhrzeit", "time"),
            "name" => self.say("Name", "name"),
            other => other,
        }
    }

    /// For example `7. 11. 2026`, with the time and its zone.
    pub(super) fn moment_format(self) -> &'static str {
        self.say("%d.%m.%Y, %H:%M %Z", "%Y-%m-%d %H:%M %Z")
    }

    /// With one decimal.
    pub(super) fn number(self, number: f64) -> String {
        let text = format!("{number:.1}");
        match self.language {
            Language::De => text.replace('.', ","),
            Language::En => text,
        }
    }

    pub(super) fn percent(self, share: f32) -> String {
        let percent = (share.clamp(0.0, 1.0) * 100.0).round();
        match self.language {
            Language::De => format!("{percent:.0} %"),
            Language::En => format!("{percent:.0}%"),
        }
    }
}
