//! Owns what an answer of Znuny's web service means. It says nearly everything with status 200: `{"Error":
//! {"ErrorCode": "TicketCreate.AccessDenied", "ErrorMessage": "…"}}`, in English whatever the user's language. Messages
//! go no further than here.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::service::Operation;
use crate::tickets::{TicketError, http::Answer};

/// Why it did not do as it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The session is not valid, or the credentials are not.
    Login,
    /// The right is missing, or the ticket is not there: Znuny says the same of both.
    Denied,
    /// This part of the request is wrong or missing.
    Invalid(Part),
    /// All else.
    Error(TicketError),
}

impl From<TicketError> for Refusal {
    fn from(error: TicketError) -> Self {
        Self::Error(error)
    }
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Attachment,
    Article,
    /// There is no such dynamic field.
    Field,
    /// The dynamic field does not take the value.
    FieldValue,
    CustomerUser,
    Queue,
    State,
    Priority,
    Type,
    PendingTime,
    Unknown,
}

impl Part {
    /// The first that a message names. Messages name both forms of a thing: `Ticket->QueueID or Ticket->Queue`.
    fn of(message: &str) -> Self {
        const NAMES: [(&str, Part); 11] = [
            ("create an attachment", Part::Attachment),
            ("Attachment->", Part::Attachment),
            ("DynamicField->Value", Part::FieldValue),
            ("DynamicField", Part::Field),
            ("Article", Part::Article),
            ("->CustomerUser", Part::CustomerUser),
            ("->Queue", Part::Queue),
            ("->State", Part::State),
            ("->Priority", Part::Priority),
            ("->Type", Part::Type),
            ("->PendingTime", Part::PendingTime),
        ];
        let named = NAMES.into_iter().find(|(name, _)| message.contains(name));
        named.map_or(Self::Unknown, |(_, part)| part)
    }
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "ErrorCode", default)]
    code: String,
    #[serde(rename = "ErrorMessage", default)]
    message: String,
}

/// What it answered, or why not.
pub(super) fn judge(operation: Operation, answer: Answer) -> Result<Value, Refusal> {
    let is_error = answer.status == StatusCode::INTERNAL_SERVER_ERROR;
    if !answer.status.is_success() && !is_error {
        return Err(by_status(operation, answer));
    }
    if !is_error && answer.body.iter().all(u8::is_ascii_whitespace) {
        let what = "answer in its answers: there is no valid web service of this name, or Apache lacks PerlOptions \
                    -ParseHeaders for nph-genericinterface.pl";
        return Err(TicketError::Missing { what: what.to_owned() }.into());
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(not_json(operation, is_error, &answer).into());
    };
    if let Some(error) = body.get("Error") {
        return Err(by_code(operation, error));
    }
    // `{"faultcode": "Server", …}`: it failed on the way, after it had found the request to be right.
    if is_error || body.get("faultcode").is_some() {
        return Err(TicketError::Refused { status: 500, what: operation.name().to_owned() }.into());
    }
    Ok(body)
}

fn by_status(operation: Operation, answer: Answer) -> Refusal {
    // Znuny itself answers with neither: the address is wrong, or something in front of it says so.
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return TicketError::Missing { what: "web service at this address".to_owned() }.into();
    }
    match answer.judged(operation.name()) {
        Err(error) => error.into(),
        Ok(_) => TicketError::Unexpected { what: "a status that says nothing" }.into(),
    }
}

fn not_json(operation: Operation, is_error: bool, answer: &Answer) -> TicketError {
    let text = String::from_utf8_lossy(&answer.body);
    if text.contains("determine Operation") {
        let what = format!("operation {} in its web service (route {})", operation.name(), operation.route());
        return TicketError::Missing { what };
    }
    if is_error {
        return TicketError::Unavailable { status: 500 };
    }
    TicketError::Missing { what: "web service at this address: a page for people answers".to_owned() }
}

