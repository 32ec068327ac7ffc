use crate::Refused;

/// Fields of metric and sample messages that are no tags. A tag of one of these names is written
/// with `tag_` before it.
pub const RESERVED_FIELDS: [&str; 4] = ["name", "value", "kind", "rate"];

/// Most bytes of name and tags: with the number of series it bounds what keys may take.
pub const MAX_KEY: usize = 2048;
const MAX_TAGS: usize = 64;

/// Bytes that stay in a name: `[a-zA-Z0-9_.;=-]`.
const CLEAN: [bool; 256] = {
    let mut clean = [false; 256];
    let mut b = 0;
    while b < 256 {
        clean[b] = (b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'_' | b'-' | b'.' | b';' | b'=');
        b += 1;
    }
    clean
};

/// Name and tags as a series' key has them: the name as Etsy cleans it, the tags in order without
/// repetition. Built in `scratch` unless both can be taken as they are.
pub fn canonical<'k>(name: &'k [u8], tags: &'k [u8], scratch: &'k mut Vec<u8>) -> Result<(&'k [u8], &'k [u8]), Refused> {
    if name.len() + tags.len() > MAX_KEY {
        return Err(Refused::TooLong);
    }
    // Without a branch at each byte: names are clean as a rule.
    let is_clean = name.iter().fold(true, |clean, b| clean & CLEAN[usize::from(*b)]);
    if tags.is_empty() && is_clean {
        return Ok((name, tags));
    }
    scratch.clear();
    if is_clean {
        scratch.extend_from_slice(name);
    } else {
        clean(name, scratch);
    }
    let end = scratch.len();
    add_tags(tags, scratch)?;
    Ok(scratch.split_at(end))
}

/// The tags of a sample or key, name and value; a tag without `:` has no value. Empty ones are
/// passed over.
pub fn tags(list: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).map(|tag| match memchr::memchr(b':', tag) {
        Some(colon) => (&tag[..colon], Some(&tag[colon + 1..])),
        None => (tag, None),
    })
}

/// Whether a tag of this name needs `tag_` before it to be a field.
pub fn is_reserved(tag: &[u8]) -> bool {
    RESERVED_FIELDS.iter().any(|reserved| reserved.as_bytes() == tag)
}

/// Blanks become one `_`, `/` becomes `-`, other bytes that may not be in a name are dropped.
fn clean(name: &[u8], into: &mut Vec<u8>) {
    let mut blank = false;
    for &byte in name {
        let space = matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c);
        match byte {
            _ if space && !blank => into.push(b'_'),
            b'/' => into.push(b'-'),
            _ if CLEAN[usize::from(byte)] => into.push(byte),
            _ => {}
        }
        blank = space;
    }
}

fn add_tags(tags: &[u8], into: &mut Vec<u8>) -> Result<(), Refused> {
    let each = || tags.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty());
    let start = into.len();
    // Many clients send tags in this order already.
    let (mut last, mut n): (&[u8], usize) = (b"", 0);
    let sorted = each().all(|tag| {
        let ascending = last < tag && n < MAX_TAGS;
        push(tag, start, into);
        (last, n) = (tag, n + 1);
        ascending
    });
    if sorted {
        return Ok(());
    }
    into.truncate(start);
    let mut list = [&b""[..]; MAX_TAGS];
    let mut n = 0;
    for tag in each() {
        *list.get_mut(n).ok_or(Refused::TooLong)? = tag;
        n += 1;
    }
    list[..n].sort_unstable();
    let mut last: &[u8] = b"";
    for tag in &list[..n] {
        if last != *tag {
            push(tag, start, into);
        }
        last = tag;
    }
    Ok(())
}

/// Appends a tag to those from `start` on.
fn push(tag: &[u8], start: usize, into: &mut Vec<u8>) {
    if into.len() > start {
        into.push(b',');
    }
    into.extend_from_slice(tag);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, tags: &str) -> String {
        let mut scratch = Vec::new();
        let (name, tags) = canonical(name.as_bytes(), tags.as_bytes(), &mut scratch).unwrap();
        let made = [name, tags].map(|part| String::from_utf8_lossy(part).into_owned());
        assert_eq!(canonical(made[0].as_bytes(), made[1].as_bytes(), &mut Vec::new()), Ok((made[0].as_bytes(), made[1].as_bytes())));
        made.join("\n").trim_end().to_string()
    }

    #[test]
    fn names_are_cleaned_as_etsy_does() {
        assert_eq!(made("a.b-c_d;e=f", ""), "a.b-c_d;e=f");
        assert_eq!(made("a  b\tc / d", ""), "a_b_c_-_d");
        assert_eq!(made("a/b(c)é!", ""), "a-bc");
    }

    #[test]
    fn the_order_of_tags_does_not_matter() {
        assert_eq!(made("x", "b:2,a:1"), "x\na:1,b:2");
        assert_eq!(made("x", "a:1, b:2,,a:1"), made("x", "b:2,a:1"));
        assert_eq!(made("x", ","), "x");
    }

    #[test]
    fn keys_are_bounded() {
        let mut scratch = Vec::new();
        assert_eq!(canonical(&[b'a'; MAX_KEY + 1], b"", &mut scratch), Err(Refused::TooLong));
        let many: Vec<u8> = (0..=MAX_TAGS).flat_map(|i| format!("t{i},").into_bytes()).collect();
        assert_eq!(canonical(b"a", &many, &mut scratch), Err(Refused::TooLong));
    }
}
