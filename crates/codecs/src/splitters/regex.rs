//! Records that a regular expression delimits.
//!
//! For delimiters that vary, such as a time stamp at the start of each record. Slower than
//! [`super::token`] and [`super::line`]; for decisions that are made line by line see
//! [`super::group`].
//!
//! A match is taken once no byte that follows can change it: at once when all matches are of one
//! length or none is the beginning of another (`\r?\n`), otherwise when there is a byte behind it
//! (`\n+`). A delimiter longer than [`MAX_DELIMITER`] may be missed where a read ends within it.

use options::{Opt, Options, Problem};
use plugin::{BuildCx, Kind, Split, Splitter, Stability};
use regex::bytes::{Captures, Regex};
use regex_syntax::hir::literal::Extractor;

use crate::pattern::compile;

pub const KIND: Kind = Kind::splitter("regex", Stability::Stable, build)
    .summary("Cuts a stream where a regular expression matches.")
    .doc(
        "The match is dropped, except for its one capture group, if it has one: with `at = \"end\"` the record goes on to the end of the \
         captured part, with `at = \"start\"` the next record begins with it. Records that would be empty are dropped and counted as \
         discarded bytes. Delimiters should be shorter than 1 KiB.",
    )
    .options(&[
        Opt::regex("delimiter")
            .required()
            .doc("What lies between records, with at most one capture group.")
            .sample("'\\n(\\d{4}-\\d\\d-\\d\\d )'"),
        Opt::choice("at", &["end", "start"])
            .default("end")
            .doc("Where the captured part of the delimiter goes: the end of the record or the start of the next."),
    ])
    .examples(&[plugin::Example {
        title: "Records that begin with a date",
        toml: "delimiter = '\\n(\\d{4}-\\d\\d-\\d\\d )'\nat = \"start\"",
    }]);

/// Longest delimiter that is found wherever reads end. Bytes.
pub const MAX_DELIMITER: usize = 1024;

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    let problem = |title: &str, label: &str| Err(o.problem("delimiter", title, label));
    let pattern = o.str("delimiter");
    let regex = compile("delimiter", pattern, o.location("delimiter"))?;
    if regex.captures_len() > 2 {
        return problem("`delimiter` has several capture groups", "expected one at most: write (?:…) for the others");
    }
    if regex.is_match(b"") {
        return problem("`delimiter` matches where there is nothing", "expected an expression that needs at least one byte");
    }
    let is_final = is_final(pattern);
    Ok(Box::new(Delimited { regex, at_start: o.str("at") == "start", is_final, carried: 0, searched: 0 }))
}

/// Whether a match stays what it is whatever follows: it cannot be longer with more bytes.
fn is_final(pattern: &str) -> bool {
    let Ok(hir) = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern) else { return false };
    let properties = hir.properties();
    if !properties.look_set().is_empty() {
        return false;
    }
    if properties.minimum_len() == properties.maximum_len() {
        return true;
    }
    let all = Extractor::new().extract(&hir);
    let (true, Some(all)) = (all.is_exact(), all.literals()) else { return false };
    all.iter().all(|a| all.iter().all(|b| a.as_bytes() == b.as_bytes() || !b.as_bytes().starts_with(a.as_bytes())))
}

struct Delimited {
    regex: Regex,
    at_start: bool,
    is_final: bool,
    /// Bytes at the start of the buffer that belong to the delimiter before it.
    carried: usize,
    /// Where the next search begins.
    searched: usize,
}

impl Delimited {
    fn find<'b>(&self, buf: &'b [u8]) -> Option<Captures<'b>> {
        let mut from = self.searched.max(self.carried);
        while from <= buf.len() {
            let found = self.regex.captures_at(buf, from)?;
            let whole = found.get_match();
            if !whole.is_empty() {
                return Some(found);
            }
            from = whole.end() + 1;
        }
        None
    }

    /// A record, or garbage where it would be empty.
    fn cut(&mut self, record: usize, end: usize, carried: usize) -> Split {
        (self.carried, self.searched) = (carried, 0);
        if record == 0 { Split::Garbage { end } } else { Split::Record { record: 0..record, end } }
    }

    fn rest(&mut self, buf: &[u8], end: bool) -> Split {
        if end && !buf.is_empty() {
            return self.cut(buf.len(), buf.len(), 0);
        }
        self.searched = self.searched.max(buf.len().saturating_sub(MAX_DELIMITER));
        Split::More
    }
}

impl Splitter for Delimited {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        loop {
            let Some(found) = self.find(buf) else { return self.rest(buf, end) };
            let whole = found.get_match();
            if whole.end() == buf.len() && !end && !self.is_final {
                self.searched = self.searched.max(whole.start());
                return Split::More;
            }
            let (start, stop) = (whole.start(), whole.end());
            match found.get(1) {
                Some(kept) if !self.at_start => return self.cut(kept.end(), stop, 0),
                // The stream begins with a delimiter: there is no record before it.
                Some(kept) if kept.start() == 0 => self.carried = stop,
                Some(kept) => return self.cut(start, kept.start(), stop - kept.start()),
                None => return self.cut(start, stop, 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(toml: &str, stream: &str) -> (Vec<String>, usize) {
        let (records, discarded) = testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream.as_bytes(), 2);
        (records.into_iter().map(|r| String::from_utf8(r).unwrap()).collect(), discarded)
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_captured_part_goes_where_it_is_told() {
        let stream = "a;1\nb;22\nc";
        assert_eq!(split(r"delimiter = ';\d+\n'", stream), (strings(&["a", "b", "c"]), 0));
        assert_eq!(split(r"delimiter = '(;\d+)\n'", stream), (strings(&["a;1", "b;22", "c"]), 0));
        assert_eq!(split("delimiter = ';(\\d+\\n)'\nat = 'start'", stream), (strings(&["a", "1\nb", "22\nc"]), 0));
        assert_eq!(split("delimiter = '(--)'\nat = 'start'", "--a--b--"), (strings(&["--a", "--b", "--"]), 0));
    }

    #[test]
    fn empty_records_are_discarded() {
        assert_eq!(split(r"delimiter = '\n'", "\n\na\n"), (strings(&["a"]), 2));
    }

    #[test]
    fn a_match_waits_only_if_it_may_grow() {
        let first = |delimiter: &str| {
            let toml = format!("delimiter = '{delimiter}'");
            testkit::plugins::splitter(&KIND, &toml).unwrap().split(b"a\n", false)
        };
        for fixed in [r"\n", r"\r?\n", r"(\r\n|\n)"] {
            assert_eq!(first(fixed), Split::Record { record: 0..if fixed.starts_with('(') { 2 } else { 1 }, end: 2 }, "{fixed}");
        }
        for open in [r"\n+", r"\n(?:x)?", r"\n(?:b|$)"] {
            assert_eq!(first(open), Split::More, "{open}");
        }
    }

    #[test]
    fn bad_delimiters_are_refused() {
        let build = |delimiter: &str| testkit::plugins::splitter(&KIND, &format!("delimiter = '{delimiter}'")).err().unwrap();
        assert!(build("(").contains("not a regular expression"));
        assert!(build("(a)(b)").contains("several capture groups"));
        assert!(build("a*").contains("at least one byte"));
        assert!(build("((a{1000}){1000}){1000}").contains("delimiter"));
    }
}
