//! The proleptic Gregorian calendar in UTC, by arithmetic alone.

/// Nanoseconds in a second.
pub(super) const SECOND: i64 = 1_000_000_000;
/// Seconds in a day.
pub(super) const DAY: i64 = 86_400;

/// Date and time of day, without an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Civil {
    pub year: i64,
    /// From 1.
    pub month: u32,
    /// From 1.
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    /// 60 is a leap second, which counts as the second after it.
    pub second: u32,
}

impl Civil {
    /// Seconds since the UNIX epoch, taken as UTC; `None` when there is no such day or time of day.
    pub fn seconds(self) -> Option<i64> {
        let valid = (1..=12).contains(&self.month)
            && self.day >= 1
            && (self.day <= 28 || self.day <= days_in(self.year, self.month))
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60;
        let of_day = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        valid.then(|| days_from_civil(self.year, self.month, self.day) * DAY + of_day)
    }

    /// The date and time of day at `seconds` since the UNIX epoch.
    pub fn at(seconds: i64) -> Civil {
        let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32);
        let (year, month, day) = civil_from_days(days);
        Civil { year, month, day, hour: of_day / 3600, minute: of_day / 60 % 60, second: of_day % 60 }
    }
}

/// Days of a month of a year.
fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March and in eras of 400 years, in which every day
/// has a place that depends on nothing else: <https://howardhinnant.github.io/date_algorithms.html>.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097) as u32);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + i64::from(year) + i64::from(month <= 2), month, day)
}
