//! Who pays for the nodes: patterns share them, so that none of them could tell what it costs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

thread_local! {
    static CURRENT: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

/// The memory of all nodes that were made under it and are alive, each counted once.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<Cell<usize>>);

/// While it lives, new nodes of this thread are entered in its ledger.
#[derive(Debug)]
pub struct Entered(Option<Ledger>);

impl Ledger {
    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.0.get()
    }

    #[must_use]
    pub fn enter(&self) -> Entered {
        Entered(CURRENT.replace(Some(self.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

/// What one node costs, noted as long as it lives.
#[derive(Debug)]
pub(crate) struct Cost {
    bytes: u32,
    ledger: Option<Ledger>,
}

impl Cost {
    pub fn of(bytes: usize) -> Cost {
        let ledger = CURRENT.with_borrow(Option::clone);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(Ledger(sum)) = &ledger {
            sum.set(sum.get() + bytes as usize);
        }
        Cost { bytes, ledger }
    }

    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl Drop for Cost {
    fn drop(&mut self) {
        if let Some(Ledger(sum)) = &self.ledger {
            sum.set(sum.get().saturating_sub(self.bytes as usize));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;

    #[test]
    fn shared_nodes_count_once_and_until_the_last_pattern_is_gone() {
        let ledger = Ledger::default();
        let entered = ledger.enter();
        let word = Pattern::literal(b"word").and().expect("small");
        let one = ledger.bytes();
        let twice = word.then(&word).expect("small");
        assert!(ledger.bytes() > one && ledger.bytes() < 2 * one + one / 2);
        drop(entered);
        let other = Pattern::literal(b"not entered");
        let both = ledger.bytes();
        assert_eq!(twice.bytes(), both);
        drop(word);
        assert_eq!(ledger.bytes(), both);
        drop((twice, other));
        assert_eq!(ledger.bytes(), 0);
    }
}
