//! The metric model: what a message of Type `metric` says, and how it is written.
//!
//! | field | type | |
//! |---|---|---|
//! | `name` | string | its representation is the help text, where there is one |
//! | `value` | integer or double | its representation is the unit; a histogram's or summary's is the sum |
//! | `kind` | string | see [`PointKind`]; its representation is `cumulative` where the value counts from a beginning and not from the last point |
//! | `count` | integer | how many were observed; histograms and summaries |
//! | `bounds`, `buckets` | doubles, integers | upper bounds, inclusive, rising, without infinity; how many were within each and not within the one before, and one more for what is beyond |
//! | `quantiles`, `values` | doubles | of a summary |
//! | any other string | string | a tag; one of a [reserved name](crate::RESERVED_FIELDS) has `tag_` before it |
//!
//! The Timestamp is that of the value. A cumulative value begins anew when it is less than the last. A series that has ended sends
//! [`STALE`] as its value.

use message::{Datum, FieldRef, MessageMut, MessageRef, Text, Value, ValueType};

use crate::is_reserved;

/// The not-a-number with which Prometheus ends a series (`StaleNaN` of its model).
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// How a value is to be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PointKind {
    /// How often something happened: since the last point, or, cumulative, since a beginning.
    Counter,
    /// As it was at that time.
    Gauge,
    /// A duration, one sample or an aggregate of some; milliseconds by custom.
    Timer,
    /// How many different ones there were.
    Set,
    Histogram,
    Summary,
    /// Not said.
    #[default]
    Unknown,
}

const KINDS: [(PointKind, &str); 7] = [
    (PointKind::Counter, "counter"),
    (PointKind::Gauge, "gauge"),
    (PointKind::Timer, "timer"),
    (PointKind::Set, "set"),
    (PointKind::Histogram, "histogram"),
    (PointKind::Summary, "summary"),
    (PointKind::Unknown, "unknown"),
];

impl PointKind {
    /// As the field `kind` says it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }

    /// [`PointKind::Unknown`] for other words.
    pub fn from_name(name: &[u8]) -> PointKind {
        KINDS.iter().find(|(_, known)| known.as_bytes() == name).map_or(PointKind::Unknown, |(kind, _)| *kind)
    }
}

/// A value, as exact as it came.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Integer(n) => n as f64,
            Number::Double(n) => n,
        }
    }

    /// Whether it ends its series.
    pub fn is_stale(self) -> bool {
        matches!(self, Number::Double(n) if n.to_bits() == STALE)
    }
}

impl From<Number> for Datum {
    fn from(number: Number) -> Datum {
        match number {
            Number::Integer(n) => Datum::Integer(n),
            Number::Double(n) => Datum::Double(n),
        }
    }
}

/// A point of a series, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Point<'m> {
    pub name: &'m [u8],
    pub help: &'m [u8],
    pub value: Number,
    pub unit: &'m [u8],
    pub kind: PointKind,
    pub cumulative: bool,
    /// Nanoseconds since the UNIX epoch.
    pub timestamp: i64,
    message: MessageRef<'m>,
}

impl<'m> Point<'m> {
    /// # Errors
    /// What is missing: a name or a number.
    pub fn read(message: MessageRef<'m>) -> Result<Point<'m>, &'static str> {
        let (mut name, mut value, mut kind) = (None, None, None);
        for field in message.fields() {
            match field.name() {
                b"name" if name.is_none() => name = Some(field),
                b"value" if value.is_none() => value = Some(field),
                b"kind" if kind.is_none() => kind = Some(field),
                _ => {}
            }
        }
        let text = |field: Option<FieldRef<'m>>| field.and_then(|f| f.value(0)).and_then(Value::as_bytes);
        let found = text(name).filter(|name| !name.is_empty()).ok_or("no field `name` with text: expected a metric")?;
        let number = value.and_then(|f| f.value(0)).and_then(|value| match value {
            Value::Integer(n) => Some(Number::Integer(n)),
            Value::Double(n) => Some(Number::Double(n)),
            Value::Bool(b) => Some(Number::Integer(i64::from(b))),
            _ => None,
        });
        Ok(Point {
            name: found,
            help: name.map_or(b"", |f| f.representation()),
            value: number.ok_or("no field `value` with a number: expected a metric")?,
            unit: value.map_or(b"", |f| f.representation()),
            kind: PointKind::from_name(text(kind).unwrap_or_default()),
            cumulative: kind.is_some_and(|f| f.representation() == b"cumulative"),
            timestamp: message.timestamp(),
            message,
        })
    }

