//! A ring as bytes, for snapshots.
//!
//! Integers are little endian: version 1; 1 when deltas are kept, else 0; rows, columns and seconds
//! per row (u32); number of the newest row (i64); for each column aggregation (its index), name and
//! unit; values from the oldest row to the newest (f64), then the deltas; number of annotations
//! (u32), and of each ns (i64), column (u32), flags (1 alert, 2 fresh) and text. Texts begin with
//! their length (u32).

use crate::{Aggregation, Annotation, Column, Ring};

const VERSION: u8 = 1;

impl Ring {
    /// Appends what [`Ring::restore`] makes an equal ring of.
    pub fn save(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[VERSION, u8::from(self.keeps_deltas())]);
        for n in [self.rows, self.columns.len(), self.seconds_per_row as usize] {
            put_u32(n, into);
        }
        into.extend_from_slice(&self.newest.to_le_bytes());
        for column in &self.columns {
            into.push(column.aggregation as u8);
            put_text(&column.name, into);
            put_text(&column.unit, into);
        }
        for cells in [&self.values, &self.deltas] {
            let oldest = self.place(self.oldest(), 0).min(cells.len());
            for x in cells[oldest..].iter().chain(&cells[..oldest]) {
                into.extend_from_slice(&x.to_le_bytes());
            }
        }
        put_u32(self.annotations.len(), into);
        for a in &self.annotations {
            into.extend_from_slice(&a.ns.to_le_bytes());
            put_u32(a.column, into);
            into.push(u8::from(a.alert) | u8::from(a.fresh) << 1);
            put_text(&a.text, into);
        }
    }

    /// The ring that was saved; nothing when the bytes are not what [`Ring::save`] writes.
    pub fn restore(saved: &[u8]) -> Option<Ring> {
        let mut saved = Reader(saved);
        let [VERSION, keeps_deltas @ (0 | 1)] = saved.array()? else { return None };
        let (rows, columns, seconds_per_row) = (saved.u32()? as usize, saved.u32()? as usize, saved.u32()?);
        Self::check(rows, columns, seconds_per_row).ok()?;
        let newest = i64::from_le_bytes(saved.array()?);
        // The bytes are there before anything of that size is allocated.
        let cells = rows.checked_mul(columns)?;
        if saved.0.len() / 8 / (1 + usize::from(keeps_deltas)) < cells || newest.checked_sub(rows as i64).is_none() {
            return None;
        }
        let mut ring = Ring::new(rows, columns, seconds_per_row, keeps_deltas == 1).ok()?;
        ring.newest = newest;
        for column in &mut ring.columns {
            let [aggregation] = saved.array()?;
            let aggregation = *Aggregation::ALL.get(usize::from(aggregation))?;
            *column = Column::new(saved.text()?.as_bytes(), saved.text()?.as_bytes(), aggregation);
        }
        let oldest = ring.place(ring.oldest(), 0);
        saved.cells(&mut ring.values, oldest)?;
        saved.cells(&mut ring.deltas, oldest)?;
        for _ in 0..saved.u32()? {
            let (ns, column, [flags]) = (i64::from_le_bytes(saved.array()?), saved.u32()? as usize, saved.array()?);
            ring.annotate(Annotation { ns, column, alert: flags & 1 != 0, fresh: flags & 2 != 0, text: saved.text()?.into() });
        }
        saved.0.is_empty().then_some(ring)
    }
}

fn put_u32(n: usize, into: &mut Vec<u8>) {
    into.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(text: &str, into: &mut Vec<u8>) {
    put_u32(text.len(), into);
    into.extend_from_slice(text.as_bytes());
}

struct Reader<'s>(&'s [u8]);

impl<'s> Reader<'s> {
    fn bytes(&mut self, n: usize) -> Option<&'s [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'s str> {
        let len = self.u32()? as usize;
        std::str::from_utf8(self.bytes(len)?).ok()
    }

    /// Reads cells of which the first belongs at `oldest`.
    fn cells(&mut self, cells: &mut [f64], oldest: usize) -> Option<()> {
        let oldest = oldest.min(cells.len());
        for n in (oldest..cells.len()).chain(0..oldest) {
            cells[n] = f64::from_le_bytes(self.array()?);
        }
        Some(())
    }
}
