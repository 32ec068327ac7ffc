//! What a script's patterns have in common: the memory of their nodes, and the limit of the backtrack stack.

use std::cell::RefCell;
use std::rc::Rc;

use lpeg::{Ledger, Limits};
use sandbox::native::{Call, Error, Function, Object, Slot};

/// Where it is kept.
static STATE: &str = "lpeg: what patterns have in common";

pub struct State {
    pub ledger: Ledger,
    pub stack: usize,
    /// What the ledger said when the script was last charged.
    charged: usize,
}

impl Object for State {
    const NAME: &'static str = "lpeg.state";
    const METHODS: &'static [Function] = &[];

    fn bytes(&self) -> usize {
        self.ledger.bytes()
    }
}

impl State {
    /// Pushes the script's.
    pub fn of(call: &mut Call<'_>) -> Result<(Slot, Rc<RefCell<State>>), Error> {
        let mut slot = call.kept(STATE)?;
        if call.object_at::<State>(slot).is_none() {
            call.pop(1);
            slot = call.push_object(State { ledger: Ledger::default(), stack: Limits::default().stack, charged: 0 })?;
            call.push_slot(slot)?;
            call.keep(STATE)?;
        }
        match call.object_at::<State>(slot) {
            Some(state) => Ok((slot, state)),
            None => Err(Error::message("the state of lpeg is gone")),
        }
    }

    /// Charges the script for its nodes, or gives back what the collector has freed. The limit of the stack.
    pub fn settle(call: &mut Call<'_>) -> Result<usize, Error> {
        let (slot, state) = State::of(call)?;
        let (now, stack) = (state.borrow().ledger.bytes(), state.borrow().stack);
        let before = std::mem::replace(&mut state.borrow_mut().charged, now);
        if now != before {
            call.charge(slot)?;
        }
        call.pop(1);
        Ok(stack)
    }
}
