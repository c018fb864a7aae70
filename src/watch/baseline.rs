//! Owns what is usual: how many notes an hour of the week brings, learnt from past weeks, and how far that varies.
//!
//! An hour's rate is the mean of the same hour in past weeks, drawn towards what its day and its time of day let
//! expect, the more so the fewer weeks there are: the posterior mean of a gamma-Poisson model. Variance is the sum of
//! what counts vary by (`dispersion × mean`), and of what whole days vary by and is not known of the rate (both
//! `mean²`). Hours in which there was a spike are left out, so that one spike does not hide the next.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// Hours of a week.
const SLOTS: usize = 7 * 24;
/// What day and time of day let expect counts like so many weeks.
const PRIOR_WEEKS: f64 = 2.0;
/// Days of one tenant vary by this much at least, as a share of the mean.
const DAYS_VARY_LEAST: f64 = 0.1;
const DISPERSION: (f64, f64) = (1.0, 10.0);

/// What is usual for one kind of note.
#[derive(Debug, Clone)]
pub(super) struct Baseline {
    /// Notes an hour, by hour of the week.
    rates: Vec<f64>,
    /// How certain each rate is: variance over squared mean is its inverse.
    shapes: Vec<f64>,
    dispersion: f64,
    days_vary: f64,
}

/// One past hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct PastHour {
    /// Of the week, see [`slot`].
    pub slot: usize,
    /// Counted from 1970.
    pub hour: i64,
    pub count: u32,
}

/// The hour of the week, where the customers live. Hours are counted from 1970.
pub(super) fn slot(hour: i64, zone: &TimeZone) -> usize {
    let at = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_hours(hour)).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = at.to_zoned(zone.clone());
    let day = local.weekday().to_monday_zero_offset().unsigned_abs();
    usize::from(day) * 24 + usize::from(local.hour().unsigned_abs())
}

impl Baseline {
    /// From all past hours that are to be learnt from, those without a note among them.
    pub(super) fn learn(past: &[PastHour]) -> Self {
        let (mut sums, mut seen) = (vec![0.0; SLOTS], vec![0.0; SLOTS]);
        for hour in past {
            sums[hour.slot] += f64::from(hour.count);
            seen[hour.slot] += 1.0;
        }
        let overall = ratio(sums.iter().sum(), seen.iter().sum());
        let factor = |belongs: &dyn Fn(usize) -> bool| {
            let of = |values: &[f64]| (0..SLOTS).filter(|slot| belongs(*slot)).map(|slot| values[slot]).sum::<f64>();
            // A day of the overall mean keeps a factor of few observations in bounds.
            ratio(of(&sums) + 24.0 * overall, (of(&seen) + 24.0) * overall)
        };
        let days: Vec<f64> = (0..7).map(|day| factor(&|slot| slot / 24 == day)).collect();
        let times: Vec<f64> = (0..24).map(|time| factor(&|slot| slot % 24 == time)).collect();
        let shapes: Vec<f64> =
            (0..SLOTS).map(|s| PRIOR_WEEKS * overall * days[s / 24] * times[s % 24] + sums[s]).collect();
        let rates: Vec<f64> = (0..SLOTS).map(|slot| shapes[slot] / (PRIOR_WEEKS + seen[slot])).collect();
        let mut baseline = Self { rates, shapes, dispersion: DISPERSION.0, days_vary: DAYS_VARY_LEAST };
        baseline.measure_variation(past);
        baseline
    }

    fn measure_variation(&mut self, past: &[PastHour]) {
        let (mut squares, mut weight) = (0.0, 0.0);
        for hour in past {
            let rate = self.rates[hour.slot];
            squares += (f64::from(hour.count) - rate).powi(2);
            weight += rate;
        }
        // The rates were fitted to these very counts, which makes them look steadier than they are.
        let fitted = 1.0 - ratio(SLOTS as f64, past.len() as f64 + PRIOR_WEEKS * SLOTS as f64);
        self.dispersion = (ratio(squares, weight) / fitted.max(0.2)).clamp(DISPERSION.0, DISPERSION.1);
        let (mut beyond, mut weight) = (0.0, 0.0);
        for day in past.chunk_by(|a, b| a.hour.div_euclid(24) == b.hour.div_euclid(24)) {
            let count: f64 = day.iter().map(|hour| f64::from(hour.count)).sum();
            let rate: f64 = day.iter().map(|hour| self.rates[hour.slot]).sum();
            beyond += (count - rate).powi(2) / fitted.max(0.2) - self.dispersion * rate;
            weight += rate * rate;
        }
        self.days_vary = ratio(beyond, weight).max(0.0).sqrt().clamp(DAYS_VARY_LEAST, 1.0);
    }

    /// Notes that are to be expected in stretches of time, given as hours of the week and shares of an hour; and their
    /// variance.
    pub(super) fn expect(&self, stretches: impl Iterator<Item = (usize, f64)>) -> (f64, f64) {
        let (mut mean, mut unsure) = (0.0, 0.0);
        for (slot, share) in stretches {
            let rate = self.rates[slot] * share;
            mean += rate;
            unsure += rate * ratio(rate, self.shapes[slot]);
        }
        let variance = self.dispersion * mean + (self.days_vary * mean).powi(2) + unsure;
        (mean, variance)
    }
}

/// Nothing over nothing is nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four weeks in which Mondays at ten bring twelve notes and all other working hours four.
    fn weeks(weeks: i64) -> Vec<PastHour> {
        (0..weeks * 168)
            .map(|hour| {
                let slot = (hour.unsigned_abs() as usize) % SLOTS;
                let works = slot / 24 < 5 && (8..18).contains(&(slot % 24));
                let count = if slot == 10 { 12 } else { 4 * u32::from(works) };
                PastHour { slot, hour, count }
            })
            .collect()
    }

    #[test]
    fn an_hour_of_the_week_has_its_own_rate() {
        let baseline = Baseline::learn(&weeks(8));
        let rate = |slot| baseline.expect([(slot, 1.0)].into_iter()).0;
        assert!((9.5..12.5).contains(&rate(10)), "{}", rate(10));
        assert!((3.5..5.0).contains(&rate(24 + 10)), "{}", rate(34));
        assert!(rate(3) < 0.2 && rate(6 * 24 + 10) < 0.5, "{} {}", rate(3), rate(154));
    }

    #[test]
    fn half_an_hour_of_each_is_the_mean_of_both() {
        let baseline = Baseline::learn(&weeks(8));
        let (both, _) = baseline.expect([(34, 0.5), (35, 0.5)].into_iter());
        assert!((3.5..5.0).contains(&both), "{both}");
    }

    #[test]
    fn what_is_known_of_few_weeks_is_less_sure() {
        let relative = |weeks_seen| {
            let (mean, variance) = Baseline::learn(&weeks(weeks_seen)).expect([(34, 1.0)].into_iter());
            variance / (mean * mean)
        };
        assert!(relative(2) > relative(8));
    }

    #[test]
    fn slots_are_local() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // A Monday in summer, 06:30 UTC.
        let hour = "2026-07-06T06:30:00Z".parse::<Timestamp>().unwrap().as_second().div_euclid(3600);
        assert_eq!(slot(hour, &zone), 8);
    }
}
