use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// Where a time that says no offset was written.
#[derive(Debug)]
pub(crate) struct Zone {
    zone: TimeZone,
    /// The minute that was asked for last, in local time since the UNIX epoch, and the offset then.
    /// Offsets change at full minutes.
    minute: i64,
    offset: i64,
    /// The same for a minute of UTC.
    utc_minute: i64,
    utc_offset: i64,
}

impl Zone {
    /// Reads "local", "UTC", an offset such as "+02:00", or the name of a zone this system knows.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Zone, String> {
        let zone = match text {
            "local" => TimeZone::system(),
            "UTC" | "utc" | "Z" => TimeZone::UTC,
            _ if text.starts_with(['+', '-']) => TimeZone::fixed(fixed(text).ok_or("expected an offset such as `+02:00`")?),
            name => TimeZone::get(name).map_err(|_| {
                format!("found `{name}`, expected \"local\", \"UTC\", an offset such as \"+02:00\", or a name such as \"Europe/Berlin\"")
            })?,
        };
        Ok(Zone { zone, minute: i64::MIN, offset: 0, utc_minute: i64::MIN, utc_offset: 0 })
    }

    /// Seconds east of UTC at this local time, in seconds since the UNIX epoch. A time that a change of the
    /// offset left out counts as the one before it, one that came twice as the first.
    #[inline]
    pub fn offset(&mut self, local: i64) -> i64 {
        let minute = local.div_euclid(60);
        if minute != self.minute {
            (self.minute, self.offset) = (minute, self.find(local).unwrap_or(0));
        }
        self.offset
    }

    #[cold]
    fn find(&self, local: i64) -> Option<i64> {
        let at = Offset::UTC.to_datetime(Timestamp::from_second(local).ok()?);
        Some(local - self.zone.to_timestamp(at).ok()?.as_second())
    }

    /// Local time at this moment; both in nanoseconds since the UNIX epoch.
    pub fn local(&mut self, now: i64) -> i64 {
        let minute = now.div_euclid(60_000_000_000);
        if minute != self.utc_minute {
            let offset = Timestamp::from_second(minute * 60).map_or(0, |at| self.zone.to_offset(at).seconds().into());
            (self.utc_minute, self.utc_offset) = (minute, offset);
        }
        now.saturating_add(self.utc_offset * 1_000_000_000)
    }
}

/// `±hh:mm`, `±hhmm` or `±hh`.
fn fixed(text: &str) -> Option<Offset> {
    let (sign, digits) = (if text.starts_with('-') { -1 } else { 1 }, text.get(1..)?);
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2)?,
    };
    let number = |text: &str| match text.as_bytes() {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i32::from(a - b'0') * 10 + i32::from(b - b'0')),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, if minutes.is_empty() { 0 } else { number(minutes)? });
    (minutes < 60).then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_names_and_offsets() {
        // 2023-07-01 and 2023-12-01, noon.
        let (summer, winter) = (1_688_212_800, 1_701_432_000);
        let offsets = |text: &str| {
            let mut zone = Zone::parse(text).unwrap();
            (zone.offset(summer), zone.offset(winter))
        };
        assert_eq!(offsets("Europe/Berlin"), (7200, 3600));
        assert_eq!(offsets("UTC"), (0, 0));
        assert_eq!(offsets("-03:30"), (-12_600, -12_600));
        assert_eq!(offsets("+02"), (7200, 7200));
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().local(summer * 1_000_000_000), (summer + 7200) * 1_000_000_000);
        Zone::parse("local").unwrap();
        for wrong in ["", "Europe/Nowhere", "+2", "+02:60", "+02:0x", "-99:00", "+é", "../etc/passwd"] {
            assert!(Zone::parse(wrong).unwrap_err().contains("expected"), "{wrong}");
        }
    }
}
