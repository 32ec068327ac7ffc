use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Reads whole lines of a file as they are appended.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    at: u64,
    rest: Vec<u8>,
}

/// Bytes read in one turn.
const TURN: u64 = 4 << 20;

impl Follow {
    pub fn new(path: PathBuf) -> Follow {
        Follow { path, at: 0, rest: Vec::new() }
    }

    /// Hands over every line that became whole since the last call, without its newline.
    pub fn lines(&mut self, mut each: impl FnMut(&[u8])) {
        // It may not be there yet.
        let Ok(mut file) = File::open(&self.path) else { return };
        while file.seek(SeekFrom::Start(self.at)).is_ok() {
            let Ok(read @ 1..) = (&mut file).take(TURN).read_to_end(&mut self.rest) else { return };
            self.at += read as u64;
            let whole = self.rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            self.rest[..whole].split_inclusive(|b| *b == b'\n').for_each(|line| each(&line[..line.len() - 1]));
            self.rest.drain(..whole);
        }
    }

    /// Bytes of a line that has no end.
    pub fn torn(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut follow = Follow::new(file.path().to_path_buf());
        let mut read = |file: &mut tempfile::NamedTempFile, text: &str| {
            file.write_all(text.as_bytes()).unwrap();
            let mut lines = Vec::new();
            follow.lines(|l| lines.push(String::from_utf8(l.to_vec()).unwrap()));
            (lines.join("|"), follow.torn())
        };
        assert_eq!(read(&mut file, "a\nb"), ("a".into(), 1));
        assert_eq!(read(&mut file, ""), ("".into(), 1));
        assert_eq!(read(&mut file, "c\n\nd\n"), ("bc||d".into(), 0));
    }
}