    /// Names and values of the tags, in the order they came; `tag_` before a reserved name is gone.
    pub fn tags(self) -> impl Iterator<Item = (&'m [u8], &'m [u8])> {
        let is_tag = |f: &FieldRef<'m>| f.type_() == ValueType::String && !is_reserved(f.name());
        self.message.fields().filter(is_tag).filter_map(|f| {
            let name = f.name().strip_prefix(b"tag_").filter(|rest| is_reserved(rest)).unwrap_or(f.name());
            Some((name, f.value(0)?.as_bytes()?))
        })
    }

    /// A number beside the value, such as `count`, `min` and `max`.
    pub fn number(self, name: &[u8]) -> Option<f64> {
        self.array(name, ValueType::Integer).or(self.array(name, ValueType::Double))?.value(0)?.as_f64()
    }

    /// Upper bounds and the number within each, not within those before; one number more, for what is beyond the last.
    pub fn buckets(self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.array(b"bounds", ValueType::Double).into_iter().flat_map(FieldRef::values).filter_map(Value::as_f64);
        let counts = self.array(b"buckets", ValueType::Integer).into_iter().flat_map(FieldRef::values);
        let counts = counts.map(|n| if let Value::Integer(n) = n { n as u64 } else { 0 });
        bounds.chain([f64::INFINITY]).zip(counts)
    }

    /// Quantiles, from 0 to 1, and their values.
    pub fn quantiles(self) -> impl Iterator<Item = (f64, f64)> {
        let doubles = |name: &[u8]| self.array(name, ValueType::Double).into_iter().flat_map(FieldRef::values).filter_map(Value::as_f64);
        doubles(b"quantiles").zip(doubles(b"values"))
    }

    fn array(self, name: &[u8], type_: ValueType) -> Option<FieldRef<'m>> {
        self.message.fields().find(|f| f.type_() == type_ && f.name() == name)
    }
}

/// What a point is to say; tags are added by [`tag`].
#[derive(Clone, Copy, Debug)]
pub struct NewPoint<'a> {
    pub name: &'a [u8],
    pub help: &'a [u8],
    pub value: Number,
    pub unit: &'a [u8],
    pub kind: PointKind,
    pub cumulative: bool,
}

impl NewPoint<'_> {
    /// Makes a message say this.
    pub fn write(&self, m: &mut MessageMut<'_>) {
        let texts = m.messages();
        let word = |texts: &mut message::Messages, text: &[u8]| if text.is_empty() { Text::NONE } else { texts.store(text) };
        let [name, value, kind] = [&b"name"[..], b"value", b"kind"].map(|word| texts.store(word));
        let (help, unit) = (word(texts, self.help), word(texts, self.unit));
        let since = word(texts, if self.cumulative { b"cumulative" } else { b"" });
        let (named, is) = (texts.store(self.name), texts.store(self.kind.name().as_bytes()));
        m.set_type(b"metric");
        m.add_in(name, help, Datum::String(named));
        m.add_in(value, unit, self.value.into());
        m.add_in(kind, since, Datum::String(is));
    }
}

/// Adds a tag.
pub fn tag(m: &mut MessageMut<'_>, name: &[u8], value: &[u8]) {
    if is_reserved(name) {
        m.add_string(&[b"tag_", name].concat(), value);
    } else {
        m.add_string(name, value);
    }
}

