//! So much and no more of what one source sends: what is too much is dropped before anyone sees it.
//!
//! A bucket of tokens for each key: it fills up at the rate that is allowed, and a message takes a
//! token out. Over any time t, no more than `burst` + rate · t passes. Each input has buckets of its
//! own, and they begin full, so after a restart a burst may pass again.
//!
//! It loses messages on purpose. Where they should wait instead, a slow output does that by itself.

use std::path::PathBuf;
use std::rc::Rc;

use matcher::Parts;
use message::{Datum, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, Example, Gauge, Kind, Reject, Scripted, Stability, Transform, Transformed};

use super::bounds::{some_time, within};
use super::moment::{Moment, TIME};
use super::recent::Recent;
use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("throttle", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Throttle::new(o, cx)?)))
    .summary("Lets so many messages or bytes pass in a time, and drops the rest.")
    .doc(
        "Lets pass up to `events` messages and `bytes` bytes in every time of length `every`, and up to `burst` and `burst_bytes` at once after a \
         quiet time. With `by`, each combination of values has limits of its own; when `max_keys` are known, the one that was not seen for the \
         longest time is forgotten, and begins anew when it comes again. Dropped messages are counted as such. A message that is larger than \
         `burst_bytes` never passes. A message's bytes are its payload and its fields and 96 more.",
    )
    .options(&[
        Opt::integer("events").sample("100").doc("Messages that may pass in `every`."),
        Opt::size("bytes").sample("\"1MiB\"").doc("Bytes that may pass in `every`."),
        Opt::duration("every").default("1s").doc("The time that `events` and `bytes` are for."),
        Opt::integer("burst").sample("500").doc("Messages that may pass at once. Default: `events`."),
        Opt::size("burst_bytes").sample("\"4MiB\"").doc("Bytes that may pass at once. Default: `bytes`."),
        Opt::strings("by").sample("[\"Hostname\", \"service\"]").doc("Headers or fields; each combination of their values is limited apart."),
        Opt::integer("max_keys").default("10000").doc("Most combinations that are remembered, some 200 bytes each with their values."),
        Opt::string("count_field")
            .sample("\"throttled\"")
            .doc("Field that tells, in the next message of the same key that passes, how many were dropped before it. Default: none."),
        TIME,
    ])
    .examples(&[
        Example { title: "A chatty host cannot drown the others", toml: "by = [\"Hostname\"]\nevents = 1000\nburst = 5000" },
        Example { title: "Bytes a day", toml: "by = [\"service\"]\nbytes = \"1GiB\"\nevery = \"1d\"\ncount_field = \"throttled\"" },
    ]);

/// Most bytes of one value that tell it from others.
const LONGEST: usize = 256;

struct Throttle {
    limits: [Option<Limit>; 2],
    every: i64,
    by: Parts,
    max_keys: usize,
    count_field: Option<usize>,
    constants: Constants,
    moment: Moment,
    buckets: Recent<Rc<[u8]>, Bucket>,
    most: usize,
    evicted: u64,
    key: Vec<u8>,
}

/// Tokens that come in `every`, and those a bucket holds.
#[derive(Clone, Copy)]
struct Limit {
    rate: f64,
    burst: f64,
}

struct Bucket {
    /// Messages and bytes that may pass now.
    tokens: [f64; 2],
    /// When that was so.
    at: i64,
    dropped: u64,
}

