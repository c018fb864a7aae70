//! Owns the counts of notes by tenant and intent, and says when there are far more of one kind than usual.
//!
//! Notes are counted in the minute in which they were sent. The last quarter of an hour, hour and four hours are each
//! held against what is usual at that time (`baseline`); the first that is too improbable begins a spike. It is told
//! once, and lasts until none of the three is even remarkable: what goes up and down around a threshold is one spike.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    baseline::{self, Baseline, PastHour},
    spikes::Config,
    store::Change,
    unusual,
};
use crate::{
    event::{Processed, Spike, processed::OutcomeKind},
    note::{NoteId, Tenant},
};

/// How entries of this part are named where they are kept.
pub(super) const TENANT_PREFIX: &str = "tenant/";
pub(super) const HOUR_PREFIX: &str = "hour/";
pub(super) const SPIKE_PREFIX: &str = "spike/";

/// Minutes that are looked at.
const WINDOWS: [u32; 3] = [15, 60, 240];
/// Hours whose minutes are kept apart.
const FINE_HOURS: i64 = 5;
/// A spike is over once no window is less probable than this.
const REMARKABLE: f64 = 0.01;
/// After so many hours a spike is what is usual now, and is learnt from.
const SPIKE_HOURS_MAX: i64 = 24;
/// Notes that are known by their ids within an hour, so that one that comes twice is counted once.
const IDS_MAX: usize = 200;
/// Notes that a spike names.
const EVIDENCE_MAX: usize = 20;
/// Kinds of notes that are counted; what comes beyond is not.
const TOPICS_MAX: usize = 10_000;

type Topic = (Tenant, String);

/// All counts.
#[derive(Debug)]
pub(super) struct Counts {
    config: Config,
    zone: TimeZone,
    /// When each tenant's first note was sent.
    since: BTreeMap<Tenant, Timestamp>,
    topics: BTreeMap<Topic, Series>,
    /// Those that have to be looked at.
    touched: BTreeSet<Topic>,
}

/// One kind of note. Hours are counted from 1970.
#[derive(Debug, Default)]
struct Series {
    hours: BTreeMap<i64, Hour>,
    spike: Option<Lasting>,
    /// What is usual, and the day of which that was learnt.
    usual: Option<(i64, Baseline)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Hour {
    /// Notes by minute of the hour; all in the first once nobody looks at minutes any more.
    minutes: BTreeMap<u8, u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ids: Vec<(u8, NoteId)>,
    /// There was a spike: nothing is learnt from it.
    #[serde(default)]
    left_out: bool,
}

impl Hour {
    fn count(&self) -> u32 {
        self.minutes.values().sum()
    }
}

/// A spike that is not over.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lasting {
    told: bool,
    data: Spike,
}

impl Counts {
    pub(super) fn new(config: &Config) -> Self {
        let zone = TimeZone::get(&config.time_zone).unwrap_or(TimeZone::UTC);
        Self { config: config.clone(), zone, since: BTreeMap::new(), topics: BTreeMap::new(), touched: BTreeSet::new() }
    }

    /// Takes back what was kept; what cannot be read is left out.
    pub(super) fn restore(&mut self, key: &str, value: &[u8]) {
        let (kind, name) = key.split_once('/').unwrap_or_default();
        let mut words = name.split('/');
        let Some(Ok(tenant)) = words.next().map(str::parse::<Tenant>) else { return };
        if key.starts_with(TENANT_PREFIX) {
            self.since.extend(serde_json::from_slice(value).ok().map(|since: Timestamp| (tenant, since)));
            return;
        }
        let Some(intent) = words.next() else { return };
        let topic = (tenant, intent.to_owned());
        let series = self.topics.entry(topic.clone()).or_default();
        if kind == "spike" {
            series.spike = serde_json::from_slice(value).ok();
        } else if let Some(Ok(hour)) = words.next().map(str::parse) {
            series.hours.extend(serde_json::from_slice(value).ok().map(|counted: Hour| (hour, counted)));
        }
        self.touched.insert(topic);
    }

