use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LockResult, PoisonError};
use std::time::Duration;

pub use shuttle::sync::atomic;

/// One after whose release others may run at once: what follows it outside may be no step of its own.
#[derive(Default, Debug)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

pub struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub fn new(inner: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(inner))
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        guarded(self.0.lock())
    }
}

fn guarded<T>(locked: LockResult<shuttle::sync::MutexGuard<'_, T>>) -> LockResult<MutexGuard<'_, T>> {
    locked.map(|guard| MutexGuard(Some(guard))).map_err(|e| PoisonError::new(MutexGuard(Some(e.into_inner()))))
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().unwrap()
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.0.take().is_some() && !std::thread::panicking() {
            shuttle::thread::yield_now();
        }
    }
}

/// One whose timeouts end when a model lets time pass, by [`tick`].
#[derive(Default)]
pub struct Condvar(Arc<shuttle::sync::Condvar>);

thread_local!(static WAITED: RefCell<Vec<Arc<shuttle::sync::Condvar>>> = const { RefCell::new(Vec::new()) });

impl Condvar {
    pub fn new() -> Condvar {
        let condvar = Condvar::default();
        WAITED.with(|all| all.borrow_mut().push(condvar.0.clone()));
        condvar
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    pub fn wait_timeout<'a, T>(&self, mut guard: MutexGuard<'a, T>, _timeout: Duration) -> LockResult<(MutexGuard<'a, T>, Waited)> {
        let locked = guarded(self.0.wait(guard.0.take().unwrap()));
        locked.map(|guard| (guard, Waited)).map_err(|e| PoisonError::new((e.into_inner(), Waited)))
    }
}

/// That a wait has ended; here by its timeout, for all that is known.
pub struct Waited;

impl Waited {
    pub fn timed_out(&self) -> bool {
        true
    }
}

/// No schedule has begun yet.
pub fn reset() {
    WAITED.with(|all| all.borrow_mut().clear());
}

/// Every timeout under way ends.
pub fn tick() {
    let all = WAITED.with(|all| all.borrow().clone());
    all.iter().for_each(|condvar| condvar.notify_all());
}
