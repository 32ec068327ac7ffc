use std::fs::File;
use std::io;
use std::time::Duration;

use plugin::Clock;
use rustix::fs::{SeekFrom, fdatasync, ftruncate, seek};
use rustix::io::Errno;

use crate::file::beneath::{FileId, id_of};

/// One file that is appended to.
pub struct Log {
    file: File,
    pub id: FileId,
    pub len: u64,
    /// When what it holds began, ns since the UNIX epoch; for one found on disk, when it was last written.
    pub since: i64,
    /// When it was last written, by the steady clock.
    pub used: Duration,
    dirty: bool,
}

impl Log {
    /// `file` must be open for appending.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn new(file: File, clock: &Clock) -> io::Result<Log> {
        use std::os::unix::fs::MetadataExt;
        let meta = file.metadata()?;
        let since = if meta.len() == 0 { clock.now() } else { meta.mtime().saturating_mul(1_000_000_000) };
        Ok(Log { id: id_of(&file)?, len: meta.len(), file, since, used: clock.steady(), dirty: false })
    }

    /// Appends all bytes or none of them.
    ///
    /// # Errors
    /// Those of the system.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(&self.file, &bytes[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(e) => {
                    self.take_back(written as u64);
                    return Err(e.into());
                }
            }
        }
        self.len += written as u64;
        self.dirty |= written > 0;
        Ok(())
    }

    /// Cuts off the last `n` bytes written, so that no half line stays, unless somebody else wrote
    /// behind them.
    fn take_back(&self, n: u64) {
        let result = seek(&self.file, SeekFrom::Current(0)).map_err(io::Error::from).and_then(|end| match self.file.metadata()?.len() {
            len if len == end && n <= end => Ok(ftruncate(&self.file, end - n)?),
            _ => Err(io::Error::other("another process wrote behind it")),
        });
        if n > 0
            && let Err(e) = result
        {
            log::warn!("a file may contain the beginning of a message twice: {n} bytes cannot be taken back: {e}");
        }
    }

    /// Makes what was written last through a power failure.
    ///
    /// # Errors
    /// Those of the system; what was written may be lost.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) { Ok(fdatasync(&self.file)?) } else { Ok(()) }
    }

    /// Sees how long the file is, in case somebody truncated it.
    pub fn measure(&mut self) {
        if let Ok(meta) = self.file.metadata() {
            self.len = meta.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_partial_write_is_taken_back_unless_someone_wrote_behind_it() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("x");
        let open = || File::options().append(true).create(true).open(&path).unwrap();
        let mut log = Log::new(open(), &Clock::real()).unwrap();
        log.append(b"whole\nhal").unwrap();
        log.take_back(3);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\n");

        log.append(b"hal").unwrap();
        open().write_all(b"other\n").unwrap();
        log.take_back(3);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\nhalother\n");
    }

    #[test]
    fn an_error_is_told_and_nothing_is_counted() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("x"), "").unwrap();
        let mut log = Log::new(File::open(tmp.path().join("x")).unwrap(), &Clock::real()).unwrap();
        assert!(log.append(b"not open for writing").is_err());
        assert_eq!(log.len, 0);
    }
}
