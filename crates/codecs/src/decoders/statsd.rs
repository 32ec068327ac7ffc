//! Lines of StatsD, each value a message.
//!
//! For samples that came another way than to the `statsd` input (from a log, through Kafka), or
//! that shall be seen one by one; the filter `statsd_aggregate` adds the messages up. A flood of
//! samples is cheaper in the input, which adds up in place.
//!
//! A record is refused whole when one of its values is, so records should be single lines.

use message::{Datum, Messages, Text};
use metrics::{Dialect, Measure, Sample, statsd};
use plugin::{DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use crate::constants::Constants;

pub const KIND: Kind = Kind::decoder("statsd", Stability::Stable, |o, _| Ok(Box::new(Statsd::new(Dialect::read(o)))))
    .summary("Reads lines of StatsD and DogStatsD, each value a message.")
    .doc(
        "Messages have the Type `statsd` and the Fields `name`, `value` (a number; for a set the member as a string), `kind` \
         (`counter`, `gauge`, `gauge_delta`, `timer` or `set`) and `rate`; every tag is a field, one of a name just listed with \
         `tag_` before it, one without a value is `true`. Names stay as they were sent; statsd_aggregate cleans them. Events and \
         service checks are rejected.",
    )
    .options(&[Dialect::OPTION])
    .examples(&[Example { title: "Histograms and distributions of DogStatsD", toml: r#"dialect = "dogstatsd""# }]);

#[derive(Debug)]
struct Statsd {
    dialect: Dialect,
    constants: Constants,
}

/// Fields that one record may make: each of its values is given all tags, which would otherwise make
/// gigabytes of a megabyte. A datagram of 64 KiB full of short lines makes 44 thousand.
const MAX_FIELDS: usize = 1 << 18;

/// The constants, in the order they are stored.
const WORDS: [&[u8]; 11] =
    [b"statsd", b"name", b"value", b"kind", b"rate", b"true", b"counter", b"gauge", b"gauge_delta", b"timer", b"set"];

impl Statsd {
    fn new(dialect: Dialect) -> Statsd {
        let mut constants = Constants::new();
        WORDS.iter().for_each(|word| {
            constants.add(word);
        });
        Statsd { dialect, constants }
    }
}

impl Decoder for Statsd {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        let mut refused = None;
        let (mut any, mut fields) = (false, 0);
        let words = self.constants.texts(out);
        for line in statsd::lines(record.bytes()) {
            statsd::parse(line, self.dialect, &mut |sample| match sample {
                Ok(_) if fields > MAX_FIELDS => {
                    refused.get_or_insert_with(|| format!("not taken: its values and tags make more than {MAX_FIELDS} fields"));
                }
                Ok(sample) => {
                    any = true;
                    fields += add(out, record, &sample, words);
                }
                Err(malformed) => {
                    refused.get_or_insert_with(|| format!("not a line of StatsD: {malformed}: {}", excerpt(line)));
                }
            });
        }
        match refused {
            Some(why) => Err(Reject::new(why)),
            None if any => Ok(()),
            None => Err(Reject::new("not a line of StatsD: found an empty record, expected `name:value|type`")),
        }
    }
}

/// Adds the sample's message. Returns the number of its fields.
fn add(out: &mut Messages, record: Record<'_>, sample: &Sample<'_>, words: &[Text]) -> usize {
    let [type_, name, value, kind, rate, unvalued] = [0, 1, 2, 3, 4, 5].map(|i| words[i]);
    let kind_word = words[WORDS.iter().position(|word| *word == sample.measure.kind().as_bytes()).unwrap_or_default()];
    let mut m = out.add();
    m.set_type_text(type_);
    m.add(name, Datum::String(record.text(sample.name)));
    let measured = match sample.measure {
        Measure::Counter(n) | Measure::Gauge(n) | Measure::GaugeDelta(n) | Measure::Timer(n) => Datum::Double(n),
        // What stands for an empty member is no part of the record.
        Measure::Set(b"0") => Datum::String(m.messages().store(b"0")),
        Measure::Set(member) => Datum::String(record.text(member)),
    };
    m.add(value, measured);
    m.add(kind, Datum::String(kind_word));
    m.add(rate, Datum::Double(sample.rate));
    for (tag, text) in metrics::tags(sample.tags) {
        let tag = match metrics::is_reserved(tag) {
            true => m.messages().store(&[b"tag_", tag].concat()),
            false => record.text(tag),
        };
        m.add(tag, Datum::String(text.map_or(unvalued, |text| record.text(text))));
    }
    m.field_count()
}

fn excerpt(line: &[u8]) -> String {
    line[..line.len().min(80)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::Value;
    use testkit::plugins::{decode, decoder};

    #[test]
    fn every_value_is_a_message_with_its_tags() {
        let mut statsd = decoder(&KIND, "").unwrap();
        let (batch, rejects) = decode(&mut *statsd, &[b"a b:1:2|ms|@0.5|#host:h1,canary,name:x\n", b"u:|s", b"g:-3|g"]);
        assert_eq!(rejects, [""; 0]);
        assert_eq!(batch.len(), 4);
        let m = batch.get(1);
        assert_eq!(m.type_(), b"statsd");
        let fields: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
        assert_eq!(
            fields,
            [
                (&b"name"[..], Value::String(b"a b")),
                (b"value", Value::Double(2.0)),
                (b"kind", Value::String(b"timer")),
                (b"rate", Value::Double(0.5)),
                (b"host", Value::String(b"h1")),
                (b"canary", Value::String(b"true")),
                (b"tag_name", Value::String(b"x")),
            ]
        );
        assert_eq!(batch.get(2).value(b"value", 0, 0), Some(Value::String(b"0")));
        assert_eq!(batch.get(3).value(b"kind", 0, 0), Some(Value::String(b"gauge_delta")));
    }

    #[test]
    fn many_values_with_many_tags_do_not_multiply() {
        let mut statsd = decoder(&KIND, "").unwrap();
        let line = |values: usize, tags: usize| format!("a:{}1|ms|#{}", "1:".repeat(values), "t,".repeat(tags));
        let (batch, rejects) = decode(&mut *statsd, &[line(100, 100).as_bytes()]);
        assert_eq!((batch.len(), rejects.len()), (101, 0));
        let (batch, rejects) = decode(&mut *statsd, &[line(5000, 5000).as_bytes()]);
        assert_eq!((batch.len(), &*rejects[0]), (0, "not taken: its values and tags make more than 262144 fields"));
    }

    #[test]
    fn refused_lines_say_why_and_where() {
        let mut statsd = decoder(&KIND, "dialect = 'dogstatsd'").unwrap();
        let (batch, rejects) = decode(&mut *statsd, &[b"a:x|c", b"", b"a:1|h", b"a:1|q", b"a:1|c:y|c"]);
        assert_eq!(batch.len(), 1);
        assert_eq!(
            rejects,
            [
                "not a line of StatsD: expected a number at byte 2: a:x|c",
                "not a line of StatsD: found an empty record, expected `name:value|type`",
                "not a line of StatsD: unknown type; expected `c`, `g`, `ms`, `h`, `d` or `s` at byte 4: a:1|q",
                "not a line of StatsD: expected a number at byte 6: a:1|c:y|c",
            ]
        );
    }
}
