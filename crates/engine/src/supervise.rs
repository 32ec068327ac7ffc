use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Pause before a failed plugin is started again: 100 ms, doubling up to half a minute; back to the
/// beginning after a minute without failure.
#[derive(Default, Debug)]
pub(crate) struct BackOff {
    failures: u32,
    last: Duration,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
const HEALTHY: Duration = Duration::from_secs(60);

impl BackOff {
    /// The plugin failed at `now` on the steady clock; how long to wait.
    pub fn failed(&mut self, now: Duration) -> Duration {
        if now.saturating_sub(self.last) > HEALTHY {
            self.failures = 0;
        }
        self.last = now;
        self.failures += 1;
        FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST)
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// Runs a plugin's code; a panic in it is that plugin's failure only.
///
/// # Errors
/// The panic's text.
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| format!("panicked: {}", text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_recovers() {
        let (mut b, s) = (BackOff::default(), Duration::from_secs(100));
        assert_eq!([b.failed(s), b.failed(s), b.failed(s)], [100, 200, 400].map(Duration::from_millis));
        for _ in 0..40 {
            b.failed(s);
        }
        assert_eq!(b.failed(s), LONGEST);
        assert_eq!(b.failed(s + 2 * HEALTHY), FIRST);
    }
}
