use std::ops::Range;

use regex::bytes::Regex;

use super::card;

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Regex(Regex),
    Card,
}

/// Patterns that have a name. An octet of an address is 0 to 255; the token of a `Bearer` is what
/// RFC 6750 §2.1 allows; an e-mail address is what people use rather than all that RFC 5322 allows.
const NAMED: [(&str, &str); 3] = [
    ("email", r"(?i)[a-z0-9._%+'-]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}"),
    ("ipv4", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
    ("bearer", r"(?i)\bbearer +[a-z0-9._~+/-]+=*"),
];

/// Names of patterns, for documentation and errors.
pub(super) const NAMES: [&str; 4] = ["email", "card", "ipv4", "bearer"];

impl Pattern {
    /// The pattern of this name.
    pub fn named(name: &str) -> Option<Pattern> {
        if name == "card" {
            return Some(Pattern::Card);
        }
        let (_, pattern) = NAMED.iter().find(|(n, _)| *n == name)?;
        regex::bytes::RegexBuilder::new(pattern).unicode(false).build().ok().map(Pattern::Regex)
    }

    /// The first match from `from` on.
    pub fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        match self {
            Pattern::Regex(regex) => regex.find_at(text, from).map(|m| m.range()),
            Pattern::Card => card::find(text, from),
        }
    }

    /// Appends `text` to `into` with `mask` in the place of every match; false, and nothing
    /// appended, when there is none.
    pub fn mask(&self, text: &[u8], mask: &[u8], into: &mut Vec<u8>) -> bool {
        let mut at = 0;
        while let Some(found) = self.find(text, at) {
            into.extend_from_slice(&text[at..found.start]);
            into.extend_from_slice(mask);
            // No pattern matches the empty text, so this goes on.
            at = found.end;
        }
        if at > 0 {
            into.extend_from_slice(&text[at..]);
        }
        at > 0
    }
}
