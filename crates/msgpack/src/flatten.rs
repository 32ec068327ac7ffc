use std::fmt;

use message::{Datum, MessageMut, Text, ValueType};

use crate::json::write_json;
use crate::{Item, Reader, Wrong};

/// What joined names may take in memory: a long name repeated for each of many members below it
/// would otherwise make hundreds of times the record's length.
const MIN_NAMES: usize = 64 << 10;
const NAMES_PER_BYTE: usize = 8;

/// Makes fields of maps: those inside others are named by the path to them. What lies deeper than
/// `max_depth` becomes JSON text, as does an array that is not of values of one type; `nil` and empty
/// maps are left out.
#[derive(Debug)]
pub struct Flatten {
    /// What joins names.
    pub separator: Box<[u8]>,
    /// Levels of maps that are taken apart; 1: only the outermost.
    pub max_depth: usize,
    /// Most fields of a message.
    pub max_fields: usize,
    /// Names on the way to the member being read, joined.
    path: Vec<u8>,
    names_left: usize,
    values: Vec<Datum>,
    text: Vec<u8>,
}

/// Why a map cannot be made fields of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Wrong(Wrong),
    TooManyFields(usize),
    LongNames,
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Refused {
        Refused::Wrong(wrong)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Wrong(wrong) => wrong.fmt(f),
            Refused::TooManyFields(max) => write!(f, "found more than {max} fields; `max_fields` raises that"),
            Refused::LongNames => f.write_str("the paths to its nested members are far longer than the record; a lower `max_depth` helps"),
        }
    }
}

