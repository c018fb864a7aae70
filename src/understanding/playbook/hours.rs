//! Owns business hours: at which times of a week somebody is there.

use std::{fmt, str::FromStr};

use jiff::civil::{Time, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When somebody is there, by weekday; on a day that is not named nobody is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WeekHours {
    /// For example `["08:00-12:00", "13:00-18:00"]`.
    pub monday: Vec<Hours>,
    pub tuesday: Vec<Hours>,
    pub wednesday: Vec<Hours>,
    pub thursday: Vec<Hours>,
    pub friday: Vec<Hours>,
    pub saturday: Vec<Hours>,
    pub sunday: Vec<Hours>,
}

impl WeekHours {
    #[must_use]
    pub fn contain(&self, day: Weekday, time: Time) -> bool {
        let hours = match day {
            Weekday::Monday => &self.monday,
            Weekday::Tuesday => &self.tuesday,
            Weekday::Wednesday => &self.wednesday,
            Weekday::Thursday => &self.thursday,
            Weekday::Friday => &self.friday,
            Weekday::Saturday => &self.saturday,
            Weekday::Sunday => &self.sunday,
        };
        hours.iter().any(|hours| hours.contain(time))
    }
}

const MINUTES_A_DAY: u16 = 24 * 60;

/// From one time of a day until, and without, a later one: `08:00-18:00`. `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight, more than `from`.
    until: u16,
}

impl Hours {
    fn contain(self, time: Time) -> bool {
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0);
        (self.from..self.until).contains(&minute)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hours are two times of one day, like \"08:00-18:00\"; \"24:00\" is the end of the day")]
pub struct HoursError;

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let (from, until) = text.split_once('-').ok_or(HoursError)?;
        let hours = Self { from: minute(from).ok_or(HoursError)?, until: minute(until).ok_or(HoursError)? };
        if hours.from < hours.until { Ok(hours) } else { Err(HoursError) }
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    Some(hour * 60 + minute).filter(|&all| minute < 60 && all <= MINUTES_A_DAY)
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    #[test]
    fn the_last_minute_is_within_and_the_end_is_not() {
        let week = WeekHours {
            monday: vec!["08:00-12:00".parse().unwrap(), "13:00-24:00".parse().unwrap()],
            ..WeekHours::default()
        };
        let open = |hour, minute| week.contain(Weekday::Monday, time(hour, minute, 59, 0));
        assert_eq!([open(7, 59), open(8, 0), open(11, 59), open(12, 0)], [false, true, true, false]);
        assert_eq!([open(12, 59), open(13, 0), open(23, 59)], [false, true, true]);
        assert!(!week.contain(Weekday::Tuesday, time(9, 0, 0, 0)));
    }

    #[test]
    fn what_is_read_is_written_the_same_and_nonsense_is_refused() {
        assert_eq!(" 8:00 - 18:30 ".parse::<Hours>().unwrap().to_string(), "08:00-18:30");
        for wrong in ["", "8-18", "18:00-08:00", "08:00-08:00", "08:60-18:00", "08:00-24:01", "+8:00-18:00", "8:00"] {
            assert_eq!(wrong.parse::<Hours>(), Err(HoursError), "{wrong}");
        }
    }
}
