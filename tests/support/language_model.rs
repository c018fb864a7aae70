//! A language model's server on loopback that says what a test wants: it keeps the documented rules of chat completions,
//! or breaks what a server can break.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

pub const MODEL: &str = "small-instruct";
pub const KEY: &str = "sk-geheim";

/// What it does with a request.
#[derive(Clone)]
pub enum Manner {
    /// Answers by the rules with what this makes of the user message.
    Says(Arc<dyn Fn(&Value) -> String + Send + Sync>),
    /// The same text, whatever it was asked.
    Text(String),
    /// Stops in the middle of a text that was too long for `max_tokens`.
    CutOff(String),
    Status(u16),
    Redirect(Url),
    /// This body, with status 200.
    Body(String),
    /// Takes the request and says nothing.
    Silent,
    /// Goes on and on, a few bytes at a time.
    Dripping,
    /// As many bytes as will be taken.
    Endless,
    /// Less than its header says, and then the connection breaks.
    Truncated,
}

impl Manner {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: Value,
}

impl Asked {
    /// The user message, which is JSON.
    pub fn data(&self) -> Value {
        data(&self.body)
    }
}

/// Ends when it is dropped.
pub struct LanguageModel {
    /// Its base address.
    pub url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl LanguageModel {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        Self { url, asked, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for LanguageModel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, seen: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read(&mut stream).await else { return };
    seen.lock().unwrap().push(asked.clone());
    // Whoever asks may have gone already.
    let _ = answer(&mut stream, &asked, manner).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return Some(Asked { head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) });
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let line = |line: &str| {
        line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
    };
    head.lines().find_map(line)
}

async fn answer(stream: &mut TcpStream, asked: &Asked, manner: Manner) -> std::io::Result<()> {
    let said = |text: &str, finish: &str| match fault(asked) {
        Some((status, why)) => {
            (status, json!({"error": {"message": why, "type": "invalid_request_error"}}).to_string())
        }
        None => (200, completion(text, finish).to_string()),
    };
    let (status, body) = match manner {
        Manner::Says(make) => said(&make(&asked.data()), "stop"),
        Manner::Text(text) => said(&text, "stop"),
        Manner::CutOff(text) => said(&text, "length"),
        Manner::Body(body) => (200, body),
        Manner::Status(status) => (status, json!({"error": {"message": "…"}}).to_string()),
        Manner::Redirect(to) => {
            let head = format!("HTTP/1.1 307 Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            return stream.write_all(head.as_bytes()).await;
        }
        Manner::Silent => return std::future::pending().await,
        Manner::Dripping => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Manner::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 8192]).await?;
            }
        }
        Manner::Truncated => {
            let body = completion("Guten Tag", "stop").to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", body.len(), &body[..body.len() / 2]);
            return stream.write_all(head.as_bytes()).await;
        }
    };
    let head =
        format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await
}

fn completion(text: &str, finish: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_000_000, "model": MODEL,
        "choices": [{
            "index": 0, "logprobs": null, "finish_reason": finish,
            "message": {"role": "assistant", "content": text, "refusal": null},
        }],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    })
}

fn data(body: &Value) -> Value {
    let user = body["messages"].as_array().and_then(|messages| messages.iter().find(|m| m["role"] == "user"));
    user.and_then(|user| serde_json::from_str(user["content"].as_str()?).ok()).unwrap_or(Value::Null)
}

/// What the documentation of chat completions does not allow, and the status that it is refused with.
fn fault(asked: &Asked) -> Option<(u16, &'static str)> {
    let (head, body) = (&asked.head, &asked.body);
    if !head.starts_with("POST /v1/chat/completions HTTP/1.1") {
        return Some((404, "unknown request URL"));
    }
    if header(head, "authorization").as_deref() != Some(&format!("Bearer {KEY}")) {
        return Some((401, "incorrect API key provided"));
    }
    if header(head, "content-type").as_deref() != Some("application/json") {
        return Some((400, "unsupported content type"));
    }
    let Some(fields) = body.as_object() else { return Some((400, "could not parse the JSON body")) };
    let known = ["model", "messages", "temperature", "seed", "max_tokens", "n", "stream"];
    if fields.keys().any(|key| !known.contains(&key.as_str())) {
        return Some((400, "unrecognized request argument supplied"));
    }
    if body["model"].as_str() != Some(MODEL) {
        return Some((404, "the model does not exist"));
    }
    let messages = body["messages"].as_array();
    let message = |message: &Value| {
        matches!(message["role"].as_str(), Some("system" | "user" | "assistant")) && message["content"].is_string()
    };
    if messages.is_none_or(|messages| messages.is_empty() || !messages.iter().all(message)) {
        return Some((400, "messages are invalid"));
    }
    let in_range = body["temperature"].as_f64().is_some_and(|t| (0.0..=2.0).contains(&t))
        && body["max_tokens"].as_u64().is_some_and(|tokens| tokens > 0)
        && body["n"].as_u64().is_some_and(|n| n > 0)
        && body["seed"].is_i64()
        && body["stream"].is_boolean();
    (!in_range).then_some((400, "a parameter is out of range"))
}