/// Is told name, value and text of each member that is one value, and says whether it has made use of it, so that it is no field.
pub type Take<'t> = &'t mut dyn FnMut(&mut MessageMut<'_>, &[u8], Datum, &[u8]) -> bool;

impl Flatten {
    pub fn new(separator: &str, max_depth: usize, max_fields: usize) -> Flatten {
        let (path, values, text) = Default::default();
        Flatten { separator: separator.as_bytes().into(), max_depth, max_fields, path, names_left: 0, values, text }
    }

    /// Adds the members of the map that is next to a message.
    ///
    /// # Errors
    /// When it is no map, or there is too much of it; fields that were added stay.
    pub fn flatten(&mut self, r: &mut Reader<'_>, m: &mut MessageMut<'_>, take: Take<'_>) -> Result<(), Refused> {
        let at = r.at();
        // Also finds what is too deep.
        let raw = r.raw()?;
        self.path.clear();
        self.names_left = MIN_NAMES + NAMES_PER_BYTE * raw.len();
        let moved = |wrong| match wrong {
            Refused::Wrong(Wrong::Expected(n, what)) => Refused::Wrong(Wrong::Expected(at + n, what)),
            other => other,
        };
        self.map(&mut Reader::new(raw), m, take, 1).map_err(moved)
    }

    fn map(&mut self, r: &mut Reader<'_>, m: &mut MessageMut<'_>, take: Take<'_>, depth: usize) -> Result<(), Refused> {
        for _ in 0..r.map("a map")? {
            let outer = self.path.len();
            self.push_name(r, depth)?;
            match r.peek()? {
                Item::Map(_) if depth < self.max_depth => self.map(r, m, take, depth + 1)?,
                _ => self.member(r, m, take)?,
            }
            self.path.truncate(outer);
        }
        Ok(())
    }

    fn push_name(&mut self, r: &mut Reader<'_>, depth: usize) -> Result<(), Refused> {
        if depth > 1 {
            self.path.extend_from_slice(&self.separator);
        }
        match r.peek()? {
            Item::Text(name) | Item::Bytes(name) => self.path.extend_from_slice(name),
            Item::Integer(n) => self.path.extend_from_slice(n.to_string().as_bytes()),
            Item::Unsigned(n) => self.path.extend_from_slice(n.to_string().as_bytes()),
            _ => return Err(r.expected("a name").into()),
        }
        r.item()?;
        Ok(())
    }

    fn member(&mut self, r: &mut Reader<'_>, m: &mut MessageMut<'_>, take: Take<'_>) -> Result<(), Refused> {
        match r.peek()? {
            Item::Nil => r.item().map(|_| ())?,
            Item::Map(_) => self.json(r, m)?,
            Item::Array(_) => self.array(r, m)?,
            item => {
                r.item()?;
                self.text.clear();
                let datum = datum(item, m);
                let text = match item {
                    Item::Text(text) | Item::Bytes(text) => text,
                    _ => {
                        write_number(datum, &mut self.text);
                        &self.text
                    }
                };
                if !take(m, &self.path, datum, text) {
                    let name = self.name(m)?;
                    m.add(name, datum);
                }
            }
        }
        Ok(())
    }

    /// The name of a field that is about to be added.
    fn name(&mut self, m: &mut MessageMut<'_>) -> Result<Text, Refused> {
        if m.field_count() >= self.max_fields {
            return Err(Refused::TooManyFields(self.max_fields));
        }
        self.names_left = self.names_left.checked_sub(self.path.len()).ok_or(Refused::LongNames)?;
        Ok(m.messages().store(&self.path))
    }

    /// A field of several values if they are of one type, otherwise of the array's text.
    fn array(&mut self, r: &mut Reader<'_>, m: &mut MessageMut<'_>) -> Result<(), Refused> {
        self.values.clear();
        let mut ahead = r.clone();
        let n = ahead.array("an array")?;
        for _ in 0..n {
            let item = ahead.item()?;
            let simple = !matches!(item, Item::Nil | Item::Array(_) | Item::Map(_));
            let value = simple.then(|| datum(item, m)).filter(|v| self.values.first().is_none_or(|first| first.type_() == v.type_()));
            match value {
                Some(value) => self.values.push(value),
                None => return self.json(r, m),
            }
        }
        *r = ahead;
        let name = self.name(m)?;
        let type_ = self.values.first().map_or(ValueType::String, |v| v.type_());
        m.add_field(name, Text::NONE, type_, &self.values);
        Ok(())
    }

    fn json(&mut self, r: &mut Reader<'_>, m: &mut MessageMut<'_>) -> Result<(), Refused> {
        if r.peek()? == Item::Map(0) {
            r.item()?;
            return Ok(());
        }
        self.text.clear();
        write_json(r, &mut self.text)?;
        let name = self.name(m)?;
        let (json, text) = (m.messages().store(b"json"), m.messages().store(&self.text));
        m.add_in(name, json, Datum::String(text));
        Ok(())
    }
}

/// A value that has no others inside. A timestamp of the specification becomes nanoseconds since 1970.
fn datum(item: Item<'_>, m: &mut MessageMut<'_>) -> Datum {
    match item {
        Item::Bool(b) => Datum::Bool(b),
        Item::Integer(n) => Datum::Integer(n),
        Item::Unsigned(n) => Datum::Double(n as f64),
        Item::Double(n) => Datum::Double(n),
        Item::Text(text) => Datum::String(m.messages().store(text)),
        Item::Extension(-1, bytes) if timestamp(bytes).is_some() => Datum::Integer(timestamp(bytes).unwrap_or_default()),
        Item::Bytes(bytes) | Item::Extension(_, bytes) => Datum::Bytes(m.messages().store(bytes)),
        Item::Nil | Item::Array(_) | Item::Map(_) => Datum::String(Text::EMPTY),
    }
}

/// The [timestamp](https://github.com/msgpack/msgpack/blob/master/spec.md#timestamp-extension-type) in its three lengths.
fn timestamp(bytes: &[u8]) -> Option<i64> {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (seconds, ns) = match bytes.len() {
        4 => (number(bytes) as i64, 0),
        8 => ((number(bytes) & 0x3_ffff_ffff) as i64, (number(bytes) >> 34) as i64),
        12 => (number(&bytes[4..]) as i64, number(&bytes[..4]) as i64),
        _ => return None,
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
}

fn write_number(value: Datum, into: &mut Vec<u8>) {
    let text = match value {
        Datum::Integer(n) => n.to_string(),
        Datum::Double(n) => n.to_string(),
        Datum::Bool(b) => b.to_string(),
        Datum::String(_) | Datum::Bytes(_) => return,
    };
    into.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, MessageRef, Value as V};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn made(bytes: &[u8], flatten: &mut Flatten) -> (Vec<String>, Result<(), Refused>) {
        let mut b = BatchBuilder::default();
        let mut m = b.add();
        let result = flatten.flatten(&mut Reader::new(bytes), &mut m, &mut |_, name, _, text| name == b"taken" && !text.is_empty());
        (fields(b.get(0)), result)
    }

    fn fields(m: MessageRef<'_>) -> Vec<String> {
        let show = |v: V<'_>| match v {
            V::String(s) => String::from_utf8_lossy(s).into_owned(),
            other => format!("{other:?}"),
        };
        m.fields()
            .map(|f| format!("{}={}", String::from_utf8_lossy(f.name()), f.values().map(show).collect::<Vec<_>>().join("|")))
            .collect()
    }

    #[test]
    fn nested_maps_become_paths_and_the_rest_json() {
        let value =
            json!({"a": 1, "b": {"c": {"d": {"e": 2}}, "n": null, "t": ["x", "y"]}, "m": [1, "x"], "empty": {}, "none": [], "taken": 7});
        let (fields, result) = made(&rmp_serde::to_vec(&value).unwrap(), &mut Flatten::new(".", 3, 100));
        assert_eq!(
            (fields, result),
            (["a=Integer(1)", "b.c.d={\"e\":2}", "b.t=x|y", "m=[1,\"x\"]", "none="].map(String::from).to_vec(), Ok(()))
        );
    }

    #[test]
    fn limits_hold() {
        let many = rmp_serde::to_vec(&json!({"a": 1, "b": 2, "c": 3})).unwrap();
        assert_eq!(made(&many, &mut Flatten::new(".", 3, 2)).1, Err(Refused::TooManyFields(2)));
        assert_eq!(made(b"\x01", &mut Flatten::new(".", 3, 2)).1, Err(Refused::Wrong(Wrong::Expected(0, "a map"))));
        assert_eq!(made(b"\x81\xc0\x01", &mut Flatten::new(".", 3, 2)).1, Err(Refused::Wrong(Wrong::Expected(1, "a name"))));
        let inner: serde_json::Map<String, serde_json::Value> = (0..3000).map(|i| (format!("{i:x}"), json!(1))).collect();
        let long = rmp_serde::to_vec(&json!({"x".repeat(3000): inner})).unwrap();
        assert_eq!(made(&long, &mut Flatten::new(".", 3, 5000)).1, Err(Refused::LongNames));
    }

    #[test]
    fn times_of_the_specification() {
        assert_eq!(timestamp(&[0, 0, 0, 1]), Some(1_000_000_000));
        assert_eq!(timestamp(&(5u64 << 34 | 2).to_be_bytes()), Some(2_000_000_005));
        assert_eq!(timestamp(&[&3u32.to_be_bytes()[..], &(-1i64).to_be_bytes()].concat()), Some(-999_999_997));
        assert_eq!(timestamp(&[0; 5]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_make_fields_or_are_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0xc0u8], 0..60)) {
            let mut map = vec![0x8f];
            map.extend_from_slice(&bytes);
            let (fields, _) = made(&map, &mut Flatten::new(".", 4, 20));
            prop_assert!(fields.len() <= 20);
            prop_assert!(made(&bytes, &mut Flatten::new(".", 4, 20)).0.len() <= 20);
        }
    }
}
