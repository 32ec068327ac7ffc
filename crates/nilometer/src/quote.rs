//! Values as TOML.

use std::fmt::Write;

/// A TOML basic string that means `text`.
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a string"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML array of strings.
pub fn strings<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = list.into_iter().map(|s| string(s.as_ref())).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use options::{Raw, Source, Tree};

    #[test]
    fn what_is_quoted_reads_back() {
        let all: String = (0..0x300).filter_map(char::from_u32).chain("€\u{2028}\u{10ffff}".chars()).collect();
        for text in ["", "plain", r"C:\x", "a\"b'c", "Fields[x] =~ /\\d+/\n", &all] {
            let tree = Tree::parse(Source::new("x", format!("a = {}", super::string(text)))).unwrap();
            let Some(Raw::String(read)) = tree.get("a").map(|n| &n.raw) else { panic!("not a string") };
            assert_eq!(read, text);
        }
    }
}
