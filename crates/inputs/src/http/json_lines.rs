/// Makes lines of a body that is JSON, in place: a line for each element of an array, and for each value that is
/// not in one. Line breaks between the tokens of a value become spaces; those inside strings are escaped in JSON.
/// A body that is lines of JSON already stays as it is.
///
/// Whether the values are valid is for the decoder to say.
///
/// # Errors
/// When the body ends in the middle of a value: says in which, by its number from 1.
pub fn separate(body: &mut [u8]) -> Result<(), String> {
    let (mut depth, mut in_array, mut in_string, mut escaped) = (0usize, false, false, false);
    // Nothing of a value was seen in this line.
    let mut fresh = true;
    let mut values = 0;
    for byte in body.iter_mut() {
        if in_string {
            (in_string, escaped) = (*byte != b'"' || escaped, *byte == b'\\' && !escaped);
            // As it would be cut there, and is no JSON.
            if *byte == b'\n' {
                return Err(format!("value {values} has a line break inside a string"));
            }
            continue;
        }
        let between = depth == usize::from(in_array);
        match *byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                fresh |= between && *byte == b'\n';
                // A line of blanks would be a record.
                *byte = if fresh { b'\n' } else { b' ' };
            }
            b'[' if depth == 0 => (*byte, fresh, depth, in_array) = (b'\n', true, 1, true),
            b']' if between && in_array => (*byte, fresh, depth, in_array) = (b'\n', true, 0, false),
            b',' if between && in_array => (*byte, fresh) = (b'\n', true),
            other => {
                values += usize::from(fresh);
                fresh = false;
                match other {
                    b'"' => in_string = true,
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
    if depth > 0 || in_string { Err(format!("the body ends in the middle of value {values}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str) -> Result<Vec<String>, String> {
        let mut bytes = body.as_bytes().to_vec();
        separate(&mut bytes)?;
        assert_eq!(bytes.len(), body.len());
        let text = String::from_utf8(bytes).unwrap();
        Ok(text.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end().to_string()).collect())
    }

    #[test]
    fn values_become_lines() {
        for (body, expected) in [
            ("", vec![]),
            (" [ \t\r\n ] \n ", vec![]),
            ("\r\n 1 \r\n , two words\t\n", vec!["1", ", two words"]),
            (r#"{"a":1}"#, vec![r#"{"a":1}"#]),
            ("{\"a\":1}\n{\"a\":[2,\n3]}\n", vec![r#"{"a":1}"#, r#"{"a":[2, 3]}"#]),
            (r#"[{"a":[1,2]},{"a":{"b":",]"}}]"#, vec![r#"{"a":[1,2]}"#, r#"{"a":{"b":",]"}}"#]),
            ("[\n  {\n    \"a\": 1\n  },\n  {\"b\": \"x\\\"],\"}\n]\n", vec!["{     \"a\": 1   }", r#"{"b": "x\"],"}"#]),
            (r#"["a\\","b"][1,[2,3]]"#, vec![r#""a\\""#, r#""b""#, "1", "[2,3]"]),
        ] {
            assert_eq!(lines(body).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn what_is_cut_is_refused() {
        for (body, told) in [("[1,2,", "value 2"), ("{\"a\":1}\n{\"b\":", "value 2"), ("[\"a]", "value 1"), ("\"a\nb\"", "line break")] {
            assert!(lines(body).unwrap_err().contains(told), "{body}: {:?}", lines(body));
        }
    }

    #[test]
    fn garbage_changes_nothing_but_separators() {
        for body in ["]}]}\n}", "no JSON, at all\n", "{]}[\n]"] {
            let mut bytes = body.as_bytes().to_vec();
            let _ = separate(&mut bytes);
            assert!(bytes.iter().zip(body.as_bytes()).all(|(a, b)| a == b || b",[] \n".contains(b) && b" \n".contains(a)), "{body}");
        }
    }
}
