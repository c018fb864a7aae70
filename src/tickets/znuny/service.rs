//! Owns the way to Znuny's web service: its operations, and the session that they are asked in.
//!
//! Credentials go into the body of SessionCreate. The session, a secret as well, goes into bodies, and for operations
//! without one into the header `X-OTRS-Header-SessionID`: never into an address, which web servers write into logs.
//!
//! Each request has a connection of its own: Znuny's scripts write their answers past Apache and promise to keep the
//! connection, which Apache then closes.

use reqwest::{
    Method,
    header::{CONNECTION, HeaderName},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::{
    answer::{Refusal, judge},
    ticket::Session,
};
use crate::tickets::{
    TicketError,
    http::{Http, Request},
};

const SESSION_HEADER: HeaderName = HeaderName::from_static("x-otrs-header-sessionid");

/// What the web service can be asked for, as Znuny's example routes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    SessionCreate,
    TicketCreate,
    TicketUpdate,
    TicketGet,
    TicketSearch,
    /// Only to follow merged tickets; it may be left out.
    TicketHistoryGet,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SessionCreate => "SessionCreate",
            Self::TicketCreate => "TicketCreate",
            Self::TicketUpdate => "TicketUpdate",
            Self::TicketGet => "TicketGet",
            Self::TicketSearch => "TicketSearch",
            Self::TicketHistoryGet => "TicketHistoryGet",
        }
    }

    pub(super) fn route(self) -> &'static str {
        match self {
            Self::SessionCreate => "POST /Session",
            Self::TicketCreate => "POST /Ticket",
            Self::TicketUpdate => "PATCH /Ticket/:TicketID",
            Self::TicketGet => "GET /Ticket/:TicketID",
            Self::TicketSearch => "POST /Ticket/Search",
            Self::TicketHistoryGet => "GET /Ticket/History/:TicketID",
        }
    }
}

/// One account at one web service.
#[derive(Debug)]
pub(super) struct Service {
    http: Http,
    user: String,
    password: SecretString,
    /// None: nobody is logged in. Held while somebody logs in, so that many notes at a time log in once.
    session: Mutex<Option<SecretString>>,
}

impl Service {
    pub(super) fn new(http: Http, user: String, password: SecretString) -> Self {
        Self { http, user, password, session: Mutex::default() }
    }

    /// Logs in, whether or not there is a session.
    pub(super) async fn log_in(&self) -> Result<(), TicketError> {
        *self.session.lock().await = Some(self.new_session().await?);
        Ok(())
    }

    async fn new_session(&self) -> Result<SecretString, TicketError> {
        let login = json!({ "UserLogin": self.user, "Password": self.password.expose_secret() });
        let answer = self.request(Method::POST, &["Session"]).json(&login).send().await?;
        let session = judge(Operation::SessionCreate, answer).map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Login | Refusal::Denied | Refusal::Invalid(_) => TicketError::Unauthorized,
        })?;
        Ok(read::<Session>(session)?.id.into())
    }

    fn request(&self, method: Method, path: &[&str]) -> Request<'_> {
        self.http.request(method, path).header(CONNECTION, "close")
    }

    async fn session(&self) -> Result<SecretString, TicketError> {
        let mut session = self.session.lock().await;
        if session.is_none() {
            *session = Some(self.new_session().await?);
        }
        session.clone().ok_or(TicketError::Unauthorized)
    }

    /// Forgets a session, unless somebody has got a new one in the meantime.
    async fn forget(&self, expired: &SecretString) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|own| own.expose_secret() == expired.expose_secret()) {
            *session = None;
        }
    }

    pub(super) async fn create(&self, body: Map<String, Value>) -> Result<Value, Refusal> {
        self.ask_with(Operation::TicketCreate, Method::POST, &["Ticket"], body).await
    }

    pub(super) async fn update(&self, id: &str, body: Map<String, Value>) -> Result<Value, Refusal> {
        self.ask_with(Operation::TicketUpdate, Method::PATCH, &["Ticket", id], body).await
    }

    pub(super) async fn search(&self, body: Map<String, Value>) -> Result<Value, Refusal> {
        self.ask_with(Operation::TicketSearch, Method::POST, &["Ticket", "Search"], body).await
    }

    pub(super) async fn get(&self, ids: &str, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        self.ask_for(Operation::TicketGet, &["Ticket", ids], query).await
    }

    pub(super) async fn history(&self, id: &str) -> Result<Value, Refusal> {
        self.ask_for(Operation::TicketHistoryGet, &["Ticket", "History", id], &[]).await
    }

    /// Asks with a body, which takes the session.
    async fn ask_with(
        &self,
        operation: Operation,
        method: Method,
        path: &[&str],
        mut body: Map<String, Value>,
    ) -> Result<Value, Refusal> {
        self.ask(operation, |session| {
            body.insert("SessionID".to_owned(), json!(session.expose_secret()));
            self.request(method.clone(), path).json(&body)
        })
        .await
    }

    /// Asks without a body.
    async fn ask_for(&self, operation: Operation, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Refusal> {
        self.ask(operation, |session| {
            let request = self.request(Method::GET, path).secret_header(SESSION_HEADER, session);
            query.iter().fold(request, |request, (name, value)| request.query(name, value))
        })
        .await
    }

    /// A session may have run out, which shows only when it is used: then it is tried with a new one, once.
    async fn ask<'a>(
        &self,
        operation: Operation,
        mut request: impl FnMut(&SecretString) -> Request<'a>,
    ) -> Result<Value, Refusal> {
        let session = self.session().await?;
        let answer = judge(operation, request(&session).send().await?);
        if answer != Err(Refusal::Login) {
            return answer;
        }
        self.forget(&session).await;
        let session = self.session().await?;
        match judge(operation, request(&session).send().await?) {
            Err(Refusal::Login) => {
                self.forget(&session).await;
                Err(TicketError::Unauthorized.into())
            }
            answer => answer,
        }
    }
}

/// Reads an answer that is no error.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, TicketError> {
    serde_json::from_value(answer)
        .map_err(|_| TicketError::Unexpected { what: "an answer that is not of its interface's form" })
}
