//! Owns what can be told about a Znuny before the first note. Nothing is changed: whether tickets could be opened shows
//! by requests that lack the content of an attachment, which Znuny looks at last and creates nothing without. (They
//! leave lines in the web service's debugger.)
//!
//! Not to be told are the right to move tickets into the queues of teams, and whether a dynamic field belongs to tickets:
//! that shows with the first ticket.

use serde_json::{Value, json};

use super::{Refusal, TagsFieldIs, Znuny, answer::Part, article, object, plain, service::Operation, ticket::Ticket};
use crate::tickets::{Finding, TicketError};

/// A ticket that no Znuny has.
const NO_TICKET: &str = "2000000000";

/// Credentials first; without them nothing else can be asked.
pub(super) async fn check(znuny: &Znuny) -> Vec<Finding> {
    let own = &znuny.config;
    let service = format!("the web service {}, as {}", own.web_service, own.user);
    if let Err(error) = znuny.service.log_in().await {
        let fault = match error {
            TicketError::Unreachable | TicketError::Unavailable { status: 500 } => {
                format!("{error}, or it has no valid web service of this name")
            }
            error => error.to_string(),
        };
        return vec![Finding::bad(service, fault)];
    }
    let mut findings = vec![Finding::good(service)];
    let newest = tickets(znuny, &mut findings).await;
    creating(znuny, &mut findings).await;
    findings.push(changing(znuny, newest.as_ref()).await);
    findings.push(history(znuny).await);
    findings
}

/// Whether tickets can be searched and read; the newest of the queue.
async fn tickets(znuny: &Znuny, findings: &mut Vec<Finding>) -> Option<Ticket> {
    let found = znuny.search(object(json!({ "Queues": [znuny.config.queue] }))).await;
    let newest = match found {
        Ok(ids) => {
            findings.push(Finding::good(operation(Operation::TicketSearch)));
            ids.into_iter().next()
        }
        Err(error) => {
            findings.push(Finding::bad(operation(Operation::TicketSearch), error.to_string()));
            None
        }
    };
    let read = znuny.read(newest.as_deref().unwrap_or(NO_TICKET), &[]).await;
    let what = operation(Operation::TicketGet);
    match read {
        Ok(ticket) => {
            findings.push(Finding::good(what));
            Some(ticket)
        }
        Err(TicketError::Gone) => {
            findings.push(Finding::good(what));
            None
        }
        // The session is good, or else searching would have failed.
        Err(TicketError::Unauthorized) => {
            findings.push(Finding::bad(what, "it does not take the session in the header X-OTRS-Header-SessionID"));
            None
        }
        Err(error) => {
            findings.push(Finding::bad(what, error.to_string()));
            None
        }
    }
}

/// Whether a ticket could be opened, and everything that tickets are to be set to.
async fn creating(znuny: &Znuny, findings: &mut Vec<Finding>) {
    let own = &znuny.config;
    let what = format!("opening tickets in the queue {}", own.queue);
    if let Err(fault) = would_open(znuny, &[], None).await {
        findings.push(Finding::bad(what, fault.to_string()));
        return;
    }
    findings.push(Finding::good(what));
    for queue in znuny.mapped.teams.iter().filter(|queue| **queue != own.queue) {
        // Nothing is opened there, so the right to is none of its business.
        let answer = match would_open(znuny, &[("Queue", json!(queue))], None).await {
            Err(TicketError::Forbidden { .. }) => Ok(()),
            answer => answer,
        };
        findings.push(finding(format!("the queue {queue}"), answer));
    }
    for priority in &znuny.mapped.priorities {
        let answer = would_open(znuny, &[("Priority", json!(priority))], None).await;
        findings.push(finding(format!("the priority {priority}"), answer));
    }
    let pending = ("PendingTime", json!({ "Diff": "1" }));
    let open = own.reopen.then_some((&own.open_state, None));
    let reminder = znuny.reminders.then_some((&own.reminder_state, Some(pending)));
    for (state, time) in open.into_iter().chain(reminder) {
        let with: Vec<_> = [Some(("State", json!(state))), time].into_iter().flatten().collect();
        findings.push(finding(format!("the state {state}"), would_open(znuny, &with, None).await));
    }
    fields(znuny, findings).await;
}

