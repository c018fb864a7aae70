//! Owns what a playbook says to a note that has just come in, and what makes that valid.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use toml::Spanned;

use super::{
    Template, WeekHours,
    raw::{RawAcknowledgement, RawAcknowledgementTexts},
    validate::{Check, is_language},
};

/// What senders are told at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Acknowledgement {
    /// For tenants that do not say otherwise.
    pub enabled: bool,
    /// Of `hours` and `holidays`, those of tenants included.
    pub time_zone: TimeZone,
    /// None: somebody is always there.
    pub hours: Option<WeekHours>,
    /// Days without business hours.
    pub holidays: BTreeSet<Date>,
    /// By ISO 639-1 code; those in the playbook's language are always there.
    pub texts: BTreeMap<String, AcknowledgementTexts>,
}

/// What can be said in one language. No text has slots: nobody has listened to the note yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgementTexts {
    /// Within business hours.
    pub open: Template,
    /// Outside of them.
    pub closed: Template,
    /// To a note that is set aside because too many others wait; where none, one of the two above.
    pub busy: Option<Template>,
}

impl Acknowledgement {
    /// True if somebody is there at this moment. `hours` take the place of the playbook's.
    #[must_use]
    pub fn is_open(&self, hours: Option<&WeekHours>, now: Timestamp) -> bool {
        let Some(hours) = hours.or(self.hours.as_ref()) else { return true };
        let local = now.to_zoned(self.time_zone.clone());
        !self.holidays.contains(&local.date()) && hours.contain(local.weekday(), local.time())
    }
}

impl Check<'_> {
    pub(super) fn acknowledgement(&mut self, raw: Spanned<RawAcknowledgement>, language: &str) -> Acknowledgement {
        let (span, raw) = (raw.span(), raw.into_inner());
        if !raw.text.contains_key(language) {
            let message = format!("there is no text in {language:?}, for senders whose language has none");
            self.fault(span, format!("acknowledgement.text.{language}"), message);
        }
        let time_zone = TimeZone::get(raw.time_zone.get_ref()).unwrap_or_else(|_| {
            let message = "there is no such time zone; name it like \"Europe/Berlin\"";
            self.fault(raw.time_zone.span(), "acknowledgement.time_zone", message);
            TimeZone::UTC
        });
        let mut holidays = BTreeSet::new();
        for (n, given) in raw.holidays.iter().enumerate() {
            if let Ok(date) = given.get_ref().parse() {
                holidays.insert(date);
            } else {
                let message = "a holiday is a date, like \"2026-12-25\"";
                self.fault(given.span(), format!("acknowledgement.holidays[{n}]"), message);
            }
        }
        let texts = raw.text.into_iter().map(|(language, texts)| self.texts(language, &texts)).collect();
        Acknowledgement { enabled: raw.enabled, time_zone, hours: raw.hours, holidays, texts }
    }

    fn texts(&mut self, language: String, raw: &RawAcknowledgementTexts) -> (String, AcknowledgementTexts) {
        let field = format!("acknowledgement.text.{language}");
        if !is_language(&language) {
            self.fault(raw.open.span(), field.clone(), "a language is two letters, like `de`");
        }
        let why = "nobody has listened to the note yet: no slots";
        let open = self.slotless(&raw.open, &format!("{field}.open"), why);
        let closed = self.slotless(&raw.closed, &format!("{field}.closed"), why);
        let busy = raw.busy.as_ref().map(|busy| self.slotless(busy, &format!("{field}.busy"), why));
        (language, AcknowledgementTexts { open, closed, busy })
    }
}
