//! Owns turns: what has the same key comes one after the other, in the order in which it asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Turns by key. As many are remembered as are being waited for, and a few more.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn<()>>>>);

/// Keys that may be remembered before those that nobody waits for are forgotten.
const REMEMBERED: usize = 256;

impl Turns {
    /// Waits for its turn, which lasts until the guard is dropped.
    pub(super) async fn turn(&self, key: &str) -> OwnedMutexGuard<()> {
        self.of(key).lock_owned().await
    }

    fn of(&self, key: &str) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= REMEMBERED {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_same_key_waits() {
        let turns = Turns::default();
        let first = turns.turn("a").await;
        assert!(turns.turn("b").now_or_never().is_some());
        assert!(turns.turn("a").now_or_never().is_none());
        drop(first);
        assert!(turns.turn("a").now_or_never().is_some());
    }

    #[tokio::test]
    async fn keys_that_nobody_waits_for_are_forgotten() {
        let turns = Turns::default();
        let held = turns.turn("held").await;
        for n in 0..10_000 {
            turns.turn(&n.to_string()).await;
        }
        assert!(turns.0.lock().unwrap().len() <= REMEMBERED);
        assert!(turns.turn("held").now_or_never().is_none());
        drop(held);
    }
}
