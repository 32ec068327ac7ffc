//! What may go to a terminal, and whether it is one.

use std::io::{IsTerminal, Write};

use codecs::encoders::printable::write_printable;
use options::Style;

/// Coloured when it is a terminal and nobody objects (`NO_COLOR`, see no-color.org).
pub fn style(stream: &impl IsTerminal) -> Style {
    let objected = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    if stream.is_terminal() && !objected { Style::Coloured } else { Style::Plain }
}

/// The text on one line, with what could command a terminal written as escapes.
pub fn printable(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    write_printable(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `1 message`, `2 messages`.
pub fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A line on standard error. Nobody left to read it is no reason to fail.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
