//! Owns the values in a SQLite file of their own, held exclusively, and the one thread that touches it.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;

use super::{Changes, StoreError};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = 1;
";

type Kept = Vec<(String, Vec<u8>)>;

enum Request {
    Load(oneshot::Sender<rusqlite::Result<Kept>>),
    Write(Changes, oneshot::Sender<rusqlite::Result<()>>),
}

/// Dropped, the file is free for the next.
pub(in crate::watch) struct File {
    path: PathBuf,
    requests: mpsc::Sender<Request>,
}

impl File {
    /// Opens or makes the file, its folder included. None: another process holds it.
    pub(super) async fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let unusable =
            |source: Box<dyn std::error::Error + Send + Sync>| StoreError::File { path: path.into(), source };
        let (requests, inbox) = mpsc::channel();
        let (opened, is_open) = oneshot::channel();
        let at = path.to_owned();
        let thread = move || match connect(&at) {
            Ok(connection) => {
                // Whoever stopped waiting for it drops the requests as well.
                let _ = opened.send(Ok(()));
                serve(connection, &inbox);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let started = std::thread::Builder::new().name("watch-file".to_owned()).spawn(thread);
        started.map_err(|error| unusable(error.into()))?;
        match is_open.await {
            Ok(Ok(())) => Ok(Some(Self { path: path.to_owned(), requests })),
            Ok(Err(Unopened::Held)) => Ok(None),
            Ok(Err(Unopened::Folder(error))) => Err(unusable(error.into())),
            Ok(Err(Unopened::File(error))) => Err(unusable(error.into())),
            Err(_) => Err(unusable(GONE.into())),
        }
    }

    pub(super) async fn load(&self) -> Result<Kept, StoreError> {
        self.request(Request::Load).await
    }

    pub(super) async fn write(&self, changes: Changes) -> Result<(), StoreError> {
        self.request(|answer| Request::Write(changes, answer)).await
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<rusqlite::Result<T>>) -> Request,
    ) -> Result<T, StoreError> {
        let unusable = |source| StoreError::File { path: self.path.clone(), source };
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).map_err(|_| unusable(GONE.into()))?;
        let answer = answered.await.map_err(|_| unusable(GONE.into()))?;
        answer.map_err(|error| unusable(error.into()))
    }
}

const GONE: &str = "its thread has ended";

enum Unopened {
    Held,
    Folder(std::io::Error),
    File(rusqlite::Error),
}

fn connect(path: &Path) -> Result<Connection, Unopened> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Unopened::Folder)?;
    }
    let open = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::ZERO)?;
        // The lock is taken by the first write and kept until the connection ends, however that does. No journal beside
        // the file outlives it either.
        connection
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        connection.execute_batch(&format!("BEGIN EXCLUSIVE; {SCHEMA} COMMIT;"))?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Unopened::Held,
        _ => Unopened::File(error),
    })
}

fn serve(mut connection: Connection, inbox: &mpsc::Receiver<Request>) {
    while let Ok(request) = inbox.recv() {
        // Whoever does not wait for the answer any more starts again from what is in the file.
        match request {
            Request::Load(answer) => drop(answer.send(load(&connection))),
            Request::Write(changes, answer) => drop(answer.send(write(&mut connection, &changes))),
        }
    }
}

fn load(connection: &Connection) -> rusqlite::Result<Kept> {
    let mut all = connection.prepare_cached("SELECT name, value FROM kept")?;
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn write(connection: &mut Connection, changes: &Changes) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (key, value) in changes {
        match value {
            Some(value) => transaction
                .prepare_cached(
                    "INSERT INTO kept VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![key, value])?,
            None => transaction.prepare_cached("DELETE FROM kept WHERE name = ?1")?.execute([key])?,
        };
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(changes: [(&str, Option<&str>); 2]) -> Changes {
        let value = |value: &str| value.as_bytes().to_vec();
        changes.map(|(key, kept)| (key.to_owned(), kept.map(value))).into()
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart_and_one_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/watch.sqlite");
        let file = File::open(&path).await.unwrap().unwrap();
        file.write(changes([("a", Some("1")), ("b", Some("2"))])).await.unwrap();
        file.write(changes([("a", None), ("b", Some("3"))])).await.unwrap();
        assert!(File::open(&path).await.unwrap().is_none(), "it is held");
        drop(file);
        let file = loop {
            // The thread closes it in its own time.
            if let Some(file) = File::open(&path).await.unwrap() {
                break file;
            }
        };
        assert_eq!(file.load().await.unwrap(), [("b".to_owned(), b"3".to_vec())]);
    }

    #[tokio::test]
    async fn a_file_that_is_none_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), "this is no database, and long enough to show it".repeat(9)).unwrap();
        let error = File::open(&folder.path().join("x")).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("watch.path"), "{error}");
    }
}
