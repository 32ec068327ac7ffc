use memchr::memmem::Finder;
use pattern::{Invalid, Pattern};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes a compiled regex may take.
const MAX_REGEX_SIZE: usize = 1 << 20;

/// Steps, each a few nanoseconds, that one evaluation of a Lua pattern may take.
pub const PATTERN_STEPS: usize = 100_000;

/// The right side of `=~`. A plain text, possibly anchored, is searched without any engine.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) source: Box<str>,
    pub(crate) kind: Kind,
    how: How,
}

/// How it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `/…/`
    Regex,
    /// `'…'`
    Lua,
    /// `'…'%`
    Literal,
}

#[derive(Debug)]
enum How {
    Equals(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<Finder<'static>>),
    Regex(Regex),
    Lua(Pattern, AtomicU64),
}

impl Search {
    /// Compiles the text between the slashes; says in one line what is wrong with it.
    pub(crate) fn regex(source: &str) -> Result<Search, String> {
        let how = match plain_regex(source) {
            Some(how) => how,
            None => RegexBuilder::new(source).size_limit(MAX_REGEX_SIZE).build().map(How::Regex).map_err(reason)?,
        };
        Ok(Search { source: source.into(), kind: Kind::Regex, how })
    }

    /// Compiles a Lua pattern; what is wrong comes with its byte in the pattern.
    pub(crate) fn lua(source: &str) -> Result<Search, Invalid> {
        let how = match plain_lua(source) {
            Some(how) => how,
            None => How::Lua(Pattern::new(source.as_bytes())?, AtomicU64::new(0)),
        };
        Ok(Search { source: source.into(), kind: Kind::Lua, how })
    }

    pub(crate) fn literal(text: &str) -> Search {
        Search { source: text.into(), kind: Kind::Literal, how: contains(text) }
    }

    #[inline]
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        match &self.how {
            How::Equals(s) => text == s.as_bytes(),
            How::Prefix(s) => text.starts_with(s.as_bytes()),
            How::Suffix(s) => text.ends_with(s.as_bytes()),
            How::Contains(finder) => finder.find(text).is_some(),
            How::Regex(regex) => regex.is_match(text),
            How::Lua(pattern, given_up) => match pattern.find(text, PATTERN_STEPS) {
                Ok(found) => found.is_some(),
                Err(_) => {
                    given_up.fetch_add(1, Ordering::Relaxed);
                    false
                }
            },
        }
    }

    /// The one text it matches, if it is `/^literal$/`.
    pub(crate) fn only_match(&self) -> Option<&str> {
        match &self.how {
            How::Equals(s) => Some(s),
            _ => None,
        }
    }

    /// Whether it matches the empty text, or one of which nobody thinks: it says nothing about what
    /// is meant.
    pub(crate) fn is_catch_all(&self) -> bool {
        self.is_match(b"") || self.is_match(b"\x01")
    }

    pub(crate) fn has_counter(&self) -> bool {
        matches!(self.how, How::Lua(..))
    }

    /// How often it took more than [`PATTERN_STEPS`].
    pub(crate) fn given_up(&self) -> u64 {
        match &self.how {
            How::Lua(_, given_up) => given_up.load(Ordering::Relaxed),
            _ => 0,
        }
    }
}

/// The last line of what `regex` says, which shows the whole pattern first.
fn reason(error: regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => format!("it takes more than {MAX_REGEX_SIZE} bytes when compiled"),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

/// The search for a regex without operators, other than `^` in front and `$` behind.
fn plain_regex(source: &str) -> Option<How> {
    const META: &str = r"\.+*?()|[]{}^$";
    const ESCAPABLE: &str = r"\.+*?()|[]{}^$#&-~";
    plain(source, '\\', META, |c| ESCAPABLE.contains(c))
}

/// The same for a Lua pattern. As in Hindsight, a text in which none of `^$*+?.[%-` occurs is no
/// pattern: its parentheses are to be found as they stand.
fn plain_lua(source: &str) -> Option<How> {
    if !source.contains(['^', '$', '*', '+', '?', '.', '[', '%', '-']) {
        return Some(contains(source));
    }
    plain(source, '%', "^$()%.[*+-?", |c| !c.is_ascii_alphanumeric())
}

/// The search for a text without operators (`meta`) that are not escaped, other than the anchors.
fn plain(source: &str, escape: char, meta: &str, escapable: impl Fn(char) -> bool) -> Option<How> {
    let (from_start, body) = source.strip_prefix('^').map_or((false, source), |body| (true, body));
    let mut text = String::with_capacity(body.len());
    let mut to_end = false;
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => text.push(chars.next().filter(|c| escapable(*c))?),
            '$' if chars.as_str().is_empty() => to_end = true,
            c if meta.contains(c) => return None,
            c => text.push(c),
        }
    }
    Some(match (from_start, to_end) {
        (true, true) => How::Equals(text.into()),
        (true, false) => How::Prefix(text.into()),
        (false, true) => How::Suffix(text.into()),
        (false, false) => contains(&text),
    })
}

