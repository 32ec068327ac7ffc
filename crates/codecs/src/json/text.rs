//! What is between the quotes.

use std::str;

use crate::lanes::{WIDTH, some};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Bytes of `word` that are `byte`, as high bits. The lowest one is right; those above it may not
/// be, because the subtraction borrows.
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & HIGH
}

/// Bytes of `word` that end a plain run, as high bits, the lowest of which is right.
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | equal(word, b'"') | equal(word, b'\\')
}

#[inline(always)]
fn is_special(byte: u8) -> bool {
    // Not `||`, which does not become a vector instruction.
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Length of the beginning of `bytes` that holds no quote, backslash or control character.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    run(bytes, special, is_special)
}

/// As [`plain`], and ends before the first byte that is not ASCII.
fn plain_ascii(bytes: &[u8]) -> usize {
    run(bytes, |word| special(word) | word & HIGH, |byte| is_special(byte) | (byte >= 0x80))
}

#[inline(always)]
fn run(bytes: &[u8], word: impl Fn(u64) -> u64, byte: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    // Names and most values are short: two words before blocks.
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let stops = word(u64::from_le_bytes(*chunk));
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at == WIDTH {
            let (blocks, _) = bytes[at..].as_chunks();
            at += blocks.iter().take_while(|block| !some(block, |_, b| byte(b))).count() * WIDTH;
        }
    }
    let rest = &bytes[at..];
    if rest.is_empty() {
        return at;
    }
    // The last word may begin with bytes that were looked at and did not stop.
    let (from, last) = match bytes.last_chunk::<8>() {
        Some(last) => (bytes.len() - 8, u64::from_le_bytes(*last)),
        None => (0, short_word(bytes)),
    };
    let stops = word(last);
    if stops == 0 { bytes.len() } else { from + stops.trailing_zeros() as usize / 8 }
}

/// One to seven bytes as a word, with spaces behind them. Some are put in their place twice.
#[inline(always)]
fn short_word(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    let word = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (n - 4)),
        _ => [0, n / 2, n - 1].iter().fold(0, |word, at| word | u64::from(bytes[*at]) << (8 * at)),
    };
    word | (ONES * 0x20) << (8 * n)
}

/// Appends `bytes` as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD.
pub(crate) fn write_string(bytes: &[u8], into: &mut Vec<u8>) {
    let ascii = plain_ascii(bytes);
    let (plain, rest) = bytes.split_at(ascii);
    into.reserve(bytes.len() + 2);
    into.push(b'"');
    into.extend_from_slice(plain);
    if !rest.is_empty() {
        write_rest(rest, into);
    }
    into.push(b'"');
}

/// The part of a string that is not plain.
fn write_rest(rest: &[u8], into: &mut Vec<u8>) {
    if simdutf8::basic::from_utf8(rest).is_ok() {
        escape(rest, into);
    } else {
        for chunk in rest.utf8_chunks() {
            escape(chunk.valid().as_bytes(), into);
            if !chunk.invalid().is_empty() {
                into.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
}

fn escape(mut bytes: &[u8], into: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    loop {
        let (run, rest) = bytes.split_at(plain(bytes));
        into.extend_from_slice(run);
        let Some((&byte, rest)) = rest.split_first() else { return };
        match byte {
            b'"' | b'\\' => into.extend_from_slice(&[b'\\', byte]),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            _ => into.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
        bytes = rest;
    }
}

/// Appends what the inside of a string stands for. The string is one that was read: an escape that
/// is none is left out. A surrogate without its partner becomes U+FFFD.
pub(crate) fn unescape(mut raw: &[u8], into: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', raw) {
        into.extend_from_slice(&raw[..at]);
        let escape = raw.get(at + 1).copied().unwrap_or_default();
        raw = raw.get(at + 2..).unwrap_or_default();
        match escape {
            b'"' | b'\\' | b'/' => into.push(escape),
            b'b' => into.push(8),
            b'f' => into.push(12),
            b'n' => into.push(b'\n'),
            b'r' => into.push(b'\r'),
            b't' => into.push(b'\t'),
            b'u' => {
                let (code, rest) = code_point(raw);
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                into.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                raw = rest;
            }
            _ => {}
        }
    }
    into.extend_from_slice(raw);
}

/// The code point of the hexadecimal digits at the start of `raw`, together with the low surrogate
/// that follows a high one.
fn code_point(raw: &[u8]) -> (u32, &[u8]) {
    let (Some(first), Some(rest)) = (unit(raw), raw.get(4..)) else { return (u32::MAX, b"") };
    if (0xd800..0xdc00).contains(&first)
        && let Some(pair) = rest.strip_prefix(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(pair)
    {
        return (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), &pair[4..]);
    }
    (first, rest)
}

fn unit(raw: &[u8]) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(raw.get(..4)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_written_as_serde_reads_them(bytes in prop::collection::vec(prop_oneof![3 => 0x20..0x7fu8, 1 => any::<u8>()], 0..40)) {
            let mut json = Vec::new();
            write_string(&bytes, &mut json);
            let read: String = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn strings_are_read_as_serde_writes_them(text in "(\\PC|[\"\\\\\n\u{1}/😀])*") {
            let json = serde_json::to_string(&text).unwrap();
            let mut read = Vec::new();
            unescape(&json.as_bytes()[1..json.len() - 1], &mut read);
            prop_assert_eq!(read, text.as_bytes());
        }

        #[test]
        fn plain_runs_end_at_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let end = |test: fn(u8) -> bool| bytes.iter().position(|b| test(*b)).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes), end(is_special));
            prop_assert_eq!(plain_ascii(&bytes), end(|b| is_special(b) || b >= 0x80));
        }
    }

    #[test]
    fn escapes() {
        let read = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(read(r#"\"\\\/\b\f\n\r\t\u0041\u00e9"#), "\"\\/\u{8}\u{c}\n\r\tAé");
        assert_eq!(read(r"\ud83d\ude00"), "😀");
        assert_eq!(read(r"\ud83d-\ude00\ud83d\n\ud83d\u0041"), "\u{fffd}-\u{fffd}\u{fffd}\n\u{fffd}A");
    }
}
