//! What host functions reach through the Lua state: the current call and what outlives it.
//!
//! Everything is behind `Cell` and `RefCell`, because host functions only ever hold shared
//! references, and owned here, because an error unwinds their frames without destructors.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;

use message::{MessageRef, Messages};

use crate::failure::{Entry, FailureKind};
use crate::vm::Place;
use crate::watchdog::Worker;
use crate::{Gauge, SandboxConfig};

/// A module that `require` loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    pub path: PathBuf,
    /// Of the content, to notice a change.
    pub hash: u64,
}

/// The message a call is about.
#[derive(Clone, Copy)]
pub(crate) enum Current {
    None,
    Read(MessageRef<'static>),
    Write { messages: *mut Messages, raw: *const [u8], index: usize },
}

pub(crate) struct Host {
    pub config: SandboxConfig,
    pub worker: Arc<Worker>,
    pub entry: Cell<Entry>,
    pub current: Cell<Current>,
    /// Where injected messages go; null when a call may not inject.
    pub target: Cell<*mut Messages>,
    pub now_ns: Cell<i64>,
    /// Messages injected in this call, how many may be, and bytes stored for them, kept or not.
    pub injected: Cell<usize>,
    pub max_inject: Cell<usize>,
    pub stored: Cell<usize>,
    /// Why the call is being stopped.
    pub stopped: Cell<Option<FailureKind>>,
    /// The limit a host function last refused to pass.
    pub refused: Cell<Option<FailureKind>>,
    pub place: Cell<Place>,
    /// Instructions left, and how many pass between two hooks.
    pub instructions: Cell<u64>,
    pub instruction_step: Cell<u64>,
    pub payload: RefCell<Vec<u8>>,
    pub output: Cell<Gauge>,
    /// What an encoder's `inject_payload` produced in this call.
    pub encoded: RefCell<Option<Vec<u8>>>,
    pub log: RefCell<Vec<String>>,
    pub log_dropped: Cell<u64>,
    pub files: RefCell<Vec<ModuleFile>>,
    /// A module's text on its way to the compiler, or why there is none.
    pub module: RefCell<Vec<u8>>,
    pub scratch: RefCell<Vec<u8>>,
}

impl Host {
    pub fn new(config: &SandboxConfig, worker: Arc<Worker>) -> Host {
        Host {
            worker,
            entry: Cell::new(Entry::Load),
            current: Cell::new(Current::None),
            target: Cell::new(std::ptr::null_mut()),
            now_ns: Cell::new(config.now_ns),
            injected: Cell::new(0),
            max_inject: Cell::new(0),
            stored: Cell::new(0),
            stopped: Cell::new(None),
            refused: Cell::new(None),
            place: Cell::new(Place::default()),
            instructions: Cell::new(0),
            instruction_step: Cell::new(0),
            payload: RefCell::default(),
            output: Cell::new(Gauge::capped(config.limits.output as u64)),
            encoded: RefCell::default(),
            log: RefCell::default(),
            log_dropped: Cell::new(0),
            files: RefCell::default(),
            module: RefCell::default(),
            scratch: RefCell::default(),
            config: config.clone(),
        }
    }

    /// The current message, to read. The reference is not to be kept across anything that changes
    /// messages.
    pub fn message(&self) -> Option<MessageRef<'_>> {
        match self.current.get() {
            Current::None => None,
            Current::Read(message) => Some(message),
            // SAFETY: `Sandbox::process_message_mut` sets these from references it holds for the
            // length of the call and clears them after; no `&mut` is alive here.
            Current::Write { messages, raw, index } => Some(unsafe { (*messages).view(&*raw, index) }),
        }
    }

    /// The messages that injected ones join, for changes.
    pub fn with_target<T>(&self, change: impl FnOnce(&mut Messages) -> T) -> Option<T> {
        // SAFETY: as in `message`; the call owns the reference and no other is alive.
        unsafe { self.target.get().as_mut() }.map(change)
    }
}
