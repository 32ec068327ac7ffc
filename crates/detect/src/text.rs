//! The texts of a ring: `cbuf`, all of it; `cbufd`, what has changed; and the values alone.
//!
//! ```text
//! {"time":2,"rows":3,"columns":2,"seconds_per_row":60,"column_info":[{"name":"a","unit":"count","aggregation":"sum"},…]}
//! 1<TAB>nan
//! …
//! ```
//!
//! `time` is that of the oldest row in seconds since the epoch, and rows follow from old to new.
//! When there are remarks, `,"annotations":[{"x":ms,"col":n,"shortText":"A","text":"…"},…]` ends the
//! header. Rows of `cbufd` begin with their time in seconds.

use std::fmt;
use std::io::Write;

use crate::{Annotation, Ring, write_number};

/// Why values cannot be read from a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadText(String);

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadText {}

impl Ring {
    /// Appends the `cbuf` text. Stops once `into` is longer than `limit`.
    pub fn write(&self, into: &mut Vec<u8>, limit: usize) {
        self.write_header(into, limit, |_| true);
        for row in self.oldest()..=self.newest {
            let start = self.place(row, 0);
            self.write_cells(&self.values[start..start + self.columns.len()], into);
            if into.len() > limit {
                return;
            }
        }
    }

    /// Appends the `cbufd` text: nothing when nothing has changed since the last
    /// [`Ring::reset_deltas`]. Stops once `into` is longer than `limit`.
    pub fn write_deltas(&self, into: &mut Vec<u8>, limit: usize) {
        let mut header = false;
        if self.annotations.iter().any(|a| a.fresh) {
            header = true;
            self.write_header(into, limit, |a| a.fresh);
        }
        if !self.keeps_deltas() {
            return;
        }
        for row in self.oldest()..=self.newest {
            let start = self.place(row, 0);
            let cells = &self.deltas[start..start + self.columns.len()];
            if cells.iter().all(|x| x.is_nan()) {
                continue;
            }
            if !header {
                header = true;
                self.write_header(into, limit, |_| false);
            }
            let _ = write!(into, "{}\t", self.seconds_of(row)); // a vector takes everything
            self.write_cells(cells, into);
            if into.len() > limit {
                return;
            }
        }
    }

    fn write_cells(&self, cells: &[f64], into: &mut Vec<u8>) {
        for (n, x) in cells.iter().enumerate() {
            if n > 0 {
                into.push(b'\t');
            }
            write_number(*x, into);
        }
        into.push(b'\n');
    }

    fn write_header(&self, into: &mut Vec<u8>, limit: usize, which: fn(&Annotation) -> bool) {
        let (time, rows, columns, seconds) = (self.seconds_of(self.oldest()), self.rows, self.columns.len(), self.seconds_per_row);
        // A vector takes everything.
        let _ = write!(into, r#"{{"time":{time},"rows":{rows},"columns":{columns},"seconds_per_row":{seconds},"column_info":["#);
        for (n, c) in self.columns.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let _ = write!(into, r#"{comma}{{"name":"{}","unit":"{}","aggregation":"{}"}}"#, c.name, c.unit, c.aggregation.name());
            if into.len() > limit {
                return;
            }
        }
        into.push(b']');
        for (n, a) in self.annotations.iter().filter(|a| which(a)).enumerate() {
            into.extend_from_slice(if n == 0 { br#","annotations":["# } else { b"," });
            let letter = if a.alert { "A" } else { "I" };
            let _ = write!(into, r#"{{"x":{},"col":{},"shortText":"{letter}","text":""#, a.ns / 1_000_000, a.column + 1);
            escape(&a.text, into);
            into.extend_from_slice(b"\"}");
            if into.len() > limit {
                return;
            }
        }
        into.extend_from_slice(if self.annotations.iter().any(which) { b"]}\n" } else { b"}\n" });
    }

    /// Takes values from a text: seconds of the newest row, its place (from 0) among the rows that
    /// follow, the values row by row, and for a ring that keeps deltas the seconds and deltas of
    /// rows that have changed; all separated by white space. This is what Heka saves a buffer as.
    ///
    /// # Errors
    /// There are fewer or more values than cells, or something that is no number. The ring is as it was.
    pub fn read_values(&mut self, text: &str) -> Result<(), BadText> {
        let mut words = text.split_ascii_whitespace();
        let mut header = || words.next().and_then(|w| w.parse::<i64>().ok());
        let (Some(seconds), Some(place)) = (header(), header().filter(|p| (0..self.rows as i64).contains(p))) else {
            return Err(BadText(format!("fromstring() time and row expected first, the row below {}", self.rows)));
        };
        let number = |w: &str| w.parse::<f64>().map_err(|_| BadText(format!("fromstring() number expected, found {:?}", short(w))));
        let cells = self.values.len();
        let values = words.by_ref().take(cells).map(number).collect::<Result<Vec<f64>, _>>()?;
        if values.len() < cells {
            return Err(BadText(format!("fromstring() too few values: {}, expected {cells}", values.len())));
        }
        let mut read = self.clone();
        read.newest = seconds.div_euclid(i64::from(self.seconds_per_row));
        for (n, cells) in values.chunks(self.columns.len()).enumerate() {
            let row = read.newest - (place - n as i64).rem_euclid(self.rows as i64);
            let start = read.place(row, 0);
            read.values[start..start + cells.len()].copy_from_slice(cells);
        }
        read.deltas.fill(f64::NAN);
        while let Some(word) = words.next() {
            if !self.keeps_deltas() {
                return Err(BadText(format!("fromstring() too many values, more than: {cells}")));
            }
            let row = (number(word)? as i64).div_euclid(i64::from(self.seconds_per_row));
            let deltas = words.by_ref().take(self.columns.len()).map(number).collect::<Result<Vec<f64>, _>>()?;
            if deltas.len() < self.columns.len() {
                return Err(BadText("fromstring() invalid delta".into()));
            }
            if read.holds(row) {
                let start = read.place(row, 0);
                read.deltas[start..start + deltas.len()].copy_from_slice(&deltas);
            }
        }
        *self = read;
        Ok(())
    }
}

fn short(word: &str) -> &str {
    &word[..word.floor_char_boundary(40)]
}

/// Appends a text as the inside of a JSON string.
fn escape(text: &str, into: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' | '\\' => into.extend_from_slice(&[b'\\', c as u8]),
            '\n' => into.extend_from_slice(b"\\n"),
            c if c.is_control() => {
                let _ = write!(into, "\\u{:04x}", c as u32); // a vector takes everything
            }
            c => into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
