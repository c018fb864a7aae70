//! The doubles against the documentation: each request of an example has the documented status, and an answer of the
//! documented form. The examples lie in `tests/fixtures/tickets`, each file with its source.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::support::tickets::{chatwoot, freshdesk, webhook, zammad, zendesk};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    /// Which pages of the documentation.
    #[serde(rename = "source")]
    _source: Vec<String>,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    request: Request,
    status: u16,
    /// What the answer holds: kinds of values count, not the values themselves. Null stands for any.
    #[serde(default)]
    answer: Option<Value>,
    /// Words that the answer holds as they are.
    #[serde(default)]
    says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    /// `{ticket}` and `{closed}` stand for tickets that exist.
    path: String,
    /// Headers beside the credential.
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    /// `agent`, `stranger`, `none`, or what else the double knows.
    #[serde(default = "agent")]
    as_user: String,
    #[serde(default)]
    json: Option<Value>,
    /// Fields of a form; one that begins with `@` is a file with that text.
    #[serde(default)]
    form: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    text: Option<String>,
}

fn agent() -> String {
    "agent".to_owned()
}

/// A double, and what stands for words in its examples.
struct Played<'a> {
    url: &'a Url,
    words: &'a [(&'a str, String)],
    credential: &'a dyn Fn(&str) -> Option<(&'static str, String)>,
}

async fn play(examples: &str, played: Played<'_>) {
    let examples: Examples = serde_json::from_str(examples).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for example in examples.examples {
        let (name, request) = (&example.name, &example.request);
        let filled =
            |text: &str| played.words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        let url = played.url.join(&filled(&request.path)).unwrap();
        let mut call = client.request(request.method.parse().unwrap(), url);
        if let Some((header, value)) = (played.credential)(&request.as_user) {
            call = call.header(header, value);
        }
        for (header, value) in &request.headers {
            call = call.header(header, value);
        }
        if let Some(json) = &request.json {
            call = call.header("content-type", "application/json").body(filled(&json.to_string()));
        }
        if let Some(form) = &request.form {
            let parts = form.iter().map(|(field, value)| match value.strip_prefix('@') {
                None => format!("--x\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"),
                Some(file) => format!(
                    "--x\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\n{file}\r\n"
                ),
            });
            let body = parts.collect::<String>() + "--x--\r\n";
            call = call.header("content-type", "multipart/form-data; boundary=x").body(body);
        }
        if let Some(text) = &request.text {
            call = call.body(text.clone());
        }
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        assert_eq!(status, example.status, "{name}: {body}");
        for word in &example.says {
            assert!(body.contains(word), "{name}: {word} is missing in {body}");
        }
        if let Some(documented) = &example.answer {
            let value: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{name}: no JSON: {body}"));
            if let Err(difference) = has_the_form(documented, &value) {
                panic!("{name}: {difference} in {value}");
            }
        }
    }
}

/// Whether `value` holds all that is documented, of the same kinds.
fn has_the_form(documented: &Value, value: &Value) -> Result<(), String> {
    match (documented, value) {
        (Value::Object(documented), Value::Object(value)) => documented.iter().try_for_each(|(key, expected)| {
            let there = value.get(key).ok_or_else(|| format!("{key} is missing"))?;
            has_the_form(expected, there).map_err(|difference| format!("{key}: {difference}"))
        }),
        (Value::Array(documented), Value::Array(values)) => match documented.first() {
            Some(_) if values.is_empty() => Err("an empty list".to_owned()),
            Some(expected) => values.iter().try_for_each(|value| has_the_form(expected, value)),
            None => Ok(()),
        },
        (Value::Null, _) => Ok(()),
        (documented, value) if std::mem::discriminant(documented) == std::mem::discriminant(value) => Ok(()),
        (documented, value) => Err(format!("{value} instead of something like {documented}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_of_zammad_keeps_to_the_documentation() {
    let double = zammad::Zammad::start();
    let words = [("{ticket}", double.ticket()), ("{customer}", zammad::CUSTOMER.to_owned())];
    let credential = |user: &str| {
        let token = match user {
            "agent" => zammad::TOKEN,
            "customer" => zammad::TOKEN_WITHOUT_RIGHTS,
            "none" => return None,
            _ => "nobodys",
        };
        Some(("authorization", format!("Token token={token}")))
    };
    let examples = include_str!("../../fixtures/tickets/zammad.json");
    play(examples, Played { url: &double.url, words: &words, credential: &credential }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_of_chatwoot_keeps_to_the_documentation() {
    let double = chatwoot::Chatwoot::start();
    let words = [("{ticket}", double.ticket())];
    let credential = |user: &str| {
        let token = match user {
            "agent" => chatwoot::TOKEN,
            "outsider" => chatwoot::TOKEN_WITHOUT_RIGHTS,
            "none" => return None,
            _ => "nobodys",
        };
        Some(("api_access_token", token.to_owned()))
    };
    let examples = include_str!("../../fixtures/tickets/chatwoot.json");
    play(examples, Played { url: &double.url, words: &words, credential: &credential }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_of_zendesk_keeps_to_the_documentation() {
    let double = zendesk::Zendesk::start();
    let closed = double.ticket();
    double.set_status(&closed, "closed");
    let words = [("{ticket}", double.ticket()), ("{closed}", closed)];
    let credential = |user: &str| {
        let credential = match user {
            "agent" => format!("{}/token:{}", zendesk::EMAIL, zendesk::TOKEN),
            "customer" => format!("{}/token:{}", zendesk::EMAIL_WITHOUT_RIGHTS, zendesk::TOKEN),
            "none" => return None,
            _ => "nobody@zendesk.example/token:nobodys".to_owned(),
        };
        Some(("authorization", format!("Basic {}", STANDARD.encode(credential))))
    };
    let examples = include_str!("../../fixtures/tickets/zendesk.json");
    play(examples, Played { url: &double.url, words: &words, credential: &credential }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_of_freshdesk_keeps_to_the_documentation() {
    let double = freshdesk::Freshdesk::start();
    let words = [("{ticket}", double.ticket())];
    let credential = |user: &str| {
        let key = match user {
            "agent" => freshdesk::API_KEY,
            "restricted" => freshdesk::API_KEY_WITHOUT_RIGHTS,
            "none" => return None,
            _ => "nobodys",
        };
        Some(("authorization", format!("Basic {}", STANDARD.encode(format!("{key}:X")))))
    };
    let examples = include_str!("../../fixtures/tickets/freshdesk.json");
    play(examples, Played { url: &double.url, words: &words, credential: &credential }).await;
}

/// The signature that the specification's own example has, computed by this project's receiver and by nobody else.
#[test]
fn a_signature_is_made_of_id_time_and_body() {
    let example: Value = serde_json::from_str(include_str!("../../fixtures/tickets/webhook.json")).unwrap();
    let text = |name: &str| example[name].as_str().unwrap();
    let signature = webhook::signature(text("secret"), text("id"), text("timestamp"), text("body").as_bytes());
    assert_eq!(signature, text("signature"));
}
