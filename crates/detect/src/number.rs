//! Numbers as text.

use std::io::Write;

/// Appends a number as Heka's sandbox prints it: at most 8 decimals, without trailing zeros; beyond
/// the range of a C int with 17 digits; `nan`, `inf` and `-inf`.
pub fn write_number(x: f64, into: &mut Vec<u8>) {
    if x.is_nan() {
        into.extend_from_slice(b"nan");
    } else if x.is_infinite() {
        into.extend_from_slice(if x > 0.0 { b"inf" } else { b"-inf" });
    } else if x.abs() > f64::from(i32::MAX) {
        into.extend_from_slice(general(x, 17, 'e').as_bytes());
    } else if x == x.trunc() {
        let _ = write!(into, "{}", x as i64); // a vector takes everything
    } else {
        let start = into.len();
        let _ = write!(into, "{x:.8}");
        let zeros = into.iter().rev().take_while(|b| **b == b'0').count();
        into.truncate(into.len() - zeros);
        if into.last() == Some(&b'.') {
            into.pop();
        }
        if &into[start..] == b"-0" {
            into.remove(start);
        }
    }
}

/// A finite number as C's `%.{digits}g` writes it, with `e` or `E` before the exponent.
pub fn general(x: f64, digits: usize, e: char) -> String {
    let digits = digits.clamp(1, 40);
    let text = format!("{x:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}{e}{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    without_zeros(&format!("{x:.decimals$}")).to_string()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_heka_prints_them() {
        let text = |x| {
            let mut out = Vec::new();
            write_number(x, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(1.0 / 3.0), "0.33333333");
        assert_eq!(text(100.0), "100");
        assert_eq!(text(0.0), "0");
        assert_eq!(text(-0.0), "0");
        assert_eq!(text(2_147_483_648.0), "2147483648");
        assert_eq!(text(1e-9), "0");
        assert_eq!(text(-1e-9), "0");
        assert_eq!(text(-100.5), "-100.5");
        assert_eq!(text(1e20), "1e+20");
        assert_eq!(text(12_345_678_901.25), "12345678901.25");
        assert_eq!(text(f64::NAN), "nan");
        assert_eq!(text(f64::NEG_INFINITY), "-inf");
    }

    #[test]
    fn general_numbers_as_c_prints_them() {
        assert_eq!(general(1.5, 6, 'E'), "1.5");
        assert_eq!(general(17.0 / 18.0, 6, 'E'), "0.944444");
        assert_eq!(general(2.0, 6, 'E'), "2");
        assert_eq!(general(1234567.0, 6, 'E'), "1.23457E+06");
        assert_eq!(general(0.00001, 6, 'E'), "1E-05");
        assert_eq!(general(999_999.5, 6, 'E'), "1E+06");
        assert_eq!(general(0.0, 6, 'E'), "0");
    }
}
