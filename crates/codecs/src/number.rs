//! Numbers as log lines have them, read from bytes.

use crate::lanes::word;

/// A decimal integer of 64 bits, with an optional sign.
#[inline]
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.len() > 18 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let (mut n, mut worst) = (0_i64, 0);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        worst = worst.max(digit);
        // Bytes that are no digits may be too much for it.
        n = n.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    (worst <= 9 && !digits.is_empty()).then_some(if negative { -n } else { n })
}

/// [`integer`] of the bytes of `text` from `at` to `end`. Up to eight digits are read at once.
#[inline(always)]
pub(crate) fn integer_within(text: &[u8], at: usize, end: usize) -> Option<i64> {
    match (end - at, word(text, at)) {
        (length @ 1..=8, Some(word)) => {
            // The digits, the last one highest, behind as many zeros as are missing.
            let digits = (word ^ ZEROS) << (64 - 8 * length);
            if (digits.wrapping_add(ONES * 0x76) | digits) & (ONES << 7) != 0 {
                return integer(&text[at..end]);
            }
            // Neighbours are joined to pairs, these to fours, these to eight.
            let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
            let low = (pairs & PAIR).wrapping_mul(100 + (1_000_000 << 32));
            let high = (pairs >> 16 & PAIR).wrapping_mul(1 + (10_000 << 32));
            Some((low.wrapping_add(high) >> 32) as i64)
        }
        _ => integer(&text[at..end]),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const ZEROS: u64 = ONES * b'0' as u64;
const PAIR: u64 = 0x0000_00ff_0000_00ff;

/// A finite decimal number, with optional sign, fraction and exponent.
pub(crate) fn double(text: &[u8]) -> Option<f64> {
    // Words such as `inf` are no numbers here.
    if !matches!(text.last()?, b'0'..=b'9' | b'.') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

/// `true` or `false`, `yes` or `no`, `on` or `off`, `1` or `0`, in any case.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    let is = |words: [&[u8]; 4]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is([b"true", b"yes", b"on", b"1"]) { Some(true) } else { is([b"false", b"no", b"off", b"0"]).then_some(false) }
}

#[cfg(test)]
mod tests {
    use super::{boolean, double, integer, integer_within};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_are_read_as_the_standard_library_does(n: i64, text in "[-+]?[0-9]{0,21}x?") {
            prop_assert_eq!(integer(n.to_string().as_bytes()), Some(n));
            prop_assert_eq!(integer(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn other_bytes_are_no_numbers(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let expected = std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok());
            prop_assert_eq!(integer(&text), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_are_read_within_text(before in ".{0,3}", text in prop_oneof!["[0-9]{1,9}", "[-+0-9:/]{0,9}", "\\PC{0,4}"], after in ".{0,12}") {
            let line = format!("{before}{text}{after}");
            prop_assert_eq!(integer_within(line.as_bytes(), before.len(), before.len() + text.len()), integer(text.as_bytes()));
        }
    }

    #[test]
    fn words_are_no_numbers() {
        for text in ["", "-", "inf", "NaN", "1e999", "1 ", "0x1"] {
            assert_eq!((integer(text.as_bytes()), double(text.as_bytes())), (None, None), "{text}");
        }
        assert_eq!((double(b"0.25"), double(b"-1e3"), double(b"7")), (Some(0.25), Some(-1000.0), Some(7.0)));
        assert_eq!((boolean(b"Yes"), boolean(b"0"), boolean(b"2")), (Some(true), Some(false), None));
    }
}
