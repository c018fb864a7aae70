//! Owns requests to ticketing systems, for every vendor alike: one client with limits on time and size, and what a
//! status or a broken connection means. It knows no vendor.
//!
//! Addresses, headers and bodies go in and answers come out; none of them ever becomes part of an error or a log.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    Client, Method, Proxy, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use super::{OpenError, TicketError, limiter::Limiter};
use crate::http_client;

/// Limits on requests to one ticketing system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds for a connection to be made.
    pub connect_s_max: u32,
    /// Seconds that the system may stay silent in between.
    pub read_s_max: u32,
    /// Seconds for one request and its answer. A write that takes longer may be carried out all the same, so it is
    /// looked for before it is tried again, and not before as many seconds more have gone by.
    pub total_s_max: u32,
    /// Bytes of one answer.
    pub answer_bytes_max: usize,
    /// Plain http is refused but for this machine itself; true allows it.
    pub allow_http: bool,
    /// An http proxy for all requests.
    pub proxy: Option<Url>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_s_max: 5,
            read_s_max: 30,
            total_s_max: 60,
            answer_bytes_max: 8 << 20,
            allow_http: false,
            proxy: None,
        }
    }
}

/// A client for one account of one system.
#[derive(Clone)]
pub struct Http {
    client: Client,
    /// Ends with a slash.
    base: Url,
    /// What every request carries: credentials, and which form of answer is wanted.
    headers: HeaderMap,
    limiter: Arc<Limiter>,
    total: Duration,
    answer_bytes_max: usize,
}

impl std::fmt::Debug for Http {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// `base` is what all paths are relative to, for example `https://rt.example.com/REST/2.0`. Connects to nothing.
    ///
    /// # Errors
    /// [`OpenError`] if the address cannot be used.
    pub fn new(config: &Config, base: &Url, limiter: Arc<Limiter>) -> Result<Self, OpenError> {
        let plain = base.scheme() == "http" && (config.allow_http || is_this_machine(base));
        let names_a_server = base.host().is_some() && base.username().is_empty() && base.password().is_none();
        if !(base.scheme() == "https" || plain) || !names_a_server || base.query().is_some() {
            return Err(OpenError::Address);
        }
        let mut client = http_client::builder(config.connect_s_max, config.read_s_max);
        if let Some(proxy) = &config.proxy {
            client = client.proxy(Proxy::all(proxy.clone()).map_err(OpenError::Client)?);
        }
        let mut base = base.clone();
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        Ok(Self {
            client: client.build().map_err(OpenError::Client)?,
            base,
            headers,
            limiter,
            total: Duration::from_secs(config.total_s_max.into()),
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// Sends `value` as the header `name` with every request. It is never shown.
    ///
    /// # Errors
    /// If a credential holds characters that no header can.
    pub fn with_credential(mut self, name: HeaderName, value: &SecretString) -> Result<Self, OpenError> {
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| OpenError::Credential)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// A request to `path`, part by part: each is escaped, so that data in it cannot lead elsewhere.
    #[must_use]
    pub fn request(&self, method: Method, path: &[&str]) -> Request<'_> {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            // A part that is nothing but dots would be left out, or go up.
            parts.pop_if_empty().extend(path.iter().map(|part| if matches!(*part, "." | "..") { "-" } else { part }));
        }
        Request { http: self, method, url, headers: self.headers.clone(), body: Bytes::new(), thing: None }
    }

    #[must_use]
    pub fn get(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::GET, path)
    }

    #[must_use]
    pub fn post(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::POST, path)
    }

    #[must_use]
    pub fn put(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::PUT, path)
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// A request in the making.
pub struct Request<'a> {
    http: &'a Http,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    thing: Option<String>,
}

impl std::fmt::Debug for Request<'_> {
    /// Without address and body: both may hold what a customer said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// Adds to the query, escaped.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Values that no header can hold are left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The same for a value that is never shown.
    #[must_use]
    pub fn secret_header(mut self, name: HeaderName, value: &SecretString) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    #[must_use]
    pub fn body(self, content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { body: bytes, ..self.header(CONTENT_TYPE, content_type) }
    }

    /// # Panics
    /// If `value` cannot be written as JSON; what vendors send always can.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("requests are plain objects with string keys");
        self.body("application/json", bytes)
    }

    /// Names the thing (a ticket) whose own limits this request counts towards.
    #[must_use]
    pub fn concerning(self, thing: &str) -> Self {
        Self { thing: Some(thing.to_owned()), ..self }
    }

    /// Waits for its turn, sends it and reads the answer, whatever its status. The time that it waits for its turn is
    /// not limited here, the request is.
    ///
    /// # Errors
    /// [`TicketError::TimedOut`] and [`TicketError::Unreachable`]; the request may have been carried out all the same.
    pub async fn send(self) -> Result<Answer, TicketError> {
        let http = self.http;
        http.limiter.wait(self.thing.as_deref()).await;
        let request = http.client.request(self.method, self.url).headers(self.headers).body(self.body);
        let whole = async { read(request.send().await.map_err(|e| failed(&e))?, http.answer_bytes_max).await };
        let answer = tokio::time::timeout(http.total, whole).await.unwrap_or(Err(TicketError::TimedOut))?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS
            && let Some(after) = answer.retry_after(Timestamp::now())
        {
            http.limiter.pause(after);
        }
        Ok(answer)
    }
}

