use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{Offset, TimeZone};
use options::nearest;

use super::civil::SECOND;
use super::read::{epoch, epoch_in, parse_clf, parse_rfc3164, parse_rfc3339, year_near};

/// How a timestamp is written: one of the well-known ways by name, or a format in the manner of
/// `strftime`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// `2023-11-14T22:13:20.123Z`, see [`parse_rfc3339`].
    Rfc3339,
    /// `14/Nov/2023:22:13:20 +0000`, see [`parse_clf`].
    Clf,
    /// `Nov 14 22:13:20` in UTC, see [`parse_rfc3164`].
    Rfc3164,
    /// A number since the UNIX epoch, the unit by its digits, see [`epoch`].
    Epoch,
    /// A number since the UNIX epoch in units of so many nanoseconds.
    EpochIn(i64),
    /// [Conversion specifiers](https://docs.rs/jiff/latest/jiff/fmt/strtime/index.html) such as
    /// `%d/%b/%Y:%H:%M:%S %z`. Without an offset the time is UTC; without a year it is the latest
    /// one that is not ahead.
    Format(String),
}

/// Formats of which one is known to the layout by name.
const NAMES: [(&str, Layout); 8] = [
    ("rfc3339", Layout::Rfc3339),
    ("clf", Layout::Clf),
    ("rfc3164", Layout::Rfc3164),
    ("epoch", Layout::Epoch),
    ("epoch_s", Layout::EpochIn(SECOND)),
    ("epoch_ms", Layout::EpochIn(1_000_000)),
    ("epoch_us", Layout::EpochIn(1000)),
    ("epoch_ns", Layout::EpochIn(1)),
];

/// A moment whose date and time are all different, to try formats with: 2023-11-14T22:13:20Z.
const PROBE: i64 = 1_700_000_000;

impl Layout {
    /// For documentation of options that take a layout.
    pub const DOC: &'static str = "How timestamps are written: \"rfc3339\", \"clf\", \"rfc3164\", \"epoch\" (unit by the number of digits), \
        \"epoch_s\", \"epoch_ms\", \"epoch_us\", \"epoch_ns\", or a strftime format such as '%d/%b/%Y:%H:%M:%S %z'. \
        Without an offset the time is UTC.";

    /// Reads a name or a format. A format is tried: what it writes it must be able to read.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Layout, String> {
        if let Some((_, layout)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(layout.clone());
        }
        let names = || NAMES.iter().map(|(name, _)| *name);
        if !text.contains('%') {
            return Err(match nearest(text, names()) {
                Some(name) => format!("no such layout; did you mean \"{name}\"?"),
                None => format!("expected one of {}, or a format such as '%Y-%m-%d %H:%M:%S'", names().collect::<Vec<_>>().join(", ")),
            });
        }
        let probe = jiff::Timestamp::new(PROBE, 0).map_err(|e| e.to_string())?;
        let written = strtime::format(text, &probe.to_zoned(TimeZone::fixed(Offset::UTC))).map_err(|e| e.to_string())?;
        read(text, written.as_bytes(), PROBE * SECOND)
            .map(|_| Layout::Format(text.to_string()))
            .map_err(|e| format!("it cannot be read back: {e}"))
    }

    /// Whether texts say their offset from UTC, or count from a moment of UTC.
    pub fn has_offset(&self) -> bool {
        match self {
            Layout::Rfc3339 | Layout::Clf | Layout::Epoch | Layout::EpochIn(_) => true,
            Layout::Rfc3164 => false,
            Layout::Format(format) => {
                let probe = jiff::Timestamp::new(PROBE, 0).map(|t| t.to_zoned(TimeZone::fixed(Offset::UTC)));
                let time = probe.and_then(|probe| BrokenDownTime::parse(format, strtime::format(format, &probe)?.as_bytes()));
                time.is_ok_and(|time| time.offset().is_some() || time.timestamp().is_some())
            }
        }
    }

    /// Nanoseconds since the UNIX epoch; `None` when the text is not written so. `now` gives the
    /// year where the text has none.
    pub fn read(&self, text: &[u8], now: i64) -> Option<i64> {
        match self {
            Layout::Rfc3339 => parse_rfc3339(text),
            Layout::Clf => parse_clf(text),
            Layout::Rfc3164 => parse_rfc3164(text, now),
            Layout::Epoch => epoch(text),
            Layout::EpochIn(unit) => epoch_in(text, *unit),
            Layout::Format(format) => read(format, text, now).ok(),
        }
    }
}

fn read(format: &str, text: &[u8], now: i64) -> Result<i64, String> {
    let mut time = BrokenDownTime::parse(format, text).map_err(|e| e.to_string())?;
    if time.year().is_some() || time.timestamp().is_some() {
        return moment(&time).map_err(|e| e.to_string());
    }
    // Tried once for its error, which says what else is missing.
    time.set_year(Some(2000)).and_then(|()| moment(&time)).map_err(|e| e.to_string())?;
    let at = |year: i64| {
        let mut dated = BrokenDownTime::parse(format, text).ok()?;
        dated.set_year(Some(i16::try_from(year).ok()?)).ok()?;
        moment(&dated).ok()
    };
    year_near(now, at).ok_or_else(|| "there is no such day".to_string())
}

/// Without an offset a time is UTC.
fn moment(time: &BrokenDownTime) -> Result<i64, jiff::Error> {
    let timestamp = match (time.offset(), time.timestamp()) {
        (None, None) => Offset::UTC.to_timestamp(time.to_datetime()?)?,
        _ => time.to_timestamp()?,
    };
    Ok(i64::try_from(timestamp.as_nanosecond()).unwrap_or(i64::MAX))
}
