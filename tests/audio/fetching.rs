#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use sprachpost::{
    audio::fetch::{Config, FetchError, Fetcher, ObjectStoreConfig},
    config::Secret,
    event::Reason,
    note::AudioSource,
    outcome::Disposition,
};

const BYTES_MAX: u64 = 100_000;

/// A server on loopback, and a fetcher that may ask it. Both end with the test's runtime.
struct Site {
    address: SocketAddr,
    fetcher: Fetcher,
}

impl Site {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes()).await });
        let host = vec!["127.0.0.1".to_owned()];
        let mut config = Config {
            bytes_max: BYTES_MAX,
            hosts: host.clone(),
            private_hosts: host.clone(),
            allow_http_hosts: host,
            redirects_max: 2,
            connect_s_max: 2,
            read_s_max: 1,
            total_s_max: 3,
            ..Config::default()
        };
        change(&mut config);
        Self { address, fetcher: Fetcher::new(&config).unwrap() }
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        self.get_address(&format!("http://{}{path}", self.address)).await
    }

    /// Whatever goes wrong, the error must not repeat the address.
    async fn get_address(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let result = in_time(self.fetcher.fetch(&AudioSource::Url { url: address.parse().unwrap() })).await;
        if let Err(error) = &result {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("127.0.0.1") && !shown.contains("http://"), "{shown}");
        }
        result
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("fetching has limits of its own")
}

fn routes() -> Router {
    let endless = || {
        Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[7; 1_000]))
        }))
    };
    Router::new()
        .route("/note.ogg", get(|| async { "OggS and more" }))
        .route("/status/{code}", get(|Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap() }))
        .route("/large", get(|| async { vec![7_u8; BYTES_MAX as usize + 1] }))
        .route("/just-fits", get(|| async { vec![7_u8; BYTES_MAX as usize] }))
        .route("/endless", get(move || async move { endless() }))
        .route("/silent", get(std::future::pending::<()>))
        .route("/breaks-off", get(|| async { breaks_off() }))
        .route("/to/note", get(|| async { Redirect::temporary("/note.ogg") }))
        .route("/to/loop", get(|| async { Redirect::temporary("/to/loop") }))
        .route("/to/file", get(|| async { Redirect::permanent("file:///etc/passwd") }))
        .route("/to/other", get(|| async { Redirect::permanent("https://elsewhere.example/note.ogg") }))
        .route("/to/localhost", get(|| async { Redirect::permanent("http://localhost:1/note.ogg") }))
        .route("/to/nowhere", get(|| async { StatusCode::FOUND }))
        .route("/voice-notes/{*key}", get(object_in_store))
}

fn breaks_off() -> Response {
    let some = futures_util::stream::iter([Ok(Bytes::from_static(b"OggS")), Err(std::io::Error::other("broken"))]);
    ([(header::CONTENT_LENGTH, "1000")], Body::from_stream(some)).into_response()
}

/// What a store does, as far as a client can see: it wants a signature.
async fn object_in_store(Path(key): Path<String>, query: axum::extract::RawQuery) -> Response {
    match (key.as_str(), query.0) {
        ("a note.ogg", Some(query)) if query.contains("X-Amz-Signature=") => "OggS from the store".into_response(),
        (_, Some(_)) => StatusCode::NOT_FOUND.into_response(),
        (_, None) => StatusCode::FORBIDDEN.into_response(),
    }
}

#[tokio::test]
async fn audio_is_fetched_and_redirects_to_allowed_hosts_are_followed() {
    let site = Site::new(|_| {}).await;
    assert_eq!(site.get("/note.ogg").await.unwrap(), b"OggS and more");
    assert_eq!(site.get("/to/note").await.unwrap(), b"OggS and more");
}

#[tokio::test]
async fn a_redirect_to_where_a_note_may_not_lead_is_refused() {
    let site = Site::new(|_| {}).await;
    for path in ["/to/other", "/to/file", "/to/localhost", "/to/loop", "/to/nowhere"] {
        let error = site.get(path).await.unwrap_err();
        assert_eq!((error.reason(), error.disposition()), (Reason::SourceForbidden, Disposition::Fail), "{path}");
    }
}

#[tokio::test]
async fn a_host_that_resolves_to_a_private_address_is_refused_before_a_connection() {
    let listed = |config: &mut Config| {
        config.hosts.push("localhost".to_owned());
        config.allow_http_hosts.push("localhost".to_owned());
    };
    let site = Site::new(listed).await;
    let address = format!("http://localhost:{}/note.ogg", site.address.port());
    let error = site.get_address(&address).await.unwrap_err();
    assert_eq!((error.reason(), error.disposition()), (Reason::SourceForbidden, Disposition::Fail), "{error}");

    let trusted = Site::new(|config| {
        listed(config);
        config.private_hosts.push("localhost".to_owned());
    })
    .await;
    let address = format!("http://localhost:{}/note.ogg", trusted.address.port());
    assert_eq!(trusted.get_address(&address).await.unwrap(), b"OggS and more");
}

