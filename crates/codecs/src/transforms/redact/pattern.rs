use std::ops::Range;

use regex::bytes::Regex;

use super::{card, ipv6};

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Regex(Regex),
    Card,
    Ipv6,
}

/// Patterns that have a name. An octet of an address is 0 to 255; the token of a `Bearer` is what
/// RFC 6750 §2.1 allows; an e-mail address is what people use rather than all that RFC 5322 allows; a JSON Web Token begins with two
/// objects in base64 (RFC 7519); keys of services are told by the marks that these put before them so that they can be found.
const NAMED: [(&str, &str); 6] = [
    ("email", r"(?i)[a-z0-9._%+'-]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}"),
    ("ipv4", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
    ("bearer", r"(?i)\bbearer +[a-z0-9._~+/-]+=*"),
    ("basic_auth", r"(?i)\bbasic +[a-z0-9+/]{4,}={0,2}|://[^\s/:@]*:[^\s/@]+@"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    (
        "api_key",
        r"(?x) \b(?:
            (?:AKIA|ASIA)[A-Z0-9]{16}                                          # Amazon
            | AIza[A-Za-z0-9_-]{35}                                            # Google
            | gh[opsur]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{22,}        # GitHub
            | glpat-[A-Za-z0-9_-]{20,}                                         # GitLab
            | xox[a-z]-[A-Za-z0-9-]{10,}                                       # Slack
            | [psr]k_(?:live|test)_[A-Za-z0-9]{16,}                            # Stripe
            | sk-[A-Za-z0-9_-]{20,}                                            # OpenAI and others
            | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,}                    # package registries
            | hv[sb]\.[A-Za-z0-9_-]{24,}                                       # Vault
        )",
    ),
];

/// Names of patterns, for documentation and errors.
pub(super) const NAMES: [&str; 8] = ["email", "card", "ipv4", "ipv6", "bearer", "basic_auth", "jwt", "api_key"];

impl Pattern {
    /// The pattern of this name.
    pub fn named(name: &str) -> Option<Pattern> {
        match name {
            "card" => return Some(Pattern::Card),
            "ipv6" => return Some(Pattern::Ipv6),
            _ => {}
        }
        let (_, pattern) = NAMED.iter().find(|(n, _)| *n == name)?;
        regex::bytes::RegexBuilder::new(pattern).unicode(false).build().ok().map(Pattern::Regex)
    }

    /// The first match from `from` on.
    pub fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        match self {
            Pattern::Regex(regex) => regex.find_at(text, from).map(|m| m.range()),
            Pattern::Card => card::find(text, from),
            Pattern::Ipv6 => ipv6::find(text, from),
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
