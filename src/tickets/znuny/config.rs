//! Owns what an operator says about one Znuny.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{config::Secret, tickets::limiter::Rate};

/// Znuny 6.5, or an OTRS 6 whose web service takes the session in a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Znuny's own address, up to its `index.pl`, for example `https://desk.example.com/znuny`.
    pub url: Url,
    /// The login of an agent who has, on the groups of every queue named here: ro, rw, create and move_into.
    pub user: String,
    /// The agent's password.
    pub password: Secret,
    /// The web service, imported from the example of the same name that Znuny is shipped with.
    #[serde(default = "web_service")]
    pub web_service: String,
    /// Where tickets are opened; below another queue as `Support::Voice`.
    pub queue: String,
    /// Whom tickets that are opened here are for, because Znuny has none for nobody: the login of a customer user, or
    /// an e-mail address. Nothing is sent there.
    pub customer_user: String,
    /// The state that tickets are opened in.
    #[serde(default = "state")]
    pub state: String,
    /// The priority that tickets are opened with, before urgency is mapped.
    #[serde(default = "priority")]
    pub priority: String,
    /// The type that tickets are opened with, where Znuny wants one (`Ticket::Type`).
    #[serde(default)]
    pub ticket_type: Option<String>,
    /// A dynamic field of tickets, of type Text, that holds the conversation's key. Without one the key is searched for
    /// in titles, which takes Znuny the longer the more tickets it has, and fails once agents rewrite a title.
    #[serde(default)]
    pub conversation_field: Option<String>,
    /// A dynamic field of tickets that tags are added to; without one, tags are left out.
    #[serde(default)]
    pub tags_field: Option<String>,
    /// Of which type `tags_field` is.
    #[serde(default)]
    pub tags_field_is: TagsFieldIs,
    /// Whether a closed ticket is opened again. Otherwise a new one refers to it. Tickets that were removed or merged
    /// stay as they are.
    #[serde(default)]
    pub reopen: bool,
    /// The state of a ticket that is opened again.
    #[serde(default = "open_state")]
    pub open_state: String,
    /// The state, of type pending reminder, of a ticket that has to come up again.
    #[serde(default = "reminder_state")]
    pub reminder_state: String,
    /// Requests that the operator allows.
    #[serde(default)]
    pub rates: Vec<Rate>,
}

/// Of which type the field for tags is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TagsFieldIs {
    /// Each tag is one of its possible values.
    #[default]
    Multiselect,
    /// One text, with commas between the tags.
    Text,
}

fn web_service() -> String {
    "GenericTicketConnectorREST".to_owned()
}

fn state() -> String {
    "new".to_owned()
}

fn priority() -> String {
    "3 normal".to_owned()
}

fn open_state() -> String {
    "open".to_owned()
}

fn reminder_state() -> String {
    "pending reminder".to_owned()
}
