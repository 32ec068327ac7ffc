//! What the program says of itself, for whoever makes messages of it: lines of its log, and readings of its
//! plugins' counters. Inputs cannot see the engine; here both sides meet, and neither waits for the other.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use log::{Level, LevelFilter};

use crate::{Clock, Event};

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// In nanoseconds since the epoch.
    pub at: i64,
    pub level: Level,
    /// The plugin's name, or the part of the program.
    pub target: String,
    pub text: String,
}

struct Heard {
    level: LevelFilter,
    capacity: usize,
    lines: Mutex<(VecDeque<Said>, u64)>,
    event: Event,
}

static TAPS: RwLock<Vec<Weak<Heard>>> = RwLock::new(Vec::new());
/// How many there are: nothing is copied when nobody listens.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What is said here is about messages made of what was said: it would never end.
    static DEAF: Cell<bool> = const { Cell::new(false) };
}

/// Hears what is logged from now on, but for what the thread that listens says itself. What is not taken in time is lost.
pub struct Tap(Arc<Heard>);

impl Tap {
    /// Keeps up to `capacity` lines that were not taken.
    pub fn open(level: LevelFilter, capacity: usize) -> Tap {
        let heard = Arc::new(Heard { level, capacity, lines: Mutex::default(), event: Event::new() });
        TAPS.write().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&heard));
        LISTENERS.fetch_add(1, Ordering::Relaxed);
        DEAF.set(true);
        Tap(heard)
    }

    /// Takes what was said, and how many lines were lost.
    pub fn take(&self) -> (VecDeque<Said>, u64) {
        self.0.event.clear();
        std::mem::take(&mut *self.0.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Becomes readable when there is something to take.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.event.fd()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::Relaxed);
        DEAF.set(false);
        let own = Arc::downgrade(&self.0);
        TAPS.write().unwrap_or_else(PoisonError::into_inner).retain(|tap| !tap.ptr_eq(&own));
    }
}

/// Tells whoever listens: called by the program's logger with each line that it writes.
pub fn say(level: Level, target: &str, text: &str) {
    if LISTENERS.load(Ordering::Relaxed) == 0 || DEAF.get() {
        return;
    }
    for tap in TAPS.read().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).filter(|tap| level <= tap.level) {
        let mut lines = tap.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.0.len() < tap.capacity {
            lines.0.push_back(Said { at: Clock::real().now(), level, target: target.to_string(), text: text.to_string() });
        } else {
            lines.1 += 1;
        }
        tap.event.set();
    }
}

/// What a plugin counts, as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Such as `output.relay`.
    pub plugin: String,
    /// Such as `tcp`.
    pub kind: &'static str,
    /// What only grows, as long as the program runs.
    pub counters: Vec<(&'static str, u64)>,
    /// What goes up and down.
    pub gauges: Vec<(&'static str, u64)>,
}

type Source = Arc<dyn Fn() -> Vec<Reading> + Send + Sync>;

static SOURCE: RwLock<Option<Source>> = RwLock::new(None);

/// Says how plugins are read. It may wait for the engine.
pub fn provide(read: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
    *SOURCE.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(read));
}

/// Asks for a reading of all plugins, which comes when the engine has time: an input that waited for it
/// would hold up an engine that waits for the input to stop. None when nobody provides it.
pub fn ask() -> Option<Receiver<Vec<Reading>>> {
    let source = SOURCE.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new().name("readings".into()).spawn(move || drop(sender.send(source()))).ok()?;
    Some(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(say: impl FnOnce() + Send) {
        std::thread::scope(|scope| drop(scope.spawn(say).join()));
    }

    #[test]
    fn what_others_say_is_heard_and_bounded() {
        let tap = Tap::open(LevelFilter::Warn, 2);
        let all = [(Level::Error, "one"), (Level::Info, "not this"), (Level::Warn, "two"), (Level::Warn, "three")];
        elsewhere(|| all.into_iter().for_each(|(level, text)| say(level, "output.x", text)));
        say(Level::Error, "input.self", "of itself");
        let (lines, lost) = tap.take();
        assert_eq!((lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), lost), (vec!["one", "two"], 1));
        assert_eq!((lines[0].level, lines[0].target.as_str()), (Level::Error, "output.x"));
        assert_eq!(tap.take(), (VecDeque::new(), 0));
    }

    #[test]
    fn readings_come_from_whoever_provides_them() {
        let reading = Reading { plugin: "output.x".into(), kind: "tcp", counters: vec![("delivered", 7)], gauges: Vec::new() };
        let own = reading.clone();
        provide(move || vec![own.clone()]);
        assert_eq!(ask().unwrap().recv().unwrap(), [reading]);
    }
}
