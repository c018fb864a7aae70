//! Owns which notes this process is at: locks of one database session do not exclude one another, so the process has
//! to do that by itself.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

/// The notes that are being worked on in this process, by the id of their terminal event.
#[derive(Debug, Default)]
pub(super) struct Holding(Arc<Mutex<HashSet<Uuid>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    all: Arc<Mutex<HashSet<Uuid>>>,
    id: Uuid,
}

impl Holding {
    /// None if somebody has it.
    pub(super) fn take(&self, id: Uuid) -> Option<Held> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id).then(|| Held { all: Arc::clone(&self.0), id })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
