//! What the service manager is told, by the protocol of `sd_notify(3)`, and the thread that looks after
//! everything: it has the engine's watchdog look, and feeds the service manager's as long as no worker is stuck.
//!
//! ```text
//! READY=1        every plugin has started, or failed to and will try again
//! STATUS=…       one line, when it changes
//! RELOADING=1    with MONOTONIC_USEC; READY=1 follows when the reload is over, whatever came of it
//! STOPPING=1     an orderly stop has begun
//! WATCHDOG=1     twice in WATCHDOG_USEC
//! ```
//!
//! Without NOTIFY_SOCKET in the environment nobody is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use engine::{Health, Watchdog};
use sd_notify::NotifyState;

/// Tells the service manager how things are. It says last that nilo stops.
pub struct Service {
    health: Arc<Health>,
    told: Arc<Mutex<Told>>,
    /// Ends when it is dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was said already. Locked while something is said, so that words keep their order.
#[derive(Default)]
struct Told {
    phase: Phase,
    status: String,
    /// It could not be told, and that was complained of.
    mute: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// How often to look whether everything has started.
const STARTING: Duration = Duration::from_millis(20);

/// Longest status line, bytes.
const LINE: usize = 500;

impl Service {
    /// Begins to look after what runs.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(health: Arc<Health>) -> Result<Service, String> {
        let (stop, stopped) = bounded(0);
        let told = Arc::<Mutex<Told>>::default();
        let (mine, of) = (told.clone(), health.clone());
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || attend(&of, &mine, &stopped));
        let thread = thread.map_err(|e| format!("no thread for the watchdog: {e}"))?;
        Ok(Service { health, told, stop: Some(stop), thread: Some(thread) })
    }

    /// A reload begins.
    pub fn reloading(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.phase == Phase::Ready {
            told.phase = Phase::Reloading;
            match NotifyState::monotonic_usec_now() {
                Ok(now) => told.say(&[NotifyState::Reloading, now]),
                Err(e) => log::warn!("the service manager is not told of a reload: {e}"),
            }
        }
    }

    /// The reload is over.
    pub fn reloaded(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.phase == Phase::Reloading {
            told.ready(&self.health);
        }
    }

    /// An orderly stop begins.
    pub fn stopping(&self) {
        self.health.stopping();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.phase = Phase::Stopping;
        told.say(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks, tells and feeds until it is to stop.
fn attend(health: &Arc<Health>, told: &Mutex<Told>, stopped: &Receiver<()>) {
    let mut watchdog = Watchdog::new(health.clone());
    let every = sd_notify::watchdog_enabled().map(|limit| (limit / 2).max(Duration::from_millis(1)));
    let mut next = every.map(|_| Instant::now());
    loop {
        watchdog.look();
        let now = Instant::now();
        let feed = next.is_some_and(|next| now >= next);
        if feed {
            next = every.map(|every| now + every);
        }
        let pause = told.lock().unwrap_or_else(PoisonError::into_inner).look(health, feed, watchdog.pause());
        let pause = next.map_or(pause, |next| pause.min(next.saturating_duration_since(now)));
        if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

impl Told {
    /// Says what there is to say; how long to wait until the next time.
    fn look(&mut self, health: &Health, feed: bool, pause: Duration) -> Duration {
        if self.phase == Phase::Starting && health.has_started() {
            self.ready(health);
        }
        if self.phase == Phase::Ready {
            let line = line(health);
            if line != self.status {
                self.say(&[NotifyState::Status(&line)]);
                self.status = line;
            }
        }
        if feed && health.live().is_ok() {
            self.say(&[NotifyState::Watchdog]);
        }
        if self.phase == Phase::Starting { pause.min(STARTING) } else { pause }
    }

    fn ready(&mut self, health: &Health) {
        let line = line(health);
        self.say(&[NotifyState::Ready, NotifyState::Status(&line)]);
        (self.phase, self.status) = (Phase::Ready, line);
    }

    fn say(&mut self, words: &[NotifyState<'_>]) {
        match sd_notify::notify(words) {
            Ok(()) => self.mute = false,
            Err(e) if !self.mute => {
                self.mute = true;
                log::warn!("the service manager cannot be told how things are (NOTIFY_SOCKET): {e}");
            }
            Err(_) => {}
        }
    }
}

/// A line of what the engine says: an error may bring line breaks, which would be further words.
fn line(health: &Health) -> String {
    let mut line: String = health.line().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LINE));
    line
}
