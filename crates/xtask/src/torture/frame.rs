//! Heka's framing and the little of its messages that is needed, by hand: an oracle that shares no code with what it judges.

/// Longest message taken, in bytes.
const MAX: usize = 1 << 20;

/// Field numbers of `Message` with their wire type.
const UUID: u8 = 1 << 3 | 2;
const TIMESTAMP: u8 = 2 << 3;
const TYPE: u8 = 3 << 3 | 2;
const PAYLOAD: u8 = 6 << 3 | 2;

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value > 127 {
        into.push(value as u8 | 128);
        value >>= 7;
    }
    into.push(value as u8);
}

fn chunk(key: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(key);
    varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// Appends a framed message of this type and payload.
pub fn append(uuid: u128, timestamp: i64, kind: &str, payload: &[u8], into: &mut Vec<u8>) {
    let mut message = Vec::with_capacity(payload.len() + 64);
    chunk(UUID, &uuid.to_be_bytes(), &mut message);
    message.push(TIMESTAMP);
    varint(timestamp as u64, &mut message);
    chunk(TYPE, kind.as_bytes(), &mut message);
    chunk(PAYLOAD, payload, &mut message);
    let mut header = vec![1 << 3];
    varint(message.len() as u64, &mut header);
    into.extend([0x1e, header.len() as u8]);
    into.extend(header);
    into.push(0x1f);
    into.extend(message);
}

/// What stands at the beginning of some bytes.
#[derive(PartialEq, Debug)]
pub enum Frame<'a> {
    /// The payload of a whole message, and the bytes its frame takes.
    Whole(&'a [u8], usize),
    Partial,
    /// No frame.
    Wrong,
}

/// Reads the frame at the beginning.
pub fn read(bytes: &[u8]) -> Frame<'_> {
    let &[begin, header, ref rest @ ..] = bytes else { return Frame::Partial };
    let header = usize::from(header);
    if begin != 0x1e {
        return Frame::Wrong;
    }
    let Some((header, rest)) = rest.split_at_checked(header) else { return Frame::Partial };
    let length = Fields(header).find(|(key, ..)| *key == 1 << 3).map(|(_, value, _)| value as usize).filter(|n| *n <= MAX);
    let (Some(length), Some((&end, rest))) = (length, rest.split_first()) else {
        return if length.is_none() { Frame::Wrong } else { Frame::Partial };
    };
    if end != 0x1f {
        return Frame::Wrong;
    }
    let Some(message) = rest.get(..length) else { return Frame::Partial };
    let payload = Fields(message).find(|(key, ..)| *key == u64::from(PAYLOAD));
    payload.map_or(Frame::Wrong, |(_, _, payload)| Frame::Whole(payload, 3 + header.len() + length))
}

/// The fields of a message in the order they stand: key, number, bytes. Ends at what is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        match key & 7 {
            0 => Some((key, self.varint()?, &[])),
            1 => Some((key, 0, self.bytes(8)?)),
            2 => {
                let length = self.varint()?;
                Some((key, length, self.bytes(length)?))
            }
            5 => Some((key, 0, self.bytes(4)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        append(7, 1_700_000_000_000_000_000, "x", &[b'p'; 300], &mut bytes);
        let size = bytes.len();
        append(8, 0, "x", b"next", &mut bytes);
        assert_eq!(read(&bytes), Frame::Whole(&[b'p'; 300], size));
        assert_eq!(read(&bytes[size..]), Frame::Whole(b"next", bytes.len() - size));
        assert!((0..size).all(|n| read(&bytes[..n]) == Frame::Partial));
        assert_eq!(read(&bytes[1..]), Frame::Wrong);
    }
}
