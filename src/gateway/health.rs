//! Owns what an orchestrator asks: does the process live, can it work, what has it done.

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use super::{Duties, Gateway};

/// The process answers: it lives.
pub async fn live() -> &'static str {
    "alive\n"
}

/// Ready while the process can do what it is there for. Whatever else hinders it is named.
pub async fn ready(State(gateway): State<Gateway>) -> impl IntoResponse {
    let (ready, text) = readiness(&gateway);
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// Notes are accepted while the broker takes messages: what cannot be consumed waits in its queue, and what cannot be
/// written into a ticketing system does. A process that accepts none is not ready while it cannot consume; and one that
/// only writes into ticketing systems, while they do not work.
fn readiness(gateway: &Gateway) -> (bool, String) {
    if !gateway.broker.is_ready() {
        return (false, "not ready: the broker cannot be reached\n".to_owned());
    }
    let (missing, paused) = (gateway.broker.missing().list(), gateway.bridges.paused());
    let Duties { accepts_notes, only_bridges } = gateway.duties;
    let ready = (accepts_notes || missing.is_empty()) && (!only_bridges || paused.is_empty());
    let said = if ready { "ready\n" } else { "not ready\n" }.to_owned();
    let missing = missing.iter().map(|(what, why)| format!("{what} cannot be consumed: {why}\n"));
    let paused = paused.iter().map(|(name, why)| format!("the ticketing system {name} does not work: {why}\n"));
    (ready, [said].into_iter().chain(missing).chain(paused).collect())
}

/// Figures in Prometheus' text format. The queue's depth is asked for at this moment, and absent if the broker does
/// not answer: no figure is better than an old one.
pub async fn figures(State(gateway): State<Gateway>) -> impl IntoResponse {
    let Some(figures) = &gateway.figures else {
        return (StatusCode::NOT_FOUND, [("content-type", "text/plain")], "figures are not collected\n".to_owned());
    };
    let mut text = figures.render();
    if let Ok(depth) = gateway.broker.depth().await {
        text += &gauge("sprachpost_queue_waiting", "Notes waiting for a worker or their next attempt", depth.waiting);
        text += &gauge("sprachpost_queue_dead_letters", "Notes that were given up on", depth.dead_letters);
    }
    text += &gauge("sprachpost_ready", "1 while /readyz says so", readiness(&gateway).0.into());
    (StatusCode::OK, [("content-type", "text/plain; version=0.0.4")], text)
}

fn gauge(name: &str, help: &str, value: u64) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
}
