//! Owns what makes the texts of replies valid: which facts they may be filled with, and which questions are ever asked.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{Check, is_language};
use crate::understanding::{
    playbook::{
        ReplyTexts, Template, Wording,
        raw::{RawReply, RawWording},
    },
    text,
};

impl Check<'_> {
    pub(super) fn reply(&mut self, field: &str, language: String, raw: RawReply) -> (String, ReplyTexts) {
        let field = format!("{field}.reply.{language}");
        if !is_language(&language) {
            self.fault(raw.text.span(), field.clone(), "a language is two letters, like `de`");
        }
        let calls = raw.calls.unwrap_or_else(|| speaks_of_calls(raw.text.get_ref()));
        let informal = raw.informal.map(|informal| self.wording(&format!("{field}.informal"), informal));
        let RawReply { text, plain, short, ask, .. } = raw;
        let formal = self.wording(&field, RawWording { text, plain, short, ask });
        (language, ReplyTexts { formal, informal, calls })
    }

    fn wording(&mut self, field: &str, raw: RawWording) -> Wording {
        let text = self.template(&raw.text, &format!("{field}.text"));
        let plain = raw.plain.map(|plain| {
            let why = "this text stands where facts are missing: no slots";
            self.slotless(&plain, &format!("{field}.plain"), why)
        });
        let short = raw.short.map(|short| {
            let template = self.template(&short, &format!("{field}.short"));
            for slot in template.slots().into_iter().filter(|slot| !text.slots().contains(slot)) {
                let message = format!("the text has no slot {{{{ {slot} }}}}, so nobody would ask for it");
                self.fault(short.span(), format!("{field}.short"), message);
            }
            template
        });
        let mut ask = BTreeMap::new();
        for (slot, question) in raw.ask {
            if !text.slots().contains(&slot.as_str()) {
                let message = "the text has no such slot, so this is never asked";
                self.fault(question.span(), format!("{field}.ask.{slot}"), message);
            }
            ask.insert(slot, question.into_inner());
        }
        Wording { text, plain, short, ask }
    }

    /// A template that must not have slots, and why.
    pub(in crate::understanding::playbook) fn slotless(
        &mut self,
        text: &Spanned<String>,
        field: &str,
        why: &str,
    ) -> Template {
        let template = self.template(text, field);
        if !template.slots().is_empty() {
            self.fault(text.span(), field, why);
        }
        template
    }

    pub(super) fn template(&mut self, text: &Spanned<String>, field: &str) -> Template {
        let template = Template::parse(text.get_ref()).unwrap_or_else(|error| {
            self.fault(text.span(), field, error.to_string());
            Template::default()
        });
        for slot in template.slots() {
            if !self.slots.iter().any(|known| known == slot) {
                let message = format!("there is no slot {{{{ {slot} }}}}; there are {}", self.slots.join(", "));
                self.fault(text.span(), field, message);
            }
        }
        if text.get_ref().trim().is_empty() {
            self.fault(text.span(), field, "a reply needs a text");
        }
        template
    }
}

/// Words by which a reply announces a telephone call.
fn speaks_of_calls(text: &str) -> bool {
    const STEMS: [&str; 7] = ["anruf", "rueckruf", "zurueckruf", "telefon", "call", "phone", "{phone"];
    let folded = text::fold(text);
    STEMS.iter().any(|stem| folded.contains(stem)) || folded.contains("rufen sie")
}
