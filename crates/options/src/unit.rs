//! Durations and sizes: a number and a unit, always both.

use std::time::Duration;

const DURATIONS: &[(&str, f64)] = &[("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)];

const SIZES: &[(&str, f64)] =
    &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0)];

/// Reads `"250ms"`, `"5s"`, `"1.5h"`, and sums such as `"1h30m"`.
///
/// # Errors
/// Says what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a number and a unit ({}), such as \"5s\"", names(DURATIONS));
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(expected());
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest).ok_or_else(expected)?;
        let (_, factor) = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        seconds += number * factor;
        rest = after.trim_start();
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a shorter duration".to_string())
}

/// Reads `"512B"`, `"64KiB"`, `"1.5 GB"` to bytes.
///
/// # Errors
/// Says what was expected.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a number and a unit ({}), such as \"64KiB\"", names(SIZES));
    let (number, unit, after) = number_and_unit(text.trim()).ok_or_else(expected)?;
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(expected)?;
    let bytes = number * factor;
    if after.is_empty() && bytes < 9e15 { Ok(bytes.round() as u64) } else { Err(expected()) }
}

/// A duration as it would be written: the largest unit that divides it.
pub fn show_duration(d: Duration) -> String {
    let ns = d.as_nanos();
    let units = [
        ("d", 86_400_000_000_000u128),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    match units.iter().find(|(_, unit)| ns != 0 && ns.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ns / unit),
        None if ns == 0 => "0s".to_string(),
        None => format!("{ns}ns"),
    }
}

/// A size for people: two digits after the point at most.
pub fn show_size(bytes: u64) -> String {
    let (name, factor) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..1048576 => ("KiB", 1024.0),
        1048576..1073741824 => ("MiB", 1048576.0),
        _ => ("GiB", 1073741824.0),
    };
    let text = format!("{:.2}", bytes as f64 / factor);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let unit_at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let number = text[..unit_at].parse().ok()?;
    let unit_text = text[unit_at..].trim_start();
    let end = unit_text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit_text.len());
    Some((number, &unit_text[..end], &unit_text[end..]))
}

fn names(units: &[(&str, f64)]) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5 s"), Ok(Duration::from_millis(1500)));
        for bad in ["", "5", "5 parsecs", "s", "-1s", "5s!", "1e9d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(120)), "2m");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("1.5 mb"), Ok(1_500_000));
        for bad in ["64", "64 K", "KiB", "1KiB1B"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(show_size(1536), "1.5 KiB");
    }
}
