//! What host functions reach through the Lua state: the current call and what outlives it.
//!
//! Everything is behind `Cell` and `RefCell`, because host functions only ever hold shared
//! references, and owned here, because an error unwinds their frames without destructors.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_int;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

use message::{MessageRef, Messages, Value};

use crate::coverage::Recorder;
use crate::failure::{Entry, FailureKind};
use crate::labels::Labels;
use crate::vm::Place;
use crate::watchdog::{Worker, thread_cpu_ns};
use crate::{Confirmed, Family, Gauge, InputSink, LogLine, SandboxConfig};

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
    /// Of the batch of the messages to read.
    pub labels: RefCell<Labels>,
    /// Where injected messages go; null when a call may not inject.
    pub target: Cell<*mut Messages>,
    pub now_ns: Cell<i64>,
    /// Messages injected in this call, how many may be, and bytes stored for them, kept or not.
    pub injected: Cell<usize>,
    pub max_inject: Cell<usize>,
    pub stored: Cell<usize>,
    /// Why the call is being stopped.
    pub stopped: Cell<Option<FailureKind>>,
    /// Set when a panic went through Lua's frames: the state is in pieces and is never touched again.
    pub broken: Cell<bool>,
    /// The limit a host function last refused to pass.
    pub refused: Cell<Option<FailureKind>>,
    pub place: Cell<Place>,
    /// Instructions left, and how many pass between two hooks.
    pub instructions: Cell<u64>,
    pub instruction_step: Cell<u64>,
    pub payload: RefCell<Vec<u8>>,
    pub output: Cell<Gauge>,
    /// Messages in the making: what an input or encoder injects, and an encoder's changed copy.
    own: OnceCell<Box<RefCell<Messages>>>,
    /// What an encoder injected last in this call, if it did.
    pub encoded: RefCell<Vec<u8>>,
    pub has_encoded: Cell<bool>,
    /// Where an input's messages go while it runs, and the CPU time of its thread at which its budget ends.
    pub sink: Cell<Option<NonNull<dyn InputSink>>>,
    pub until: Cell<u64>,
    /// The message an output was given last, and what `update_checkpoint` said since it was asked for.
    pub delivering: Cell<Option<u64>>,
    pub confirmed: Cell<Option<Confirmed>>,
    /// The field that `read_next_field` returns next.
    pub next_field: Cell<usize>,
    /// Interval and function of each timer the script set up.
    pub timers: RefCell<Vec<(std::time::Duration, c_int)>>,
    pub log: RefCell<Vec<LogLine>>,
    pub log_dropped: Cell<u64>,
    pub files: RefCell<Vec<ModuleFile>>,
    /// A module's text on its way to the compiler, or why there is none.
    pub module: RefCell<Vec<u8>>,
    pub scratch: RefCell<Vec<u8>>,
    /// Notes which lines run.
    pub recorder: RefCell<Option<Box<Recorder>>>,
    /// The text of the error a native function ended with, on its way to Lua.
    pub error: RefCell<Vec<u8>>,
    /// An object of a snapshot on its way to Lua.
    pub object: RefCell<Option<std::rc::Rc<dyn crate::native::Erased>>>,
}

impl Host {
    pub fn new(config: &SandboxConfig, worker: Arc<Worker>) -> Host {
        Host {
            worker,
            entry: Cell::new(Entry::Load),
            current: Cell::new(Current::None),
            labels: RefCell::default(),
            target: Cell::new(std::ptr::null_mut()),
            now_ns: Cell::new(config.now_ns),
            injected: Cell::new(0),
            max_inject: Cell::new(0),
            stored: Cell::new(0),
            stopped: Cell::new(None),
            broken: Cell::new(false),
            refused: Cell::new(None),
            place: Cell::new(Place::default()),
            instructions: Cell::new(0),
            instruction_step: Cell::new(0),
            payload: RefCell::default(),
            output: Cell::new(Gauge::capped(config.limits.output as u64)),
            own: OnceCell::new(),
            encoded: RefCell::default(),
            has_encoded: Cell::new(false),
            sink: Cell::new(None),
            until: Cell::new(u64::MAX),
            delivering: Cell::new(None),
            confirmed: Cell::new(None),
            next_field: Cell::new(0),
            timers: RefCell::default(),
            log: RefCell::default(),
            log_dropped: Cell::new(0),
            files: RefCell::default(),
            module: RefCell::default(),
            scratch: RefCell::default(),
            recorder: RefCell::default(),
            error: RefCell::default(),
            object: RefCell::default(),
            config: config.clone(),
        }
    }

    /// Messages in the making.
    pub fn own(&self) -> &RefCell<Messages> {
        self.own.get_or_init(Default::default)
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

    /// `Fields[name][field][array]` of the current message.
    #[inline]
    pub fn value(&self, name: &[u8], field: usize, array: usize) -> Option<Value<'_>> {
        match self.current.get() {
            // Nobody adds to its batch while it is read.
            Current::Read(m) if field == 0 && array == 0 => self.labels.borrow_mut().first(m, name),
            _ => self.message()?.value(name, field, array),
        }
    }

    /// The message to change: an encoder gets a copy of its own at the first change.
    pub fn writable(&self) -> Option<(*mut Messages, *const [u8], usize)> {
        if let (Current::Read(m), Family::Encoder) = (self.current.get(), self.config.family) {
            let mut own = self.own().borrow_mut();
            own.clear();
            own.add().copy_from(m);
            drop(own);
            let none: &'static [u8] = b"";
            self.current.set(Current::Write { messages: self.own().as_ptr(), raw: none, index: 0 });
        }
        match self.current.get() {
            Current::Write { messages, raw, index } => Some((messages, raw, index)),
            _ => None,
        }
    }

    /// The time of the call; an input's goes on while it runs.
    pub fn now(&self) -> i64 {
        match self.sink.get() {
            // SAFETY: `Sandbox::run_input` holds the sink for the length of the call; nobody uses it now.
            Some(sink) => unsafe { sink.as_ref() }.now(),
            None => self.now_ns.get(),
        }
    }

    /// Whether the running call is to be stopped.
    pub fn tripped(&self) -> bool {
        self.worker.tripped() && (self.sink.get().is_none() || self.is_over())
    }

    /// Whether an input that was asked to stop is to do so; otherwise it is asked again later.
    #[cold]
    fn is_over(&self) -> bool {
        let over = self.stopped.get().is_some() || self.stop_asked() || thread_cpu_ns() >= self.until.get();
        if !over {
            self.worker.renew();
        }
        over
    }

    /// Whether whoever runs the input asked for its end.
    pub fn stop_asked(&self) -> bool {
        // SAFETY: as in `now`.
        self.sink.get().is_some_and(|sink| unsafe { sink.as_ref() }.stopped())
    }

    /// The messages that injected ones join, for changes.
    pub fn with_target<T>(&self, change: impl FnOnce(&mut Messages) -> T) -> Option<T> {
        // SAFETY: as in `message`; the call owns the reference and no other is alive.
        unsafe { self.target.get().as_mut() }.map(change)
    }
}
