//! Owns what real ticketing systems have in common for tests: a queue of one's own, and what an agent finds in it.

use std::path::Path;

use async_trait::async_trait;

/// A real ticketing system on loopback.
#[async_trait]
pub trait RealSystem: Sync {
    fn port(&self) -> u16;

    /// `type = "…"` and the vendor's own keys in `[[tickets]]`, for the user with every right. `url` is where it is, or
    /// a proxy in front of it.
    fn own_keys(&self, url: &str, queue: &str) -> String;

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Makes a queue that nobody else uses.
    async fn new_queue(&self) -> String;

    /// Ids of all tickets of a queue, the oldest first.
    async fn tickets(&self, queue: &str) -> Vec<String>;

    /// All internal notes that were written into a ticket after it was opened, the oldest first.
    async fn notes(&self, ticket: &str) -> Vec<Note>;
}

/// What an agent sees of a note.
#[derive(Debug, Default)]
pub struct Note {
    pub text: String,
    /// File name, type and bytes.
    pub files: Vec<(String, String, Vec<u8>)>,
}

/// What an agent finds of a note that was spoken: one ticket with one note, its words in it, and its recording byte for
/// byte.
pub async fn assert_one_note(system: &dyn RealSystem, queue: &str, recording: &Path, when: &str) {
    let tickets = system.tickets(queue).await;
    assert_eq!(tickets.len(), 1, "{when}");
    let notes = system.notes(&tickets[0]).await;
    assert_eq!(notes.len(), 1, "{when}");
    assert!(notes[0].text.contains("GESAGT WURDE"), "{when}: {}", notes[0].text);
    assert_eq!(notes[0].files.len(), 1, "{when}");
    let (_, kind, bytes) = &notes[0].files[0];
    assert_eq!(kind, "audio/ogg", "{when}");
    assert!(*bytes == std::fs::read(recording).unwrap(), "{when}: the recording is another one");
}
