//! Owns how a customer's wish to be reached reads to an agent.

use super::{text::harmless, words::Words};
use crate::event::processed::{CallTime, ContactChannel, ContactPreferences, PartOfDay};

impl Words {
    fn phone(self, allowed: bool) -> &'static str {
        if allowed {
            self.say("bittet um einen Anruf", "asks for a call")
        } else {
            self.say("bitte nicht anrufen", "please do not call")
        }
    }

    /// How the customer wants to be reached, wish by wish.
    pub(super) fn wishes(self, contact: &ContactPreferences) -> Vec<String> {
        let mut wishes: Vec<String> =
            contact.phone_allowed.map(|allowed| self.phone(allowed).to_owned()).into_iter().collect();
        let call = contact.call.clone().unwrap_or_default();
        let times: Vec<String> = call.times.iter().map(|time| self.call_time(time)).collect();
        if !times.is_empty() {
            wishes.push(format!("{} {}", self.say("erreichbar", "reachable"), times.join(self.say(" oder ", " or "))));
        }
        wishes.extend(call.number.map(|number| format!("{} {}", self.say("unter", "on"), harmless(number.expose()))));
        if contact.write_only {
            wishes.push(self.say("nur schriftlich", "in writing only").to_owned());
        }
        wishes.extend(contact.channel.map(|channel| format!("{} {}", self.say("per", "by"), self.channel(channel))));
        wishes
    }

    fn call_time(self, time: &CallTime) -> String {
        let CallTime { date, from, until, part_of_day } = time;
        let [date, from, until] = [date, from, until].map(|said| said.as_ref().map(|said| harmless(said.expose())));
        let hours = match (&from, &until) {
            (Some(from), Some(until)) if from == until => Some(format!("{} {from}", self.say("um", "at"))),
            (Some(from), Some(until)) => Some(format!("{from}–{until}")),
            (Some(from), None) => Some(format!("{} {from}", self.say("ab", "from"))),
            (None, Some(until)) => Some(format!("{} {until}", self.say("bis", "until"))),
            (None, None) => None,
        };
        let part = part_of_day.map(|part| self.part_of_day(part).to_owned());
        [date, part, hours].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn part_of_day(self, part: PartOfDay) -> &'static str {
        match part {
            PartOfDay::Morning => self.say("vormittags", "in the morning"),
            PartOfDay::Noon => self.say("mittags", "at noon"),
            PartOfDay::Afternoon => self.say("nachmittags", "in the afternoon"),
            PartOfDay::Evening => self.say("abends", "in the evening"),
        }
    }

    fn channel(self, channel: ContactChannel) -> &'static str {
        match channel {
            ContactChannel::Email => self.say("E-Mail", "e-mail"),
            ContactChannel::Sms => self.say("SMS", "text message"),
            ContactChannel::Whatsapp => "WhatsApp",
            ContactChannel::Telegram => "Telegram",
            ContactChannel::Signal => "Signal",
            ContactChannel::Letter => self.say("Brief", "letter"),
        }
    }
}
