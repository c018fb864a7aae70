//! Weeks of notes as they may come to a contact centre, with and without rises, and what becomes of them.
//!
//! Fourteen kinds of notes come at 0.2 to 12 an hour in working hours, fewer in the evening and at weekends, hardly any
//! at night. Days differ by 15 %, hours by 30 % beyond chance. Four weeks are learnt from, then it counts.

use jiff::{SignedDuration, Timestamp};

use super::Config;
use crate::{
    event::{
        Processed,
        processed::{Intent, OutcomeKind, Understanding, Urgency, UrgencyLevel},
    },
    note::{AudioSource, VoiceNote},
    report::{Attempt, Report},
    watch::counts::Counts,
};

/// Notes an hour on a working day at noon.
const RATES: [f64; 14] = [12.0, 8.0, 6.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.2];
const LEARNT_WEEKS: i64 = 4;
const WEEKS: i64 = 12;
/// A rise lasts so long.
const RISE_MINUTES: i64 = 240;

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        // Knuth's generator; all that matters is that it draws the same every time.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u32 {
        let (mut product, mut count) = (self.unit(), 0);
        let least = (-mean).exp();
        while product > least {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

/// The usual course of a week, as a share of the noon of a working day; hours count from a Monday's midnight in Berlin.
fn course(hour: i64) -> f64 {
    let (day, time) = (hour.div_euclid(24).rem_euclid(7), hour.rem_euclid(24));
    let daily = match time {
        8..=11 => 1.2,
        12..=17 => 1.0,
        18..=21 => 0.5,
        6 | 7 => 0.3,
        _ => 0.03,
    };
    let weekly = [1.3, 1.1, 1.0, 1.0, 0.9, 0.5, 0.3][day as usize];
    daily * weekly
}

/// A rise of one kind of note, from a minute on.
#[derive(Clone, Copy)]
struct Rise {
    kind: usize,
    from: i64,
    times: f64,
}

impl Rise {
    fn raises(&self, kind: usize, minute: i64) -> bool {
        kind == self.kind && (self.from..self.from + RISE_MINUTES).contains(&minute)
    }
}

struct Week {
    counts: Counts,
    start: Timestamp,
    told: Vec<(usize, i64)>,
    notes: u32,
}

impl Week {
    fn at(&self, minute: i64) -> Timestamp {
        self.start + SignedDuration::from_mins(minute)
    }

    fn note(&mut self, kind: usize, minute: i64) {
        let audio = AudioSource::Inline { data: String::new() };
        self.notes += 1;
        let id = self.notes.to_string();
        let note = VoiceNote::new("musterstrom".parse().unwrap(), "whatsapp".parse().unwrap(), id, audio);
        let intent = Intent { name: format!("kind-{kind}"), confidence: 0.9, evidence: None };
        let understanding = Understanding {
            intent: Some(intent),
            alternatives: vec![],
            urgency: Urgency { level: UrgencyLevel::Normal, grounds: vec![], evidence: vec![] },
            entities: vec![],
            contact: crate::event::processed::ContactPreferences::default(),
            earlier_contact: None,
            sentiment: None,
        };
        let base = Report::begin(&note, Attempt::only(), "simulation").finish();
        let result = Processed { outcome: OutcomeKind::Completed, understanding: Some(understanding), ..base };
        let at = self.at(minute);
        self.counts.note(&result, at, at);
    }

    fn look(&mut self, minute: i64) {
        let now = self.at(minute);
        self.counts.look(now);
        for spike in self.counts.untold() {
            let kind = spike.intent.trim_start_matches("kind-").parse().unwrap();
            self.told.push((kind, minute));
            self.counts.told(&spike);
        }
    }
}

/// All spikes that are told: kind and minute.
fn simulate(seed: u64, rises: &[Rise]) -> Vec<(usize, i64)> {
    let mut random = Random(seed);
    // A Monday in winter, midnight in Berlin.
    let start = "2026-01-04T23:00:00Z".parse().unwrap();
    let mut weeks = Week { counts: Counts::new(&Config::default()), start, told: vec![], notes: 0 };
    for hour in 0..WEEKS * 168 {
        if hour % 24 == 0 {
            weeks.counts.tidy(weeks.at(hour * 60));
        }
        let day = (seed, hour / 24);
        let of_day = (0.15 * Random(day.0 ^ (day.1 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).normal()).exp();
        let rates: Vec<f64> = RATES
            .iter()
            .map(|rate| rate * course(hour) * of_day * (0.3 * random.normal() - 0.045).exp() / 60.0)
            .collect();
        for minute in hour * 60..hour * 60 + 60 {
            let mut any = false;
            for (kind, rate) in rates.iter().enumerate() {
                let times = rises.iter().find(|rise| rise.raises(kind, minute)).map_or(1.0, |rise| rise.times);
                for _ in 0..random.poisson(rate * times) {
                    weeks.note(kind, minute);
                    any = true;
                }
            }
            if any || minute % 10 == 0 {
                weeks.look(minute);
            }
        }
    }
    weeks.told
}

/// One rise a day from the ninth week on, at different hours between nine and four, each kind in its turn.
fn rises(times: f64) -> Vec<Rise> {
    let days = (8 * 7..WEEKS * 7).filter(|day| day % 7 < 5);
    let kinds = (0..RATES.len()).cycle();
    days.zip(kinds).map(|(day, kind)| Rise { kind, from: day * 1440 + 540 + (day * 97) % 420, times }).collect()
}

#[test]
fn false_alarms_are_rare_and_rises_are_noticed_in_time() {
    let seeds = [1, 2, 3];
    let counted_weeks = (WEEKS - LEARNT_WEEKS) as f64 * seeds.len() as f64;
    let learnt = LEARNT_WEEKS * 7 * 1440;
    let quiet: usize =
        seeds.iter().map(|seed| simulate(*seed, &[]).iter().filter(|(_, minute)| *minute >= learnt).count()).sum();
    let false_alarms = quiet as f64 / counted_weeks;
    println!("false alarms a week, 14 kinds of notes: {false_alarms:.2} ({quiet} in {counted_weeks} weeks)");
    let mut medians = Vec::new();
    for times in [3.0, 5.0, 10.0] {
        let (mut busy, mut rare): (Vec<Option<i64>>, Vec<Option<i64>>) = (vec![], vec![]);
        for seed in seeds {
            let rises = rises(times);
            let told = simulate(seed, &rises);
            for rise in &rises {
                let after = |(kind, minute): &&(usize, i64)| rise.raises(*kind, *minute);
                let noticed = told.iter().find(after).map(|(_, minute)| minute - rise.from);
                if RATES[rise.kind] >= 2.0 { busy.push(noticed) } else { rare.push(noticed) }
            }
        }
        for (what, noticed) in [("2 and more an hour", &mut busy), ("1 and fewer an hour", &mut rare)] {
            let mut minutes: Vec<i64> = noticed.iter().flatten().copied().collect();
            minutes.sort_unstable();
            let at = |share: f64| minutes.get((minutes.len() as f64 * share) as usize).copied().unwrap_or(-1);
            println!(
                "x{times:<2} of {what:20} noticed {:3} of {:3}, minutes: median {:3}, nine in ten {:3}",
                minutes.len(),
                noticed.len(),
                at(0.5),
                at(0.9)
            );
            medians.push((minutes.len() as f64 / noticed.len() as f64, at(0.5)));
        }
    }
    assert!(false_alarms <= 0.5, "{false_alarms}");
    let [_, _, (share_5, median_5), _, (share_10, median_10), _] = medians[..] else { panic!() };
    assert!(share_5 >= 0.9 && median_5 <= 90, "{share_5} {median_5}");
    assert!(share_10 >= 0.95 && median_10 <= 30, "{share_10} {median_10}");
}