    /// Counts a note that was understood; `at` is when it was sent.
    pub(super) fn note(&mut self, result: &Processed, at: Timestamp, now: Timestamp) -> Vec<Change> {
        let at = at.min(now);
        let too_old =
            now.duration_since(at) > SignedDuration::from_hours(24 * 7 * i64::from(self.config.history_weeks));
        let Some(tenant) = result.tenant.as_ref().filter(|_| result.outcome == OutcomeKind::Completed && !too_old)
        else {
            return Vec::new();
        };
        let intent = result.understanding.as_ref().and_then(|understanding| understanding.intent.as_ref());
        let topic = (tenant.clone(), intent.map_or("none", |intent| &intent.name).to_owned());
        if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(&topic) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if self.since.get(tenant).is_none_or(|since| at < *since) {
            self.since.insert(tenant.clone(), at);
            changes.push(Change::of(format!("{TENANT_PREFIX}{tenant}"), &at));
        }
        let series = self.topics.entry(topic.clone()).or_default();
        let (hour, minute) = (minute_of(at).div_euclid(60), minute_of(at).rem_euclid(60) as u8);
        let counted = series.hours.entry(hour).or_default();
        if counted.ids.iter().any(|(_, id)| *id == result.note_id) {
            return changes;
        }
        *counted.minutes.entry(minute).or_default() += 1;
        if counted.ids.len() < IDS_MAX {
            counted.ids.push((minute, result.note_id));
        }
        counted.left_out |= series.spike.as_ref().is_some_and(|spike| is_exceptional(spike, now));
        changes.push(hour_change(&topic, hour, counted));
        self.touched.insert(topic);
        changes
    }

    /// Looks at whatever may have changed since the last look: says what to keep, and afterwards [`Self::untold`] what
    /// to tell.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<Change> {
        let lasting = self.topics.iter().filter(|(_, series)| series.spike.is_some()).map(|(topic, _)| topic.clone());
        let topics: BTreeSet<Topic> = lasting.chain(std::mem::take(&mut self.touched)).collect();
        let learnt_until = SignedDuration::from_hours(24 * i64::from(self.config.learning_days));
        let mut changes = Vec::new();
        for topic in topics {
            let Some(since) = self.since.get(&topic.0).copied() else { continue };
            let Some(series) = self.topics.get_mut(&topic) else { continue };
            if !series.is_known_for(learnt_until, now) {
                continue;
            }
            series.learn(since, now, &self.config, &self.zone);
            changes.extend(series.judge(&topic, now, &self.config, &self.zone));
        }
        changes
    }

    /// Spikes that are to be told, or may not have been told.
    pub(super) fn untold(&self) -> Vec<Spike> {
        let lasting = self.topics.values().filter_map(|series| series.spike.as_ref());
        lasting.filter(|spike| !spike.told).map(|spike| spike.data.clone()).collect()
    }

    /// A spike was published.
    pub(super) fn told(&mut self, spike: &Spike) -> Option<Change> {
        let topic = (spike.tenant.clone(), spike.intent.clone());
        let lasting = self.topics.get_mut(&topic)?.spike.as_mut()?;
        lasting.told = true;
        Some(Change::of(spike_key(&topic), lasting))
    }

    /// Forgets what is too old to be learnt from, and what happened in which minute of hours long past.
    pub(super) fn tidy(&mut self, now: Timestamp) -> Vec<Change> {
        let now = minute_of(now).div_euclid(60);
        let oldest = now - 24 * 7 * i64::from(self.config.history_weeks);
        let mut changes = Vec::new();
        for (topic, series) in &mut self.topics {
            let recent = series.hours.split_off(&oldest);
            let old = std::mem::replace(&mut series.hours, recent);
            changes.extend(old.keys().map(|hour| Change::removed(hour_key(topic, *hour))));
            for (hour, counted) in series.hours.range_mut(..now - FINE_HOURS) {
                if !counted.ids.is_empty() || counted.minutes.keys().any(|minute| *minute != 0) {
                    counted.minutes = BTreeMap::from([(0, counted.count())]);
                    counted.ids.clear();
                    changes.push(hour_change(topic, *hour, counted));
                }
            }
        }
        self.topics.retain(|_, series| !series.hours.is_empty() || series.spike.is_some());
        changes
    }
}

impl Series {
    /// Once a day is often enough for what takes weeks to change. Hours without a note count from the tenant's first one
    /// on: so far this kind of note was rare.
    fn learn(&mut self, since: Timestamp, now: Timestamp, config: &Config, zone: &TimeZone) {
        let now = minute_of(now).div_euclid(60);
        let today = now.div_euclid(24);
        if self.usual.as_ref().is_some_and(|(day, _)| *day == today) {
            return;
        }
        let first = minute_of(since).div_euclid(60).max(now - 24 * 7 * i64::from(config.history_weeks));
        let learnt = (first..now).filter(|hour| !self.hours.get(hour).is_some_and(|counted| counted.left_out));
        let count = |hour: i64| self.hours.get(&hour).map_or(0, Hour::count);
        let past = learnt.map(|hour| PastHour { slot: baseline::slot(hour, zone), hour, count: count(hour) });
        self.usual = Some((today, Baseline::learn(&past.collect::<Vec<_>>())));
    }

