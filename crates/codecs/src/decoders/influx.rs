//! Influx line protocol, each field a message.
//!
//! `measurement,tag=value field=1.5,other=2i 1700000000000000000`, as Telegraf and the clients of InfluxDB write it
//! (the line protocol reference of InfluxData). Escapes, text over several lines, types of values and precisions are
//! those of InfluxDB.

mod line;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use message::{Datum, Messages, Text};
use options::{Opt, Options};
use plugin::{DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use self::line::{Lines, Value, Wrong};
use super::samples::{Measure, Samples};
use super::types::excerpt;

pub const KIND: Kind = Kind::decoder("influx", Stability::Stable, |o, _| Ok(Box::new(Influx::new(o))))
    .summary("Reads Influx line protocol, each field a message.")
    .doc(
        "Each field of a line is a message of the Type `metric` with the fields `name` (measurement and field, joined), `value` and `kind`. \
         Floats are doubles, integers stay integers (those without sign that are too large become doubles), booleans are 1 and 0; their `kind` is \
         `gauge`. Text is a string, and its `kind` is `text`. Tags are fields of text; one called `name`, `value`, `kind` or `rate` has `tag_` \
         before its name. A line without a timestamp has that of its arrival. A record of several lines is refused whole when one of them is; \
         where that is not wanted, the splitter `line` makes a record of each, but then text cannot go on over lines.",
    )
    .options(&[
        Opt::choice("precision", &["ns", "n", "us", "u", "ms", "s", "m", "h"])
            .default("ns")
            .doc("Unit of timestamps: nanoseconds (`ns`, `n`), microseconds (`us`, `u`), milliseconds, seconds, minutes or hours."),
        Opt::string("separator").default("_").doc("What joins the names of measurement and field."),
        Opt::choice("text", &["keep", "drop"]).default("keep").doc("What becomes of fields of text; a line of nothing else is refused when they are dropped."),
    ])
    .examples(&[
        Example { title: "Timestamps in seconds", toml: "precision = \"s\"" },
        Example { title: "Numbers only, with dots in their names", toml: "separator = \".\"\ntext = \"drop\"" },
    ]);

#[derive(Debug)]
struct Influx {
    /// Nanoseconds in a unit of timestamps.
    unit: i64,
    separator: Box<[u8]>,
    drop_text: bool,
    samples: Samples,
    /// Keys of the tags of a line.
    keys: Vec<Box<[u8]>>,
}

impl Influx {
    fn new(o: &Options) -> Influx {
        let unit = match o.str("precision") {
            "us" | "u" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => 1,
        };
        let separator = o.str("separator").as_bytes().into();
        Influx { unit, separator, drop_text: o.str("text") == "drop", samples: Samples::new(), keys: Vec::new() }
    }

    fn line<'b>(&mut self, lines: &mut Lines<'b>, record: Record<'b>, out: &mut Messages) -> Result<(), Stop> {
        let measurement = lines.measurement()?.text();
        self.samples.line(out);
        self.keys.clear();
        while let Some((key, value)) = lines.tag()? {
            let (key, value) = (key.text(), stored(value.text(), record, out));
            self.samples.tag(out, &key, value);
            self.keys.push((*key).into());
        }
        self.keys.sort_unstable();
        if let Some(pair) = self.keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Reject::new(format!("the tag {} of {} is there twice", excerpt(&pair[0]), excerpt(&measurement))).into());
        }
        let (first, mut fields) = (out.len(), 0);
        while let Some((key, value)) = lines.field(fields == 0)? {
            fields += 1;
            let (value, measure) = match value {
                Value::Float(n) => (Datum::Double(n), Measure::Gauge),
                Value::Integer(n) => (Datum::Integer(n), Measure::Gauge),
                Value::Unsigned(n) => (i64::try_from(n).map_or(Datum::Double(n as f64), Datum::Integer), Measure::Gauge),
                Value::Bool(b) => (Datum::Integer(i64::from(b)), Measure::Gauge),
                Value::String(_) if self.drop_text => continue,
                Value::String(text) => (Datum::String(stored(text, record, out)), Measure::Text),
            };
            let name = self.samples.name(out, &[&measurement, &self.separator, &key.text()])?;
            self.samples.add(out, name, value, measure)?;
        }
        if let Some(time) = lines.timestamp()? {
            let range = || Reject::new(format!("the timestamp {time} is out of range; the option `precision` says in what unit it is"));
            let time = time.checked_mul(self.unit).ok_or_else(range)?;
            (first..out.len()).for_each(|index| out.message(index).set_timestamp(time));
        }
        if out.len() == first { Err(Reject::new("found fields of text only, which `text = \"drop\"` leaves out").into()) } else { Ok(()) }
    }
}

/// Why reading ends early.
enum Stop {
    Wrong(Wrong),
    Refused(Reject),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Stop {
        Stop::Wrong(wrong)
    }
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Stop {
        Stop::Refused(reject)
    }
}

fn stored(text: Cow<'_, [u8]>, record: Record<'_>, out: &mut Messages) -> Text {
    match text {
        Cow::Borrowed(text) => record.text(text),
        Cow::Owned(text) => out.store(&text),
    }
}

impl Decoder for Influx {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        self.samples.begin(record.bytes().len());
        let before = out.len();
        let mut lines = Lines::new(record.bytes());
        while lines.begin() {
            self.line(&mut lines, record, out).map_err(|stop| match stop {
                Stop::Wrong(wrong) => Reject::new(wrong.describe(record.bytes())),
                Stop::Refused(reject) => reject,
            })?;
        }
        if out.len() == before {
            return Err(Reject::new("found nothing but comments and blanks, expected `measurement field=value`"));
        }
        Ok(())
    }
}
