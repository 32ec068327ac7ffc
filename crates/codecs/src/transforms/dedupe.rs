//! Each message once: what was seen a short time ago is dropped.
//!
//! By the Uuid it drops what a sender repeats after a crash: messages that a filter injects, and all
//! that comes from another router, keep their Uuid when they are sent again. Messages that an input
//! makes of lines have no Uuid of their own; for those, `by` names what makes two of them the same.
//!
//! What it remembers survives reloads and restarts. Keys are kept as 128 bits of their SHA-256 (a Uuid
//! as it is), so an entry takes some 100 bytes whatever its key is.

use std::path::PathBuf;

use matcher::Parts;
use message::{Header, Messages};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Carried, Clock, Example, Gauge, Kind, Reject, Scripted, Stability, Transform, Transformed};
use sha2::{Digest, Sha256};

use super::bounds::{some_time, within};
use super::moment::{Moment, TIME};
use super::recent::Recent;

pub const KIND: Kind = Kind::transform("dedupe", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Dedupe::new(o, cx)?)))
    .summary("Drops messages that were seen before within some time.")
    .doc(
        "Two messages are the same when a sender gave them the same Uuid or, with `by`, the same values in these headers and fields; one that has \
         none of them is never dropped. Of the same messages one passes `within` that time, and the next one after it. When `max_keys` are remembered, the \
         oldest is forgotten. Memory: some 100 bytes a key. What is remembered survives reloads and restarts; each input has its own.",
    )
    .options(&[
        Opt::strings("by").sample("[\"Hostname\", \"Payload\"]").doc("Headers or fields that make a message the same. Default: the Uuid."),
        Opt::duration("within").default("10m").doc("How long a message is remembered."),
        Opt::integer("max_keys").default("100000").doc("Most messages that are remembered, some 100 bytes each."),
        TIME,
    ])
    .examples(&[
        Example { title: "What another router sends twice", toml: "within = \"1h\"\nmax_keys = 1000000" },
        Example { title: "The same complaint once a minute", toml: "by = [\"Hostname\", \"Payload\"]\nwithin = \"1m\"" },
    ]);

type Key = [u8; 16];

struct Dedupe {
    by: Parts,
    /// The Uuid is, or is a part of, the key.
    by_uuid: bool,
    within: i64,
    max_keys: usize,
    clock: Clock,
    moment: Moment,
    /// When each was seen first, in that order.
    seen: Recent<Key, i64>,
    most: usize,
    evicted: u64,
    scratch: Vec<u8>,
    names: String,
}

impl Dedupe {
    fn new(o: &Options, cx: &BuildCx) -> Result<Dedupe, Problem> {
        let by = Parts::new(o.strings("by"));
        let by_uuid = by.is_empty() || by.iter().any(|part| part.header() == Some(Header::Uuid));
        Ok(Dedupe {
            by_uuid,
            by,
            within: some_time(o, "within")?,
            max_keys: within(o, "max_keys", 1, 10_000_000)? as usize,
            clock: cx.clock.clone(),
            moment: Moment::new(o, &cx.clock),
            seen: Recent::new(),
            most: 0,
            evicted: 0,
            scratch: Vec::new(),
            names: format!("{}\n{}", o.str("time"), o.strings("by").join("\n")),
        })
    }

    fn remember(&mut self, key: Key, at: i64) {
        if self.seen.len() >= self.max_keys {
            self.seen.pop_oldest();
            self.evicted += 1;
        }
        self.seen.push(key, at);
        self.most = self.most.max(self.seen.len());
    }

    /// Forgets what is too old.
    fn forget(&mut self, now: i64) {
        while self.seen.oldest().is_some_and(|(_, at)| now.saturating_sub(*at) >= self.within) {
            self.seen.pop_oldest();
        }
    }
}

impl Transform for Dedupe {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        // A Uuid that nobody set is not this message's for sure before the batch is complete.
        if self.by_uuid && !messages.message(index).has_uuid() {
            return Ok(Transformed::Keep);
        }
        let m = messages.view(raw, index);
        let now = self.moment.at(m);
        self.forget(now);
        let mut key = m.uuid().0;
        if !self.by.is_empty() {
            if !self.by.key(m, usize::MAX, &mut self.scratch) {
                return Ok(Transformed::Keep);
            }
            key.copy_from_slice(&Sha256::digest(&self.scratch)[..16]);
            // A long payload is not worth keeping room for.
            self.scratch.shrink_to(64 * 1024);
        }
        if self.seen.contains(&key) {
            return Ok(Transformed::Drop);
        }
        self.remember(key, now);
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        Some(self)
    }
}

/// It has no file, but a state that is carried over.
impl Scripted for Dedupe {
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn gauges(&self) -> Vec<Gauge> {
        let cap = self.max_keys as u64;
        vec![
            Gauge { name: "max_keys", unit: "keys", current: self.seen.len() as u64, max: self.most as u64, cap },
            Gauge { name: "evicted", unit: "keys", current: self.evicted, max: self.evicted, cap: u64::MAX },
        ]
    }

