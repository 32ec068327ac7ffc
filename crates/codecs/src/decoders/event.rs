//! Events of security products: what `cef` and `leef` share.

use message::{MessageMut, Messages};
use options::{Options, Problem};
use plugin::{Record, Reject};

use super::fields::{Fields, Piece};
use super::headers::HeaderMap;
use crate::number::integer;
use crate::time::{Layout, Recent};

/// The options that [`Event::new`] reads, behind those of the decoder itself.
macro_rules! event_options {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            options::Opt::strings("payload").default("msg").doc("Keys whose value is the Payload."),
            options::Opt::bool("keep_payload").default("false").doc("Keep the whole record as the Payload; what `payload` names is a field then."),
            $crate::decoders::fields::TYPED,
            $crate::decoders::fields::MAX_FIELDS,
        ]
    };
}
pub(super) use event_options;

/// Writes an event's keys into a message.
pub(super) struct Event {
    fields: Fields,
    timestamps: Vec<Box<[u8]>>,
    hostnames: Vec<Box<[u8]>>,
    payloads: Vec<Box<[u8]>>,
    typed: bool,
    layouts: Vec<Layout>,
    recent: Recent,
}

/// How events write times, beside numbers and RFC 3339.
const LAYOUTS: [&str; 4] = ["rfc3339", "%b %d %Y %H:%M:%S%.f", "%b %d %H:%M:%S%.f", "%b %d %Y %H:%M:%S%.f %z"];

impl Event {
    /// # Errors
    /// A limit that is none.
    pub fn new(o: &Options) -> Result<Event, Problem> {
        let keys = |option: &str| o.strings(option).iter().map(|key| key.as_bytes().into()).collect();
        let keep_payload = o.bool("keep_payload");
        Ok(Event {
            fields: Fields::with(HeaderMap::none(keep_payload), o)?,
            timestamps: keys("timestamp"),
            hostnames: keys("hostname"),
            payloads: if keep_payload { Vec::new() } else { keys("payload") },
            typed: o.bool("typed"),
            layouts: LAYOUTS.iter().filter_map(|layout| Layout::parse(layout).ok()).collect(),
            recent: Recent::default(),
        })
    }

    /// Begins a record and its message.
    pub fn begin<'m>(&mut self, record: &Record<'_>, out: &'m mut Messages) -> MessageMut<'m> {
        self.fields.begin(record, out)
    }

    /// The Payload as long as no key gives another.
    pub fn name(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, name: Piece<'_>) {
        if !self.fields.keep_payload() {
            let text = name.text(record, m.messages());
            m.set_payload_text(text);
        }
    }

    /// A part of the event's own header: a field, and text except for the severity, for versions and identities look
    /// like numbers only sometimes.
    ///
    /// # Errors
    /// Too many fields.
    pub fn part(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, name: &'static str, value: Piece<'_>) -> Result<(), Reject> {
        self.fields.add(m, record, Piece::Made(name.as_bytes()), value, self.typed && name == "severity")
    }

    /// A key and its value: a header or a field. A time that cannot be read is a field.
    ///
    /// # Errors
    /// Too many fields.
    pub fn key(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, key: Piece<'_>, value: Piece<'_>, now: i64) -> Result<(), Reject> {
        let is = |keys: &[Box<[u8]>]| keys.iter().any(|known| **known == *key.bytes());
        if is(&self.payloads) {
            let text = value.text(record, m.messages());
            m.set_payload_text(text);
            return Ok(());
        }
        if is(&self.hostnames) && !m.has(message::Header::Hostname) {
            let text = value.text(record, m.messages());
            m.set_hostname_text(text);
            return Ok(());
        }
        if is(&self.timestamps) && m.timestamp() == 0 {
            let layouts = &self.layouts;
            if let Some(ns) = self.recent.read(value.bytes(), |text| time(layouts, text, now)) {
                m.set_timestamp(ns);
                return Ok(());
            }
        }
        self.fields.add(m, record, key, value, self.typed)
    }
}

/// The moment that a text is.
fn time(layouts: &[Layout], text: &[u8], now: i64) -> Option<i64> {
    let utc = [&b" UTC"[..], b" GMT", b" Z"].iter().find_map(|zone| text.strip_suffix(*zone)).unwrap_or(text);
    crate::time::epoch(text).or_else(|| layouts.iter().find_map(|layout| layout.read(utc, now)))
}

/// The syslog severity of one from 0 to 10, or of its name.
pub(super) fn severity(text: &[u8]) -> Option<i32> {
    let is = |names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
    match integer(text) {
        Some(0..=3) => Some(6),
        Some(4..=6) => Some(4),
        Some(7 | 8) => Some(3),
        Some(9 | 10) => Some(2),
        Some(_) => None,
        None if is(&["low"]) => Some(6),
        None if is(&["medium"]) => Some(4),
        None if is(&["high"]) => Some(3),
        None if is(&["very-high", "veryhigh", "critical"]) => Some(2),
        None => None,
    }
}
