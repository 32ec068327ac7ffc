use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

/// Bytes a compiled regex may take.
const MAX_REGEX_SIZE: usize = 1 << 20;

/// A `/…/`. A plain text, possibly anchored, is searched without the regex engine.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) source: Box<str>,
    search: Search,
}

#[derive(Debug)]
enum Search {
    Equals(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<Finder<'static>>),
    Regex(Regex),
}

impl Pattern {
    /// Compiles the text between the slashes; says in one line what is wrong with it.
    pub(crate) fn new(source: &str) -> Result<Pattern, String> {
        let search = match literal(source) {
            Some(search) => search,
            None => RegexBuilder::new(source).size_limit(MAX_REGEX_SIZE).build().map(Search::Regex).map_err(reason)?,
        };
        Ok(Pattern { source: source.into(), search })
    }

    #[inline]
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        match &self.search {
            Search::Equals(s) => text == s.as_bytes(),
            Search::Prefix(s) => text.starts_with(s.as_bytes()),
            Search::Suffix(s) => text.ends_with(s.as_bytes()),
            Search::Contains(finder) => finder.find(text).is_some(),
            Search::Regex(regex) => regex.is_match(text),
        }
    }

    /// The one text it matches, if it is `/^literal$/`.
    pub(crate) fn only_match(&self) -> Option<&str> {
        match &self.search {
            Search::Equals(s) => Some(s),
            _ => None,
        }
    }

    /// Whether it matches the empty text, or one of which nobody thinks: it says nothing about what
    /// is meant.
    pub(crate) fn is_catch_all(&self) -> bool {
        self.is_match(b"") || self.is_match(b"\x01")
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
fn literal(source: &str) -> Option<Search> {
    const META: &str = r"\.+*?()|[]{}^$";
    const ESCAPABLE: &str = r"\.+*?()|[]{}^$#&-~";
    let (from_start, body) = source.strip_prefix('^').map_or((false, source), |body| (true, body));
    let mut text = String::with_capacity(body.len());
    let mut to_end = false;
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(|c| ESCAPABLE.contains(*c))?),
            '$' if chars.as_str().is_empty() => to_end = true,
            c if META.contains(c) => return None,
            c => text.push(c),
        }
    }
    Some(match (from_start, to_end) {
        (true, true) => Search::Equals(text.into()),
        (true, false) => Search::Prefix(text.into()),
        (false, true) => Search::Suffix(text.into()),
        (false, false) => Search::Contains(Box::new(Finder::new(&text).into_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_texts_do_without_the_engine() {
        let search = |source: &str| Pattern::new(source).unwrap().search;
        assert!(matches!(search("^a.b$"), Search::Regex(_)));
        assert!(matches!(search(r"^a\.b$"), Search::Equals(s) if &*s == "a.b"));
        assert!(matches!(search("^nginx-"), Search::Prefix(s) if &*s == "nginx-"));
        assert!(matches!(search(r"\$$"), Search::Suffix(s) if &*s == "$"));
        assert!(matches!(search("ünï"), Search::Contains(_)));
        for source in [r"\d", "a|b", "(?i)abc", r"a\n", "a^", "$a", "a$$"] {
            assert!(matches!(search(source), Search::Regex(_)), "{source}");
        }
    }

    #[test]
    fn what_is_wrong_fits_on_a_line() {
        assert_eq!(Pattern::new("a(b").unwrap_err(), "unclosed group");
        assert!(Pattern::new(r"(\w{100}){100}").unwrap_err().contains("more than 1048576 bytes"));
        assert!(Pattern::new(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn text_that_is_not_utf8_is_searched() {
        assert!(Pattern::new("^a.*z$").unwrap().is_match("aüz".as_bytes()));
        assert!(Pattern::new("z+$").unwrap().is_match(b"\xff\xfez"));
        assert!(!Pattern::new("^.z$").unwrap().is_match(b"\xffz"));
    }

    proptest! {
        #[test]
        fn shortcuts_agree_with_the_engine(source in r"\^?([ab.]|\\[.$-]){0,4}\$?", text in proptest::collection::vec(prop::sample::select(b"ab.$-\n\xff".to_vec()), 0..6)) {
            let regex = Regex::new(&source).unwrap();
            prop_assert_eq!(Pattern::new(&source).unwrap().is_match(&text), regex.is_match(&text), "/{}/ on {:?}", source, text);
        }
    }
}
