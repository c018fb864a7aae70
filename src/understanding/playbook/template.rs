//! Owns the templates of replies: Jinja's syntax as minijinja has it, the only user of which this is. A slot is written
//! `{{ order_number }}`; `{% if amount %} … {% endif %}` is said only where that fact is known. There are neither filters
//! nor functions nor other templates.
//!
//! A template is tried out when the playbook is loaded. What fills a slot is never looked at again, so nothing that a
//! customer says can be a template.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Environment, ErrorKind, UndefinedBehavior,
    value::{Object, Value},
};

use crate::private::Private;

/// Steps that a template may take; a long reply takes some dozens.
const STEPS_MAX: u64 = 10_000;
/// So many slots at most are tried out in every combination of facts that are known and facts that are not.
const COMBINED_MAX: usize = 6;
/// What stands for a fact while a template is tried out.
const ANYTHING: &str = "0";

/// A template that is known to work, whatever facts there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    source: String,
    slots: Vec<String>,
}

/// A text, and the facts that it was made with, in the order in which they came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    pub text: Private,
    pub facts: Vec<String>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("this is no template: {0}")]
    Broken(String),
    #[error("a brace would be sent as it stands; a slot is written {{{{ order_number }}}}")]
    Brace,
}

/// Why there is no text.
#[derive(Debug, PartialEq, Eq)]
enum Unfilled {
    /// The slots without a fact that the text cannot do without, in the order in which they came up.
    Missing(Vec<String>),
    Broken(String),
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let broken = |error: &minijinja::Error| {
            TemplateError::Broken(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
        };
        let engine = engine();
        let template = engine.template_from_str(text).map_err(|error| broken(&error))?;
        let mut slots: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        slots.sort_by_key(|slot| text.find(slot.as_str()));
        let template = Self { source: text.to_owned(), slots };
        let combinations = 1_usize << template.slots.len().min(COMBINED_MAX);
        for known in 0..combinations {
            let is_known = |at: usize| known >> at.min(COMBINED_MAX - 1) & 1 == 1;
            let at = |slot: &str| template.slots.iter().position(|other| other == slot);
            match template.attempt(|slot| at(slot).filter(|&at| is_known(at)).map(|_| ANYTHING.to_owned())) {
                Ok(filled) if filled.text.expose().contains(['{', '}']) => return Err(TemplateError::Brace),
                Err(Unfilled::Broken(what)) => return Err(TemplateError::Broken(what)),
                Ok(_) | Err(Unfilled::Missing(_)) => {}
            }
        }
        Ok(template)
    }

    /// The slots in the order of the text, each once, whether the text can do without them or not.
    #[must_use]
    pub fn slots(&self) -> Vec<&str> {
        self.slots.iter().map(String::as_str).collect()
    }

    /// The text where there is nothing to fill in; empty if it cannot do without a fact.
    #[must_use]
    pub fn text(&self) -> String {
        self.fill(|_| None).map(|filled| filled.text.expose().to_owned()).unwrap_or_default()
    }

    /// The text with its facts.
    ///
    /// # Errors
    ///
    /// The slots that lack a fact.
    pub fn fill(&self, fact: impl Fn(&str) -> Option<String>) -> Result<Filled, Vec<String>> {
        self.attempt(fact).map_err(|unfilled| match unfilled {
            Unfilled::Missing(slots) => slots,
            Unfilled::Broken(_) => self.slots.clone(),
        })
    }

