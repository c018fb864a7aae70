//! Owns the words of a system that the configuration maps to: whether they exist there, and whose fault it is if not.

use std::collections::BTreeSet;

use super::{Config, Finding, OpenError, TicketError};

/// Every word once.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapped {
    pub priorities: BTreeSet<String>,
    pub teams: BTreeSet<String>,
    pub tags: BTreeSet<String>,
}

impl Mapped {
    pub(super) fn of(config: &Config) -> Self {
        let by_intent = config.tags_by_intent.values().flatten();
        Self {
            priorities: config.priority_by_urgency.values().cloned().collect(),
            teams: config.team_by_route.values().cloned().collect(),
            tags: by_intent.chain(&config.tags).chain(&config.tags_if_escalated).cloned().collect(),
        }
    }

    /// Refuses priorities that the system does not have, where those are known beforehand.
    pub(super) fn priorities_among(&self, known: &[&str]) -> Result<(), OpenError> {
        match self.priorities.iter().find(|priority| !known.contains(&priority.as_str())) {
            Some(unknown) => Err(OpenError::Setting(format!(
                "priority_by_urgency: {unknown:?} is no priority there; there are {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Refuses teams that are no numbers, where the system knows them by number.
    pub(super) fn teams_by_number(&self) -> Result<(), OpenError> {
        match self.teams.iter().find(|team| team.parse::<u64>().is_err()) {
            Some(name) => Err(OpenError::Setting(format!("team_by_route: {name:?} is no number, as teams have there"))),
            None => Ok(()),
        }
    }
}

/// What a refused change means: it is made of configured words, so the note is not at fault.
pub(super) fn refused(error: TicketError) -> TicketError {
    match error {
        TicketError::Refused { .. } => {
            TicketError::Missing { what: "priority, team, tag or date as configured".to_owned() }
        }
        error => error,
    }
}

/// One finding for each of `wanted`: is it there?
pub(super) fn findings<'a>(kind: &str, wanted: impl IntoIterator<Item = &'a String>, there: &[String]) -> Vec<Finding> {
    let found = |name: &String| {
        let what = format!("the {kind} {name}");
        if there.contains(name) {
            return Finding::good(what);
        }
        Finding::bad(what, format!("there is no such {kind}, or this user may not see it"))
    };
    wanted.into_iter().map(found).collect()
}
