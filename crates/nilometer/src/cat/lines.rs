//! Files of JSON objects, one a line.

use super::{Buffer, MAX_RECORD, Messages};
use crate::Failure;

/// Reads to the end; what comes back is what was wrong.
pub fn read(buffer: &mut Buffer, messages: &mut Messages<'_>) -> Result<Vec<String>, Failure> {
    let mut lines = Lines::default();
    loop {
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &buffer.bytes[at..]) {
            lines.take(&buffer.bytes[at..at + length], messages)?;
            at += length + 1;
        }
        buffer.bytes.drain(..at);
        if buffer.bytes.len() > MAX_RECORD {
            lines.too_long = true;
            buffer.bytes.clear();
        }
        messages.hand_on(true)?;
        if buffer.end {
            break;
        }
        buffer.more()?;
    }
    lines.take(&std::mem::take(&mut buffer.bytes), messages)?;
    messages.hand_on(true)?;
    Ok(lines.notes())
}

#[derive(Default)]
struct Lines {
    number: u64,
    /// The beginning of this line was thrown away.
    too_long: bool,
    rejected: u64,
    first: Option<String>,
}

impl Lines {
    fn take(&mut self, line: &[u8], messages: &mut Messages<'_>) -> Result<(), Failure> {
        self.number += 1;
        let outcome = match std::mem::take(&mut self.too_long) {
            true => Err(format!("longer than {} MiB", MAX_RECORD >> 20)),
            false if line.iter().all(u8::is_ascii_whitespace) => Ok(()),
            false => messages.add(line),
        };
        if let Err(why) = outcome {
            self.rejected += 1;
            let number = self.number;
            self.first.get_or_insert_with(|| format!("line {number}: {why}"));
        }
        messages.hand_on(false)
    }

    fn notes(self) -> Vec<String> {
        let lines = if self.rejected == 1 { "1 line was".to_string() } else { format!("{} lines were", self.rejected) };
        self.first.map(|first| format!("{lines} rejected; the first: {first}")).into_iter().collect()
    }
}
