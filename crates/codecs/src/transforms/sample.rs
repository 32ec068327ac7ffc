//! One message out of many, where all are too many and a few tell enough.
//!
//! With `by`, all messages of one request, user or trace share one fate, on every host and after
//! every restart: the decision is a hash (XXH3, 64 bits) of the key and nothing else. Without a key
//! it is drawn by lot.

use std::hash::{BuildHasher, RandomState};

use matcher::{Matcher, Parts, condition};
use message::{Datum, Header, Messages, Text, Value};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};
use twox_hash::XxHash3_64;

use super::bounds::within;
use super::set::place;
use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("sample", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Sample::new(o)?)))
    .summary("Lets one in so many messages pass, all of a key or none.")
    .doc(
        "Keeps one in `one_in` messages, or a `fraction` of them, and drops and counts the others. With `by`, messages with the same values are \
         all kept or all dropped, on every host alike; one that has none of these, and any without `by`, is decided by the Uuid that a sender gave it, or \
         by lot. Messages that match `keep` always pass. What passes says in `sample_rate` how many messages it stands for, so that sums can be scaled up: the rate \
         it had before, times this one; those that match `keep` stand for themselves.",
    )
    .options(&[
        Opt::integer("one_in").sample("10").doc("Of so many messages one is kept."),
        Opt::float("fraction").sample("0.05").doc("The part of the messages that is kept, above 0 and up to 1. This or `one_in`."),
        Opt::strings("by").sample("[\"trace_id\"]").doc("Headers or fields that decide. Default: the Uuid, or a lot."),
        Opt::matcher("keep").sample("'Severity <= 3'").doc("Which messages always pass."),
        Opt::string("rate_field").default("sample_rate").doc("Field for the number of messages that one stands for; empty: none."),
    ])
    .examples(&[
        Example {
            title: "One request in ten whole, and every error",
            toml: "one_in = 10\nby = [\"request_id\"]\nkeep = 'Severity <= 3 || Fields[status] >= 500'",
        },
        Example { title: "A few of many", toml: "fraction = 0.001" },
    ]);

struct Sample {
    rate: Datum,
    /// Hashes up to this one are kept.
    last: u64,
    by: Parts,
    /// The Uuid is a part of the key.
    by_uuid: bool,
    keep: Option<Matcher>,
    rate_field: String,
    constants: Constants,
    key: Vec<u8>,
    /// What lots are drawn from, and how many were drawn.
    lots: (RandomState, u64),
}

impl Sample {
    fn new(o: &Options) -> Result<Sample, Problem> {
        let (fraction, rate) = match (o.get_integer("one_in"), o.get_float("fraction")) {
            (Some(n), None) => (1.0 / within(o, "one_in", 1, 1 << 40)? as f64, Datum::Integer(n)),
            (None, Some(f)) if f > 0.0 && f <= 1.0 && f.recip().is_finite() => (f, Datum::Double(f.recip())),
            (None, Some(f)) => {
                return Err(o.problem("fraction", "`fraction` is out of range", format!("found {f}, expected more than 0, up to 1")));
            }
            (Some(_), Some(_)) => return Err(o.problem("fraction", "`one_in` and `fraction` say the same", "expected one of them")),
            (None, None) => return Err(Problem::new("this transform keeps everything").at(o.at(), "expected `one_in` or `fraction`")),
        };
        let by = Parts::new(o.strings("by"));
        let by_uuid = by.iter().any(|part| part.header() == Some(Header::Uuid));
        let mut constants = Constants::new();
        constants.add(o.str("rate_field").as_bytes());
        Ok(Sample {
            rate,
            last: (fraction * u64::MAX as f64) as u64,
            by_uuid,
            by,
            keep: condition(o, "keep")?,
            rate_field: o.str("rate_field").to_string(),
            constants,
            key: Vec::new(),
            lots: (RandomState::new(), 0),
        })
    }

