//! The watchdog: stops a call that has used up its CPU time.
//!
//! Publishing a call costs its thread a few plain stores ([`Worker::begin`]): no clock, no system
//! call. One thread of the process, the watchdog, polls the workers. It notes their CPU clock when
//! it first sees a call (so a call may get one poll, at most 10 ms, for free), and once the same
//! call has run longer than its budget *in CPU time of its thread*, signals that very thread. The
//! handler checks that the call it was aimed at is still running and arms Lua's hook at every
//! instruction, as the stock interpreter does for an interrupt; the hook raises an error, again and
//! again until control is back in the host, so that a `pcall` gains nothing by catching it.
//!
//! An idle process is not woken: the watchdog parks after a fifth of a second in which no worker was
//! active. Workers are active while they hold the guard [`active`] returns, which they take once
//! around a batch; a call made without it takes it for itself. Waking the watchdog costs one futex call,
//! and only when it is parked, so a busy stream does not pay even that.

use std::cell::{Cell, OnceCell};
use std::ffi::c_int;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use mlua::ffi::{self, lua_State};

use crate::stop;

/// What a thread shows of itself to the watchdog.
pub(crate) struct Worker {
    /// Number of the running call, 0 when none runs.
    call: AtomicU64,
    /// Its budget in nanoseconds.
    budget: AtomicU64,
    state: AtomicPtr<lua_State>,
    /// The call the watchdog wants stopped, and the nanoseconds it had used.
    target: AtomicU64,
    used: AtomicU64,
    /// The call whose hook the handler armed.
    tripped: AtomicU64,
    thread: libc::pid_t,
    clock: libc::clockid_t,
    // Touched by its own thread only; atomic so that a worker may be shared.
    last: AtomicU64,
    depth: AtomicU32,
}

impl Worker {
    /// The worker of this thread; registers it at first use.
    pub fn current() -> io::Result<Arc<Worker>> {
        thread_local!(static LOCAL: OnceCell<Registration> = const { OnceCell::new() });
        LOCAL.with(|local| {
            if let Some(known) = local.get() {
                return Ok(known.0.clone());
            }
            let registration = Registration::new()?;
            let worker = registration.0.clone();
            let _ = local.set(registration);
            Ok(worker)
        })
    }

    /// Publishes a call: from here on its CPU time is watched.
    pub fn begin(&self, state: *mut lua_State, budget: u64) {
        let call = self.last.load(Ordering::Relaxed) + 1;
        self.last.store(call, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
        self.budget.store(budget, Ordering::Relaxed);
        self.call.store(call, Ordering::Release);
    }

    /// Lets a call that was to be stopped go on, with its whole budget anew.
    pub fn renew(&self) {
        let call = self.last.load(Ordering::Relaxed) + 1;
        self.last.store(call, Ordering::Relaxed);
        self.call.store(call, Ordering::Release);
    }

    /// Another thread of Lua runs from here on, within the same call.
    pub fn switch(&self, state: *mut lua_State) {
        self.state.store(state, Ordering::Relaxed);
        // What comes next finds out whether the handler armed the thread that ran before.
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends the call. Returns whether its hook was armed and has to be taken off.
    pub fn end(&self) -> bool {
        self.call.store(0, Ordering::Release);
        // The handler runs on this thread: from here on it finds no call and leaves the hook alone.
        compiler_fence(Ordering::SeqCst);
        self.tripped.load(Ordering::Relaxed) == self.last.load(Ordering::Relaxed)
    }

    /// Whether the running call is to be stopped.
    pub fn tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed) == self.call.load(Ordering::Relaxed)
    }

    /// Nanoseconds of CPU the last stopped call had used.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Marks this thread active; to be undone by [`Worker::leave`].
    pub fn enter(&self) {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth + 1, Ordering::Relaxed);
        // Sequentially consistent against `park`: either we see it parked or it sees us active.
        if depth == 0
            && ACTIVE.fetch_add(1, Ordering::SeqCst) == 0
            && PARKED.load(Ordering::SeqCst)
            && let Some(thread) = WATCHDOG.get()
        {
            thread.unpark();
        }
    }

    pub fn leave(&self) {
        let depth = self.depth.load(Ordering::Relaxed) - 1;
        self.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            ACTIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Marks this thread inactive while the guard lives: it waits in the midst of a call, for how long nobody knows.
    pub fn away(&self) -> Away<'_> {
        self.leave();
        Away(self)
    }

    pub fn is_active(&self) -> bool {
        self.depth.load(Ordering::Relaxed) != 0
    }

    fn cpu(&self) -> Option<u64> {
        clock_ns(self.clock)
    }
}

/// See [`Worker::away`].
pub(crate) struct Away<'a>(&'a Worker);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.enter();
    }
}

/// Keeps the watchdog awake for this thread while it lives. Take one around a batch of calls.
pub struct Active(Option<Arc<Worker>>, std::marker::PhantomData<*mut ()>);

/// See [`Active`]. Where no watchdog can be started the guard does nothing; then no sandbox can be
/// made on this thread either.
pub fn active() -> Active {
    let worker = Worker::current().ok();
    if let Some(worker) = &worker {
        worker.enter();
    }
    Active(worker, std::marker::PhantomData)
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(worker) = &self.0 {
            worker.leave();
        }
    }
}

/// CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the timespec given; an unknown clock is an error return.
    (unsafe { libc::clock_gettime(clock, &mut at) } == 0).then(|| at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64)
}

