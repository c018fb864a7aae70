//! Owns the shape of RT's answers, as far as it is used.

use serde::Deserialize;
use serde_json::Value;

/// A ticket. RT writes numbers sometimes as numbers and sometimes as text.
#[derive(Debug, Deserialize)]
pub(super) struct Ticket {
    pub(super) id: Value,
    #[serde(rename = "Status")]
    pub(super) status: String,
    #[serde(rename = "Queue")]
    pub(super) queue: Reference,
    #[serde(rename = "Owner")]
    pub(super) owner: Reference,
    #[serde(rename = "Priority")]
    pub(super) priority: Value,
    #[serde(rename = "CustomFields", default)]
    fields: Vec<Field>,
    #[serde(rename = "_hyperlinks", default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) id: Value,
}

#[derive(Debug, Deserialize)]
struct Field {
    #[serde(default)]
    name: String,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Link {
    #[serde(rename = "ref")]
    pub(super) what: String,
}

/// One page of a search.
#[derive(Debug, Deserialize)]
pub(super) struct Items {
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) id: Value,
    #[serde(rename = "Status", default)]
    pub(super) status: String,
}

impl Ticket {
    /// Whether its user may do this: RT links to what may be done.
    pub(super) fn may(&self, what: &str) -> bool {
        self.links.iter().any(|link| link.what == what)
    }

    pub(super) fn values_of(&self, field: &str) -> Vec<String> {
        let own = self.fields.iter().filter(|own| own.name == field);
        own.flat_map(|own| own.values.iter().map(text)).collect()
    }
}

/// A number or a text, as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}
