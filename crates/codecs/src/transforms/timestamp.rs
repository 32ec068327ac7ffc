//! The Timestamp from a field, in whatever way it is written.
//!
//! For times that the decoder leaves in a field: of another layout, or without an offset in the zone of some machine.

use jiff::Timestamp as Moment;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use message::{Messages, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Clock, Example, Kind, Reject, Stability, Transform, Transformed};

use super::set::place;
use crate::time::{Layout, Recent};

pub const KIND: Kind = Kind::transform("timestamp", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Timestamp::new(o, cx)?)))
    .summary("Reads the Timestamp from a field.")
    .doc(
        "The layouts are tried in their order. A time without an offset is one of the zone: an hour that the zone's clocks skip is moved \
         behind the gap, the first of two equal hours is taken. Zones are those of the system's database, or of the one that comes with \
         the program. The field is removed once it is read; a message without it passes unchanged.",
    )
    .options(&[
        Opt::string("field").required().sample("\"time\"").doc("Field with the time: text, or a number."),
        Opt::strings("layout").default("rfc3339").sample("[\"rfc3339\", \"%d.%m.%Y %H:%M:%S\"]").doc(Layout::DOC),
        Opt::string("zone")
            .default("UTC")
            .sample("\"Europe/Zurich\"")
            .doc("Zone of times without an offset: a name such as \"Europe/Zurich\", or an offset such as \"+02:00\"."),
        Opt::bool("keep").default("false").doc("Keep the field as well."),
        Opt::choice("unreadable", &["keep", "refuse"])
            .default("keep")
            .doc("What becomes of a message whose field is no such time: it stays as it is, or is refused."),
    ])
    .examples(&[
        Example { title: "Local times", toml: "field = \"when\"\nlayout = \"%d.%m.%Y %H:%M:%S\"\nzone = \"Europe/Zurich\"" },
        Example { title: "Seconds or RFC 3339", toml: "field = \"ts\"\nlayout = [\"epoch\", \"rfc3339\"]" },
    ]);

struct Timestamp {
    field: Box<[u8]>,
    /// With whether their times have an offset.
    layouts: Vec<(Layout, bool)>,
    zone: TimeZone,
    keep: bool,
    refuse: bool,
    clock: Clock,
    recent: Recent,
    /// Memory for a number as text.
    text: Vec<u8>,
}