fn by_code(operation: Operation, error: &Value) -> Refusal {
    // A list would be read as if its first item were the code.
    let read = error.is_object().then(|| Error::deserialize(error).ok()).flatten();
    let Some(error) = read else {
        return TicketError::Unexpected { what: "an error that is not of its interface's form" }.into();
    };
    match error.code.rsplit_once('.').map_or("", |(_, kind)| kind) {
        "AuthFail" => Refusal::Login,
        "AccessDenied" => Refusal::Denied,
        "InvalidParameter" | "MissingParameter" => Refusal::Invalid(Part::of(&error.message)),
        "InvalidConfiguration" => {
            TicketError::Missing { what: "valid configuration of its web service".to_owned() }.into()
        }
        kind => {
            let is_plain = (1..=40).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
            let kind = if is_plain { kind } else { "an error of another form" };
            TicketError::Refused { status: 200, what: format!("{} ({kind})", operation.name()) }.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn judged(status: u16, body: &str) -> Result<Value, Refusal> {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), body.as_bytes().to_vec());
        judge(Operation::TicketUpdate, Answer { status, headers: HeaderMap::new(), body })
    }

    fn refused(code: &str, message: &str) -> Refusal {
        let body = serde_json::json!({"Error": {"ErrorCode": code, "ErrorMessage": message}});
        judged(200, &body.to_string()).unwrap_err()
    }

    fn missing(refusal: Result<Value, Refusal>) -> String {
        match refusal {
            Err(Refusal::Error(TicketError::Missing { what })) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn success_is_whatever_holds_no_error() {
        assert_eq!(judged(200, "{}"), Ok(serde_json::json!({})));
        assert_eq!(judged(200, r#"{"TicketID":"2"}"#).unwrap()["TicketID"], "2");
    }

    #[test]
    fn errors_that_come_with_status_200_are_told_apart_by_their_code() {
        assert_eq!(refused("SessionCreate.AuthFail", "SessionCreate: Authorization failing!"), Refusal::Login);
        assert_eq!(refused("TicketUpdate.AuthFail", ""), Refusal::Login);
        assert_eq!(refused("TicketGet.AccessDenied", "TicketGet: User does not have access!"), Refusal::Denied);
        let other = refused("TicketGet.NotValidTicketID", "what a customer said");
        let expected = TicketError::Refused { status: 200, what: "TicketUpdate (NotValidTicketID)".to_owned() };
        assert_eq!(other, Refusal::Error(expected));
    }

    #[test]
    fn what_is_invalid_is_told_by_the_part_that_the_message_names() {
        for (message, part) in [
            ("TicketCreate: Ticket->QueueID or Ticket->Queue parameter is invalid!", Part::Queue),
            ("TicketCreate: Ticket->StateID or Ticket->State parameter is invalid!", Part::State),
            ("TicketCreate: Ticket->PriorityID or Ticket->Priority parameter is invalid!", Part::Priority),
            ("TicketCreate: Ticket->TypeID or Ticket->Type parameter is required by sysconfig option!", Part::Type),
            ("TicketCreate: Ticket->CustomerUser parameter is invalid!", Part::CustomerUser),
            ("TicketCreate: DynamicField->Name parameter is invalid!", Part::Field),
            ("TicketCreate: DynamicField->Value parameter is invalid!", Part::FieldValue),
            ("TicketCreate: Attachment->Content  parameter is missing!", Part::Attachment),
            ("TicketUpdate: To create an attachment an article is needed!", Part::Attachment),
            ("TicketUpdate: Article->ContentType or Ticket->MimeType and Article->Charset", Part::Article),
            ("", Part::Unknown),
        ] {
            assert_eq!(refused("Any.InvalidParameter", message), Refusal::Invalid(part), "{message}");
            assert_eq!(refused("Any.MissingParameter", message), Refusal::Invalid(part), "{message}");
        }
    }

    #[test]
    fn no_text_of_an_answer_becomes_part_of_an_error() {
        for body in [
            r#"{"Error":{"ErrorCode":"T.geheim 4711","ErrorMessage":"geheim"}}"#,
            r#"{"Error":["geheim"]}"#,
            r#"{"Error":{"ErrorCode":["geheim"]}}"#,
            r#"{"faultcode":"Server","faultstring":"geheim"}"#,
            "<html>geheim</html>",
            "geheim",
        ] {
            for status in [200, 500] {
                let refusal = format!("{:?}", judged(status, body).unwrap_err());
                assert!(!refusal.contains("geheim"), "{refusal}");
            }
        }
    }

    #[test]
    fn a_web_server_that_is_set_up_wrongly_concerns_every_note() {
        assert!(missing(judged(200, " \n")).contains("ParseHeaders"));
        assert!(missing(judged(404, "<html>")).contains("address"));
        assert!(missing(judged(200, "<html>")).contains("address"));
        let unrouted = "HTTP::REST Error while determine Operation for request URI '/Ticket/2'.";
        assert!(missing(judged(500, unrouted)).contains("PATCH /Ticket/:TicketID"));
        for body in ["", "<html>"] {
            assert_eq!(judged(500, body), Err(TicketError::Unavailable { status: 500 }.into()));
        }
        assert_eq!(judged(503, ""), Err(TicketError::Unavailable { status: 503 }.into()));
        assert_eq!(judged(413, ""), Err(TicketError::TooLarge.into()));
    }
}
