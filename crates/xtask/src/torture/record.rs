//! What is sent: each record's text is a function of its identity, so that a torn, mixed or altered one is recognised.

use super::random::Random;

/// Which record: the stream it belongs to, and its number there, from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Id {
    pub stream: u32,
    pub number: u64,
}

/// Lengths of records, in bytes.
const LENGTHS: std::ops::Range<u64> = 40..401;

/// Printable characters without `#`, which begins a record and stands nowhere else.
const FILL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Id {
    /// Appends the record's text: `#stream:number:` and characters that follow from both, without a newline.
    pub fn write(self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(format!("#{}:{}:", self.stream, self.number).as_bytes());
        let mut random = Random::new(u64::from(self.stream) << 40 ^ self.number);
        let end = start + random.within(LENGTHS) as usize;
        while into.len() < end {
            let bytes = random.draw().to_le_bytes();
            into.extend(bytes.iter().take(end - into.len()).map(|b| FILL[usize::from(b & 63)]));
        }
    }

    /// The record of this text; `None` when it is not exactly the text of one.
    pub fn read(text: &[u8]) -> Option<Id> {
        let id = Id::claimed(text)?;
        let mut expected = Vec::with_capacity(LENGTHS.end as usize);
        id.write(&mut expected);
        (expected == text).then_some(id)
    }

    fn claimed(text: &[u8]) -> Option<Id> {
        let mut parts = text.strip_prefix(b"#")?.splitn(3, |b| *b == b':');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
        Some(Id { stream: u32::try_from(number()?).ok()?, number: number()? })
    }

    /// The record that follows the beginning of another in one line: what is left where a writer was killed within a write.
    pub fn read_after_torn(line: &[u8]) -> Option<Id> {
        let at = line.iter().rposition(|b| *b == b'#').filter(|at| *at > 0)?;
        let (torn, whole) = line.split_at(at);
        is_beginning(torn).then(|| Id::read(whole)).flatten()
    }
}

/// Whether this is the beginning of a record's text.
pub fn is_beginning(torn: &[u8]) -> bool {
    let Some(id) = Id::claimed(torn) else {
        return torn.starts_with(b"#") && torn[1..].iter().all(|b| b.is_ascii_digit() || *b == b':');
    };
    let mut expected = Vec::new();
    id.write(&mut expected);
    // The number itself may be cut short.
    expected.starts_with(torn) || torn.iter().filter(|b| **b == b':').count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(stream: u32, number: u64) -> Vec<u8> {
        let mut text = Vec::new();
        Id { stream, number }.write(&mut text);
        text
    }

    #[test]
    fn only_the_exact_text_is_the_record() {
        let mut lengths = std::collections::HashSet::new();
        for number in 1..500 {
            let text = text(3, number);
            lengths.insert(text.len());
            assert_eq!(Id::read(&text), Some(Id { stream: 3, number }));
            assert_eq!(Id::read(&text[..text.len() - 1]), None);
            let mut altered = text.clone();
            altered[30] ^= 1;
            assert_eq!(Id::read(&altered), None);
        }
        assert!(lengths.iter().all(|l| (40..=400).contains(l)) && lengths.len() > 200);
    }

    #[test]
    fn a_record_is_found_behind_a_torn_one() {
        let (torn, whole) = (text(1, 1234), text(1, 77));
        for cut in 1..torn.len() {
            let line = [&torn[..cut], &whole].concat();
            assert_eq!(Id::read_after_torn(&line), Some(Id { stream: 1, number: 77 }), "{cut}");
        }
        assert_eq!(Id::read_after_torn(&whole), None);
        assert_eq!(Id::read_after_torn(&[b"garbage", &whole[..]].concat()), None);
    }
}