impl Timestamp {
    fn new(o: &Options, cx: &BuildCx) -> Result<Timestamp, Problem> {
        let mut layouts = Vec::new();
        for text in o.strings("layout") {
            let wrong = |e| o.problem("layout", format!("`{text}` is not a layout of timestamps"), e);
            let layout = Layout::parse(text).map_err(wrong)?;
            let has_offset = layout.has_offset();
            layouts.push((layout, has_offset));
        }
        if layouts.is_empty() {
            return Err(o.problem("layout", "`layout` names none", "expected a layout, such as \"rfc3339\""));
        }
        let zone = zone(o.str("zone")).ok_or_else(|| {
            let problem = o.problem("zone", format!("there is no zone `{}`", o.str("zone")), "expected the name of a zone or an offset");
            problem.help("names are those of the IANA database, such as \"Europe/Zurich\" or \"America/New_York\"")
        })?;
        Ok(Timestamp {
            field: o.str("field").as_bytes().into(),
            layouts,
            zone,
            keep: o.bool("keep"),
            refuse: o.str("unreadable") == "refuse",
            clock: cx.clock.clone(),
            recent: Recent::default(),
            text: Vec::new(),
        })
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        let offset = BrokenDownTime::parse("%:z", name).ok()?.offset()?;
        return Some(TimeZone::fixed(offset));
    }
    if name.eq_ignore_ascii_case("utc") { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

/// Nanoseconds since the UNIX epoch of a text in one of the layouts.
fn read(layouts: &[(Layout, bool)], zone: &TimeZone, text: &[u8], now: i64) -> Option<i64> {
    layouts.iter().find_map(|(layout, has_offset)| {
        let ns = layout.read(text, now)?;
        if *has_offset || *zone == TimeZone::UTC {
            return Some(ns);
        }
        // Read as if it were UTC: what its clocks show is what the zone's clocks show.
        let civil = Moment::from_nanosecond(i128::from(ns)).ok()?.to_zoned(TimeZone::UTC).datetime();
        let moment = zone.to_ambiguous_zoned(civil).compatible().ok()?;
        i64::try_from(moment.timestamp().as_nanosecond()).ok()
    })
}

impl Transform for Timestamp {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let Some(nth) = place(raw, messages, index, &self.field, 0) else { return Ok(Transformed::Keep) };
        let value = messages.view(raw, index).fields().nth(nth).and_then(|f| f.value(0));
        self.text.clear();
        let text = match value {
            Some(Value::String(text) | Value::Bytes(text)) => text.trim_ascii(),
            Some(Value::Integer(n)) => number(&mut self.text, n),
            Some(Value::Double(n)) => number(&mut self.text, n),
            Some(Value::Bool(_)) | None => b"",
        };
        let (layouts, zone, clock) = (&self.layouts, &self.zone, &self.clock);
        match self.recent.read(text, |text| read(layouts, zone, text, clock.now())) {
            Some(ns) => {
                messages.message(index).set_timestamp(ns);
                if !self.keep {
                    messages.message(index).remove_field(nth);
                }
            }
            None if self.refuse => {
                let (field, found) = (self.field.escape_ascii(), text[..text.len().min(80)].escape_ascii());
                return Err(Reject::new(format!("`{field}` is `{found}`, expected a time in the `layout`")));
            }
            None => {}
        }
        Ok(Transformed::Keep)
    }
}

fn number(into: &mut Vec<u8>, n: impl std::fmt::Display) -> &[u8] {
    into.extend_from_slice(n.to_string().as_bytes());
    into
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::transforms::tests::{apply, error, try_apply};

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn text(value: &str) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.set_timestamp(7);
            m.add_string(b"when", value.as_bytes());
        }
    }

    /// The Timestamp, and whether the field is still there.
    fn stamped(toml: &str, value: &str) -> (i64, bool) {
        let (batch, _) = apply(&KIND, &format!("field = 'when'\n{toml}"), &[text(value)]);
        (batch.get(0).timestamp(), batch.get(0).fields().count() == 1)
    }

    #[test]
    fn times_are_read_in_layouts_and_zones() {
        assert_eq!(stamped("", "2023-11-14T22:13:20Z"), (NOW, false));
        assert_eq!(stamped("keep = true", " 2023-11-14T22:13:20Z "), (NOW, true));
        let local = "layout = ['epoch', '%d.%m.%Y %H:%M:%S']\n";
        assert_eq!(stamped(&format!("{local}zone = 'Europe/Zurich'"), "14.11.2023 23:13:20"), (NOW, false));
        assert_eq!(stamped(&format!("{local}zone = '-05:30'"), "14.11.2023 16:43:20"), (NOW, false));
        assert_eq!(stamped(&format!("{local}zone = 'Europe/Zurich'"), "1700000000"), (NOW, false));
        assert_eq!(stamped("zone = 'Asia/Tokyo'", "2023-11-14T22:13:20Z"), (NOW, false));
        assert_eq!(stamped("layout = '%Y-%m-%d %H:%M:%S %z'\nzone = 'Asia/Tokyo'", "2023-11-14 22:13:20 +0000"), (NOW, false));
    }

    #[test]
    fn hours_that_are_not_or_twice_are_taken_as_documented() {
        let zurich = "layout = '%Y-%m-%d %H:%M:%S'\nzone = 'Europe/Zurich'";
        let moment = |text: &str| crate::time::parse_rfc3339(text.as_bytes()).unwrap();
        assert_eq!(stamped(zurich, "2023-03-26 02:30:00").0, moment("2023-03-26T01:30:00Z"));
        assert_eq!(stamped(zurich, "2023-10-29 02:30:00").0, moment("2023-10-29T00:30:00Z"));
    }

    #[test]
    fn numbers_are_times_too() {
        let make = |b: &mut BatchBuilder| b.add().add_integer(b"when", NOW / 1_000_000);
        let (batch, _) = apply(&KIND, "field = 'when'\nlayout = 'epoch'", &[make]);
        assert_eq!(batch.get(0).timestamp(), NOW);
        let (batch, _) =
            apply(&KIND, "field = 'when'\nlayout = 'epoch'", &[|b: &mut BatchBuilder| b.add().add_double(b"when", 1_700_000_000.5)]);
        assert_eq!(batch.get(0).timestamp(), NOW + 500_000_000);
    }

    #[test]
    fn what_is_no_time_stays_or_is_refused() {
        assert_eq!(stamped("", "yesterday"), (7, true));
        let refused = try_apply(&KIND, "field = 'when'\nunreadable = 'refuse'", &[text("yesterday")]).unwrap_err();
        assert_eq!(refused, "`when` is `yesterday`, expected a time in the `layout`");
        assert_eq!(apply(&KIND, "field = 'other'\nunreadable = 'refuse'", &[text("x")]).0.len(), 1);
        assert!(error(&KIND, "field = 'a'\nzone = 'Europe/Zurch'").contains("there is no zone `Europe/Zurch`"));
        assert!(error(&KIND, "field = 'a'\nlayout = ['clv']").contains("did you mean \"clf\"?"));
    }

    proptest! {
        #[test]
        fn local_times_are_read_as_an_oracle_writes_them(seconds in 0_i64..4_000_000_000, name in prop::sample::select(&["Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"][..])) {
            let zone = TimeZone::get(name).unwrap();
            let zoned = Moment::from_second(seconds).unwrap().to_zoned(zone.clone());
            let text = zoned.strftime("%Y-%m-%d %H:%M:%S").to_string();
            let (ns, _) = stamped(&format!("layout = '%Y-%m-%d %H:%M:%S'\nzone = '{name}'"), &text);
            // Of two equal hours the first is taken.
            let expected = zone.to_ambiguous_zoned(zoned.datetime()).compatible().unwrap();
            prop_assert_eq!(i128::from(ns), expected.timestamp().as_nanosecond());
            prop_assert!(i128::from(ns) <= zoned.timestamp().as_nanosecond());
        }

        #[test]
        fn nothing_panics(value in prop_oneof![".{0,20}", "[0-9:. +-]{0,30}"]) {
            stamped("layout = ['epoch', 'rfc3164', '%d.%m. %H:%M', '%Y-%m-%d']\nzone = 'Asia/Kolkata'", &value);
        }
    }
}