impl Throttle {
    fn new(o: &Options, cx: &BuildCx) -> Result<Throttle, Problem> {
        let number = |name| o.get_integer(name).map(|_| within(o, name, 1, i64::MAX)).transpose();
        let size = |name| match o.get_size(name) {
            Some(0) => Err(o.problem(name, format!("`{name}` is out of range"), "found no bytes at all, expected something like \"1MiB\"")),
            bytes => Ok(bytes),
        };
        let limits = [limit(number("events")?, number("burst")?), limit(size("bytes")?, size("burst_bytes")?)];
        for (limit, burst, rate) in [(limits[0], "burst", "events"), (limits[1], "burst_bytes", "bytes")] {
            if limit.is_none() && o.has(burst) {
                return Err(o.problem(burst, format!("`{burst}` without `{rate}`"), format!("expected `{rate}` beside it")));
            }
        }
        if limits.iter().all(Option::is_none) {
            return Err(Problem::new("this transform limits nothing").at(o.at(), "expected `events` or `bytes`"));
        }
        let mut constants = Constants::new();
        let count_field = o.get_str("count_field").filter(|f| !f.is_empty()).map(|f| constants.add(f.as_bytes()));
        Ok(Throttle {
            limits,
            every: some_time(o, "every")?,
            by: Parts::new(o.strings("by")),
            max_keys: within(o, "max_keys", 1, 10_000_000)? as usize,
            count_field,
            constants,
            moment: Moment::new(o, &cx.clock),
            buckets: Recent::new(),
            most: 0,
            evicted: 0,
            key: Vec::new(),
        })
    }

    /// The bucket of the key at hand, with the tokens it has now.
    fn bucket(&mut self, now: i64) -> &mut Bucket {
        let full = self.limits.map(|l| l.map_or(0.0, |l| l.burst));
        if !self.buckets.contains(&self.key[..]) {
            if self.buckets.len() >= self.max_keys {
                self.buckets.pop_oldest();
                self.evicted += 1;
            }
            self.buckets.push(Rc::from(&self.key[..]), Bucket { tokens: full, at: now, dropped: 0 });
            self.most = self.most.max(self.buckets.len());
        }
        let Some(bucket) = self.buckets.using(&self.key[..]) else { unreachable!("it is there by now") };
        let passed = now.saturating_sub(bucket.at) as f64 / self.every as f64;
        for (tokens, limit) in bucket.tokens.iter_mut().zip(&self.limits) {
            *tokens = limit.map_or(0.0, |limit| (*tokens + limit.rate * passed).min(limit.burst));
        }
        bucket.at = now;
        bucket
    }
}

fn limit(rate: Option<u64>, burst: Option<u64>) -> Option<Limit> {
    rate.map(|rate| Limit { rate: rate as f64, burst: burst.unwrap_or(rate) as f64 })
}