    /// The number that decides, spread evenly.
    fn number(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> u64 {
        let own_uuid = messages.message(index).has_uuid();
        let m = messages.view(raw, index);
        if self.by.key(m, usize::MAX, &mut self.key) && (own_uuid || !self.by_uuid) {
            XxHash3_64::oneshot(&self.key)
        } else if own_uuid {
            XxHash3_64::oneshot(&m.uuid().0)
        } else {
            self.lots.1 += 1;
            self.lots.0.hash_one(self.lots.1)
        }
    }

    /// Tells how many messages this one stands for.
    fn tell(&mut self, rate: Datum, raw: &[u8], messages: &mut Messages, index: usize) {
        if self.rate_field.is_empty() {
            return;
        }
        let Some(at) = place(raw, messages, index, self.rate_field.as_bytes(), 0) else {
            let name = self.constants.texts(messages)[0];
            messages.message(index).add(name, rate);
            return;
        };
        let before = messages.view(raw, index).fields().nth(at).and_then(|f| f.value(0));
        let rate = match (before, rate) {
            (Some(Value::Integer(a)), Datum::Integer(b)) if a > 0 => Datum::Integer(a.saturating_mul(b)),
            (Some(Value::Integer(a)), Datum::Double(b)) if a > 0 => Datum::Double(a as f64 * b),
            (Some(Value::Double(a)), Datum::Integer(b)) if a > 0.0 => Datum::Double(a * b as f64),
            (Some(Value::Double(a)), Datum::Double(b)) if a > 0.0 => Datum::Double(a * b),
            _ => rate,
        };
        let mut m = messages.message(index);
        m.set_field_values(at, rate.type_(), &[rate]);
        m.set_field_representation(at, Text::NONE);
    }
}

impl Transform for Sample {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        if self.keep.as_ref().is_some_and(|keep| keep.matches(messages.view(raw, index))) {
            self.tell(Datum::Integer(1), raw, messages, index);
            return Ok(Transformed::Keep);
        }
        if self.number(raw, messages, index) > self.last {
            return Ok(Transformed::Drop);
        }
        self.tell(self.rate, raw, messages, index);
        Ok(Transformed::Keep)
    }
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn requests() -> Vec<impl Fn(&mut BatchBuilder)> {
        (0..3000_i64)
            .map(|n| {
                move |b: &mut BatchBuilder| {
                    let mut m = b.add();
                    m.set_severity(if n % 7 == 0 { 3 } else { 6 });
                    m.add_integer(b"request", n / 3);
                    if n % 2 == 0 {
                        m.add_integer(b"sample_rate", 5);
                    }
                }
            })
            .collect()
    }

    /// Requests that passed, in order, and what their messages stand for altogether.
    fn passed(toml: &str) -> (Vec<i64>, f64) {
        let (batch, _) = apply(&KIND, toml, &requests());
        let integer = |v: Option<Value<'_>>| v.and_then(Value::as_f64).unwrap_or(f64::NAN);
        let ids = batch.iter().map(|m| integer(m.value(b"request", 0, 0)) as i64).collect();
        (ids, batch.iter().map(|m| integer(m.value(b"sample_rate", 0, 0))).sum())
    }

    #[test]
    fn all_of_a_key_or_none_and_always_the_same() {
        let (ids, stands_for) = passed("one_in = 4\nby = 'request'");
        assert_eq!((ids.clone(), stands_for), passed("one_in = 4\nby = ['Fields[request]']"));
        assert!(ids.chunks(3).all(|c| c[0] == c[1] && c[1] == c[2]), "whole requests");
        // 3000 messages, half of which stood for five already.
        assert!((600..900).contains(&ids.len()) && (7000.0..11000.0).contains(&stands_for), "{} {stands_for}", ids.len());
        // A stricter sample is a part of a looser one.
        let (fewer, _) = passed("fraction = 0.125\nby = 'request'");
        assert!(!fewer.is_empty() && fewer.iter().all(|id| ids.contains(id)));
        assert_eq!(passed("fraction = 1.0").0.len(), 3000);
        let (other, _) = passed("one_in = 4\nby = 'nothing'");
        assert!((600..900).contains(&other.len()), "by lot: {}", other.len());
    }

    /// The decision is a promise over versions and machines.
    #[test]
    fn the_hash_is_what_it_was() {
        assert_eq!(passed("one_in = 200\nby = 'request'").0.iter().step_by(3).take(4).collect::<Vec<_>>(), [&28, &42, &722, &779]);
    }

    #[test]
    fn what_matches_keep_is_never_sampled() {
        let (batch, dropped) = apply(&KIND, "one_in = 1000000000\nkeep = 'Severity < 4'\nrate_field = 'n'", &requests());
        assert_eq!(batch.len() + dropped, 3000);
        assert!(batch.len() >= 429 && batch.iter().all(|m| m.severity() == 3 && m.value(b"n", 0, 0) == Some(Value::Integer(1))));
    }

    #[test]
    fn bad_rates_are_told() {
        assert!(error(&KIND, "").contains("keeps everything"));
        assert!(error(&KIND, "one_in = 0").contains("expected 1 to"));
        assert!(error(&KIND, "fraction = 1.5").contains("up to 1"));
        assert!(error(&KIND, "fraction = nan").contains("up to 1"));
        assert!(error(&KIND, "one_in = 2\nfraction = 0.5").contains("say the same"));
        assert!(error(&KIND, "one_in = 2\nkeep = 'Tpye == 1'").contains("malformed matcher"));
    }
}
