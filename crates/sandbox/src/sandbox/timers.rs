//! What `every` set up, and when it is due.

use std::ffi::c_int;
use std::time::Duration;

use super::{Inject, Sandbox};
use crate::Failure;
use crate::failure::Entry;
use crate::host::Current;
use crate::vm::REGISTRY;

/// When something that recurs is due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Nanoseconds.
    interval: i64,
    next: Option<i64>,
}

impl Schedule {
    pub fn new(interval: Duration) -> Schedule {
        Schedule { interval: i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1), next: None }
    }

    /// Asks at a tick at `ns`, one of those that come every `tick`: the moment at which it was due,
    /// if it is. That is first one interval after the ticks began, then at every interval; of several that
    /// have passed only the last counts. A clock that was set back begins anew.
    pub fn take(&mut self, ns: i64, tick: Duration) -> Option<i64> {
        let tick = i64::try_from(tick.as_nanos()).unwrap_or(i64::MAX).min(self.interval);
        let first = || ns.saturating_add(self.interval - tick);
        let next = self.next.filter(|next| *next <= ns.saturating_add(self.interval)).unwrap_or_else(first);
        self.next = Some(next);
        if ns < next {
            return None;
        }
        let due = next + (ns - next) / self.interval * self.interval;
        self.next = Some(due.saturating_add(self.interval));
        Some(due)
    }
}

/// Ticks that fall on many intervals come no more often than this, unless one of them does.
const FINEST: Duration = Duration::from_millis(100);

/// How often ticks must come for things that recur at these intervals: their greatest common
/// divisor, so that each is due at a tick. Where that is very short, some are due between two ticks.
pub fn common_tick(intervals: impl IntoIterator<Item = Duration>) -> Option<Duration> {
    let (common, shortest) = intervals.into_iter().fold((0, Duration::MAX), |(common, shortest), interval| {
        let ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        (divisor(common, ns), shortest.min(interval))
    });
    (common > 0).then(|| Duration::from_nanos(common).max(FINEST.min(shortest)))
}

/// Euclid's.
fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A function of the script that is called every so often.
pub(crate) struct Timer {
    function: c_int,
    schedule: Schedule,
}

impl Sandbox {
    /// How often [`Sandbox::fire_timers`] is to be called for the timers that `every` set up; `None`: never.
    pub fn timers(&self) -> Option<Duration> {
        common_tick(self.state.host.timers.borrow().iter().map(|(interval, _)| *interval))
    }

    /// Calls the timers that are due at a tick at `ns`, in the order in which they were set up, each with the moment
    /// at which it was due; all of them, with `ns`, when it is the `last` tick. `tick` is how often ticks come.
    /// Each is a call of its own, with limits of its own; the first that fails ends the tick.
    pub fn fire_timers(&mut self, ns: i64, tick: Duration, last: bool, inject: &mut Inject<'_>) -> Result<(), Failure> {
        if self.timers.is_empty() {
            let set_up = self.state.host.timers.borrow();
            self.timers =
                set_up.iter().map(|(interval, function)| Timer { function: *function, schedule: Schedule::new(*interval) }).collect();
        }
        let max = self.state.host.config.limits.timer_inject;
        for n in 0..self.timers.len() {
            let timer = &mut self.timers[n];
            let (due, function) = (timer.schedule.take(ns, tick), timer.function);
            let Some(due) = due.or(last.then_some(ns)) else { continue };
            self.call(Current::None, inject.builder.messages(), inject.now_ns, max, |s| {
                s.state.lua.raw_geti(REGISTRY, i64::from(function));
                s.state.lua.push_integer(due);
                s.state.lua.push_bool(last);
                s.state.run(Entry::TimerEvent, 2, 0)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn ticks_fall_on_every_interval() {
        assert_eq!(common_tick([]), None);
        assert_eq!(common_tick([seconds(10)]), Some(seconds(10)));
        assert_eq!(common_tick([seconds(10), seconds(15), seconds(3600)]), Some(seconds(5)));
        assert_eq!(common_tick([seconds(10), Duration::from_millis(10_001)]), Some(FINEST));
        assert_eq!(common_tick([seconds(1), Duration::from_millis(20), Duration::from_millis(33)]), Some(Duration::from_millis(20)));
    }

    #[test]
    fn due_once_an_interval_and_never_twice() {
        let mut schedule = Schedule::new(seconds(10));
        let dues: Vec<_> = (1..=30).filter_map(|n| schedule.take(100 * S + n * S, seconds(1))).collect();
        assert_eq!(dues, [110 * S, 120 * S, 130 * S]);
        assert_eq!(schedule.take(199 * S, seconds(1)), Some(190 * S), "what was missed counts once");
        assert_eq!(schedule.take(200 * S, seconds(1)), Some(200 * S));
        assert_eq!(schedule.take(50 * S, seconds(1)), None, "the clock was set back");
        assert_eq!(schedule.take(59 * S, seconds(1)), Some(59 * S));
        let mut single = Schedule::new(seconds(10));
        assert_eq!(single.take(7 * S, seconds(10)), Some(7 * S), "the first tick comes one interval after the beginning");
    }

    #[test]
    fn no_time_is_too_far() {
        let mut schedule = Schedule::new(Duration::MAX);
        assert_eq!(schedule.take(i64::MAX, Duration::MAX), Some(i64::MAX));
        assert_eq!(schedule.take(i64::MIN, seconds(1)), None);
        assert_eq!(Schedule::new(seconds(1)).take(i64::MIN, seconds(5)), Some(i64::MIN));
    }
}
