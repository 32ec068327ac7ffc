use std::net::Ipv6Addr;
use std::ops::Range;

/// Most bytes of an address: eight groups, the last two as IPv4 may write them.
const LONGEST: usize = 45;

/// The first IPv6 address in `text` from `from` on, in any form that RFC 4291 §2.2 allows. No letter, digit or `_` stands directly
/// before or behind it. `::` alone is none: in text it is something else.
pub(super) fn find(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        at += memchr::memchr(b':', &text[at..])?;
        // All that may belong to an address around the colon.
        let begin = from.max(at - text[from..at].iter().rev().take(LONGEST).take_while(|b| is_part(**b)).count());
        let end = at + text[at..].iter().take_while(|b| is_part(**b)).count();
        if end - begin <= LONGEST + 2
            && let Some(found) = address(text, begin, end)
        {
            return Some(found);
        }
        at = end;
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The address that is all of a range, but for a colon before it and punctuation behind it.
fn address(text: &[u8], mut begin: usize, mut end: usize) -> Option<Range<usize>> {
    while text[begin..end].first() == Some(&b'.') || (text[begin..end].starts_with(b":") && !text[begin..end].starts_with(b"::")) {
        begin += 1;
    }
    while text[begin..end].last() == Some(&b'.') || (text[begin..end].ends_with(b":") && !text[begin..end].ends_with(b"::")) {
        end -= 1;
    }
    let is_whole = !is_word(begin.checked_sub(1).and_then(|b| text.get(b))) && !is_word(text.get(end));
    let parsed = std::str::from_utf8(&text[begin..end]).ok()?.parse::<Ipv6Addr>();
    (is_whole && end - begin > 2 && parsed.is_ok()).then_some(begin..end)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn addresses_are_told_from_times_and_paths() {
        let found = |text: &str| find(text.as_bytes(), 0).map(|r| text[r].to_string());
        for address in ["2001:db8::1", "::1", "fe80::1:2:3", "2001:DB8:0:0:0:0:0:1", "::ffff:203.0.113.9", "1::"] {
            for text in [format!("from {address}, ok"), format!("[{address}]:443"), format!("12:30:00 ip={address}"), address.to_string()] {
                assert_eq!(found(&text).as_deref(), Some(address), "{text}");
            }
        }
        assert_eq!(found("client:2001:db8::1.").as_deref(), Some("2001:db8::1"));
        assert_eq!(found("2001:db8::1: no route").as_deref(), Some("2001:db8::1"));
        for text in
            ["12:30:00", "std::vec::Vec", "a :: b", "00:1a:2b:3c:4d:5e", "::", "x::1", "1:2:3:4:5:6:7:8:9", ":::", "http://a:80/", ""]
        {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(find(&b":".repeat(1 << 20), 0), None);
    }
}
