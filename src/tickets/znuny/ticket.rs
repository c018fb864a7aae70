//! Owns the shape of Znuny's answers, as far as it is used. Numbers come as numbers or as text, and where there may be
//! several things, one may come without its list.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::Value;

/// What SessionCreate says. No `Debug`: it is a secret.
#[derive(Deserialize)]
pub(super) struct Session {
    #[serde(rename = "SessionID")]
    pub(super) id: String,
}

/// What TicketCreate says.
#[derive(Debug, Deserialize)]
pub(super) struct Created {
    #[serde(rename = "TicketID", deserialize_with = "text")]
    pub(super) id: String,
}

/// What TicketSearch says; nothing at all where it found nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(rename = "TicketID", default, deserialize_with = "texts")]
    pub(super) ids: Vec<String>,
}

/// What TicketGet says.
#[derive(Debug, Deserialize)]
pub(super) struct Tickets {
    #[serde(rename = "Ticket", default, deserialize_with = "one_or_many")]
    pub(super) tickets: Vec<Ticket>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ticket {
    #[serde(rename = "TicketID", deserialize_with = "text")]
    pub(super) id: String,
    #[serde(rename = "TicketNumber", default, deserialize_with = "text")]
    pub(super) number: String,
    #[serde(rename = "Title", default)]
    pub(super) title: String,
    #[serde(rename = "Queue", default)]
    pub(super) queue: String,
    #[serde(rename = "Priority", default)]
    pub(super) priority: String,
    #[serde(rename = "State", default)]
    pub(super) state: String,
    /// For example `new`, `open`, `pending reminder`, `closed`, `removed`, `merged`, whatever the state is called.
    #[serde(rename = "StateType", default)]
    pub(super) state_type: String,
    /// When a pending ticket comes up, in seconds since 1970.
    #[serde(rename = "RealTillTimeNotUsed", default, deserialize_with = "text")]
    pending_until: String,
    #[serde(rename = "DynamicField", default, deserialize_with = "one_or_many")]
    fields: Vec<Field>,
    #[serde(rename = "Article", default, deserialize_with = "one_or_many")]
    pub(super) articles: Vec<Article>,
}

#[derive(Debug, Deserialize)]
struct Field {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Value", default, deserialize_with = "texts")]
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Article {
    #[serde(rename = "Subject", default)]
    pub(super) subject: String,
}

impl Ticket {
    pub(super) fn values_of(&self, field: &str) -> Vec<String> {
        let own = self.fields.iter().filter(|own| own.name == field);
        own.flat_map(|own| own.values.iter().filter(|value| !value.is_empty()).cloned()).collect()
    }

    /// Seconds since 1970.
    pub(super) fn pending_until(&self) -> Option<i64> {
        self.pending_until.parse().ok()
    }
}

/// What TicketHistoryGet says.
#[derive(Debug, Deserialize)]
pub(super) struct Histories {
    #[serde(rename = "TicketHistory", default, deserialize_with = "one_or_many")]
    pub(super) tickets: Vec<History>,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    #[serde(rename = "History", default, deserialize_with = "one_or_many")]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "HistoryType", default)]
    kind: String,
    #[serde(rename = "Name", default)]
    name: String,
}

impl History {
    /// The ticket that `id` was merged into last.
    pub(super) fn merged_into(&self, id: &str) -> Option<String> {
        let merges = self.lines.iter().rev().filter(|line| line.kind == "Merged");
        // `%%number%%id%%number of the other%%id of the other`
        let mut pairs = merges.filter_map(|line| {
            let mut parts = line.name.split("%%").skip(2).step_by(2);
            Some((parts.next()?, parts.next()?))
        });
        let (_, main) = pairs.find(|(merged, main)| *merged == id && *main != id)?;
        Some(main.to_owned()).filter(|main| !main.is_empty() && main.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(plain(&Value::deserialize(from)?))
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Null => vec![],
        value => vec![plain(&value)],
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    // The source's own error could quote what a customer said.
    let read = |value| serde_json::from_value(value).map_err(|_| D::Error::custom(Shape));
    match Value::deserialize(from)? {
        Value::Array(values) => values.into_iter().map(read).collect(),
        Value::Null => Ok(vec![]),
        value => Ok(vec![read(value)?]),
    }
}

struct Shape;

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not of the interface's form")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_texts_and_one_of_a_kind_without_its_list_are_read_alike() {
        let listed = json!({"Ticket": [{"TicketID": 7, "TicketNumber": "2026112210000013", "RealTillTimeNotUsed": 12,
            "DynamicField": [{"Name": "Tags", "Value": ["a", "b"]}], "Article": [{"Subject": "s"}]}]});
        let alone = json!({"Ticket": {"TicketID": "7", "TicketNumber": 2_026_112_210_000_013_i64,
            "RealTillTimeNotUsed": "12", "DynamicField": {"Name": "Tags", "Value": ["a", "b"]},
            "Article": {"Subject": "s"}}});
        for form in [listed, alone] {
            let tickets: Tickets = serde_json::from_value(form).unwrap();
            let [ticket] = &tickets.tickets[..] else { panic!("one ticket") };
            assert_eq!((ticket.id.as_str(), ticket.number.as_str()), ("7", "2026112210000013"));
            assert_eq!((ticket.pending_until(), ticket.values_of("Tags")), (Some(12), vec!["a".into(), "b".into()]));
            assert_eq!(ticket.articles.len(), 1);
        }
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let nothing: Search = serde_json::from_str("{}").unwrap();
        assert!(nothing.ids.is_empty());
        let one: Search = serde_json::from_str(r#"{"TicketID":"3"}"#).unwrap();
        assert_eq!(one.ids, ["3"]);
        let bare =
            json!({"Ticket": [{"TicketID": 1, "Article": null, "DynamicField": [{"Name": "Tags", "Value": null}]}]});
        let tickets: Tickets = serde_json::from_value(bare).unwrap();
        assert!(tickets.tickets[0].articles.is_empty() && tickets.tickets[0].values_of("Tags").is_empty());
        assert_eq!(tickets.tickets[0].pending_until(), None);
        assert!(serde_json::from_value::<Tickets>(json!({"Ticket": ["no ticket"]})).is_err());
    }

    #[test]
    fn a_merge_is_followed_from_the_ticket_that_went() {
        let history = |lines: Value| serde_json::from_value::<History>(json!({ "History": lines })).unwrap();
        let merged = json!([{"HistoryType": "NewTicket", "Name": "%%1000%%Voice%%3 normal%%new%%2"},
            {"HistoryType": "Merged", "Name": "%%1000%%2%%1001%%3"}]);
        assert_eq!(history(merged.clone()).merged_into("2"), Some("3".to_owned()));
        assert_eq!(history(merged).merged_into("3"), None, "it is the one that stayed");
        for odd in ["", "%%", "%%1000%%2", "%%1000%%2%%1001%%x", "%%1000%%2%%1001%%2"] {
            assert_eq!(history(json!({"HistoryType": "Merged", "Name": odd})).merged_into("2"), None, "{odd}");
        }
    }
}
