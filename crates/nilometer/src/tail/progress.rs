//! How far a long run is, on a line of its own.

use std::io::Write;
use std::time::Duration;

use options::unit::show_size;
use plugin::Clock;

/// A run as short as this needs none.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(250);

pub struct Progress {
    /// `None`: not wanted.
    next: Option<Duration>,
    began: Duration,
    total: u64,
    shown: bool,
}

impl Progress {
    /// `total` bytes are to be read; 0: nobody knows how many.
    pub fn new(wanted: bool, total: u64) -> Progress {
        let began = Clock::real().steady();
        Progress { next: wanted.then_some(began + PATIENCE), began, total, shown: false }
    }

    /// Shows the bytes read so far when it is time for that.
    pub fn show(&mut self, read: impl FnOnce() -> u64) {
        let now = Clock::real().steady();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + INTERVAL);
        self.shown = true;
        // The cursor goes back to the beginning, so that other output covers the line.
        let _ = write!(std::io::stderr(), "\x1b[2K{}\r", line(read(), self.total, now - self.began));
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\x1b[2K");
        }
    }
}

fn line(read: u64, total: u64, took: Duration) -> String {
    let rate = show_size((read as f64 / took.as_secs_f64().max(0.001)) as u64);
    match total {
        0 => format!("{} read, {rate}/s", show_size(read)),
        _ => format!("{} of {} read ({}%), {rate}/s", show_size(read), show_size(total), (read.min(total) * 100) / total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_and_how_fast() {
        assert_eq!(line(1 << 20, 4 << 20, Duration::from_secs(2)), "1 MiB of 4 MiB read (25%), 512 KiB/s");
        assert_eq!(line(1 << 20, 0, Duration::from_secs(1)), "1 MiB read, 1 MiB/s");
    }
}
