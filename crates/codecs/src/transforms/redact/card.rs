use std::ops::Range;

/// Digits a card number has: <https://www.iso.org/standard/70484.html> allows up to 19.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// The first card number in `text` from `from` on: 13 to 19 digits in groups with single spaces or
/// dashes between, beginning with 2 to 6 as those in circulation do, and right by Luhn's check. It
/// begins and ends with a group, so that one long number is not searched for parts that happen to
/// be right.
pub(super) fn find(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    loop {
        start += text[start..].iter().position(u8::is_ascii_digit)?;
        if let (b'2'..=b'6', Some(end)) = (text[start], longest(text, start)) {
            return Some(start..end);
        }
        start += text[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
}

/// Where the longest card number ends that begins at `start`, where a group does.
fn longest(text: &[u8], start: usize) -> Option<usize> {
    let (mut digits, mut found) = ([0_u8; 19], None);
    let (mut count, mut at) = (0, start);
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' if count == *DIGITS.end() => break,
            b'0'..=b'9' => {
                digits[count] = byte - b'0';
                count += 1;
                let ends = text.get(at + 1).is_none_or(|b| !b.is_ascii_digit());
                if ends && DIGITS.contains(&count) && luhn(&digits[..count]) {
                    found = Some(at + 1);
                }
            }
            b' ' | b'-' if text.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            _ => break,
        }
        at += 1;
    }
    found
}

/// Every second digit from the right is doubled; the digits of all sum up to a multiple of ten.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |d: u8| if d > 4 { d * 2 - 9 } else { d * 2 };
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, d)| u32::from(if i % 2 == 1 { doubled(*d) } else { *d })).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn card_numbers_are_told_from_other_numbers() {
        let found = |text: &str| find(text.as_bytes(), 0).map(|r| text[r].to_string());
        for number in ["4111111111111111", "4111 1111 1111 1111", "3782-822463-10005", "5500000000000004", "6011000990139424"] {
            assert_eq!(found(&format!("id 12 {number}, ok")).as_deref(), Some(number));
        }
        // A wrong check digit, a time in nanoseconds, an identifier that is longer, two separators.
        for text in ["4111111111111112", "1700000000000000000", "41111111111111111111", "4111  1111 1111 1111", "", "4"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
