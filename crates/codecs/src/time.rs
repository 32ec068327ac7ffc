//! Timestamps of log lines, to and from nanoseconds since the UNIX epoch.
//!
//! What stands on nearly every line (RFC 3339, Common Log Format, BSD syslog, numbers) is read and
//! written by hand, in a few nanoseconds; anything else by a [`Layout`] in the manner of `strftime`.

mod civil;
mod layout;
mod read;
mod write;

pub use layout::Layout;
pub use read::{epoch, parse_clf, parse_rfc3164, parse_rfc3339};
pub use write::write_rfc3339;

/// The text and moment that was read last. Log lines come many to a second, so that most of their
/// timestamps are the same bytes as on the line before.
#[derive(Clone, Default, Debug)]
pub struct Recent {
    text: [u8; 32],
    len: usize,
    ns: i64,
}

impl Recent {
    /// The moment of `text`: the one remembered, or what `parse` makes of it. `parse` must depend on
    /// nothing else.
    #[inline]
    pub fn read(&mut self, text: &[u8], parse: impl FnOnce(&[u8]) -> Option<i64>) -> Option<i64> {
        if text == &self.text[..self.len] && self.len > 0 {
            return Some(self.ns);
        }
        let ns = parse(text)?;
        if let Some(into) = self.text.get_mut(..text.len()) {
            into.copy_from_slice(text);
            (self.len, self.ns) = (text.len(), ns);
        }
        Some(ns)
    }
}

#[cfg(test)]
mod tests {
    use jiff::fmt::strtime;
    use jiff::tz::{Offset, TimeZone};
    use jiff::{Timestamp, Zoned};
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn zoned(ns: i64, offset_minutes: i32) -> Zoned {
        let offset = Offset::from_seconds(offset_minutes * 60).unwrap();
        Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_zoned(TimeZone::fixed(offset))
    }