/// The client's error names the address, so it goes no further than here.
fn failed(error: &reqwest::Error) -> TicketError {
    if error.is_timeout() && !error.is_connect() { TicketError::TimedOut } else { TicketError::Unreachable }
}

async fn read(mut response: Response, bytes_max: usize) -> Result<Answer, TicketError> {
    let (status, headers) = (response.status(), response.headers().clone());
    // Nothing is reserved for what a header promises.
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(TicketError::Unexpected { what: "more bytes than http.answer_bytes_max" });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

/// An answer, not judged yet.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Longest pause that the other side can ask for: beyond it, asking again is cheaper than a wrong clock.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

impl Answer {
    /// Turns every status but 2xx into an error, for systems that mean by it what HTTP says. `what` was tried, for
    /// example `write the note`.
    ///
    /// # Errors
    /// [`TicketError`] by status.
    pub fn judged(self, what: &str) -> Result<Self, TicketError> {
        let status = self.status.as_u16();
        Err(match self.status {
            StatusCode::UNAUTHORIZED => TicketError::Unauthorized,
            StatusCode::FORBIDDEN => TicketError::Forbidden { what: what.to_owned() },
            StatusCode::NOT_FOUND | StatusCode::GONE => TicketError::Gone,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => TicketError::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => TicketError::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => TicketError::Limited { after: self.retry_after(Timestamp::now()) },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => TicketError::Unavailable { status },
            code if code.is_server_error() => TicketError::Unavailable { status },
            code if code.is_success() => return Ok(self),
            _ => TicketError::Refused { status, what: what.to_owned() },
        })
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`TicketError::Unexpected`] if it is no JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TicketError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| TicketError::Unexpected { what: "an answer that is not of its interface's form" })
    }

    /// What `Retry-After` says, in seconds or as a date.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let after = if let Ok(seconds) = text.parse() {
            Duration::try_from_secs_f64(seconds).ok()?
        } else {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        };
        Some(after.min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(base: &str, config: &Config) -> Result<Http, OpenError> {
        Http::new(config, &base.parse().unwrap(), Arc::new(Limiter::new(&[], &[])))
    }

    fn answer(status: u16, headers: &[(HeaderName, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: headers.collect(), body: vec![] }
    }

    #[test]
    fn data_in_a_path_leads_nowhere_else() {
        let http = http("https://rt.example/REST/2.0", &Config::default()).unwrap();
        for (part, path) in [("7", "7"), ("7/../../x?y#z", "7%2F..%2F..%2Fx%3Fy%23z"), ("..", "-")] {
            let url = http.get(&["ticket", part]).query("q", "a&b").url;
            assert_eq!(url.as_str(), format!("https://rt.example/REST/2.0/ticket/{path}?q=a%26b"));
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_unless_it_is_allowed() {
        let usual = Config::default();
        assert!(http("http://127.0.0.1:8080/rt", &usual).is_ok());
        assert!(http("http://[::1]:8080/rt", &usual).is_ok());
        for bad in ["http://rt.example", "https://user:pw@rt.example", "ftp://rt.example", "https://rt.example/?x=1"] {
            assert!(http(bad, &usual).is_err(), "{bad}");
        }
        assert!(http("http://rt.example", &Config { allow_http: true, ..usual }).is_ok());
    }

    #[test]
    fn a_status_says_whom_it_concerns() {
        let error = |status| answer(status, &[]).judged("write the note").unwrap_err();
        assert!(answer(201, &[]).judged("write the note").is_ok());
        assert_eq!(error(401), TicketError::Unauthorized);
        assert_eq!(error(403), TicketError::Forbidden { what: "write the note".to_owned() });
        assert_eq!(error(412), TicketError::Conflict);
        assert_eq!(error(503), TicketError::Unavailable { status: 503 });
        assert_eq!(error(302), TicketError::Refused { status: 302, what: "write the note".to_owned() });
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let after = |value| answer(429, &[(RETRY_AFTER, value)]).retry_after(now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 22 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Sun, 22 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!((after("soon"), after("-1"), after("NaN")), (None, None, None));
    }
}
