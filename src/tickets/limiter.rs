//! Owns how many requests an account may make: exact counts over sliding windows, and pauses that the other side asks
//! for. Time comes in from outside, so that a test is done in no time.
//!
//! A window counts what really was sent, instead of refilling a bucket: a bucket of 100 lets up to 200 through within
//! one minute, and the other side counts too.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// At most `requests` within any `per_s` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many; at least 1.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// Within how many seconds.
    pub per_s: u32,
}

impl Rate {
    #[must_use]
    pub const fn new(requests: u32, per_s: u32) -> Self {
        Self { requests, per_s }
    }
}

/// The limits of one account, shared by all that use it in this process.
#[derive(Debug)]
pub struct Limiter {
    began: Instant,
    counts: Mutex<Counts>,
}

impl Limiter {
    /// `account` holds for all requests together, `each` for those that concern the same thing, such as one ticket.
    #[must_use]
    pub fn new(account: &[Rate], each: &[Rate]) -> Self {
        Self { began: Instant::now(), counts: Mutex::new(Counts::new(account, each)) }
    }

    /// Waits until a request may be made, and counts it. `thing` names what it concerns, where that has limits of its
    /// own. Dropping the future counts nothing.
    pub async fn wait(&self, thing: Option<&str>) {
        while let Err(pause) = self.with(|counts, now| counts.take(now, thing)) {
            tokio::time::sleep(pause).await;
        }
    }

    /// The other side asked for a pause.
    pub fn pause(&self, after: Duration) {
        self.with(|counts, now| counts.pause(now, after));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counts, Duration) -> T) -> T {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut counts, self.began.elapsed())
    }
}

/// The limiters of a process, by account: connectors that share an account share its limits.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<HashMap<String, Arc<Limiter>>>);

impl Accounts {
    /// The account's limiter; `limiter` makes it the first time.
    pub fn limiter(&self, account: &str, limiter: impl FnOnce() -> Limiter) -> Arc<Limiter> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_insert_with(|| Arc::new(limiter())))
    }
}

/// What was sent when, as far as it matters.
#[derive(Debug)]
struct Counts {
    account: Vec<Window>,
    each: Vec<Rate>,
    things: HashMap<String, Vec<Window>>,
    paused_until: Duration,
}

/// Things whose windows are kept before those that are empty are thrown away.
const THINGS_KEPT: usize = 1024;

impl Counts {
    fn new(account: &[Rate], each: &[Rate]) -> Self {
        let account = account.iter().copied().map(Window::new).collect();
        Self { account, each: each.to_vec(), things: HashMap::new(), paused_until: Duration::ZERO }
    }

    /// Counts a request that is made at `now`, or says how long to wait at least before asking again.
    fn take(&mut self, now: Duration, thing: Option<&str>) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until.saturating_sub(now));
        }
        if self.things.len() >= THINGS_KEPT {
            self.things.retain(|_, windows| windows.iter_mut().any(|window| !window.is_empty(now)));
        }
        let things = thing.filter(|_| !self.each.is_empty()).map(|thing| {
            self.things.entry(thing.to_owned()).or_insert_with(|| self.each.iter().copied().map(Window::new).collect())
        });
        let mut windows: Vec<&mut Window> = self.account.iter_mut().chain(things.into_iter().flatten()).collect();
        match windows.iter_mut().map(|window| window.wait(now)).max() {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            _ => {
                for window in windows {
                    window.sent.push_back(now);
                }
                Ok(())
            }
        }
    }

    /// No request before `after` is over; a shorter pause does not end a longer one.
    fn pause(&mut self, now: Duration, after: Duration) {
        self.paused_until = self.paused_until.max(now.saturating_add(after));
    }
}

/// When the last requests were made.
#[derive(Debug)]
struct Window {
    requests: usize,
    length: Duration,
    sent: VecDeque<Duration>,
}

impl Window {
    fn new(rate: Rate) -> Self {
        let requests = rate.requests.max(1) as usize;
        Self { requests, length: Duration::from_secs(rate.per_s.into()), sent: VecDeque::new() }
    }

