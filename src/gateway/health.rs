//! Owns what an orchestrator asks: does the process live, can it work, what has it done.

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use super::Gateway;

/// The process answers: it lives.
pub async fn live() -> &'static str {
    "alive\n"
}

/// Ready while the broker takes messages. Ticketing systems that do not work are named; only a process that is there
/// for nothing else is not ready then.
pub async fn ready(State(gateway): State<Gateway>) -> impl IntoResponse {
    if !gateway.broker.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: the broker cannot be reached\n".to_owned());
    }
    let paused: Vec<String> = gateway
        .bridges
        .paused()
        .iter()
        .map(|(name, why)| format!("the ticketing system {name} does not work: {why}\n"))
        .collect();
    if gateway.only_bridges && !paused.is_empty() {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}", paused.concat()))
    } else {
        (StatusCode::OK, format!("ready\n{}", paused.concat()))
    }
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
    text += &gauge("sprachpost_ready", "1 while the broker takes messages", gateway.broker.is_ready().into());
    (StatusCode::OK, [("content-type", "text/plain; version=0.0.4")], text)
}

fn gauge(name: &str, help: &str, value: u64) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
}
