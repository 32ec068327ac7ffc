use std::io::Write;

use crate::{Item, Reader, Wrong};

/// Appends the next value as JSON. What is not UTF-8 becomes U+FFFD, a number that JSON has not `null`, and
/// the bytes of an extension hexadecimal digits. The reader's bytes are known not to be too deep.
///
/// # Errors
/// What is not MessagePack.
pub(crate) fn write_json(r: &mut Reader<'_>, into: &mut Vec<u8>) -> Result<(), Wrong> {
    // Writing to memory does not fail.
    let _ = match r.item()? {
        Item::Nil => into.write_all(b"null"),
        Item::Bool(b) => write!(into, "{b}"),
        Item::Integer(n) => write!(into, "{n}"),
        Item::Unsigned(n) => write!(into, "{n}"),
        Item::Double(n) if n.is_finite() => write!(into, "{n:?}"),
        Item::Double(_) => into.write_all(b"null"),
        Item::Text(text) | Item::Bytes(text) => {
            string(text, into);
            Ok(())
        }
        Item::Extension(_, bytes) => {
            into.push(b'"');
            bytes.iter().for_each(|b| into.extend_from_slice(format!("{b:02x}").as_bytes()));
            into.write_all(b"\"")
        }
        Item::Array(n) => {
            into.push(b'[');
            for i in 0..n {
                comma(i, into);
                write_json(r, into)?;
            }
            into.write_all(b"]")
        }
        Item::Map(n) => {
            into.push(b'{');
            for i in 0..n {
                comma(i, into);
                name(r, into)?;
                into.push(b':');
                write_json(r, into)?;
            }
            into.write_all(b"}")
        }
    };
    Ok(())
}

fn comma(i: u64, into: &mut Vec<u8>) {
    if i > 0 {
        into.push(b',');
    }
}

/// A name is text, whatever it was.
fn name(r: &mut Reader<'_>, into: &mut Vec<u8>) -> Result<(), Wrong> {
    if let Item::Text(text) | Item::Bytes(text) = r.peek()? {
        r.item()?;
        string(text, into);
        return Ok(());
    }
    // Quoted at each level of nesting, one inside another would double that often.
    if matches!(r.peek()?, Item::Map(_) | Item::Array(_)) {
        return Err(r.expected("a name that is one value"));
    }
    let mut text = Vec::new();
    write_json(r, &mut text)?;
    string(&text, into);
    Ok(())
}

fn string(bytes: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => into.extend_from_slice(&[b'\\', c as u8]),
            c if c < ' ' => into.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes()),
            c => into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    into.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn it_is_what_was_meant() {
        let value = json!({"a": [1, -2.5, true, null, "x\"\\\n\u{1}é"], "b": {"c": 18446744073709551615u64}, "": {}});
        let mut text = Vec::new();
        write_json(&mut Reader::new(&rmp_serde::to_vec(&value).unwrap()), &mut text).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn what_json_has_not() {
        let mut text = Vec::new();
        write_json(&mut Reader::new(b"\x94\xc4\x02\xffa\xcb\x7f\xf0\0\0\0\0\0\0\xd4\x01\xab\x81\x07\x01"), &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "[\"\u{fffd}a\",null,\"ab\",{\"7\":1}]");
        let nested = [&[0x81; 40][..], &[1; 41]].concat();
        assert!(write_json(&mut Reader::new(&nested), &mut Vec::new()).unwrap_err().to_string().contains("a name that is one value"));
        assert_eq!(write_json(&mut Reader::new(b"\x92\x01"), &mut Vec::new()), Err(Wrong::Cut(2)));
    }
}
