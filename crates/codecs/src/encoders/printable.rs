//! Text from messages as it may reach a terminal.

/// Appends `bytes` so that they stay on one line and command nothing: control characters, line and
/// paragraph separators and those that change the direction of text are written as escapes
/// (`\n`, `\x1b`, `\u{202e}`), as are bytes that are not UTF-8 (`\xff`).
pub fn write_printable(bytes: &[u8], into: &mut Vec<u8>) {
    if bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
        into.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => into.extend_from_slice(b"\\n"),
                '\r' => into.extend_from_slice(b"\\r"),
                '\t' => into.extend_from_slice(b"\\t"),
                '\0'..='\x1f' | '\x7f' => escape_byte(c as u8, into),
                _ if is_unsafe(c) => into.extend_from_slice(format!("\\u{{{:x}}}", u32::from(c)).as_bytes()),
                _ => into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            escape_byte(*byte, into);
        }
    }
}

/// C1 controls, which terminals obey, and format characters that reorder or hide what is around them.
fn is_unsafe(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn escape_byte(byte: u8, into: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    into.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printable(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_printable(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commands_are_shown_instead_of_obeyed() {
        assert_eq!(printable(b"\x1b[2J\x07a\tb\r\n\x7f\xff\x9b"), r"\x1b[2J\x07a\tb\r\n\x7f\xff\x9b");
        assert_eq!(printable("né\u{202e}\u{9b}31m".as_bytes()), r"né\u{202e}\u{9b}31m");
    }

    proptest! {
        #[test]
        fn nothing_controls_the_terminal(bytes in prop::collection::vec(any::<u8>(), 0..60), text: String) {
            for out in [printable(&bytes), printable(text.as_bytes())] {
                prop_assert!(!out.chars().any(char::is_control));
            }
        }
    }
}