    /// The meaning of keys, as text after its length, and the time; then keys with their times, the oldest first. Times are those
    /// of messages, or of the wall clock: the steady one begins anew with the machine. Numbers are little-endian.
    fn save(&mut self) -> Result<Vec<u8>, String> {
        let now = self.moment.now();
        self.forget(now);
        let base = self.base(now);
        let mut into = (self.names.len() as u32).to_le_bytes().to_vec();
        into.extend(self.names.as_bytes());
        for (key, at) in self.seen.iter() {
            into.extend(key);
            into.extend(at.saturating_add(base).to_le_bytes());
        }
        Ok(into)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let damaged = || "what was seen is damaged".to_string();
        let (len, rest) = saved.split_first_chunk().ok_or_else(damaged)?;
        let (names, entries) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(damaged)?;
        if names != self.names.as_bytes() {
            return Err("what was seen is of another `by` or `time`".to_string());
        }
        if entries.len() % 24 != 0 {
            return Err(damaged());
        }
        let now = self.moment.now();
        let (base, mut before) = (self.base(now), i64::MIN);
        self.seen = Recent::new();
        for entry in entries.chunks_exact(24) {
            let (key, at) = entry.split_at(16);
            let (Ok(key), Ok(at)) = (key.try_into(), at.try_into().map(i64::from_le_bytes)) else { return Err(damaged()) };
            // Times ascend, and none lies ahead even if the clock was set back.
            before = before.max(at.saturating_sub(base));
            if !self.seen.contains::<Key>(&key) {
                self.remember(key, if self.moment.of_messages() { before } else { before.min(now) });
            }
        }
        self.evicted = 0;
        Ok(Carried { carried: vec!["what was seen".to_string()], ..Carried::default() })
    }
}

impl Dedupe {
    /// What is to be added to a time to have one that means the same after a restart.
    fn base(&self, now: i64) -> i64 {
        if self.moment.of_messages() { 0 } else { self.clock.now().saturating_sub(now) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use message::{BatchBuilder, Uuid};
    use proptest::prelude::*;

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn of(id: u8, at: i64) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            let mut m = b.add();
            m.set_uuid(Uuid([id; 16]));
            m.set_timestamp(at);
            m.add_integer(b"id", i64::from(id));
            m.add_integer(b"other", at);
        }
    }

    fn ids(toml: &str, messages: &[(u8, i64)]) -> Vec<(u8, i64)> {
        let makers: Vec<_> = messages.iter().map(|(id, at)| of(*id, *at)).collect();
        let (batch, _) = apply(&KIND, toml, &makers);
        batch.iter().map(|m| (m.uuid().0[0], m.timestamp())).collect()
    }

    #[test]
    fn the_same_passes_once() {
        assert_eq!(ids("", &[(1, 0), (2, 0), (1, 1), (2, 2)]), [(1, 0), (2, 0)]);
        assert_eq!(ids("by = 'id'", &[(1, 0), (2, 0), (1, 1)]), [(1, 0), (2, 0)]);
        assert_eq!(ids("by = ['id', 'other']", &[(1, 0), (1, 1), (1, 0)]), [(1, 0), (1, 1)]);
        // None has it: none is the same as another.
        assert_eq!(ids("by = 'missing'", &[(1, 0), (1, 0)]).len(), 2);
        let lines = [|b: &mut BatchBuilder| b.add().set_payload(b"line"); 2];
        assert_eq!(apply(&KIND, "by = ['Uuid', 'Type']", &lines).1 + apply(&KIND, "", &lines).1, 0, "no Uuid of their own");
        assert_eq!(ids("max_keys = 2", &[(1, 0), (2, 0), (3, 0), (1, 0), (3, 0)]), [(1, 0), (2, 0), (3, 0), (1, 0)]);
    }

    #[test]
    fn what_was_seen_survives_a_restart() {
        let send = |transform: &mut dyn Transform, id| {
            let mut b = BatchBuilder::default();
            of(id, 5)(&mut b);
            let (raw, messages) = b.parts();
            transform.transform(raw, messages, 0).unwrap()
        };
        for toml in ["", "by = 'id'\ntime = 'message'"] {
            let mut old = testkit::plugins::transform(&KIND, toml).unwrap();
            assert_eq!(send(&mut *old, 1), Transformed::Keep);
            let saved = old.script().unwrap().save().unwrap();
            let mut new = testkit::plugins::transform(&KIND, &format!("{toml}\nwithin = '2m'")).unwrap();
            new.script().unwrap().restore(&saved).unwrap();
            assert_eq!((send(&mut *new, 1), send(&mut *new, 2)), (Transformed::Drop, Transformed::Keep));
            let mut other = testkit::plugins::transform(&KIND, "by = 'other'").unwrap();
            assert!(other.script().unwrap().restore(&saved).unwrap_err().contains("another `by`"));
            for end in 0..4 {
                assert!(other.script().unwrap().restore(&saved[..end]).is_err(), "{end}");
            }
        }
        assert!(error(&KIND, "within = '0s'").contains("no time at all"));
    }

    proptest! {
        #[test]
        fn it_is_as_a_naive_one(steps in proptest::collection::vec((0_u8..6, 0_i64..40), 0..120), within in 1_i64..100) {
            let mut at = 0;
            let messages: Vec<_> = steps.iter().map(|(id, step)| { at += step * 1_000_000; (*id, at) }).collect();
            let (mut seen, mut expected) = (HashMap::<u8, i64>::new(), Vec::new());
            for (id, at) in &messages {
                if seen.get(id).is_none_or(|first| at - first >= within * 1_000_000) {
                    seen.insert(*id, *at);
                    expected.push((*id, *at));
                }
            }
            prop_assert_eq!(ids(&format!("within = '{within}ms'\ntime = 'message'"), &messages), expected);
        }
    }
}
