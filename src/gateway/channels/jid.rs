//! Owns whom WhatsApp's addresses mean: one person has several, and a conversation is to have one name.
//!
//! A telephone number is `49170…@s.whatsapp.net`, for older software `49170…@c.us`, with `:12` before the `@` for one of
//! several devices; `…@lid` hides the number. The name of a conversation is the number alone where it is known, as the
//! Cloud API writes it, and else the address.

/// What an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A telephone number: the name that everybody else knows.
    Phone,
    /// A person without a number.
    Hidden,
    Group,
    /// Broadcasts, newsletters and what may come.
    Other,
}

/// A person or a group, under one name whichever of their addresses are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    kind: Kind,
    name: String,
}

impl Chat {
    /// The chat that all these are addresses of; none where none of them is one.
    pub fn of<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        addresses.into_iter().filter_map(Self::read).min_by_key(|chat| chat.kind)
    }

    fn read(address: &str) -> Option<Self> {
        let (user, server) = address.split_once('@').unwrap_or((address, ""));
        // The device, and what Baileys calls the agent, are no part of the person.
        let person = user.split([':', '_']).next().unwrap_or_default();
        let number = person.trim_start_matches('+');
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let chat = |kind, name: String| Some(Self { kind, name });
        match server {
            "" | "s.whatsapp.net" | "c.us" if is_number => chat(Kind::Phone, number.to_owned()),
            "lid" if is_number => chat(Kind::Hidden, format!("{number}@lid")),
            "g.us" if !user.is_empty() => chat(Kind::Group, address.to_owned()),
            _ if user.is_empty() => None,
            _ => chat(Kind::Other, address.to_owned()),
        }
    }

    #[must_use]
    pub fn is_person(&self) -> bool {
        matches!(self.kind, Kind::Phone | Kind::Hidden)
    }

    #[must_use]
    pub fn is_group(&self) -> bool {
        self.kind == Kind::Group
    }

    #[must_use]
    pub fn into_name(self) -> String {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(addresses: &[&str]) -> Option<String> {
        Chat::of(addresses.iter().copied()).map(Chat::into_name)
    }

    #[test]
    fn all_addresses_of_a_person_are_one_conversation() {
        for addresses in [
            &["4917055501@s.whatsapp.net"][..],
            &["4917055501@c.us"],
            &["4917055501:12@s.whatsapp.net"],
            &["+4917055501"],
            &["272516946294519@lid", "4917055501@s.whatsapp.net"],
            &["4917055501@s.whatsapp.net", "272516946294519@lid"],
        ] {
            assert_eq!(name(addresses).as_deref(), Some("4917055501"), "{addresses:?}");
        }
    }

    #[test]
    fn whose_number_is_hidden_keeps_the_address_without_its_device() {
        assert_eq!(name(&["272516946294519:7@lid"]).as_deref(), Some("272516946294519@lid"));
    }

    #[test]
    fn groups_and_broadcasts_are_no_persons() {
        let chat = |address| Chat::of([address]).unwrap();
        assert!(chat("120363028123456789@g.us").is_group());
        for other in ["status@broadcast", "120363@newsletter", "abc@s.whatsapp.net"] {
            assert!(!chat(other).is_person() && !chat(other).is_group(), "{other}");
        }
        assert_eq!(name(&["", "@s.whatsapp.net"]), None);
    }
}
