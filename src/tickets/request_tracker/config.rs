//! Owns what an operator says about one Request Tracker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{config::Secret, tickets::limiter::Rate};

/// Request Tracker 5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// RT's own address, for example `https://rt.example.com`.
    pub url: Url,
    /// An authentication token of a user who may, in every queue named here: SeeQueue, ShowTicket, ShowTicketComments,
    /// CreateTicket, CommentOnTicket, ModifyTicket, and with fields SeeCustomField and ModifyCustomField.
    pub token: Secret,
    /// Where tickets are opened.
    pub queue: String,
    /// A custom field that holds the conversation's key. Without one the key is searched for in subjects, which takes
    /// RT the longer the more tickets it has.
    #[serde(default)]
    pub conversation_field: Option<String>,
    /// A custom field with several values that tags are added to; without one, tags are left out.
    #[serde(default)]
    pub tags_field: Option<String>,
    /// What a team is in RT.
    #[serde(default)]
    pub team_is: TeamIs,
    /// Whether a closed ticket is opened again. Otherwise a new one refers to it.
    #[serde(default)]
    pub reopen: bool,
    /// In which states a ticket is closed.
    #[serde(default = "closed_statuses")]
    pub closed_statuses: Vec<String>,
    /// The state of a ticket that is opened again.
    #[serde(default = "open_status")]
    pub open_status: String,
    /// Requests that the operator allows.
    #[serde(default)]
    pub rates: Vec<Rate>,
}

/// What a team is in RT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeamIs {
    #[default]
    Queue,
    Owner,
}

fn closed_statuses() -> Vec<String> {
    ["resolved", "rejected", "deleted"].map(str::to_owned).into()
}

fn open_status() -> String {
    "open".to_owned()
}
