//! Owns the spreading of a computation over the processors. What is learnt at start and on reload is short of nothing
//! else; notes are understood on the thread that asks.

use std::num::NonZero;

/// What `work` makes of the items, in their order: of each share of them on a thread of its own, as many as there are
/// processors.
///
/// `work` returns as many results for a share as it likes, and may be called again for one whose thread died.
pub fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(processors).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let shares: Vec<_> = items.chunks(share).map(|part| (part, scope.spawn(move || work(part)))).collect();
        // A thread that died is no reason to die: its share is computed here.
        shares.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| work(part))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1_000).collect();
        assert_eq!(spread(&items, <[usize]>::to_vec), items);
        assert!(spread(&[], <[usize]>::to_vec).is_empty());
    }

    #[test]
    fn a_share_whose_thread_died_is_computed_again() {
        let here = std::thread::current().id();
        let doubled = spread(&[1, 2, 3], |items| {
            assert_eq!(std::thread::current().id(), here, "as if other threads could not");
            items.iter().map(|item| 2 * item).collect()
        });
        assert_eq!(doubled, [2, 4, 6]);
    }
}
