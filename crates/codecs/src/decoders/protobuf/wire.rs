//! The protobuf wire format (*Encoding*, protobuf.dev), read in place: nothing is allocated by what lengths claim.

/// A part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slice {
    pub start: usize,
    pub end: usize,
}

impl Slice {
    pub fn of(bytes: &[u8]) -> Slice {
        Slice { start: 0, end: bytes.len() }
    }

    pub fn in_record(self, record: &[u8]) -> &[u8] {
        &record[self.start..self.end]
    }
}

/// A value as it is on the wire.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Raw {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Slice),
    Group(Slice),
}

impl Raw {
    pub fn name(self) -> &'static str {
        match self {
            Raw::Varint(_) => "a varint",
            Raw::Fixed64(_) => "8 bytes",
            Raw::Fixed32(_) => "4 bytes",
            Raw::Bytes(_) => "length-delimited",
            Raw::Group(_) => "a group",
        }
    }
}

/// What is not protobuf, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed {
    pub at: usize,
    pub what: &'static str,
}

/// Groups within groups that are gone through.
const MAX_GROUPS: usize = 64;

/// Reads the fields of a message, or packed values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b> {
    record: &'b [u8],
    at: usize,
    end: usize,
}

impl<'b> Reader<'b> {
    pub fn new(record: &'b [u8], slice: Slice) -> Reader<'b> {
        Reader { record, at: slice.start, end: slice.end }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, what })
    }

    /// The next field's number and value.
    pub fn field(&mut self) -> Result<Option<(u32, Raw)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let (number, wire) = self.tag()?;
        let raw = match wire {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.fixed64()?),
            2 => Raw::Bytes(self.delimited()?),
            3 => Raw::Group(self.group(number)?),
            4 => return self.malformed("found the end of a group that did not begin"),
            5 => Raw::Fixed32(self.fixed32()?),
            _ => return self.malformed("found an unknown wire type"),
        };
        Ok(Some((number, raw)))
    }

    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let start = *self;
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, (tag & 7) as u8)),
            _ => start.malformed("found a field number that is out of range"),
        }
    }

    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, &byte) in self.record[self.at..self.end].iter().take(10).enumerate() {
            if place == 9 && byte > 1 {
                return self.malformed("found a varint of more than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.at += place + 1;
                return Ok(value);
            }
        }
        self.malformed("found the end within a varint")
    }

    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.record[self.at..self.end].first_chunk() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => self.malformed("found the end within a number"),
        }
    }

    fn delimited(&mut self) -> Result<Slice, Malformed> {
        let start = *self;
        let length = self.varint()?;
        match usize::try_from(length).ok().filter(|n| *n <= self.end - self.at) {
            Some(length) => {
                self.at += length;
                Ok(Slice { start: self.at - length, end: self.at })
            }
            None => start.malformed("found a length beyond the end"),
        }
    }

    /// What lies between here and the end of group `number`.
    fn group(&mut self, number: u32) -> Result<Slice, Malformed> {
        let mut open = vec![number];
        let start = self.at;
        loop {
            let tag = self.at;
            if self.is_empty() {
                return self.malformed("found the end within a group");
            }
            let (number, wire) = self.tag()?;
            match wire {
                0 => _ = self.varint()?,
                1 => _ = self.fixed64()?,
                2 => _ = self.delimited()?,
                3 if open.len() == MAX_GROUPS => return self.malformed("found groups too deep in each other"),
                3 => open.push(number),
                4 if open.pop() != Some(number) => return self.malformed("found the end of another group"),
                4 if open.is_empty() => return Ok(Slice { start, end: tag }),
                4 => {}
                5 => _ = self.fixed32()?,
                _ => return self.malformed("found an unknown wire type"),
            }
        }
    }
}
