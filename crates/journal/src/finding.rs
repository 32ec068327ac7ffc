//! What is told about damage.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::PathBuf;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The last segment ends within a record, or in what never became one: the write was under way.
    TornTail,
    /// A payload does not match its checksum.
    Payload,
    /// Bytes that are no record.
    Header,
    /// The segment header is damaged; records are read all the same.
    SegmentHeader,
    /// Neither the segment header nor any record can be read.
    Segment,
    /// Records are missing between two others.
    Missing,
    /// Records that were given out once are not there, nor is any behind them.
    End,
    /// The file of the segment has no bytes.
    Emptied,
    /// The file is a copy of another segment.
    Copy,
    /// The file has the name of one segment and the header of another.
    Misplaced,
    /// The segment goes on with records whose numbers are those of the next segment, which count.
    Overlap,
    /// The disk does not give the bytes back.
    Unreadable,
    /// The file of cursors is damaged; every consumer counts as unknown.
    Cursors,
}

impl Display for What {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::TornTail => "an unfinished write at the end",
            What::Payload => "a record does not match its checksum",
            What::Header => "bytes that are no record",
            What::SegmentHeader => "the segment header is damaged, its records are read by their own headers",
            What::Segment => "neither the segment header nor any record is readable",
            What::Missing => "records are missing",
            What::End => "records at the end are missing: their file was deleted or cut, or never reached the disk",
            What::Emptied => "the segment is empty: it was emptied, or never reached the disk",
            What::Copy => "the file is a copy of another segment, and is not read",
            What::Misplaced => "the file has the header of another segment: it was renamed or copied, and is not read",
            What::Overlap => "the segment goes on with records of the numbers of the next one, and those are not read",
            What::Unreadable => "the disk does not give these bytes back",
            What::Cursors => "the file of cursors is damaged, every consumer counts as unknown",
        })
    }
}

/// Damage: where, what, and what it costs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    pub file: PathBuf,
    /// Of the first byte concerned.
    pub offset: u64,
    /// Bytes skipped, cut off or set aside.
    pub bytes: u64,
    pub what: What,
    /// Numbers of the records lost; empty if none is known to be.
    pub lost: Range<u64>,
    /// Where the damaged bytes are kept.
    pub aside: Option<PathBuf>,
}

impl Finding {
    /// How many records are lost.
    pub fn records(&self) -> u64 {
        self.lost.end.saturating_sub(self.lost.start)
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file.display(), self.offset, self.what)?;
        if self.bytes > 0 {
            write!(f, ", {} bytes", self.bytes)?;
        }
        match self.records() {
            0 => {}
            1 => write!(f, "; lost: record {}", self.lost.start)?,
            n => write!(f, "; lost: {n} records, {} to {}", self.lost.start, self.lost.end - 1)?,
        }
        match &self.aside {
            Some(aside) => write!(f, "; kept as {}", aside.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_what_was_lost() {
        let mut finding = Finding { file: "j/01.log".into(), offset: 96, bytes: 40, what: What::Header, lost: 3..6, aside: None };
        assert_eq!(finding.to_string(), "j/01.log at byte 96: bytes that are no record, 40 bytes; lost: 3 records, 3 to 5");
        (finding.lost, finding.what, finding.aside) = (3..4, What::Payload, Some("j/x".into()));
        assert_eq!(finding.to_string(), "j/01.log at byte 96: a record does not match its checksum, 40 bytes; lost: record 3; kept as j/x");
    }
}