static WATCHDOG: OnceLock<Thread> = OnceLock::new();
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
/// Number of active workers.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static PARKED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The worker of this thread, for the signal handler: constant and without a destructor, hence
    /// a plain read.
    static HANDLED: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// The watchdog's view of a worker: the call it last saw, the thread's CPU clock then, and how much
/// of it the call may use before it is signalled (again).
struct Watched {
    worker: Arc<Worker>,
    call: u64,
    since: u64,
    enough: u64,
}

fn watched() -> MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread's place on the watchdog's list, given up when the thread ends.
struct Registration(Arc<Worker>);

impl Registration {
    fn new() -> io::Result<Registration> {
        start()?;
        let mut clock: libc::clockid_t = 0;
        // SAFETY: asks for the clock of the calling thread, which is alive.
        let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: takes nothing, cannot fail.
        let thread = unsafe { libc::gettid() };
        let worker = Arc::new(Worker {
            call: AtomicU64::new(0),
            budget: AtomicU64::new(0),
            state: AtomicPtr::new(ptr::null_mut()),
            target: AtomicU64::new(u64::MAX),
            used: AtomicU64::new(0),
            tripped: AtomicU64::new(u64::MAX),
            thread,
            clock,
            last: AtomicU64::new(0),
            depth: AtomicU32::new(0),
        });
        unblock_signal();
        HANDLED.set(Arc::as_ptr(&worker));
        watched().push(Watched { worker: worker.clone(), call: 0, since: 0, enough: u64::MAX });
        Ok(Registration(worker))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Under the lock, which the watchdog holds while it signals: an ended thread is never signalled.
        watched().retain(|w| !Arc::ptr_eq(&w.worker, &self.0));
        HANDLED.set(ptr::null());
    }
}

fn signal() -> c_int {
    libc::SIGRTMIN() + 7
}

fn unblock_signal() {
    // SAFETY: a zeroed set is made valid by sigemptyset; only this thread's mask changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
    }
}

/// Starts the watchdog once a process.
fn start() -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if WATCHDOG.get().is_some() {
        return Ok(());
    }
    // SAFETY: a zeroed sigaction with a handler and an empty mask is valid; the handler does only
    // what is allowed in one.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as extern "C" fn(c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal(), &action, ptr::null_mut())
    };
    if installed != 0 {
        return Err(io::Error::last_os_error());
    }
    let handle = thread::Builder::new().name("watchdog".into()).stack_size(64 << 10).spawn(watch)?;
    let _ = WATCHDOG.set(handle.thread().clone());
    Ok(())
}

/// The signal handler, on the worker's own thread.
extern "C" fn handle(_: c_int) {
    let worker = HANDLED.get();
    if worker.is_null() {
        return;
    }
    // SAFETY: set by this thread to a worker its registration keeps alive, null again before it goes.
    let worker = unsafe { &*worker };
    let call = worker.call.load(Ordering::Relaxed);
    if call != 0 && call == worker.target.load(Ordering::Relaxed) {
        worker.tripped.store(call, Ordering::Relaxed);
        // SAFETY: a call is running, so the state is live; `lua_sethook` may be called from a signal
        // handler that interrupted that state's thread.
        unsafe { ffi::lua_sethook(worker.state.load(Ordering::Relaxed), Some(stop::hook), stop::EVERYTHING, 1) };
    }
}

const POLL: Duration = Duration::from_millis(10);
const SHORTEST_POLL: Duration = Duration::from_millis(1);
/// Polls without an active worker before parking.
const PATIENCE: u32 = 20;

fn watch() {
    let mut idle = 0;
    loop {
        let pause = look();
        idle = if ACTIVE.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle < PATIENCE {
            thread::sleep(pause);
        } else {
            PARKED.store(true, Ordering::SeqCst);
            if ACTIVE.load(Ordering::SeqCst) == 0 {
                thread::park();
            }
            PARKED.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

/// Looks at every worker once; returns how long to wait before the next look.
fn look() -> Duration {
    let mut pause = POLL;
    for watched in watched().iter_mut() {
        let worker = &*watched.worker;
        let call = worker.call.load(Ordering::Acquire);
        if call == 0 {
            continue;
        }
        let budget = worker.budget.load(Ordering::Relaxed);
        pause = pause.min(Duration::from_nanos(budget / 4));
        let Some(cpu) = worker.cpu() else { continue };
        if call != watched.call {
            (watched.call, watched.since, watched.enough) = (call, cpu, budget);
        }
        let used = cpu.saturating_sub(watched.since);
        if used >= watched.enough {
            // Arming takes milliseconds where functions are nested deeply. Signals that came faster
            // than they are handled would be all that the thread ever does.
            watched.enough = used.saturating_mul(2);
            worker.used.store(used, Ordering::Relaxed);
            worker.target.store(call, Ordering::Relaxed);
            // SAFETY: the list is locked, so the thread is alive (it leaves the list before it ends).
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), worker.thread, signal()) };
        } else {
            // Back when its time is up, if that is sooner.
            pause = pause.min(Duration::from_nanos(watched.enough - used));
        }
    }
    pause.max(SHORTEST_POLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_counts_its_thread_once() {
        let worker = Worker::current().unwrap();
        let outer = active();
        let inner = active();
        assert!(worker.is_active());
        drop(inner);
        assert!(worker.is_active());
        drop(outer);
        assert!(!worker.is_active());
    }

    #[test]
    fn a_thread_leaves_the_list_when_it_ends() {
        let worker = thread::spawn(|| Worker::current().unwrap()).join().unwrap();
        assert!(!watched().iter().any(|w| Arc::ptr_eq(&w.worker, &worker)));
    }
}
