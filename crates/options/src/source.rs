use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration file and its text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    text: String,
}

impl Source {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        Source(Arc::new(Inner { path: path.into(), text: text.into() }))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// A place in this file; a span that cuts into a character or beyond the text is widened or cut
    /// to whole characters.
    pub fn at(&self, span: Range<usize>) -> Location {
        let text = self.text();
        let start = text.floor_char_boundary(span.start);
        Location { source: self.clone(), span: start..text.ceil_char_boundary(span.end).max(start) }
    }
}

/// A place in a configuration file: a byte range of its text.
#[derive(Clone, Debug)]
pub struct Location {
    pub source: Source,
    pub span: Range<usize>,
}

impl Location {
    /// Line and column, both from 1; the column counts characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.source.text()[..self.span.start.min(self.source.text().len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// A part of this place; `inner` counts bytes from its start and is widened to whole characters.
    /// Falls back to the whole when the
    /// text at this place is not verbatim (a string with escapes).
    pub fn within(&self, inner: Range<usize>, value: &str) -> Location {
        let text = &self.source.text()[self.span.clone()];
        match text.find(value) {
            Some(at) if !value.is_empty() => {
                let start = self.span.start + at;
                let end = start + value.len();
                self.source.at((start + inner.start).min(end)..(start + inner.end).min(end))
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problem, Style, render};

    #[test]
    fn a_place_within_a_character_is_widened_to_it() {
        let source = Source::new("a.toml", "x = 'é('");
        let value = source.at(4..9);
        let shown = |at: &Location| render(&[Problem::new("odd").at(at, "here")], Style::Plain);
        for (inner, span) in [(0..1, 5..7), (1..2, 5..7), (1..3, 5..8), (2..90, 7..8)] {
            let at = value.within(inner, "é(");
            assert_eq!(at.span, span);
            assert!(shown(&at).contains("here"));
        }
        assert_eq!(source.at(6..6).line_column(), (1, 6));
        assert_eq!(source.at(90..99).span, 9..9);
    }
}
