/// Reads a number as JavaScript's `Number` does: decimal with fraction and exponent, `0x10`,
/// `0o17`, `0b11`, blanks around it. Unlike there, an empty or blank text, infinities and numbers
/// too large for a double are no numbers: one of them would spoil its series for good.
pub fn number(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let value = match short_decimal(digits) {
        Some(value) => value,
        None if digits.len() == text.len() && digits.first() == Some(&b'0') && digits.len() > 2 => {
            prefixed(digits).or_else(|| long_decimal(digits))?
        }
        None => long_decimal(digits)?,
    };
    Some(if negative { -value } else { value })
}

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

fn short_decimal(text: &[u8]) -> Option<f64> {
    leading_decimal(text).filter(|(_, length)| *length == text.len()).map(|(value, _)| value)
}

/// The number that a text begins with, and its length: up to 15 digits with or without a point.
/// Digits and power of ten are exact doubles, so that one division rounds correctly (Clinger's fast
/// path).
#[inline]
pub fn leading_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let (whole, digits) = leading_digits(text, 0)?;
    if text.get(digits) != Some(&b'.') {
        return (digits > 0).then_some((whole as f64, digits));
    }
    let (value, length) = leading_digits(&text[digits + 1..], whole)?;
    let all = digits + length;
    (1..=15).contains(&all).then(|| (value as f64 / POWERS[length], all + 1))
}

/// The digits that a text begins with, at most 15, behind those of `value`; and how many.
#[inline]
fn leading_digits(text: &[u8], mut value: u64) -> Option<(u64, usize)> {
    for (n, &byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Some((value, n));
        }
        if n == 15 {
            return None;
        }
        // Thirty digits would not fit, but more than fifteen are not used.
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some((value, text.len()))
}

fn long_decimal(text: &[u8]) -> Option<f64> {
    // The standard parser would take "inf", "nan" and a second sign.
    if !text.first()?.is_ascii_digit() && text[0] != b'.'
        || !text.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

fn prefixed(text: &[u8]) -> Option<f64> {
    let radix = match text[1] {
        b'x' | b'X' => 16,
        b'o' | b'O' => 8,
        b'b' | b'B' => 2,
        _ => return None,
    };
    let digits = std::str::from_utf8(&text[2..]).ok()?;
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().map(|n| n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_javascripts() {
        for (text, value) in [
            ("1", 1.0),
            ("-3", -3.0),
            ("+4.5", 4.5),
            ("5.", 5.0),
            (".5", 0.5),
            ("0x10", 16.0),
            ("0XfF", 255.0),
            ("0b11", 3.0),
            ("0o17", 15.0),
            ("1e3", 1000.0),
            ("1E-2", 0.01),
            ("0e5", 0.0),
            ("12345678901234567890", 12345678901234567890.0),
            (" 7\r", 7.0),
        ] {
            assert_eq!(number(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "", " ", ".", "-", "+-1", "--1", "1_000", "1,5", "abc", "inf", "Infinity", "NaN", "1e999", "0x", "-0x10", "0x+1", "1e", "e3",
            "1.2.3", "1 2",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_double_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(number(value.to_string().as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }

        #[test]
        fn the_fast_path_rounds_as_the_standard_parser(text in "[0-9]{1,8}(\\.[0-9]{0,7})?") {
            prop_assert_eq!(number(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..24)) {
            number(&text);
        }
    }
}
