//! Owns what can be told about an RT before the first note: nothing is changed.

use serde::Deserialize;
use serde_json::Value;

use super::{
    RequestTracker, TeamIs,
    ticket::{Items, Link, text},
};
use crate::tickets::{Finding, TicketError, TicketId};

#[derive(Deserialize)]
struct Queue {
    #[serde(rename = "TicketCustomFields", default)]
    fields: Vec<Field>,
    #[serde(rename = "_hyperlinks", default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    name: String,
}

/// Credentials first; without them nothing else can be asked.
pub(super) async fn check(rt: &RequestTracker) -> Vec<Finding> {
    match rt.http.get(&["rt"]).send().await.and_then(|answer| answer.judged("log in")) {
        Ok(answer) => {
            let version = answer.json().map_or_else(|_| String::new(), |rt: Value| text(&rt["Version"]));
            let mut findings = vec![Finding::good(format!("the token, at RT {version}"))];
            findings.extend(queues(rt).await);
            findings.push(rights(rt).await);
            findings
        }
        Err(TicketError::Gone) => {
            vec![Finding::bad("the address", "there is no RT 5 there, or its REST interface is off")]
        }
        Err(error) => vec![Finding::bad("the token", error.to_string())],
    }
}

/// The queue that tickets are opened in, its fields, and the queues of all teams.
async fn queues(rt: &RequestTracker) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &rt.config.queue;
    let what = format!("the queue {name}");
    match queue(rt, name).await {
        Ok(queue) => {
            findings.push(if queue.links.iter().any(|link| link.what == "create") {
                Finding::good(what)
            } else {
                Finding::bad(what, "no tickets may be opened in it: grant CreateTicket")
            });
            for field in rt.config.conversation_field.iter().chain(&rt.config.tags_field) {
                let what = format!("the custom field {field}");
                findings.push(if queue.fields.iter().any(|own| own.name == *field) {
                    Finding::good(what)
                } else {
                    Finding::bad(what, format!("apply it to tickets of the queue {name}, and grant SeeCustomField"))
                });
            }
        }
        Err(error) => findings.push(Finding::bad(what, error.to_string())),
    }
    if rt.config.team_is == TeamIs::Queue {
        for team in rt.teams.iter().filter(|team| *team != name) {
            let what = format!("the queue {team}");
            findings.push(match rt.queue_id(team).await {
                Ok(_) => Finding::good(what),
                Err(error) => Finding::bad(what, error.to_string()),
            });
        }
    }
    findings
}

async fn queue(rt: &RequestTracker, name: &str) -> Result<Queue, TicketError> {
    rt.queue_id(name).await?;
    rt.http.get(&["queue", name]).send().await?.judged("see the queue (SeeQueue)")?.json()
}

/// RT shows rights on tickets only at a ticket; the newest of the queue will do.
async fn rights(rt: &RequestTracker) -> Finding {
    let what = "the rights on tickets";
    match newest(rt).await {
        Ok(None) => Finding::good(format!("{what}: they show once there is a first ticket")),
        Ok(Some(id)) => match rt.read(&id).await {
            Ok((ticket, _)) if !ticket.may("comment") => Finding::bad(what, "grant CommentOnTicket"),
            // Changing the state takes the same right as changing anything else.
            Ok((ticket, _)) if !ticket.may("lifecycle") && !rt.is_closed(&ticket.status) => {
                Finding::bad(what, "grant ModifyTicket")
            }
            // Whether comments can be seen shows at the first that is written.
            Ok(_) => Finding::good(what),
            Err(error) => Finding::bad(what, error.to_string()),
        },
        Err(error) => Finding::bad(what, error.to_string()),
    }
}

async fn newest(rt: &RequestTracker) -> Result<Option<TicketId>, TicketError> {
    let id = rt.queue_id(&rt.config.queue).await?;
    let request = rt.http.get(&["tickets"]).query("query", &format!("Queue = {id}"));
    let request = request.query("orderby", "id").query("order", "DESC").query("per_page", "1");
    let items: Items = request.send().await?.judged("search tickets (ShowTicket)")?.json()?;
    Ok(items.items.first().map(|item| TicketId::new(text(&item.id))))
}
