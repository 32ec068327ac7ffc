use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin::Clock;

use crate::status::Shared;

/// What a thread does that may take long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// It is in a plugin's code, which is to come back: `writing`.
    Call(&'static str),
    /// A worker is in the code of this filter.
    Running(Arc<str>),
    /// It waits for something it cannot hurry: `waiting for room in the queue of output.relay (16 MiB)`.
    Waiting(String),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Call(what) => f.write_str(what),
            Deed::Running(filter) => write!(f, "running {filter}"),
            Deed::Waiting(what) => f.write_str(what),
        }
    }
}

/// A deed, and since when on the steady clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Doing {
    pub deed: Deed,
    pub since: Duration,
}

/// What one thread is doing now; written by it, read by anyone. An uncontended lock twice a batch.
#[derive(Default, Debug)]
pub(crate) struct Activity {
    inner: Mutex<Inner>,
    /// Times an input came back to the engine.
    beats: AtomicU64,
    beaten: AtomicBool,
}

#[derive(Default, Debug)]
struct Inner {
    call: Option<Doing>,
    wait: Option<Doing>,
    /// The count of beats as it was found last, and when it was found changed.
    seen: Option<(u64, Duration)>,
}

fn now() -> Duration {
    Clock::real().steady()
}

impl Activity {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(|p| p.into_inner()))
    }

    /// The thread is in a plugin's code until the answer is dropped.
    pub fn call(&self, deed: Deed) -> InCall<'_> {
        let since = now();
        self.with(|i| i.call = Some(Doing { deed, since }));
        InCall(self)
    }

    /// Waits for this from now on; since before, if it waited for the very same.
    pub fn wait(&self, what: String) {
        let since = now();
        self.with(|i| {
            let deed = Deed::Waiting(what);
            if i.wait.as_ref().is_none_or(|w| w.deed != deed) {
                i.wait = Some(Doing { deed, since });
            }
        });
    }

    /// Tries again and again, for changing reasons, since the first time.
    pub fn retry(&self, why: &str) {
        self.again(format!("retrying: {why}"));
    }

    /// As [`Activity::retry`], with a few messages at a time.
    pub fn probe(&self, why: &str) {
        self.again(format!("open, trying a few messages at a time: {why}"));
    }

    fn again(&self, what: String) {
        let first = now();
        self.with(|i| {
            let since = i.wait.as_ref().map_or(first, |w| w.since);
            i.wait = Some(Doing { deed: Deed::Waiting(what), since });
        });
    }

    /// Waits no longer.
    pub fn go_on(&self) {
        self.with(|i| i.wait = None);
    }

    /// The call or the wait under way, whichever has gone on longer.
    pub fn doing(&self) -> Option<Doing> {
        self.with(|i| [&i.call, &i.wait].into_iter().flatten().min_by_key(|d| d.since).cloned())
    }

    /// An input came back to the engine. True the first time since [`Activity::begin`].
    pub fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        !self.beaten.load(Ordering::Relaxed) && !self.beaten.swap(true, Ordering::Relaxed)
    }

    /// A new instance begins: nothing is under way.
    pub fn begin(&self) {
        self.beaten.store(false, Ordering::Relaxed);
        self.with(|i| *i = Inner::default());
    }

    /// Since when no beat was heard, as far as those who ask can tell; `None` before the first one.
    pub fn quiet_since(&self, now: Duration) -> Option<Duration> {
        let beats = self.beats.load(Ordering::Relaxed);
        let heard = self.beaten.load(Ordering::Relaxed);
        self.with(|i| match i.seen {
            Some((seen, at)) if seen == beats => Some(at),
            _ => {
                i.seen = Some((beats, now));
                Some(now)
            }
        })
        .filter(|_| heard)
    }
}

/// A call under way.
pub(crate) struct InCall<'a>(&'a Activity);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.0.with(|i| i.call = None);
    }
}

thread_local!(static MINE: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) });

/// From here on, what this thread waits for deep inside the engine is what this plugin waits for.
pub(crate) fn adopt(shared: &Arc<Shared>) {
    MINE.with(|mine| *mine.borrow_mut() = Some(shared.clone()));
}

/// This thread waits until the answer is dropped; on a thread that is nobody's nothing is noted.
pub(crate) fn waiting(what: impl FnOnce() -> String) -> Waiting {
    let mine = MINE.with(|mine| mine.borrow().clone());
    if let Some(shared) = &mine {
        shared.activity.wait(what());
    }
    Waiting(mine)
}

/// A wait under way.
pub(crate) struct Waiting(Option<Arc<Shared>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.iter().for_each(|shared| shared.activity.go_on());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_one_is_told_and_each_ends_by_itself() {
        let a = Activity::default();
        assert_eq!(a.doing(), None);
        a.retry("refused");
        let first = a.doing().unwrap();
        let call = a.call(Deed::Call("writing"));
        a.retry("timed out");
        let doing = a.doing().unwrap();
        assert_eq!((doing.deed, doing.since), (Deed::Waiting("retrying: timed out".to_string()), first.since));
        a.go_on();
        assert_eq!(a.doing().unwrap().deed, Deed::Call("writing"));
        drop(call);
        assert_eq!(a.doing(), None);
    }

    #[test]
    fn waits_deep_inside_are_the_plugins() {
        let shared = Arc::<Shared>::default();
        drop(waiting(|| "of nobody".to_string()));
        adopt(&shared);
        let wait = waiting(|| "waiting for room".to_string());
        assert_eq!(shared.activity.doing().unwrap().deed.to_string(), "waiting for room");
        drop(wait);
        assert_eq!(shared.activity.doing(), None);
    }

    #[test]
    fn quiet_since_it_was_last_heard() {
        let (a, s) = (Activity::default(), Duration::from_secs);
        assert_eq!(a.quiet_since(s(1)), None);
        assert!(a.beat() && !a.beat());
        assert_eq!([a.quiet_since(s(2)), a.quiet_since(s(9))], [Some(s(2)); 2]);
        a.beat();
        assert_eq!(a.quiet_since(s(10)), Some(s(10)));
        a.begin();
        assert!(a.quiet_since(s(11)).is_none() && a.beat());
    }
}
