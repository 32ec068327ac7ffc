use std::fmt;
use std::ops::Range;

/// Why a text is not an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct SyntaxError {
    /// The bytes of the text that are wrong.
    pub at: Range<usize>,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// What the writer may have meant.
    pub help: Option<String>,
    /// Character of the text, from 1, at which it goes wrong.
    pub position: usize,
    /// Line and column (in characters), from 1, if the text has more than one line.
    pub line: Option<(usize, usize)>,
}

impl SyntaxError {
    pub(crate) fn new(text: &str, at: Range<usize>, found: impl Into<String>, expected: impl Into<String>) -> SyntaxError {
        let before = &text[..at.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        SyntaxError {
            found: found.into(),
            expected: expected.into(),
            help: None,
            position: before.chars().count() + 1,
            line: text.trim_end().contains('\n').then_some(line),
            at,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> SyntaxError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}", self.position)?;
        if let Some((line, column)) = self.line {
            write!(f, " (line {line}, column {column})")?;
        }
        write!(f, ": found {}, expected {}", self.found, self.expected)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// A piece of the text for [`SyntaxError::found`]: in backticks, cut when long.
pub(crate) fn excerpt(piece: &str) -> String {
    const MOST: usize = 40;
    match piece.char_indices().nth(MOST) {
        Some((cut, _)) => format!("`{}…`", &piece[..cut]),
        None => format!("`{piece}`"),
    }
}