    fn written(ns: i64, digits: usize) -> String {
        let mut out = Vec::new();
        write_rfc3339(ns, digits, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Times within what both sides can hold, a day from the ends because of offsets.
    fn any_ns() -> impl Strategy<Value = i64> {
        prop_oneof![i64::MIN + 86_400 * SECOND..i64::MAX - 86_400 * SECOND, 0..4_000_000_000 * SECOND]
    }

    proptest! {
        #[test]
        fn rfc3339_is_read_as_an_oracle_writes_it(ns in any_ns(), offset in -1439..1440, digits in 0_usize..10, colon: bool, space: bool) {
            let ns = if digits == 0 { ns.div_euclid(SECOND) * SECOND } else { let unit = 10_i64.pow(9 - digits as u32); ns.div_euclid(unit) * unit };
            let fraction = if digits == 0 { String::new() } else { format!("%.{digits}f") };
            let format = format!("%Y-%m-%d{}%H:%M:%S{fraction}{}", if space { ' ' } else { 'T' }, if colon { "%:z" } else { "%z" });
            let text = strtime::format(&format, &zoned(ns, offset)).unwrap();
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), Some(ns), "{}", text);
        }

        #[test]
        fn rfc3339_is_written_as_the_oracle_writes_it(ns in any_ns(), digits in 1_usize..10) {
            let expected = strtime::format(format!("%Y-%m-%dT%H:%M:%S%.{digits}fZ"), &zoned(ns, 0)).unwrap();
            prop_assert_eq!(written(ns, digits), expected);
            prop_assert_eq!(parse_rfc3339(written(ns, 9).as_bytes()), Some(ns));
        }

        #[test]
        fn clf_is_read_as_an_oracle_writes_it(seconds in -8_000_000_000_i64..8_000_000_000, offset in -1439..1440) {
            let text = strtime::format("%d/%b/%Y:%H:%M:%S %z", &zoned(seconds * SECOND, offset)).unwrap();
            prop_assert_eq!(parse_clf(text.as_bytes()), Some(seconds * SECOND), "{}", text);
        }

        #[test]
        fn syslog_times_are_near_now(seconds in 0_i64..4_000_000_000, age in -80_000_i64..30_000_000) {
            let (ns, now) = (seconds * SECOND, (seconds + age) * SECOND);
            let text = strtime::format("%b %e %H:%M:%S", &zoned(ns, 0)).unwrap();
            prop_assert_eq!(parse_rfc3164(text.as_bytes(), now), Some(ns), "{}", text);
        }

        #[test]
        fn numbers_are_read_in_the_unit_their_digits_tell(ns in 1_000_000_000 * SECOND..9_000_000_000 * SECOND) {
            prop_assert_eq!(epoch(ns.to_string().as_bytes()), Some(ns));
            prop_assert_eq!(epoch((ns / 1000).to_string().as_bytes()), Some(ns / 1000 * 1000));
            prop_assert_eq!(epoch((ns / 1_000_000).to_string().as_bytes()), Some(ns / 1_000_000 * 1_000_000));
            let with_decimals = format!("{}.{:09}", ns / SECOND, ns % SECOND);
            prop_assert_eq!(epoch(with_decimals.as_bytes()), Some(ns));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"0123456789-+:/ TZ.Oct"[..])], 0..40), now: i64) {
            parse_rfc3339(&text);
            parse_clf(&text);
            parse_rfc3164(&text, now);
            epoch(&text);
            written(now, 9);
        }

        #[test]
        fn a_changed_byte_is_never_read_as_the_remembered_time(a in 0_i64..100_000, b in 0_i64..100_000) {
            let mut recent = Recent::default();
            for seconds in [a, a, b, a, b] {
                let text = strtime::format("%d/%b/%Y:%H:%M:%S %z", &zoned(seconds * SECOND, 60)).unwrap();
                prop_assert_eq!(recent.read(text.as_bytes(), parse_clf), Some(seconds * SECOND));
            }
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        let bad = ["", "2023-11-14", "2023-02-29T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T22:13:20", "2023-11-14T22:13:20.Z"];
        let worse = ["2023-11-14T22:13:20.1234567890Z", "2023-11-14T22:13:20Z ", "2023-11-14T22:13:20+1:00", "9999-01-01T00:00:00Z"];
        for text in bad.iter().chain(&worse) {
            assert_eq!(parse_rfc3339(text.as_bytes()), None, "{text}");
        }
        for text in ["14/Nov/2023:22:13:20", "14/Nox/2023:22:13:20 +0000", "31/Nov/2023:22:13:20 +0000", "14/Nov/2023:22:13:20 00000"] {
            assert_eq!(parse_clf(text.as_bytes()), None, "{text}");
        }
        for text in ["", "-", ".5", "1.", "1.x", "99999999999999999999", "0x1"] {
            assert_eq!(epoch(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_year_that_is_not_written_is_the_last_one_that_fits() {
        let now = parse_rfc3339(b"2024-01-01T00:00:30Z").unwrap();
        let read = |text: &str| written(parse_rfc3164(text.as_bytes(), now).unwrap(), 0);
        assert_eq!(read("Dec 31 23:59:59"), "2023-12-31T23:59:59Z");
        assert_eq!(read("Jan  1 00:01:00"), "2024-01-01T00:01:00Z");
        assert_eq!(read("Feb 29 12:00:00"), "2020-02-29T12:00:00Z");
        let layout = Layout::parse("%d.%m. %H:%M:%S").unwrap();
        assert_eq!(written(layout.read(b"31.12. 23:59:59", now).unwrap(), 0), "2023-12-31T23:59:59Z");
    }

    #[test]
    fn layouts_have_names_or_are_formats() {
        let ns = 1_700_000_000 * SECOND;
        let read = |layout: &str, text: &str| Layout::parse(layout).unwrap().read(text.as_bytes(), ns);
        assert_eq!(read("clf", "14/Nov/2023:22:13:20 +0000"), Some(ns));
        assert_eq!(read("%d/%b/%Y:%H:%M:%S %z", "14/Nov/2023:23:13:20 +0100"), Some(ns));
        assert_eq!(read("%Y-%m-%d %H:%M:%S,%3f", "2023-11-14 22:13:20,250"), Some(ns + 250_000_000));
        assert_eq!(read("%s", "1700000000"), Some(ns));
        assert_eq!(read("epoch_ms", "1700000000000.5"), Some(ns + 500_000));
        assert_eq!(read("epoch_ms", "soon"), None);
        assert_eq!(Layout::parse("rfc339").unwrap_err(), "no such layout; did you mean \"rfc3339\"?");
        assert!(Layout::parse("%H:%M").unwrap_err().contains("cannot be read back"));
        assert!(Layout::parse("%Y-%J").is_err());
    }
}
