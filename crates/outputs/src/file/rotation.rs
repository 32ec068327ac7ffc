use std::io;
use std::time::Duration;

use crate::file::beneath::Beneath;

/// When a file gives way to a new one, and how many of the old ones stay: `x.log.1` is the latest.
pub struct Rotation {
    /// Bytes a file may have.
    pub size: Option<u64>,
    /// Length of the periods of UTC that each get a file: a day's begin at midnight.
    pub every: Option<Duration>,
    /// Old files that stay, at least one.
    pub keep: u32,
}

impl Rotation {
    /// Whether a file of `len` bytes, begun at `since`, must go before `more` bytes are written at
    /// `now` (both ns since the UNIX epoch).
    pub fn due(&self, len: u64, since: i64, more: usize, now: i64) -> bool {
        let full = self.size.is_some_and(|size| len + more as u64 > size);
        len > 0 && (full || self.period(now) > self.period(since))
    }

    /// Moves the file at `path` to `path.1`, that to `path.2`, and so on; the last one goes.
    ///
    /// # Errors
    /// Those of the system; nothing is lost then.
    pub fn shift(&self, dir: &Beneath, path: &str) -> io::Result<()> {
        let old = |n: u32| format!("{path}.{n}");
        let free = (1..self.keep).find(|&n| !dir.exists(&old(n))).unwrap_or(self.keep);
        for n in (1..free).rev() {
            dir.rename(&old(n), &old(n + 1))?;
        }
        dir.rename(path, &old(1))?;
        Ok(())
    }

    fn period(&self, ns: i64) -> i128 {
        match self.every {
            Some(every) => i128::from(ns).div_euclid(every.as_nanos().max(1) as i128),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn a_file_goes_when_it_would_be_too_large_or_its_day_is_over_but_never_empty() {
        let rotation = Rotation { size: Some(100), every: Some(Duration::from_secs(86_400)), keep: 1 };
        assert!(rotation.due(60, 0, 41, 0) && !rotation.due(60, 0, 40, 0));
        assert!(rotation.due(1, DAY - 1, 0, DAY) && !rotation.due(1, DAY, 0, 2 * DAY - 1));
        assert!(!rotation.due(0, 0, 1000, DAY));
    }

    #[test]
    fn old_files_move_up_and_the_last_one_goes() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Beneath::open(tmp.path()).unwrap();
        let rotation = Rotation { size: None, every: None, keep: 3 };
        for n in 1..=5 {
            std::fs::write(tmp.path().join("x"), format!("{n}")).unwrap();
            rotation.shift(&dir, "x").unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(tmp.path().join(name)).ok();
        assert_eq!(["x", "x.1", "x.2", "x.3", "x.4"].map(read), [None, Some("5".into()), Some("4".into()), Some("3".into()), None]);
        rotation.shift(&dir, "absent").unwrap();
    }
}