    /// What a playbook has only begun to tell apart is no news by itself.
    fn is_known_for(&self, time: SignedDuration, now: Timestamp) -> bool {
        self.hours.keys().next().is_some_and(|first| minute_of(now) - first * 60 >= time.as_mins())
    }

    fn judge(&mut self, topic: &Topic, now: Timestamp, config: &Config, zone: &TimeZone) -> Vec<Change> {
        let Some((_, usual)) = &self.usual else { return Vec::new() };
        let seen = WINDOWS.map(|minutes| self.seen(usual, minutes, now, zone));
        let least = |a: &&Seen, b: &&Seen| a.probability.total_cmp(&b.probability);
        match &self.spike {
            Some(_) if seen.iter().all(|seen| seen.probability >= REMARKABLE) => {
                self.spike = None;
                vec![Change::removed(spike_key(topic))]
            }
            Some(_) => Vec::new(),
            None => {
                let spike = seen.iter().filter(|seen| seen.is_spike(config)).min_by(least);
                spike.map(|seen| self.begin(topic, seen, now)).unwrap_or_default()
            }
        }
    }

    fn begin(&mut self, topic: &Topic, seen: &Seen, now: Timestamp) -> Vec<Change> {
        let since = now.checked_sub(SignedDuration::from_mins(i64::from(seen.minutes))).unwrap_or(now);
        let mut changes = Vec::new();
        let mut ids: Vec<(i64, NoteId)> = Vec::new();
        let first = minute_of(now) - i64::from(seen.minutes) + 1;
        for (hour, counted) in self.hours.range_mut(first.div_euclid(60)..) {
            counted.left_out = true;
            let at = |minute: u8| hour * 60 + i64::from(minute);
            ids.extend(counted.ids.iter().map(|(minute, id)| (at(*minute), *id)).filter(|(at, _)| *at >= first));
            changes.push(hour_change(topic, *hour, counted));
        }
        ids.sort_by_key(|(at, _)| *at);
        let data = Spike {
            tenant: topic.0.clone(),
            intent: topic.1.clone(),
            since,
            detected_at: now,
            window_minutes: seen.minutes,
            count: seen.count,
            expected: (seen.expected * 100.0).round() / 100.0,
            probability: seen.probability,
            note_ids: ids.iter().skip(ids.len().saturating_sub(EVIDENCE_MAX)).map(|(_, id)| *id).collect(),
        };
        let lasting = Lasting { told: false, data };
        changes.push(Change::of(spike_key(topic), &lasting));
        self.spike = Some(lasting);
        changes
    }

    fn seen(&self, usual: &Baseline, minutes: u32, now: Timestamp, zone: &TimeZone) -> Seen {
        let last = minute_of(now);
        let first = last - i64::from(minutes) + 1;
        let hours = first.div_euclid(60)..=last.div_euclid(60);
        let within = |hour: i64| (first.max(hour * 60), last.min(hour * 60 + 59));
        let share = |hour: i64| (within(hour).1 - within(hour).0 + 1) as f64 / 60.0;
        let (expected, variance) = usual.expect(hours.clone().map(|hour| (baseline::slot(hour, zone), share(hour))));
        let counted = self.hours.range(hours).map(|(hour, counted)| {
            let (first, last) = within(*hour);
            let range = first.rem_euclid(60) as u8..=last.rem_euclid(60) as u8;
            counted.minutes.range(range).map(|(_, count)| count).sum::<u32>()
        });
        let count = counted.sum();
        Seen { minutes, count, expected, probability: unusual::tail(count, expected, variance) }
    }
}

/// What one window shows.
#[derive(Debug)]
struct Seen {
    minutes: u32,
    count: u32,
    expected: f64,
    probability: f64,
}

impl Seen {
    fn is_spike(&self, config: &Config) -> bool {
        self.probability < config.probability_max
            && self.count >= config.notes_min
            && f64::from(self.count) >= config.times_min * self.expected
    }
}

fn is_exceptional(spike: &Lasting, now: Timestamp) -> bool {
    now.duration_since(spike.data.detected_at) < SignedDuration::from_hours(SPIKE_HOURS_MAX)
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

fn hour_key((tenant, intent): &Topic, hour: i64) -> String {
    format!("{HOUR_PREFIX}{tenant}/{intent}/{hour}")
}

fn hour_change(topic: &Topic, hour: i64, counted: &Hour) -> Change {
    Change::of(hour_key(topic, hour), counted)
}

fn spike_key((tenant, intent): &Topic) -> String {
    format!("{SPIKE_PREFIX}{tenant}/{intent}")
}