#[tokio::test]
async fn too_many_bytes_are_refused_with_and_without_a_stated_length() {
    let site = Site::new(|_| {}).await;
    assert_eq!(site.get("/just-fits").await.unwrap().len() as u64, BYTES_MAX);
    for path in ["/large", "/endless"] {
        let error = site.get(path).await.unwrap_err();
        assert_eq!(error, FetchError::TooLarge { bytes_max: BYTES_MAX }, "{path}");
        assert_eq!((error.reason(), error.disposition()), (Reason::AudioTooLarge, Disposition::Fail));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_and_tried_again_later() {
    let site = Site::new(|_| {}).await;
    let error = site.get("/silent").await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    assert_eq!((error.reason(), error.disposition()), (Reason::AudioUnreachable, Disposition::Retry));
}

#[tokio::test]
async fn a_server_that_drips_for_ever_meets_the_limit_on_the_whole() {
    let site = Site::new(|config| {
        config.bytes_max = u64::MAX;
        config.total_s_max = 1;
    })
    .await;
    assert_eq!(site.get("/endless").await, Err(FetchError::TimedOut { limit_s: 1 }));
}

#[tokio::test]
async fn every_status_is_worth_another_attempt_or_not() {
    let site = Site::new(|_| {}).await;
    for (status, reason, disposition) in [
        (404, Reason::AudioNotFound, Disposition::Fail),
        (410, Reason::AudioNotFound, Disposition::Fail),
        (401, Reason::SourceForbidden, Disposition::Fail),
        (403, Reason::SourceForbidden, Disposition::Fail),
        (400, Reason::SourceForbidden, Disposition::Fail),
        (204, Reason::SourceForbidden, Disposition::Fail),
        (408, Reason::AudioUnreachable, Disposition::Retry),
        (429, Reason::AudioUnreachable, Disposition::Retry),
        (500, Reason::AudioUnreachable, Disposition::Retry),
        (503, Reason::AudioUnreachable, Disposition::Retry),
    ] {
        let error = site.get(&format!("/status/{status}")).await.unwrap_err();
        assert_eq!((error.reason(), error.disposition()), (reason, disposition), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_broken_connection_or_none_is_tried_again_later() {
    let site = Site::new(|_| {}).await;
    // A port that was free a moment ago.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [format!("http://{}/breaks-off", site.address), format!("http://{closed}/")] {
        let error = site.get_address(&address).await.unwrap_err();
        assert_eq!((error.reason(), error.disposition()), (Reason::AudioUnreachable, Disposition::Retry), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_tried_again_later() {
    let site = Site::new(|config| config.hosts.push("no-such-host.invalid".to_owned())).await;
    let error = site.get_address("https://no-such-host.invalid/a").await.unwrap_err();
    assert_eq!((error.reason(), error.disposition()), (Reason::AudioUnreachable, Disposition::Retry), "{error}");
}

#[tokio::test]
async fn an_object_is_fetched_from_the_operators_store_with_a_signature() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["access", "secret"].map(|name| {
        let path = folder.path().join(name);
        std::fs::write(&path, "key").unwrap();
        Secret::File(path)
    });
    let server = Site::new(|_| {}).await;
    let [access_key, secret_key] = keys;
    // Neither listed nor public: the operator named it as the store.
    let fetcher = Fetcher::new(&Config {
        object_store: Some(ObjectStoreConfig {
            endpoint: format!("http://localhost:{}", server.address.port()).parse().unwrap(),
            region: "eu-central-1".to_owned(),
            buckets: vec!["voice-notes".to_owned()],
            access_key,
            secret_key,
        }),
        ..Config::default()
    })
    .unwrap();
    let object = |bucket: &str, key: &str| AudioSource::Object { bucket: bucket.to_owned(), key: key.to_owned() };
    let stored = in_time(fetcher.fetch(&object("voice-notes", "a note.ogg"))).await;
    assert_eq!(stored.unwrap(), b"OggS from the store");
    assert_eq!(in_time(fetcher.fetch(&object("voice-notes", "gone.ogg"))).await, Err(FetchError::NotFound));
    let error = in_time(fetcher.fetch(&object("other", "a note.ogg"))).await.unwrap_err();
    assert_eq!(error.reason(), Reason::SourceForbidden);
    // A note cannot name the store's address itself.
    let url = format!("http://localhost:{}/note.ogg", server.address.port()).parse().unwrap();
    let error = in_time(fetcher.fetch(&AudioSource::Url { url })).await.unwrap_err();
    assert_eq!(error.reason(), Reason::SourceForbidden);
}
