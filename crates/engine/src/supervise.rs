use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use message::BatchBuilder;
use plugin::{Clock, Counter};

use crate::queue::Sender;
use crate::route::Port;
use crate::status::Standing;

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

/// A plugin failed: counts it, and says why and when it starts again. How long to wait until then.
pub(crate) fn failed(id: &str, standing: &Standing, back_off: &mut BackOff, why: &str) -> Duration {
    let now = Clock::real().steady();
    let pause = back_off.failed(now);
    let row = match back_off.failures() {
        1 => String::new(),
        n => format!(" (failure {n} in a row)"),
    };
    log::error!(target: id, "failed: {}; starting again in {pause:?}{row}", why.trim_end_matches('.'));
    standing.meter.add(Counter::Failed, 1);
    standing.shared.back_off(why, now.saturating_add(pause));
    pause
}

/// Says in the stream itself what happened to a plugin: `kind` is `nilometer.failed` or `nilometer.stuck`.
pub(crate) fn announce(port: &mut Port, kind: &str, id: &str, why: &str, hostname: &str) {
    let mut out = BatchBuilder::default();
    let mut m = out.add();
    m.set_type(kind.as_bytes());
    m.set_timestamp(Clock::real().now());
    m.set_logger(b"nilometer");
    m.set_hostname(hostname.as_bytes());
    m.set_payload(why.as_bytes());
    m.set_severity(3);
    m.set_hops(1);
    m.add_string(b"plugin", id.as_bytes());
    port.send(out.finish(), Sender::Filter { bounded: false });
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