impl Transform for Throttle {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let m = messages.view(raw, index);
        self.by.key(m, LONGEST, &mut self.key);
        let (now, wanted, limits) = (self.moment.at(m), [1.0, m.size() as f64], self.limits);
        let bucket = self.bucket(now);
        if (0..2).any(|i| limits[i].is_some() && bucket.tokens[i] < wanted[i]) {
            bucket.dropped += 1;
            return Ok(Transformed::Drop);
        }
        (0..2).filter(|i| limits[*i].is_some()).for_each(|i| bucket.tokens[i] -= wanted[i]);
        let dropped = std::mem::take(&mut bucket.dropped);
        if let (Some(field), 1..) = (self.count_field, dropped) {
            let name = self.constants.texts(messages)[field];
            messages.message(index).add(name, Datum::Integer(i64::try_from(dropped).unwrap_or(i64::MAX)));
        }
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It has no file and hands no state on, but its limit can be looked at.
impl Scripted for Throttle {
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn gauges(&self) -> Vec<Gauge> {
        let cap = self.max_keys as u64;
        vec![
            Gauge { name: "max_keys", unit: "keys", current: self.buckets.len() as u64, max: self.most as u64, cap },
            Gauge { name: "evicted", unit: "keys", current: self.evicted, max: self.evicted, cap: u64::MAX },
        ]
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<Carried, String> {
        Ok(Carried::default())
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn of(host: u8, at: i64) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.set_hostname(&[b'a' + host]);
            m.set_timestamp(at);
            m.set_payload(&[b'x'; 4]);
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let messages: Vec<_> = [0, 0, 0, 0, 500_000_000, 500_000_001, 1_000_000_000].map(|at| of(0, at)).into();
        let (batch, dropped) = apply(&KIND, "events = 2\nburst = 3\ntime = 'message'\ncount_field = 'lost'", &messages);
        let lost: Vec<_> = batch.iter().map(|m| m.value(b"lost", 0, 0)).collect();
        assert_eq!((dropped, lost), (2, vec![None, None, None, Some(Value::Integer(1)), Some(Value::Integer(1))]));
    }

    #[test]
    fn keys_have_limits_of_their_own_and_the_oldest_is_forgotten() {
        let kept = |toml: &str, hosts: &[u8]| {
            let messages: Vec<_> = hosts.iter().map(|h| of(*h, 0)).collect();
            let (batch, _) = apply(&KIND, toml, &messages);
            batch.iter().map(|m| m.hostname()[0] - b'a').collect::<Vec<_>>()
        };
        assert_eq!(kept("events = 1\nby = 'Hostname'", &[0, 1, 0, 1, 2]), [0, 1, 2]);
        assert_eq!(kept("events = 1\nby = 'Hostname'\nmax_keys = 2", &[0, 1, 0, 2, 0, 1]), [0, 1, 2, 1]);
        assert_eq!(kept("events = 1", &[0, 1]), [0]);
        // One is 100 bytes.
        assert_eq!(kept("bytes = '250B'", &[0, 1, 2]), [0, 1]);
        assert!(kept("bytes = '99B'", &[0, 1, 2]).is_empty());
    }

    #[test]
    fn its_keys_are_counted() {
        let mut throttle = testkit::plugins::transform(&KIND, "events = 1\nby = 'Hostname'\nmax_keys = 2").unwrap();
        let mut b = BatchBuilder::default();
        for (index, host) in [0, 1, 0, 2].into_iter().enumerate() {
            of(host, 0)(&mut b);
            let (raw, messages) = b.parts();
            throttle.transform(raw, messages, index).unwrap();
        }
        let gauges = throttle.script().unwrap().gauges();
        let numbers: Vec<_> = gauges.iter().map(|g| (g.name, g.current, g.max)).collect();
        assert_eq!((numbers, gauges[0].cap), (vec![("max_keys", 2, 2), ("evicted", 1, 1)], 2));
    }

    #[test]
    fn bad_limits_are_told() {
        assert!(error(&KIND, "").contains("limits nothing"));
        assert!(error(&KIND, "events = 0").contains("expected 1 to"));
        assert!(error(&KIND, "events = 1\nburst_bytes = '1B'").contains("`burst_bytes` without `bytes`"));
        assert!(error(&KIND, "events = 1\nevery = '0s'").contains("no time at all"));
    }

    proptest! {
        #[test]
        fn no_more_passes_than_a_burst_and_the_rate(
            steps in proptest::collection::vec((0_i64..400, 0_u8..3), 1..200), events in 1_u32..5, burst in 1_u32..9, every in 1_i64..2000,
        ) {
            let mut at = 0;
            let messages: Vec<_> = steps.iter().map(|(step, host)| { at += step * 1_000_000; of(*host, at) }).collect();
            let toml = format!("events = {events}\nburst = {burst}\nevery = '{every}ms'\nby = 'Hostname'\ntime = 'message'");
            let (batch, dropped) = apply(&KIND, &toml, &messages);
            prop_assert_eq!(batch.len() + dropped, steps.len());
            for host in b'a'..b'd' {
                let passed: Vec<i64> = batch.iter().filter(|m| m.hostname() == [host]).map(|m| m.timestamp()).collect();
                for (i, from) in passed.iter().enumerate() {
                    for (j, to) in passed.iter().enumerate().skip(i) {
                        let allowed = f64::from(burst) + f64::from(events) * (to - from) as f64 / (every * 1_000_000) as f64;
                        prop_assert!((j - i + 1) as f64 <= allowed + 1e-6, "{} in {}", j - i + 1, to - from);
                    }
                }
            }
        }
    }
}
