//! Recordings in an S3-compatible store, against a stand-in that keeps objects and wants signatures.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use sprachpost::{
    audio::fetch::{self, Fetcher, ObjectStoreConfig},
    config::Secret,
    note::AudioSource,
    outcome::Disposition,
    recordings::{Config, Recordings},
};

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn read(State(objects): State<Objects>, Path(key): Path<String>, RawQuery(query): RawQuery) -> Response {
    if !query.unwrap_or_default().contains("X-Amz-Signature=") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let object = objects.lock().unwrap().get(&key).cloned();
    object.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn write(
    State(objects): State<Objects>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> StatusCode {
    match query {
        Some(query) if !query.contains("X-Amz-Signature=") => StatusCode::FORBIDDEN,
        None => StatusCode::FORBIDDEN,
        Some(_) if body.starts_with(b"no room") => StatusCode::INSUFFICIENT_STORAGE,
        Some(_) => {
            objects.lock().unwrap().insert(key, body);
            StatusCode::OK
        }
    }
}

#[tokio::test]
async fn a_recording_in_a_bucket_is_an_object_that_workers_fetch() {
    let objects = Objects::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/voice/{*key}", get(read).put(write)).with_state(objects.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let secrets = tempfile::tempdir().unwrap();
    let [access_key, secret_key] = ["access", "secret"].map(|name| {
        let path = secrets.path().join(name);
        std::fs::write(&path, "key").unwrap();
        Secret::File(path)
    });
    let store = ObjectStoreConfig {
        endpoint: format!("http://127.0.0.1:{port}").parse().unwrap(),
        region: "eu-central-1".to_owned(),
        buckets: vec!["voice".to_owned()],
        access_key,
        secret_key,
    };
    let fetcher = Fetcher::new(&fetch::Config { object_store: Some(store), ..fetch::Config::default() }).unwrap();
    let fetcher = Arc::new(fetcher);
    let config = Config { bucket: Some("voice".to_owned()), ..Config::default() };
    let recordings = Recordings::open(&config, 0, &fetcher).unwrap();

    let source = recordings.put(b"OggS in a store").await.unwrap();
    assert_eq!(recordings.put(b"OggS in a store").await.unwrap(), source);
    let AudioSource::Object { bucket, key } = &source else { panic!("{source:?}") };
    assert_eq!(bucket, "voice");
    assert!(key.starts_with("recordings/") && key.len() == "recordings/".len() + 64, "{key}");
    assert_eq!(objects.lock().unwrap().len(), 1);
    assert_eq!(fetcher.fetch(&source).await.unwrap(), b"OggS in a store");

    let error = recordings.put(b"no room").await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry, "a store can be emptied: {error}");
}
