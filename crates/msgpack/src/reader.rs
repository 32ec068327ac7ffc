use std::fmt;

use crate::head::{Kind, head};
use crate::{MAX_DEPTH, Scan};

/// One value, or the beginning of one that has others inside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Item<'a> {
    Nil,
    Bool(bool),
    Integer(i64),
    /// One beyond what [`Item::Integer`] holds.
    Unsigned(u64),
    Double(f64),
    /// Meant to be UTF-8.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// So many values follow.
    Array(u64),
    /// So many pairs follow.
    Map(u64),
    /// Its type and bytes.
    Extension(i8, &'a [u8]),
}

/// Why bytes cannot be read. Numbers are offsets of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// They end in the middle of a value.
    Cut(usize),
    /// A byte that begins nothing.
    Marker(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    Deep(usize),
    /// Another value than is expected there.
    Expected(usize, &'static str),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Cut(at) => write!(f, "at byte {at}: found the end, expected a value of MessagePack"),
            Wrong::Marker(at) => write!(f, "at byte {at}: found 0xc1, expected a value of MessagePack"),
            Wrong::Deep(at) => write!(f, "at byte {at}: expected at most {MAX_DEPTH} levels of nesting"),
            Wrong::Expected(at, what) => write!(f, "at byte {at}: expected {what}"),
        }
    }
}

/// Reads values from the front of bytes on.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Offset of the next value.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether everything is read.
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// That the next value is not what it has to be.
    pub fn expected(&self, what: &'static str) -> Wrong {
        Wrong::Expected(self.at, what)
    }

    /// The next value; of an array or map its beginning.
    ///
    /// # Errors
    /// When there is none.
    pub fn item(&mut self) -> Result<Item<'a>, Wrong> {
        let rest = &self.bytes[self.at..];
        let head = head(rest).map_err(|()| Wrong::Marker(self.at))?.ok_or(Wrong::Cut(self.bytes.len()))?;
        let end = head.size.checked_add(head.body).filter(|end| *end <= rest.len()).ok_or(Wrong::Cut(self.bytes.len()))?;
        let body = &rest[head.size..end];
        self.at += end;
        Ok(match head.kind {
            Kind::Nil => Item::Nil,
            Kind::Bool(b) => Item::Bool(b),
            Kind::Integer(n) => Item::Integer(n),
            Kind::Unsigned(n) => Item::Unsigned(n),
            Kind::Double(n) => Item::Double(n),
            Kind::Text => Item::Text(body),
            Kind::Bytes => Item::Bytes(body),
            Kind::Array => Item::Array(head.children),
            Kind::Map => Item::Map(head.children / 2),
            Kind::Extension(type_) => Item::Extension(type_, body),
        })
    }

    /// What the next value is, without reading it.
    ///
    /// # Errors
    /// When there is none.
    pub fn peek(&self) -> Result<Item<'a>, Wrong> {
        self.clone().item()
    }

    /// The bytes of the next value with all inside it.
    ///
    /// # Errors
    /// When it is not there, or too deep.
    pub fn raw(&mut self) -> Result<&'a [u8], Wrong> {
        let rest = &self.bytes[self.at..];
        let found = Scan::default().find(rest).map_err(|wrong| match wrong {
            Wrong::Marker(at) => Wrong::Marker(self.at + at),
            Wrong::Deep(at) => Wrong::Deep(self.at + at),
            other => other,
        })?;
        let length = found.ok_or(Wrong::Cut(self.bytes.len()))?;
        self.at += length;
        Ok(&rest[..length])
    }

    /// How many values the array has that is next.
    ///
    /// # Errors
    /// When it is something else, which is not read then.
    pub fn array(&mut self, expected: &'static str) -> Result<u64, Wrong> {
        match self.peek()? {
            Item::Array(n) => self.item().map(|_| n),
            _ => Err(self.expected(expected)),
        }
    }

    /// How many pairs the map has that is next.
    ///
    /// # Errors
    /// When it is something else, which is not read then.
    pub fn map(&mut self, expected: &'static str) -> Result<u64, Wrong> {
        match self.peek()? {
            Item::Map(n) => self.item().map(|_| n),
            _ => Err(self.expected(expected)),
        }
    }

    /// The text, or bytes, that are next.
    ///
    /// # Errors
    /// When it is something else, which is not read then.
    pub fn text(&mut self, expected: &'static str) -> Result<&'a [u8], Wrong> {
        match self.peek()? {
            Item::Text(text) | Item::Bytes(text) => self.item().map(|_| text),
            _ => Err(self.expected(expected)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the oracle makes of a value.
    trait Written {
        fn bytes(&self) -> Vec<u8>;
    }

    macro_rules! written {
        ($($type_:ty)*) => {$(
            impl Written for $type_ {
                fn bytes(&self) -> Vec<u8> {
                    rmp_serde::to_vec(self).unwrap()
                }
            }
        )*};
    }
    written!(i64 u64 f64 f32 String);

    fn one(bytes: &[u8]) -> Item<'_> {
        let mut reader = Reader::new(bytes);
        let item = reader.item().unwrap();
        assert!(reader.is_done());
        item
    }

    proptest! {
        #[test]
        fn scalars_are_what_the_oracle_wrote(n: i64, u: u64, small in -200..70_000i64, x: f64, y: f32, text in "\\PC{0,70}") {
            let texts = [text.clone(), text.repeat(2000)];
            let written = |value: &dyn Written, item: Item<'_>| one(&value.bytes()) == item;
            prop_assert!(written(&n, Item::Integer(n)));
            prop_assert!(written(&small, Item::Integer(small)));
            prop_assert!(written(&u, i64::try_from(u).map_or(Item::Unsigned(u), Item::Integer)));
            prop_assert!(written(&x, Item::Double(x)));
            prop_assert!(written(&y, Item::Double(f64::from(y))));
            prop_assert!(texts.iter().all(|text| written(text, Item::Text(text.as_bytes()))));
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Reader::new(&bytes);
            let mut before = 0;
            while reader.item().is_ok() {
                prop_assert!(reader.at() > before && reader.at() <= bytes.len());
                before = reader.at();
            }
            let mut reader = Reader::new(&bytes);
            while let Ok(raw) = reader.raw() {
                prop_assert!(!raw.is_empty());
            }
        }
    }

    #[test]
    fn every_marker_of_the_specification() {
        assert_eq!(one(b"\xc4\x02ab"), Item::Bytes(b"ab"));
        assert_eq!(one(b"\xc5\x00\x02ab"), Item::Bytes(b"ab"));
        assert_eq!(one(b"\xd7\x0012345678"), Item::Extension(0, b"12345678"));
        assert_eq!(one(b"\xd4\xffx"), Item::Extension(-1, b"x"));
        assert_eq!(one(b"\xc7\x03\x05abc"), Item::Extension(5, b"abc"));
        assert_eq!(one(b"\xc8\x00\x01\x05a"), Item::Extension(5, b"a"));
        assert_eq!(one(b"\xdc\x00\x00"), Item::Array(0));
        assert_eq!(one(b"\xde\x00\x00"), Item::Map(0));
        assert_eq!(one(b"\xd0\x80"), Item::Integer(-128));
        assert_eq!(Reader::new(b"\xc1").item(), Err(Wrong::Marker(0)));
        assert_eq!(Reader::new(b"\xc4\x03ab").item(), Err(Wrong::Cut(4)));
        assert_eq!(Reader::new(b"\x01").map("a map"), Err(Wrong::Expected(0, "a map")));
    }
}
