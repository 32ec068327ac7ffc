use std::fmt;

/// The value of a field of [protobuf](https://protobuf.dev/programming-guides/encoding/), where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Chunk(&'a [u8]),
    Fixed32(u32),
}

/// Bytes that are not protobuf, or not what is expected there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

/// Reads the fields of a message one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut n = 0;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok(n);
            }
        }
        Err(Malformed("a whole number of protobuf"))
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], Malformed> {
        let split = usize::try_from(n).ok().and_then(|n| self.0.split_at_checked(n));
        let (taken, rest) = split.ok_or(Malformed("more bytes: the message is cut"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Number and value of the next field.
    ///
    /// # Errors
    /// When these bytes are none.
    pub fn field(&mut self) -> Result<Option<(u64, Wire<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(little(self.take(8)?)),
            2 => {
                let n = self.varint()?;
                Wire::Chunk(self.take(n)?)
            }
            5 => Wire::Fixed32(little(self.take(4)?) as u32),
            _ => return Err(Malformed("a field of protobuf")),
        };
        Ok(Some((key >> 3, value)))
    }

    /// Calls `each` for all fields.
    ///
    /// # Errors
    /// Those of `each`, and what is no field.
    pub fn each(mut self, mut each: impl FnMut(u64, Wire<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
        while let Some((number, value)) = self.field()? {
            each(number, value)?;
        }
        Ok(())
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

impl<'a> Wire<'a> {
    /// A message, text or bytes.
    ///
    /// # Errors
    /// When it is a number.
    pub fn chunk(self) -> Result<&'a [u8], Malformed> {
        match self {
            Wire::Chunk(bytes) => Ok(bytes),
            _ => Err(Malformed("a message or text, found a number")),
        }
    }

    /// A number, whatever its width.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(self) -> Result<u64, Malformed> {
        match self {
            Wire::Varint(n) | Wire::Fixed64(n) => Ok(n),
            Wire::Fixed32(n) => Ok(n.into()),
            Wire::Chunk(_) => Err(Malformed("a number, found a message or text")),
        }
    }

    /// # Errors
    /// When it has not 64 bits.
    pub fn double(self) -> Result<f64, Malformed> {
        match self {
            Wire::Fixed64(n) => Ok(f64::from_bits(n)),
            _ => Err(Malformed("a double of 64 bits")),
        }
    }

    /// Numbers of 64 bits, packed or one by one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn each_fixed64(self, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
        match self {
            Wire::Fixed64(n) => each(n),
            Wire::Chunk(bytes) if bytes.len() % 8 == 0 => bytes.chunks_exact(8).for_each(|n| each(little(n))),
            _ => return Err(Malformed("numbers of 64 bits")),
        }
        Ok(())
    }
}

/// Writes fields, for answers and for what came as JSON.
#[derive(Default, Debug)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn raw_varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    pub fn varint(&mut self, number: u64, n: u64) {
        self.raw_varint(number << 3);
        self.raw_varint(n);
    }

    pub fn fixed64(&mut self, number: u64, n: u64) {
        self.raw_varint(number << 3 | 1);
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    pub fn chunk(&mut self, number: u64, bytes: &[u8]) {
        self.raw_varint(number << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 1..(1u64 << 29), n: u64, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut writer = Writer::default();
            writer.varint(number, n);
            writer.fixed64(number, n);
            writer.chunk(number, &bytes);
            let mut fields = Fields(&writer.0);
            prop_assert_eq!(fields.field(), Ok(Some((number, Wire::Varint(n)))));
            prop_assert_eq!(fields.field(), Ok(Some((number, Wire::Fixed64(n)))));
            prop_assert_eq!(fields.field(), Ok(Some((number, Wire::Chunk(&bytes[..])))));
            prop_assert_eq!(fields.field(), Ok(None));
            for cut in 1..writer.0.len() {
                let _ = Fields(&writer.0[..cut]).each(|_, _| Ok(()));
            }
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut n = 0;
            let _ = Fields(&bytes).each(|_, _| { n += 1; Ok(()) });
            prop_assert!(n <= bytes.len());
        }
    }

    #[test]
    fn what_is_not_protobuf() {
        for bytes in [
            &b"\x0b"[..],
            b"\x0a\x05abc",
            b"\x0d\x01\x02",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert!(Fields(bytes).field().is_err(), "{bytes:?}");
        }
        assert!(
            Wire::Chunk(b"1234567").each_fixed64(|_| {}).is_err() && Wire::Varint(1).chunk().is_err() && Wire::Chunk(b"").number().is_err()
        );
    }
}
