//! Numbers as decimal text.

use std::io::Write;

/// `00` to `99`.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// Appends an integer.
pub(super) fn write_integer(n: i64, into: &mut Vec<u8>) {
    let mut text = [0; 20];
    let mut at = text.len();
    let mut rest = n.unsigned_abs();
    while rest >= 10 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    // A single digit is left, or 0 when all of them came in pairs.
    if rest > 0 || n == 0 {
        at -= 1;
        text[at] = b'0' + rest as u8;
    }
    if n < 0 {
        at -= 1;
        text[at] = b'-';
    }
    into.extend_from_slice(&text[at..]);
}

/// Appends the shortest text that reads back as the same double. It has a point or an exponent, so
/// that it reads back as a double.
pub(super) fn write_double(n: f64, into: &mut Vec<u8>) {
    const EXACT: f64 = (1_u64 << 53) as f64;
    if n.fract() == 0.0 && n.abs() < EXACT && (n != 0.0 || n.is_sign_positive()) {
        write_integer(n as i64, into);
        into.extend_from_slice(b".0");
    } else {
        // Writing to memory does not fail.
        let _ = write!(into, "{n:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(1)).unwrap()
    }

    proptest! {
        #[test]
        fn integers_are_exact(n: i64, shift in 0..64u32) {
            for n in [n, n >> shift, 0, i64::MIN, i64::MAX, 10, -99, 100] {
                prop_assert_eq!(written(|out| write_integer(n, out)), n.to_string());
            }
        }

        #[test]
        fn doubles_read_back(n: f64, whole: i32) {
            for n in [n, f64::from(whole), 0.0, -0.0, 1e15, 1e16, 1e300, 9007199254740992.0] {
                let text = written(|out| write_double(n, out));
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), n.to_bits());
                prop_assert!(text.contains(['.', 'e']));
                prop_assert!(text.parse::<serde_json::Number>().is_ok(), "{}", text);
            }
        }
    }
}
