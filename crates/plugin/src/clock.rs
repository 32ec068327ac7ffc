use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where all time comes from: the machine's clock, or one that a test or a replay sets.
#[derive(Clone, Default, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub fn real() -> Clock {
        Clock(None)
    }

    /// A clock that stands at `ns` since the UNIX epoch until it is set. Copies share it.
    pub fn standing(ns: i64) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(ns))))
    }

    /// Moves a standing clock. It never goes backwards; the machine's clock is not moved.
    pub fn set(&self, ns: i64) {
        if let Some(standing) = &self.0 {
            standing.fetch_max(ns, Ordering::Relaxed);
        }
    }

    /// Nanoseconds since the UNIX epoch.
    pub fn now(&self) -> i64 {
        match &self.0 {
            Some(standing) => standing.load(Ordering::Relaxed),
            None => nanoseconds(ClockId::Realtime),
        }
    }

    /// Time since some fixed moment; unlike [`Clock::now`] it is not set back or forth by anyone.
    pub fn steady(&self) -> Duration {
        let ns = match &self.0 {
            Some(standing) => standing.load(Ordering::Relaxed),
            None => nanoseconds(ClockId::Monotonic),
        };
        Duration::from_nanos(ns.max(0) as u64)
    }

    /// CPU time the calling thread has used.
    pub fn thread_cpu() -> Duration {
        Duration::from_nanos(nanoseconds(ClockId::ThreadCPUTime).max(0) as u64)
    }
}

fn nanoseconds(id: ClockId) -> i64 {
    let t = clock_gettime(id);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}
