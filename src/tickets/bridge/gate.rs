//! Owns the pause of a whole connector: as long as its system does not work, nobody tries anything there, and notes
//! wait without using up their attempts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::tickets::{Config, TicketError};

/// Lets notes through while the system works. The first failure closes it for a while, each one after it for longer.
#[derive(Debug)]
pub struct Gate {
    name: String,
    pauses: Mutex<Pauses>,
}

impl Gate {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { name: config.name.clone(), pauses: Mutex::new(Pauses::new(config)) }
    }

    /// Waits until a note may be tried.
    pub async fn passable(&self) {
        while let Some(left) = self.with(|pauses| pauses.left(Instant::now())) {
            tokio::time::sleep(left).await;
        }
    }

    /// Whether one may be tried now.
    #[must_use]
    pub fn passes_now(&self) -> bool {
        self.with(|pauses| pauses.left(Instant::now())).is_none()
    }

    /// The system did not work; returns how long nothing is tried now. `after` is what it asked for.
    pub fn failed(&self, error: &TicketError, after: Option<Duration>) -> Duration {
        let (pause, is_new) = self.with(|pauses| pauses.failed(Instant::now(), error, after));
        metrics::gauge!("sprachpost_tickets_paused", "connector" => self.name.clone()).set(1.0);
        // However long it lasts, it is said once.
        if is_new {
            let error = error as &dyn std::error::Error;
            tracing::warn!(connector = self.name, error, "nothing is written into the ticketing system until it works");
        }
        pause
    }

    /// The system works.
    pub fn succeeded(&self) {
        if let Some(began) = self.with(|pauses| pauses.succeeded(Instant::now())) {
            metrics::gauge!("sprachpost_tickets_paused", "connector" => self.name.clone()).set(0.0);
            let paused_s = began.elapsed().as_secs_f64();
            tracing::info!(connector = self.name, paused_s, "the ticketing system works again");
        }
    }

    /// When it last did.
    #[must_use]
    pub fn worked(&self) -> Option<Instant> {
        self.with(|pauses| pauses.worked)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Pauses) -> T) -> T {
        act(&mut self.pauses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long the pauses are. Time comes in from outside.
#[derive(Debug)]
struct Pauses {
    first: Duration,
    longest: Duration,
    /// After a request timed out it may still be carried out: only then it can be looked for.
    after_time_out: Duration,
    failures: u32,
    /// Why nothing was let through last, as long as nothing succeeded since.
    why: Option<&'static str>,
    began: Option<Instant>,
    until: Option<Instant>,
    worked: Option<Instant>,
}

/// A pause is up to this part longer, so that processes that failed together do not come back together.
const JITTER: f64 = 0.25;

impl Pauses {
    fn new(config: &Config) -> Self {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or_default();
        Self {
            first: seconds(config.pause_first_s),
            longest: seconds(config.pause_s_max),
            after_time_out: Duration::from_secs(config.http.total_s_max.into()),
            failures: 0,
            why: None,
            began: None,
            until: None,
            worked: None,
        }
    }

    /// What is left of the pause; none: there is none.
    fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The pause, and whether its reason is news.
    fn failed(&mut self, now: Instant, error: &TicketError, after: Option<Duration>) -> (Duration, bool) {
        // Notes that were tried together fail together, and count as one.
        if let Some(left) = self.left(now) {
            return (left, false);
        }
        let grown = self.first.saturating_mul(2_u32.saturating_pow(self.failures.min(30)));
        let mut pause = grown.min(self.longest).max(after.unwrap_or_default());
        if *error == TicketError::TimedOut {
            pause = pause.max(self.after_time_out);
        }
        let pause = pause.mul_f64(1.0 + JITTER * random_share());
        let is_new = self.why != Some(error.as_str());
        self.failures += 1;
        self.why = Some(error.as_str());
        self.began.get_or_insert(now);
        self.until = Some(now + pause);
        (pause, is_new)
    }

    /// Since when there had been failures, if there had.
    fn succeeded(&mut self, now: Instant) -> Option<Instant> {
        (self.failures, self.why, self.until, self.worked) = (0, None, None, Some(now));
        self.began.take()
    }
}

/// From 0 to 1.
fn random_share() -> f64 {
    f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0
}

/// All gates of a process, for whoever asks how it is.
#[derive(Debug, Clone, Default)]
pub struct Gates(Arc<Vec<Arc<Gate>>>);

impl Gates {
    #[must_use]
    pub fn new(gates: Vec<Arc<Gate>>) -> Self {
        Self(Arc::new(gates))
    }

    /// Name and reason of each connector that pauses.
    #[must_use]
    pub fn paused(&self) -> Vec<(&str, &'static str)> {
        let why = |gate: &Gate| gate.with(|pauses| pauses.why);
        self.0.iter().filter_map(|gate| Some((gate.name.as_str(), why(gate)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let config = "name = \"main\"\ntype = \"request_tracker\"\nurl = \"https://rt.example\"\nqueue = \"Voice\"\n\
                      token = { env = \"T\" }\npause_first_s = 2.0\npause_s_max = 60.0\nhttp.total_s_max = 30\n";
        toml::from_str(config).unwrap()
    }

    fn within(pause: Duration, seconds: u64) -> bool {
        let shortest = Duration::from_secs(seconds);
        (shortest..=shortest.mul_f64(1.0 + JITTER)).contains(&pause)
    }

    #[test]
    fn pauses_grow_to_their_limit_and_end_with_a_success() {
        let (mut pauses, mut now) = (Pauses::new(&config()), Instant::now());
        for (n, seconds) in [2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let (pause, is_new) = pauses.failed(now, &TicketError::Unreachable, None);
            assert!(within(pause, seconds), "{pause:?} instead of {seconds} s");
            assert_eq!(is_new, n == 0, "it is said once");
            assert_eq!(pauses.left(now), Some(pause));
            now += pause;
            assert_eq!(pauses.left(now), None);
        }
        assert!(pauses.succeeded(now).is_some());
        assert_eq!(pauses.worked, Some(now));
        assert!(within(pauses.failed(now, &TicketError::Unreachable, None).0, 2));
    }

    #[test]
    fn notes_that_fail_together_count_once() {
        let (mut pauses, now) = (Pauses::new(&config()), Instant::now());
        let (pause, _) = pauses.failed(now, &TicketError::Unauthorized, None);
        for _ in 0..10 {
            assert_eq!(pauses.failed(now, &TicketError::Unauthorized, None), (pause, false));
        }
        assert!(within(pauses.failed(now + pause, &TicketError::Unauthorized, None).0, 4));
    }

    #[test]
    fn what_the_system_asks_for_is_kept_and_what_timed_out_may_finish() {
        let (mut pauses, now) = (Pauses::new(&config()), Instant::now());
        let after = Some(Duration::from_secs(90));
        let (pause, _) = pauses.failed(now, &TicketError::Limited { after }, after);
        assert!(within(pause, 90), "{pause:?}");
        let (pause, is_new) = pauses.failed(now + pause, &TicketError::TimedOut, None);
        assert!(within(pause, 30) && is_new, "{pause:?}");
    }

    #[test]
    fn who_asks_is_told_who_pauses_and_why() {
        let gates = Gates::new(vec![Arc::new(Gate::new(&config()))]);
        assert!(gates.paused().is_empty());
        gates.0[0].failed(&TicketError::Unauthorized, None);
        assert_eq!(gates.paused(), [("main", "unauthorized")]);
        gates.0[0].succeeded();
        assert!(gates.paused().is_empty());
    }
}
