//! A sketch as an object of scripts: its bytes are the script's memory, and it is saved with the globals.

use ::sketch::{NoRoom, Sketch};
use sandbox::native::{Call, Error, Function, Object};

/// What scripts call a kind of sketch, and what they can do with it.
pub trait Named: Sketch + 'static {
    const NAME: &'static str;
    const METHODS: &'static [Function];
}

/// A sketch that a script holds.
pub struct Held<S>(pub S);

impl<S: Named> Object for Held<S> {
    const NAME: &'static str = S::NAME;
    const METHODS: &'static [Function] = S::METHODS;
    const SAVED: bool = true;

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        S::restore(saved).map(Held)
    }
}

/// Works on the sketch that is argument 1.
pub fn with<S: Named, R>(call: &Call<'_>, work: impl FnOnce(&mut S) -> R) -> Result<R, Error> {
    call.with(1, |held: &mut Held<S>| work(&mut held.0))
}

/// The same for work by which it may grow, for which it asks the script's memory.
pub fn grow<S: Named, R>(call: &Call<'_>, work: impl FnOnce(&mut S, &dyn Fn(usize) -> bool) -> Result<R, NoRoom>) -> Result<R, Error> {
    with(call, |sketch| work(sketch, &|bytes| call.room_for(bytes).is_ok()))?.map_err(|NoRoom| Error::Memory)
}
