//! Messages of records.

use message::{Datum, MessageMut, Messages, Text, ValueType};

use super::records::{Data, Metric, Record, Signal};
use super::value::{Any, Stored, add_attribute, hex, key_value, stored, write_string};
use super::wire::{Fields, Malformed};

/// Bytes of hexadecimal identities, at most: longer ones are none.
const LONGEST_ID: usize = 64;

/// Makes messages of the records of a request, which come by resource and scope.
pub struct Maker<'a> {
    signal: Signal,
    /// Most fields of a message.
    max_fields: usize,
    /// The batch that holds what is below, see [`Messages::generation`].
    generation: u64,
    /// Whom it is of.
    of: Option<(&'a [u8], &'a [u8])>,
    fields: Vec<Stored>,
    hostname: Text,
    logger: Text,
}

impl<'a> Maker<'a> {
    pub fn new(signal: Signal, max_fields: usize) -> Maker<'a> {
        Maker { signal, max_fields, generation: 0, of: None, fields: Vec::new(), hostname: Text::NONE, logger: Text::NONE }
    }

    /// Adds the message of a record. Returns what it takes, roughly, in bytes.
    ///
    /// # Errors
    /// Why there is none.
    pub fn make(&mut self, record: &Record<'a>, out: &mut Messages) -> Result<usize, Malformed> {
        let before = out.len();
        let made = self.share(record, out).and_then(|()| self.one(record, out));
        if made.is_err() {
            out.truncate(before);
        }
        made.map(|()| 128 + record.bytes.len() + size_of::<Stored>() * self.fields.len())
    }

    /// What the resource and scope say is stored once for all their records in a batch.
    fn share(&mut self, record: &Record<'a>, out: &mut Messages) -> Result<(), Malformed> {
        let of = Some((record.resource, record.scope));
        // Addresses tell whether they are the same; they are often large.
        let same = |a: &[u8], b: &[u8]| std::ptr::eq(a, b);
        let known = self.of.is_some_and(|(resource, scope)| same(resource, record.resource) && same(scope, record.scope));
        if known && self.generation == out.generation() {
            return Ok(());
        }
        (self.of, self.generation, self.hostname, self.logger) = (None, out.generation(), Text::NONE, Text::NONE);
        self.fields.clear();
        let mut service = Text::NONE;
        Fields(record.resource).each(|number, value| {
            if number == 1 {
                let (key, any) = key_value(value.chunk()?)?;
                let field = stored(b"resource.", key, any, out)?;
                if let Some(Stored { value: Datum::String(text), .. }) = field {
                    match key {
                        b"host.name" => self.hostname = text,
                        b"service.name" => service = text,
                        _ => {}
                    }
                }
                self.fields.extend(field);
            }
            Ok(())
        })?;
        Fields(record.scope).each(|number, value| {
            match number {
                1 => self.logger = Some(value.chunk()?).filter(|name| !name.is_empty()).map_or(Text::NONE, |name| out.store(name)),
                2 => self.fields.extend(stored(b"scope.", b"version", Any::Text(value.chunk()?), out)?),
                3 => {
                    let (key, any) = key_value(value.chunk()?)?;
                    self.fields.extend(stored(b"scope.", key, any, out)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        if self.logger.is_none() {
            self.logger = service;
        }
        self.of = of;
        Ok(())
    }

    fn one(&self, record: &Record<'_>, out: &mut Messages) -> Result<(), Malformed> {
        let mut m = out.add();
        m.set_hostname_text(self.hostname);
        m.set_logger_text(self.logger);
        match self.signal {
            Signal::Logs => self.log(record.bytes, &mut m)?,
            Signal::Traces => self.span(record.bytes, &mut m)?,
            Signal::Metrics => self.point(&record.metric, record.bytes, &mut m)?,
        }
        if m.field_count() + self.fields.len() > self.max_fields {
            return Err(Malformed("fewer fields (option `max_fields`)"));
        }
        self.fields.iter().for_each(|f| m.add_in(f.name, f.representation, f.value));
        Ok(())
    }

    fn attribute(&self, m: &mut MessageMut<'_>, bytes: &[u8]) -> Result<(), Malformed> {
        let (key, any) = key_value(bytes)?;
        if m.field_count() >= self.max_fields {
            return Err(Malformed("fewer fields (option `max_fields`)"));
        }
        let is_metric = self.signal == Signal::Metrics;
        add_attribute(m, if is_metric && metrics::is_reserved(key) { b"tag_" } else { b"" }, key, any)
    }

    fn log(&self, bytes: &[u8], m: &mut MessageMut<'_>) -> Result<(), Malformed> {
        m.set_type(b"log");
        let (mut observed, mut level, mut word) = (0, 0, &b""[..]);
        Fields(bytes).each(|number, value| {
            match number {
                1 => m.set_timestamp(time(value.number()?)),
                11 => observed = time(value.number()?),
                2 => level = value.number()?,
                3 => word = value.chunk()?,
                5 => {
                    let mut text = Vec::new();
                    Any::read(value.chunk()?)?.write_text(&mut text)?;
                    m.set_payload(&text);
                }
                6 => self.attribute(m, value.chunk()?)?,
                9 => id(m, "trace_id", value.chunk()?)?,
                10 => id(m, "span_id", value.chunk()?)?,
                12 => m.add_string(b"event_name", value.chunk()?),
                _ => {}
            }
            Ok(())
        })?;
        if m.timestamp() == 0 {
            m.set_timestamp(observed);
        }
        if let Some(severity) = severity(level, word) {
            m.set_severity(severity);
        }
        if !word.is_empty() {
            m.add_string(b"severity_text", word);
        }
        Ok(())
    }

    fn span(&self, bytes: &[u8], m: &mut MessageMut<'_>) -> Result<(), Malformed> {
        const KINDS: [&[u8]; 6] = [b"unspecified", b"internal", b"server", b"client", b"producer", b"consumer"];
        m.set_type(b"span");
        let (mut start, mut end, mut events, mut status) = (0, 0, Vec::new(), &b"unset"[..]);
        Fields(bytes).each(|number, value| {
            match number {
                1 => id(m, "trace_id", value.chunk()?)?,
                2 => id(m, "span_id", value.chunk()?)?,
                4 => id(m, "parent_span_id", value.chunk()?)?,
                5 => m.add_string(b"name", value.chunk()?),
                6 => m.add_string(b"kind", KINDS.get(value.number()? as usize).copied().unwrap_or(KINDS[0])),
                7 => start = time(value.number()?),
                8 => end = time(value.number()?),
                9 => self.attribute(m, value.chunk()?)?,
                11 => event(value.chunk()?, &mut events)?,
                15 => Fields(value.chunk()?).each(|number, value| {
                    match number {
                        2 if !value.chunk()?.is_empty() => m.add_string(b"status_message", value.chunk()?),
                        3 => status = [&b"unset"[..], b"ok", b"error"].get(value.number()? as usize).copied().unwrap_or(b"unset"),
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        m.set_timestamp(start);
        for (name, ns) in [("start", start), ("end", end), ("duration", end.saturating_sub(start))] {
            let (name, unit) = (m.messages().store(name.as_bytes()), m.messages().store(b"ns"));
            m.add_in(name, unit, Datum::Integer(ns));
        }
        m.add_string(b"status", status);
        if !events.is_empty() {
            events.push(b']');
            let (name, json, text) = (m.messages().store(b"events"), m.messages().store(b"json"), m.messages().store(&events));
            m.add_in(name, json, Datum::String(text));
        }
        Ok(())
    }

    fn point(&self, metric: &Metric<'_>, bytes: &[u8], m: &mut MessageMut<'_>) -> Result<(), Malformed> {
        m.set_type(b"metric");
        m.add_string(b"name", metric.name);
        let kind: &[u8] = match (metric.data, metric.monotonic) {
            (Data::Sum, true) => b"counter",
            (Data::Gauge | Data::Sum, _) => b"gauge",
            (Data::Histogram, _) => b"histogram",
            (Data::Summary, _) => b"summary",
            (Data::ExponentialHistogram, _) => return Err(Malformed("no exponential histogram: they are not understood")),
            (Data::Unknown, _) => return Err(Malformed("a gauge, sum, histogram or summary")),
        };
        let representation = if metric.cumulative { m.messages().store(b"cumulative") } else { Text::NONE };
        let (name, kind) = (m.messages().store(b"kind"), m.messages().store(kind));
        m.add_in(name, representation, Datum::String(kind));
        let value = if matches!(metric.data, Data::Histogram | Data::Summary) {
            self.spread(metric.data, bytes, m)?
        } else {
            self.number(bytes, m)?
        };
        let unit = if metric.unit.is_empty() { Text::NONE } else { m.messages().store(metric.unit) };
        let name = m.messages().store(b"value");
        m.add_in(name, unit, value);
        Ok(())
    }

    /// The point of a gauge or sum.
    fn number(&self, bytes: &[u8], m: &mut MessageMut<'_>) -> Result<Datum, Malformed> {
        let mut found = None;
        Fields(bytes).each(|number, value| {
            match number {
                3 => m.set_timestamp(time(value.number()?)),
                4 => found = Some(Datum::Double(value.double()?)),
                6 => found = Some(Datum::Integer(value.number()? as i64)),
                7 => self.attribute(m, value.chunk()?)?,
                _ => {}
            }
            Ok(())
        })?;
        found.ok_or(Malformed("a value of the point"))
    }

    /// The point of a histogram or summary, whose value is its sum.
    fn spread(&self, data: Data, bytes: &[u8], m: &mut MessageMut<'_>) -> Result<Datum, Malformed> {
        let is_summary = data == Data::Summary;
        let (mut sum, mut counts, mut bounds) = (0.0, Vec::new(), Vec::new());
        Fields(bytes).each(|number, value| {
            match number {
                3 => m.set_timestamp(time(value.number()?)),
                4 => m.add_integer(b"count", value.number()? as i64),
                5 => sum = value.double()?,
                6 if is_summary => {
                    let (mut quantile, mut at) = (0.0, 0.0);
                    Fields(value.chunk()?).each(|number, value| {
                        match number {
                            1 => quantile = value.double()?,
                            2 => at = value.double()?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    bounds.push(Datum::Double(quantile));
                    counts.push(Datum::Double(at));
                }
                6 => value.each_fixed64(|n| counts.push(Datum::Integer(n as i64)))?,
                7 if is_summary => self.attribute(m, value.chunk()?)?,
                7 => value.each_fixed64(|n| bounds.push(Datum::Double(f64::from_bits(n))))?,
                9 => self.attribute(m, value.chunk()?)?,
                11 => m.add_double(b"min", value.double()?),
                12 => m.add_double(b"max", value.double()?),
                _ => {}
            }
            Ok(())
        })?;
        if !is_summary && !counts.is_empty() && counts.len() != bounds.len() + 1 {
            return Err(Malformed("one bucket more than bounds"));
        }
        if !counts.is_empty() {
            let (below, within) = if is_summary { ("quantiles", "values") } else { ("bounds", "buckets") };
            let (below, within) = (m.messages().store(below.as_bytes()), m.messages().store(within.as_bytes()));
            m.add_field(below, Text::NONE, ValueType::Double, &bounds);
            m.add_field(within, Text::NONE, if is_summary { ValueType::Double } else { ValueType::Integer }, &counts);
        }
        Ok(Datum::Double(sum))
    }
}

/// Nanoseconds since 1970; what is beyond a message's range is not known.
fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or_default()
}

fn id(m: &mut MessageMut<'_>, name: &str, bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.len() > LONGEST_ID {
        return Err(Malformed("identities of at most 64 bytes"));
    }
    if bytes.iter().any(|b| *b != 0) {
        let (name, value) = (m.messages().store(name.as_bytes()), hex(bytes, m.messages()));
        m.add(name, Datum::String(value));
    }
    Ok(())
}

/// An event of a span, as an element of a JSON array that is not closed yet.
fn event(bytes: &[u8], into: &mut Vec<u8>) -> Result<(), Malformed> {
    into.push(if into.is_empty() { b'[' } else { b',' });
    let (mut at, mut name) = (0, &b""[..]);
    let mut attributes = Vec::new();
    Fields(bytes).each(|number, value| {
        match number {
            1 => at = value.number()?,
            2 => name = value.chunk()?,
            3 => {
                let (key, any) = key_value(value.chunk()?)?;
                attributes.push(b',');
                write_string(key, &mut attributes);
                attributes.push(b':');
                any.write_json(&mut attributes, 1)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    into.extend_from_slice(b"{\"name\":");
    write_string(name, into);
    into.extend_from_slice(format!(",\"time\":{at},\"attributes\":{{").as_bytes());
    into.extend_from_slice(attributes.get(1..).unwrap_or_default());
    into.extend_from_slice(b"}}");
    Ok(())
}

/// Severity of syslog, by the [mapping](https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings)
/// of the specification, or by the word when there is no number.
fn severity(level: u64, word: &[u8]) -> Option<i32> {
    let is = |words: &[&str]| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
    Some(match level {
        1..=8 => 7,
        9 => 6,
        10..=12 => 5,
        13..=16 => 4,
        17 => 3,
        18 => 2,
        19 | 20 => 1,
        21..=24 => 0,
        _ if is(&["trace", "debug"]) => 7,
        _ if is(&["info"]) => 6,
        _ if is(&["notice"]) => 5,
        _ if is(&["warn", "warning"]) => 4,
        _ if is(&["error", "err"]) => 3,
        _ if is(&["critical", "fatal"]) => 2,
        _ => return None,
    })
}