    fn attempt(&self, fact: impl Fn(&str) -> Option<String>) -> Result<Filled, Unfilled> {
        let engine = engine();
        let broken = |error: &minijinja::Error| Unfilled::Broken(error.kind().to_string());
        let template = engine.template_from_str(&self.source).map_err(|error| broken(&error))?;
        let mut known: BTreeMap<String, String> =
            self.slots.iter().filter_map(|slot| Some((slot.clone(), fact(slot)?))).collect();
        let mut missing: Vec<String> = Vec::new();
        loop {
            let facts = Arc::new(Facts { known: known.clone(), asked: Mutex::default() });
            let rendered = template.render(Value::from_dyn_object(Arc::clone(&facts)));
            let asked = facts.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match rendered {
                Ok(_) if !missing.is_empty() => return Err(Unfilled::Missing(missing)),
                Ok(text) => {
                    let facts = asked.into_iter().filter(|slot| known.contains_key(slot)).collect();
                    return Ok(Filled { text: Private::new(text), facts });
                }
                // What was asked for last and is not there. With anything in its place, the next one shows.
                Err(error) if error.kind() == ErrorKind::UndefinedError => {
                    let slot =
                        asked.into_iter().rfind(|slot| !known.contains_key(slot)).ok_or_else(|| broken(&error))?;
                    known.insert(slot.clone(), ANYTHING.to_owned());
                    missing.push(slot);
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    }
}

/// What is not there cannot be written, but it can be asked whether it is there.
fn engine<'source>() -> Environment<'source> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    engine.set_fuel(Some(STEPS_MAX));
    engine
}

/// The facts of a note, as a template asks for them.
struct Facts {
    known: BTreeMap<String, String>,
    /// In the order in which they were first asked for.
    asked: Mutex<Vec<String>>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

impl Object for Facts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let slot = key.as_str()?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.iter().any(|other| other == slot) {
            asked.push(slot.to_owned());
        }
        self.known.get(slot).map(Value::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known<'a>(facts: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |slot| facts.iter().find(|(name, _)| *name == slot).map(|(_, fact)| (*fact).to_owned())
    }

    #[test]
    fn slots_are_filled_and_what_fills_them_is_no_template() {
        let template = Template::parse("Zu {{ order_number }}, {{name}}: {{ order_number }}.").unwrap();
        assert_eq!(template.slots(), ["order_number", "name"]);
        let filled = template.fill(known(&[("order_number", "{{ name }}<"), ("name", "Ada")])).unwrap();
        assert_eq!(filled.text.expose(), "Zu {{ name }}<, Ada: {{ name }}<.");
        assert_eq!(filled.facts, ["order_number", "name"]);
    }

    #[test]
    fn all_that_is_missing_is_named_in_order() {
        let template = Template::parse("{{ name }} {{ order_number }} {{ phone }}").unwrap();
        assert_eq!(template.fill(known(&[("order_number", "4711")])), Err(vec!["name".to_owned(), "phone".to_owned()]));
        assert_eq!(template.text(), "");
    }

    #[test]
    fn what_stands_under_a_condition_may_be_missing() {
        let template = Template::parse("Zu {{ order_number }}{% if amount %} über {{ amount }}{% endif %}.").unwrap();
        assert_eq!(template.slots(), ["order_number", "amount"]);
        let short = template.fill(known(&[("order_number", "4711")])).unwrap();
        assert_eq!((short.text.expose(), short.facts), ("Zu 4711.", vec!["order_number".to_owned()]));
        let long = template.fill(known(&[("order_number", "4711"), ("amount", "20 €")])).unwrap();
        assert_eq!((long.text.expose(), long.facts.len()), ("Zu 4711 über 20 €.", 2));
        assert_eq!(template.fill(known(&[("amount", "20 €")])), Err(vec!["order_number".to_owned()]));
    }

    #[test]
    fn what_would_not_work_is_refused_at_once() {
        for text in ["a {order_number}", "a } b"] {
            assert_eq!(Template::parse(text), Err(TemplateError::Brace), "{text}");
        }
        for text in [
            "a {{ b",
            "a {{ }} b",
            "{{ name|upper }}",
            "{{ name.first }}",
            "{% if name %}{{ phone / 2 }}{% endif %}",
            "{% include 'other' %}",
            "{% if name %}",
            "{% for a in 'xxxxxxxxxx' %}{% for b in 'xxxxxxxxxx' %}{% for c in 'xxxxxxxxxx' %}{% for d in 'xxxxxxxxxx' %}{{ d }}\
             {% endfor %}{% endfor %}{% endfor %}{% endfor %}",
        ] {
            assert!(matches!(Template::parse(text), Err(TemplateError::Broken(_))), "{text}");
        }
    }
}
