//! Every read is one record.
//!
//! For datagrams and other sources that hand over whole records. Not for files and stream sockets,
//! where a read ends anywhere.

use options::{Options, Problem};
use plugin::{BuildCx, Kind, Split, Splitter, Stability};

pub const KIND: Kind = Kind::splitter("none", Stability::Stable, build)
    .summary("Takes every read as one record.")
    .doc("For datagrams and other sources that hand over whole records; of a file or a stream socket it makes arbitrary pieces.");

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    Ok(Box::new(None))
}

struct None;

impl Splitter for None {
    fn split(&mut self, buf: &[u8], _: bool) -> Split {
        match buf.len() {
            0 => Split::More,
            end => Split::Record { record: 0..end, end },
        }
    }

    fn keeps_reads_apart(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_records() {
        let mut splitter = testkit::plugins::splitter(&KIND, "").unwrap();
        assert!(splitter.keeps_reads_apart());
        assert_eq!(splitter.split(b"one\ntwo", false), Split::Record { record: 0..7, end: 7 });
        assert_eq!(splitter.split(b"", true), Split::More);
    }
}
