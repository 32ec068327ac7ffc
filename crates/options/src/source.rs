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

    pub fn at(&self, span: Range<usize>) -> Location {
        Location { source: self.clone(), span }
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

    /// A part of this place; `inner` counts bytes from its start. Falls back to the whole when the
    /// text at this place is not verbatim (a string with escapes).
    pub fn within(&self, inner: Range<usize>, value: &str) -> Location {
        let text = &self.source.text()[self.span.clone()];
        match text.find(value) {
            Some(at) if !value.is_empty() => {
                let start = self.span.start + at;
                let end = start + value.len();
                Location { source: self.source.clone(), span: (start + inner.start).min(end)..(start + inner.end).min(end) }
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
