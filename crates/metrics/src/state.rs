//! An aggregator's state as bytes: a version, then for each kind of series their number and each
//! one's key and contents. Numbers are little-endian, lengths 32 bits.

use crate::aggregate::{Aggregator, COUNTER, GAUGE, Gauge, Members, SET, TIMER, cost};
use crate::hash::Keyed;
use crate::names::Names;
use crate::timer::Timer;

/// Between name and tags of a key; a clean name has none.
const SEPARATOR: u8 = b'\n';

const VERSION: &[u8] = b"nilometer.statsd 1\n";

impl Aggregator {
    /// Everything a successor needs to go on as if nothing had happened.
    pub fn save(&self) -> Vec<u8> {
        let mut into = VERSION.to_vec();
        write(&mut into, &self.names[COUNTER], &self.counters, |into, sum| put(into, sum.to_le_bytes()));
        write(&mut into, &self.names[GAUGE], &self.gauges, |into, gauge| {
            put(into, gauge.value.to_le_bytes());
            put(into, gauge.ttl.to_le_bytes());
        });
        write(&mut into, &self.names[TIMER], &self.timers, |into, timer| {
            put(into, timer.count.to_le_bytes());
            length(into, timer.values.len());
            timer.values.iter().for_each(|v| put(into, v.to_le_bytes()));
        });
        write(&mut into, &self.names[SET], &self.sets, |into, set| {
            length(into, set.len());
            set.iter().for_each(|member| text(into, member));
        });
        for n in [self.tally.packets, self.tally.metrics, self.tally.bad_lines] {
            put(&mut into, n.to_le_bytes());
        }
        put(&mut into, self.flushed.unwrap_or(i64::MIN).to_le_bytes());
        into
    }

    /// Takes over what [`Aggregator::save`] wrote, in place of what it holds. Series and values
    /// beyond today's limits are left behind.
    ///
    /// # Errors
    /// Bytes of another version, or damaged ones; the aggregator then is as before.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let rest = saved.strip_prefix(VERSION).ok_or("the saved state is of another version")?;
        let mut next = Aggregator::new(self.options.clone());
        next.read(rest).ok_or("the saved state is damaged")?;
        *self = next;
        Ok(())
    }

    fn read(&mut self, mut from: &[u8]) -> Option<()> {
        let from = &mut from;
        let max_values = self.options.max_values;
        let kept = &mut self.kept;
        let mut room = self.options.max_series;
        let [counters, gauges, timers, sets] = &mut self.names;
        let keyed = &self.keyed;
        self.counters = read(from, keyed, counters, &mut room, |from| Some(f64::from_le_bytes(take(from)?)))?;
        self.gauges = read(from, keyed, gauges, &mut room, |from| {
            Some(Gauge { value: f64::from_le_bytes(take(from)?), ttl: u32::from_le_bytes(take(from)?) })
        })?;
        self.timers = read(from, keyed, timers, &mut room, |from| {
            let mut timer = Timer { count: f64::from_le_bytes(take(from)?), values: Vec::new() };
            for _ in 0..take_length(from)? {
                let value = f64::from_le_bytes(take(from)?);
                if *kept < max_values {
                    timer.values.push(value);
                    *kept += 1;
                }
            }
            Some(timer)
        })?;
        self.sets = read(from, keyed, sets, &mut room, |from| {
            let mut set = Members::default();
            for _ in 0..take_length(from)? {
                let member = take_text(from)?;
                if *kept + cost(member) <= max_values && set.insert(member.into()) {
                    *kept += cost(member);
                }
            }
            Some(set)
        })?;
        for n in [&mut self.tally.packets, &mut self.tally.metrics, &mut self.tally.bad_lines] {
            *n = u64::from_le_bytes(take(from)?);
        }
        self.flushed = Some(i64::from_le_bytes(take(from)?)).filter(|t| *t != i64::MIN);
        from.is_empty().then_some(())
    }
}

fn put<const N: usize>(into: &mut Vec<u8>, bytes: [u8; N]) {
    into.extend_from_slice(&bytes);
}

fn length(into: &mut Vec<u8>, n: usize) {
    put(into, u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn text(into: &mut Vec<u8>, bytes: &[u8]) {
    length(into, bytes.len());
    into.extend_from_slice(bytes);
}

fn write<T>(into: &mut Vec<u8>, names: &Names, series: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
    length(into, series.len());
    for (at, one) in series.iter().enumerate() {
        let (name, tags) = names.parts(at);
        length(into, name.len() + usize::from(!tags.is_empty()) + tags.len());
        into.extend_from_slice(name);
        if !tags.is_empty() {
            into.push(SEPARATOR);
            into.extend_from_slice(tags);
        }
        each(into, one);
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

fn take_length(from: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(take(from)?) as usize)
}

fn take_text<'s>(from: &mut &'s [u8]) -> Option<&'s [u8]> {
    let n = take_length(from)?;
    let (head, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(head)
}

/// Reads a kind's series; `room` is how many more there may be, of all kinds.
fn read<T>(
    from: &mut &[u8],
    keyed: &Keyed,
    names: &mut Names,
    room: &mut usize,
    mut each: impl FnMut(&mut &[u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let mut series = Vec::new();
    for _ in 0..take_length(from)? {
        let key = take_text(from)?;
        let one = each(from)?;
        if *room > 0 {
            *room -= 1;
            let (name, tags) = match memchr::memchr(SEPARATOR, key) {
                Some(at) => (&key[..at], &key[at + 1..]),
                None => (key, &b""[..]),
            };
            names.restore(keyed, (name, tags))?;
            series.push(one);
        }
    }
    Some(series)
}