    /// How long until one more fits; zero: it fits now.
    fn wait(&mut self, now: Duration) -> Duration {
        self.forget(now);
        match self.sent.len().checked_sub(self.requests) {
            Some(_) => self.sent.front().map_or(Duration::ZERO, |first| (*first + self.length).saturating_sub(now)),
            None => Duration::ZERO,
        }
    }

    fn is_empty(&mut self, now: Duration) -> bool {
        self.forget(now);
        self.sent.is_empty()
    }

    fn forget(&mut self, now: Duration) {
        while self.sent.front().is_some_and(|sent| *sent + self.length <= now) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: [Rate; 2] = [Rate::new(3, 1), Rate::new(8, 10)];

    /// Makes a request at each of these times, waiting as told, and returns when they were sent.
    fn send(counts: &mut Counts, gaps_ms: &[u64], thing: impl Fn(usize) -> Option<&'static str>) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let requests = gaps_ms.iter().enumerate().map(|(n, gap_ms)| {
            now += Duration::from_millis(*gap_ms);
            while let Err(wait) = counts.take(now, thing(n)) {
                assert!(wait > Duration::ZERO, "waiting must come to an end");
                now += wait;
            }
            now
        });
        requests.collect()
    }

    fn most_within(sent: &[Duration], length: Duration) -> usize {
        sent.iter()
            .map(|from| sent.iter().filter(|at| **at >= *from && **at < *from + length).count())
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_its_rate(gaps_ms in prop::collection::vec(0_u64..2000, 1..60)) {
            let sent = send(&mut Counts::new(&RATES, &[]), &gaps_ms, |_| None);
            for rate in RATES {
                let most = most_within(&sent, Duration::from_secs(rate.per_s.into()));
                prop_assert!(most <= rate.requests as usize, "{most} within {} s", rate.per_s);
            }
        }

        #[test]
        fn nobody_waits_longer_than_the_rates_ask_for(requests in 1_usize..60) {
            let sent = send(&mut Counts::new(&[Rate::new(5, 10)], &[]), &vec![0; requests], |_| None);
            let last = Duration::from_secs(10 * ((requests as u64 - 1) / 5));
            prop_assert_eq!(*sent.last().unwrap(), last);
        }

        #[test]
        fn a_busy_ticket_does_not_hold_up_another(gaps_ms in prop::collection::vec(0_u64..500, 2..40)) {
            let mut counts = Counts::new(&[], &[Rate::new(1, 100)]);
            prop_assert!(counts.take(Duration::ZERO, Some("busy")).is_ok());
            let mut now = Duration::ZERO;
            for (n, gap_ms) in gaps_ms.iter().enumerate() {
                now += Duration::from_millis(*gap_ms);
                let other = format!("other {n}");
                prop_assert!(counts.take(now, Some("busy")).is_err());
                prop_assert!(counts.take(now, Some(&other)).is_ok());
            }
        }

        #[test]
        fn a_pause_that_was_asked_for_is_kept(at_ms in 0_u64..5000, long_ms in 0_u64..5000, short_ms in 0_u64..5000) {
            let mut counts = Counts::new(&RATES, &[]);
            let now = Duration::from_millis(at_ms);
            counts.pause(now, Duration::from_millis(long_ms));
            counts.pause(now, Duration::from_millis(short_ms));
            let until = now + Duration::from_millis(long_ms.max(short_ms));
            prop_assert_eq!(counts.take(now, None).err(), Some(until.saturating_sub(now)).filter(|left| !left.is_zero()));
            prop_assert!(counts.take(until, None).is_ok());
        }
    }

    #[test]
    fn things_that_are_quiet_are_forgotten() {
        let mut counts = Counts::new(&[], &[Rate::new(1, 1)]);
        for n in 0..5000_u64 {
            counts.take(Duration::from_secs(2 * n), Some(&n.to_string())).unwrap();
        }
        assert!(counts.things.len() <= THINGS_KEPT, "{}", counts.things.len());
    }

    #[test]
    fn connectors_of_one_account_share_its_limiter() {
        let accounts = Accounts::default();
        let limiter = |account: &str| accounts.limiter(account, || Limiter::new(&RATES, &[]));
        assert!(Arc::ptr_eq(&limiter("a"), &limiter("a")));
        assert!(!Arc::ptr_eq(&limiter("a"), &limiter("b")));
    }
}