async fn fields(znuny: &Znuny, findings: &mut Vec<Finding>) {
    if let Some(field) = &znuny.config.conversation_field {
        let answer = would_open(znuny, &[], Some(json!({ "Name": field, "Value": "[vc:check]" }))).await;
        findings.push(finding(format!("the dynamic field {field}"), answer));
    }
    let tags = &znuny.mapped.tags;
    match &znuny.config.tags_field {
        None if tags.is_empty() => {}
        None => findings.push(Finding::good("no dynamic field for tags (tags_field): they are left out")),
        Some(field) => {
            for tag in tags {
                let value = match znuny.config.tags_field_is {
                    TagsFieldIs::Multiselect => json!([tag]),
                    TagsFieldIs::Text => json!(tag),
                };
                let answer = would_open(znuny, &[], Some(json!({ "Name": field, "Value": value }))).await;
                findings.push(finding(format!("the dynamic field {field} with the tag {tag}"), answer));
            }
        }
    }
}

/// Tries to open a ticket in a way that cannot succeed, and says what else would be wrong with it.
async fn would_open(znuny: &Znuny, with: &[(&str, Value)], field: Option<Value>) -> Result<(), TicketError> {
    let mut ticket = znuny.new_ticket("check");
    for (name, value) in with {
        ticket[*name] = value.clone();
    }
    let mut request = object(json!({
        "Ticket": ticket, "Article": article("check", "check"), "Attachment": [{ "Filename": "check" }],
    }));
    if let Some(field) = field {
        request.insert("DynamicField".to_owned(), json!([field]));
    }
    match znuny.service.create(request).await {
        Err(Refusal::Invalid(Part::Attachment)) => Ok(()),
        Err(Refusal::Invalid(part)) => Err(znuny.invalid(part, "to open a ticket")),
        Err(Refusal::Denied) => Err(TicketError::Forbidden { what: "create tickets there (create)".to_owned() }),
        Err(refusal) => Err(plain(refusal, "open a ticket")),
        Ok(_) => Err(TicketError::Unexpected { what: "a ticket although its attachment has no content" }),
    }
}

/// The right to change tickets shows only at one.
async fn changing(znuny: &Znuny, newest: Option<&Ticket>) -> Finding {
    let what = operation(Operation::TicketUpdate);
    let id = newest.map_or(NO_TICKET, |ticket| ticket.id.as_str());
    // An attachment that belongs to no article.
    let request = object(json!({ "Attachment": [{ "Filename": "check" }] }));
    match (znuny.service.update(id, request).await, newest) {
        (Err(Refusal::Denied), None) => Finding::good(format!("{what}: rights show once the queue has a ticket")),
        (Err(Refusal::Denied), Some(_)) => Finding::bad(what, "grant rw on the group of its queue"),
        (Ok(_) | Err(Refusal::Invalid(_)), _) => Finding::good(what),
        (Err(refusal), _) => Finding::bad(what, plain(refusal, "change tickets").to_string()),
    }
}

async fn history(znuny: &Znuny) -> Finding {
    let what = operation(Operation::TicketHistoryGet);
    match znuny.service.history(NO_TICKET).await {
        Err(Refusal::Error(TicketError::Missing { .. })) => {
            Finding::good(format!("{what}: not enabled, so tickets that were merged count as closed"))
        }
        Ok(_) | Err(Refusal::Denied | Refusal::Invalid(_)) => Finding::good(what),
        Err(refusal) => Finding::bad(what, plain(refusal, "read histories").to_string()),
    }
}

fn operation(operation: Operation) -> String {
    format!("the operation {} ({})", operation.name(), operation.route())
}

fn finding(what: String, answer: Result<(), TicketError>) -> Finding {
    match answer {
        Ok(()) => Finding::good(what),
        Err(error) => Finding::bad(what, error.to_string()),
    }
}