fn contains(text: &str) -> How {
    How::Contains(Box::new(Finder::new(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_texts_do_without_the_engine() {
        let search = |source: &str| Search::regex(source).unwrap().how;
        assert!(matches!(search("^a.b$"), How::Regex(_)));
        assert!(matches!(search(r"^a\.b$"), How::Equals(s) if &*s == "a.b"));
        assert!(matches!(search("^nginx-"), How::Prefix(s) if &*s == "nginx-"));
        assert!(matches!(search(r"\$$"), How::Suffix(s) if &*s == "$"));
        assert!(matches!(search("ünï"), How::Contains(_)));
        for source in [r"\d", "a|b", "(?i)abc", r"a\n", "a^", "$a", "a$$"] {
            assert!(matches!(search(source), How::Regex(_)), "{source}");
        }
    }

    #[test]
    fn plain_lua_patterns_do_without_the_matcher() {
        let how = |source: &str| Search::lua(source).unwrap().how;
        assert!(matches!(how("(unique)"), How::Contains(_)));
        assert!(matches!(how("unique%-item"), How::Contains(_)));
        assert!(matches!(how("^nginx%.access$"), How::Equals(s) if &*s == "nginx.access"));
        assert!(matches!(how("^%ü"), How::Prefix(s) if &*s == "ü"));
        assert!(matches!(how("%%$"), How::Suffix(s) if &*s == "%"));
        for source in ["%a", "a.", "^a*", "a-", "(a)$", "%1x", "a$$"] {
            assert!(Search::lua(source).is_err() || matches!(how(source), How::Lua(..)), "{source}");
        }
    }

    #[test]
    fn an_endless_pattern_is_given_up_and_counted() {
        let slow = Search::lua(&("a?".repeat(24) + &"a".repeat(24) + "b")).unwrap();
        assert!(!slow.is_match(&b"a".repeat(24)));
        assert!(slow.is_match(&[b"a".repeat(48), b"b".to_vec()].concat()));
        assert_eq!(slow.given_up(), 1);
    }

    #[test]
    fn what_is_wrong_fits_on_a_line() {
        assert_eq!(Search::regex("a(b").unwrap_err(), "unclosed group");
        assert!(Search::regex(r"(\w{100}){100}").unwrap_err().contains("more than 1048576 bytes"));
        assert!(Search::regex(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn text_that_is_not_utf8_is_searched() {
        assert!(Search::regex("^a.*z$").unwrap().is_match("aüz".as_bytes()));
        assert!(Search::regex("z+$").unwrap().is_match(b"\xff\xfez"));
        assert!(!Search::regex("^.z$").unwrap().is_match(b"\xffz"));
    }

    proptest! {
        #[test]
        fn shortcuts_agree_with_the_engine(source in r"\^?([ab.]|\\[.$-]){0,4}\$?", text in proptest::collection::vec(prop::sample::select(b"ab.$-\n\xff".to_vec()), 0..6)) {
            let regex = Regex::new(&source).unwrap();
            prop_assert_eq!(Search::regex(&source).unwrap().is_match(&text), regex.is_match(&text), "/{}/ on {:?}", source, text);
        }

        #[test]
        fn lua_shortcuts_agree_with_the_matcher(source in r"\^?([ab.]|%[.$-]){0,4}\$?", text in proptest::collection::vec(prop::sample::select(b"ab.$-".to_vec()), 0..6)) {
            let expected = Pattern::new(source.as_bytes()).unwrap().find(&text, PATTERN_STEPS).unwrap().is_some();
            prop_assert_eq!(Search::lua(&source).unwrap().is_match(&text), expected, "'{}' on {:?}", source, text);
        }
    }
}
