use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use options::Options;
use plugin::Clock;

/// What an output does about a world that refuses: the pauses between attempts, and, after [`REFUSALS`] in a row at which
/// nothing was taken, small attempts: the breaker is open. The first message that gets a verdict closes it.
pub(super) struct Breaker {
    first: Duration,
    longest: Duration,
    next: Duration,
    /// Attempts in a row at which everything offered was refused.
    refusals: u32,
    open: Option<Open>,
    /// How many lanes of the output are open: it is told once.
    together: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
struct Open {
    /// Seconds since the UNIX epoch.
    since: i64,
    /// On the steady clock.
    at: Duration,
}

/// After as many attempts in a row it opens.
pub(super) const REFUSALS: u32 = 3;

/// Messages of an attempt while it is open.
pub(super) const PROBE: usize = 16;

/// No pause is longer than that, whatever is configured.
const LONGEST: Duration = Duration::from_secs(86400);

/// What is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Refused,
    Opened,
    /// It was said before, or another lane has said it.
    Nothing,
}

impl Breaker {
    pub fn new(o: &Options, together: Arc<AtomicUsize>) -> Breaker {
        let [first, longest] = ["retry", "retry_max"].map(|name| o.duration(name).min(LONGEST));
        Breaker { first, longest, next: first, refusals: 0, open: None, together }
    }

    /// How many of so many messages to offer.
    pub fn offers(&self, messages: usize) -> usize {
        if self.open.is_some() { messages.min(PROBE) } else { messages }
    }

    /// The next pause, no shorter than what the other side asked for; jittered by up to a quarter so that many senders do
    /// not come back at once.
    pub fn pause(&mut self, asked: Option<Duration>, clock: &Clock) -> Duration {
        let pause = self.next;
        self.next = self.next.saturating_mul(2).min(self.longest);
        let jitter = pause.mul_f64(f64::from(clock.steady().subsec_nanos() % 1000) / 4000.0);
        (pause + jitter).max(asked.unwrap_or_default())
    }

    /// Messages were delivered: the next pause is a short one.
    pub fn delivered(&mut self) {
        self.next = self.first;
    }

    /// An attempt was refused as a whole.
    pub fn refused(&mut self, clock: &Clock) -> Told {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals < REFUSALS {
            return Told::Refused;
        }
        if self.open.is_some() {
            return Told::Nothing;
        }
        self.open = Some(Open { since: clock.now().div_euclid(1_000_000_000), at: clock.steady() });
        if self.together.fetch_add(1, Ordering::AcqRel) == 0 { Told::Opened } else { Told::Nothing }
    }

    /// Messages were taken. How long it was open, when it was until now and no other lane is.
    pub fn taken(&mut self, clock: &Clock) -> Option<Duration> {
        self.refusals = 0;
        let open = self.open.take()?;
        (self.together.fetch_sub(1, Ordering::AcqRel) == 1).then(|| clock.steady().saturating_sub(open.at))
    }

    /// Since when it is open, as people read it.
    pub fn since(&self) -> Option<String> {
        let open = self.open?;
        Some(jiff::Timestamp::from_second(open.since).map_or_else(|_| open.since.to_string(), |t| t.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(together: &Arc<AtomicUsize>) -> Breaker {
        let (first, longest) = (Duration::from_millis(100), Duration::from_millis(300));
        Breaker { first, longest, next: first, refusals: 0, open: None, together: together.clone() }
    }

    #[test]
    fn opens_after_some_refusals_in_a_row_and_closes_at_once() {
        let (clock, together) = (Clock::standing(1_700_000_000_000_000_000), Arc::default());
        let mut b = breaker(&together);
        assert_eq!([b.refused(&clock), b.refused(&clock)], [Told::Refused; 2]);
        assert!(b.taken(&clock).is_none() && b.offers(1000) == 1000);
        assert_eq!([0; 4].map(|_| b.refused(&clock)), [Told::Refused, Told::Refused, Told::Opened, Told::Nothing]);
        assert_eq!((b.offers(1000), b.offers(3), b.since().unwrap().as_str()), (PROBE, 3, "2023-11-14T22:13:20Z"));
        clock.set(1_700_000_060_000_000_000);
        assert_eq!(b.taken(&clock), Some(Duration::from_secs(60)));
        assert_eq!((b.offers(1000), b.since(), b.refused(&clock)), (1000, None, Told::Refused));
    }

    #[test]
    fn of_several_lanes_the_first_and_the_last_are_told() {
        let (clock, together) = (Clock::standing(0), Arc::default());
        let [mut a, mut b] = [breaker(&together), breaker(&together)];
        let open = |b: &mut Breaker| [0; REFUSALS as usize].map(|_| b.refused(&clock))[REFUSALS as usize - 1];
        assert_eq!([open(&mut a), open(&mut b)], [Told::Opened, Told::Nothing]);
        assert_eq!((a.taken(&clock), b.taken(&clock)), (None, Some(Duration::ZERO)));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_no_shorter_than_asked() {
        let (clock, together) = (Clock::standing(0), Arc::default());
        let mut b = breaker(&together);
        assert_eq!([0; 4].map(|_| b.pause(None, &clock).as_millis()), [100, 200, 300, 300]);
        assert_eq!(b.pause(Some(Duration::from_secs(9)), &clock), Duration::from_secs(9));
        b.delivered();
        assert_eq!(b.pause(None, &clock), Duration::from_millis(100));
    }
}
