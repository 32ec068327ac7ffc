//! Senders: each issues numbered records at a steady rate, and sends again what was not acknowledged.

pub mod http;
pub mod tail;
pub mod tcp;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::ledger::Stream;

/// What a sender's thread shares with those who started it.
#[derive(Debug)]
pub struct Task {
    pub stream: Arc<Stream>,
    /// Records a second.
    rate: u64,
    start: Instant,
    /// Nothing more is issued.
    draining: AtomicBool,
    /// Nothing more is sent.
    abandoned: AtomicBool,
    wrong: Mutex<Option<String>>,
}

impl Task {
    /// The number up to which records are to be issued by now.
    fn due(&self) -> u64 {
        match self.draining.load(Ordering::Acquire) {
            true => self.stream.issued(),
            false => (self.start.elapsed().as_secs_f64() * self.rate as f64) as u64,
        }
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.abandoned.load(Ordering::Acquire)
    }

    /// Whether there is nothing left to do.
    fn over(&self) -> bool {
        let drained = || self.draining.load(Ordering::Acquire) && self.stream.acknowledged() >= self.stream.issued();
        self.abandoned.load(Ordering::Acquire) || drained()
    }

    /// An answer that must not be given.
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

/// A sender at work. Dropped, it stops soon.
#[derive(Debug)]
pub struct Feeder {
    task: Arc<Task>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    fn start(stream: Arc<Stream>, rate: u64, work: impl FnOnce(&Task) + Send + 'static) -> Result<Feeder> {
        let (draining, abandoned) = (AtomicBool::new(false), AtomicBool::new(false));
        let task = Arc::new(Task { stream, rate, start: Instant::now(), draining, abandoned, wrong: Mutex::default() });
        let shared = task.clone();
        let thread = std::thread::Builder::new().name("feed".into()).spawn(move || work(&shared))?;
        Ok(Feeder { task, thread: Some(thread) })
    }

    pub fn stream(&self) -> &Arc<Stream> {
        &self.task.stream
    }

    /// Issues nothing more; what was issued goes on being sent.
    pub fn drain(&self) {
        self.task.draining.store(true, Ordering::Release);
    }

    /// Ends when everything issued is acknowledged.
    ///
    /// # Errors
    /// When it is not within `limit`, or an answer was wrong.
    pub fn finish(mut self, limit: Duration) -> Result<()> {
        self.drain();
        let deadline = Instant::now() + limit;
        while !self.task.over() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        let over = self.task.over();
        self.task.abandoned.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("a sender failed"))?;
        }
        let stream = &self.task.stream;
        if let Some(wrong) = self.task.wrong.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bail!("{}: {wrong}", stream.name);
        }
        if !over {
            bail!("{}: {} of {} records acknowledged within {limit:?}", stream.name, stream.acknowledged(), stream.issued());
        }
        Ok(())
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.task.abandoned.store(true, Ordering::Release);
    }
}
