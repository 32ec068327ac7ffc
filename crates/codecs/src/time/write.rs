use super::civil::{Civil, SECOND};

/// Appends `ns` since the UNIX epoch as an RFC 3339 time in UTC, such as `2023-11-14T22:13:20.123Z`,
/// with `digits` (0 to 9) decimals of the second. What does not fit those is cut off.
pub fn write_rfc3339(ns: i64, digits: usize, into: &mut Vec<u8>) {
    let digits = digits.min(9);
    let civil = Civil::at(ns.div_euclid(SECOND));
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    // The range of `ns` ends in the years 1677 and 2262.
    write_digits(&mut text[0..4], civil.year as u32);
    write_digits(&mut text[5..7], civil.month);
    write_digits(&mut text[8..10], civil.day);
    write_digits(&mut text[11..13], civil.hour);
    write_digits(&mut text[14..16], civil.minute);
    write_digits(&mut text[17..19], civil.second);
    if digits > 0 {
        write_digits(&mut text[20..29], ns.rem_euclid(SECOND) as u32);
    }
    let end = if digits == 0 { 19 } else { 20 + digits };
    text[end] = b'Z';
    into.extend_from_slice(&text[..=end]);
}

/// Fills `into` with the lowest digits of `n`.
fn write_digits(into: &mut [u8], mut n: u32) {
    for byte in into.iter_mut().rev() {
        *byte = b'0' + (n % 10) as u8;
        n /= 10;
    }
}
