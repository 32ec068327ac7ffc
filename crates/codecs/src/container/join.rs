//! Joins the pieces of one record into messages: one for each line that a container wrote.

use message::{Messages, Text};
use plugin::{Record, Reject};

use super::Source;
use crate::time::parse_rfc3339;

/// One piece, wherever its text is.
pub(crate) struct Piece<'a> {
    pub source: Source,
    pub partial: bool,
    pub time: &'a [u8],
    pub text: Text,
    pub bytes: &'a [u8],
}

/// The open lines of a record. Memory is kept for the next one.
#[derive(Default)]
pub(crate) struct Joiner {
    stdout: Open,
    stderr: Open,
}

#[derive(Default)]
struct Open {
    /// The message of the line, from its first piece on.
    message: Option<usize>,
    text: Vec<u8>,
}

impl Joiner {
    /// Begins a record.
    pub fn begin(&mut self) {
        for open in [&mut self.stdout, &mut self.stderr] {
            open.message = None;
            open.text.clear();
        }
    }

    /// Adds a piece; `extra` adds to the message when the piece begins one.
    ///
    /// # Errors
    /// When its time cannot be read.
    pub fn piece(&mut self, piece: &Piece<'_>, out: &mut Messages, extra: impl FnOnce(&mut Messages, usize)) -> Result<(), Reject> {
        let open = match piece.source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        };
        let index = match open.message {
            Some(index) => index,
            None => {
                let time = parse_rfc3339(piece.time);
                let time = time.ok_or_else(|| {
                    Reject::new(format!(
                        "found `{}` as time, expected one as in RFC 3339",
                        String::from_utf8_lossy(piece.time).escape_debug()
                    ))
                })?;
                let mut m = out.add();
                m.set_timestamp(time);
                m.add_string(b"stream", piece.source.name());
                let index = m.index();
                extra(out, index);
                index
            }
        };
        match (open.message, piece.partial) {
            // A line in one piece is not copied.
            (None, false) => out.message(index).set_payload_text(piece.text),
            (_, true) => {
                open.message = Some(index);
                open.text.extend_from_slice(piece.bytes);
            }
            (Some(_), false) => {
                open.text.extend_from_slice(piece.bytes);
                out.message(index).set_payload(&open.text);
                open.message = None;
                open.text.clear();
            }
        }
        Ok(())
    }

    /// Ends a record. What has no end in it goes on its way marked.
    pub fn end(&mut self, out: &mut Messages) {
        for open in [&mut self.stdout, &mut self.stderr] {
            if let Some(index) = open.message.take() {
                let mut m = out.message(index);
                m.set_payload(&open.text);
                m.add_bool(b"partial", true);
            }
        }
    }
}

/// The lines of a record.
pub(crate) fn lines(record: Record<'_>) -> impl Iterator<Item = &[u8]> {
    let lines = record.bytes().split(|b| *b == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}
