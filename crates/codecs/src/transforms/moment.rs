use message::MessageRef;
use options::{Opt, Options};
use plugin::Clock;

use super::bounds::nanoseconds;

/// Which time counts.
pub(super) const TIME: Opt = Opt::choice("time", &["arrival", "message"]).default("arrival").doc(
    "Which time counts: when a message arrives, or its Timestamp, which never goes back. Take `message` for files that are read long after \
     they were written; a sender whose clock is ahead then moves time for all.",
);

/// The present, for what happens within some time.
#[derive(Debug)]
pub(super) struct Moment {
    /// `None`: messages tell the time.
    clock: Option<Clock>,
    latest: i64,
}

impl Moment {
    pub fn new(o: &Options, clock: &Clock) -> Moment {
        Moment { clock: (o.str("time") == "arrival").then(|| clock.clone()), latest: i64::MIN }
    }

    /// Nanoseconds since some moment; never fewer than before.
    pub fn at(&mut self, m: MessageRef<'_>) -> i64 {
        let now = match &self.clock {
            Some(clock) => nanoseconds(clock.steady()),
            None => m.timestamp(),
        };
        self.latest = self.latest.max(now);
        self.latest
    }

    /// As [`Moment::at`], without a message.
    pub fn now(&self) -> i64 {
        self.clock.as_ref().map_or(self.latest, |clock| nanoseconds(clock.steady()))
    }

    /// Whether it is the time of messages, which means the same after a restart.
    pub fn of_messages(&self) -> bool {
        self.clock.is_none()
    }
}
