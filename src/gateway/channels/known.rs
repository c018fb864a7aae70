//! Owns what was learnt from a platform and need not be asked again for a while: a map that never grows beyond its size.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Things that are remembered at most; beyond that all is forgotten, and learnt again.
const REMEMBERED: usize = 10_000;

/// Something by name.
pub(super) struct Known<T>(Mutex<HashMap<String, T>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Names and things may be private.
impl<T> std::fmt::Debug for Known<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl<T: Clone> Known<T> {
    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn add(&self, name: &str, thing: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(name.to_owned(), thing);
    }
}