/// Adds what a histogram has beside its sum: `counts` has one more than `bounds`.
pub fn buckets(m: &mut MessageMut<'_>, bounds: &[f64], counts: &[u64]) {
    m.add_integer(b"count", counts.iter().fold(0u64, |all, n| all.saturating_add(*n)) as i64);
    let (below, within) = (m.messages().store(b"bounds"), m.messages().store(b"buckets"));
    m.add_field(below, Text::NONE, ValueType::Double, &bounds.iter().map(|n| Datum::Double(*n)).collect::<Vec<_>>());
    m.add_field(within, Text::NONE, ValueType::Integer, &counts.iter().map(|n| Datum::Integer(*n as i64)).collect::<Vec<_>>());
}

/// Adds what a summary has beside its sum.
pub fn quantiles(m: &mut MessageMut<'_>, count: u64, quantiles: &[(f64, f64)]) {
    m.add_integer(b"count", count as i64);
    let (below, within) = (m.messages().store(b"quantiles"), m.messages().store(b"values"));
    m.add_field(below, Text::NONE, ValueType::Double, &quantiles.iter().map(|(q, _)| Datum::Double(*q)).collect::<Vec<_>>());
    m.add_field(within, Text::NONE, ValueType::Double, &quantiles.iter().map(|(_, at)| Datum::Double(*at)).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = BatchBuilder::default();
        let mut m = out.add();
        let new = NewPoint {
            name: b"took",
            help: b"How long.",
            value: Number::Double(1.5),
            unit: b"s",
            kind: PointKind::Histogram,
            cumulative: true,
        };
        new.write(&mut m);
        m.set_timestamp(7);
        tag(&mut m, b"host", b"h1");
        tag(&mut m, b"kind", b"disk");
        buckets(&mut m, &[0.5, 1.0], &[1, 2, 3]);
        let point = Point::read(out.get(0)).expect("a point");
        assert_eq!((point.name, point.help, point.value, point.unit), (new.name, new.help, new.value, new.unit));
        assert_eq!((point.kind, point.cumulative, point.timestamp), (PointKind::Histogram, true, 7));
        assert_eq!(point.tags().collect::<Vec<_>>(), [(&b"host"[..], &b"h1"[..]), (b"kind", b"disk")]);
        assert_eq!(point.number(b"count"), Some(6.0));
        assert_eq!(point.buckets().collect::<Vec<_>>(), [(0.5, 1), (1.0, 2), (f64::INFINITY, 3)]);
    }

    #[test]
    fn a_summary_has_quantiles() {
        let mut out = BatchBuilder::default();
        let mut m = out.add();
        let sum = Number::Integer(10);
        NewPoint { name: b"q", help: b"", value: sum, unit: b"", kind: PointKind::Summary, cumulative: false }.write(&mut m);
        quantiles(&mut m, 4, &[(0.5, 2.0), (0.99, 5.0)]);
        let point = Point::read(out.get(0)).expect("a point");
        assert_eq!((point.number(b"count"), point.quantiles().collect::<Vec<_>>()), (Some(4.0), vec![(0.5, 2.0), (0.99, 5.0)]));
    }

    #[test]
    fn what_is_no_metric_says_what_is_missing() {
        let mut out = BatchBuilder::default();
        out.add().add_string(b"name", b"x");
        let why = Point::read(out.get(0)).map(|p| p.value).expect_err("no value");
        assert_eq!(why, "no field `value` with a number: expected a metric");
    }

    #[test]
    fn the_end_of_a_series_keeps_its_bits() {
        let mut out = BatchBuilder::default();
        let value = Number::Double(f64::from_bits(STALE));
        let mut m = out.add();
        NewPoint { name: b"x", help: b"", value, unit: b"", kind: PointKind::Gauge, cumulative: false }.write(&mut m);
        assert!(Point::read(out.get(0)).expect("a point").value.is_stale());
    }
}
