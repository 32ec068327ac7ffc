//! Behaviour of the crate as a binding sees it.

mod captures;
mod hostile;
mod interpreter;
mod matching;
mod speed;
mod toy;
