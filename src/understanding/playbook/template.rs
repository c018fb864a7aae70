//! Owns the templates of replies: plain text with slots like `{order_number}`; `{{` and `}}` stand for braces.
//!
//! A template is parsed once, when the playbook is loaded. What fills a slot is never looked at again, so nothing
//! that a customer says can be a template.

/// A parsed template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// The kind of the entity that belongs here.
    Slot(String),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("an opening brace is never closed; write {{{{ for a brace that is meant")]
    Unclosed,
    #[error("a closing brace was never opened; write }}}} for a brace that is meant")]
    Unopened,
    #[error("a slot has no name")]
    Nameless,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err(TemplateError::Unopened);
            } else {
                let (slot, after) = rest.split_once('}').ok_or(TemplateError::Unclosed)?;
                if slot.trim().is_empty() {
                    return Err(TemplateError::Nameless);
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Slot(slot.trim().to_owned()));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What stands between the slots: all of it, where there are none.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Slot(_) => None,
        });
        texts.collect()
    }

    /// The slots in the order of the text, each once.
    #[must_use]
    pub fn slots(&self) -> Vec<&str> {
        let mut slots = Vec::new();
        for part in &self.parts {
            if let Part::Slot(slot) = part
                && !slots.contains(&slot.as_str())
            {
                slots.push(slot.as_str());
            }
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_doubled_braces_are_told_apart() {
        let template = Template::parse("Zu {order_number}: {{so}} {order_number} {name}").unwrap();
        assert_eq!(template.slots(), ["order_number", "name"]);
        assert_eq!(template.parts()[2], Part::Text(": {so} ".to_owned()));
    }

    #[test]
    fn broken_braces_are_named() {
        assert_eq!(Template::parse("a {b"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("a } b"), Err(TemplateError::Unopened));
        assert_eq!(Template::parse("a { } b"), Err(TemplateError::Nameless));
    }
}
