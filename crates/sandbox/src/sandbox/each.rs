//! Messages to read, one after the other, within one protected call: entering one costs as much as the rest of a call.

use message::{Batch, MessageRef, Messages, Selection};

use super::{Answer, Inject, Sandbox, Start, Status};
use crate::Failure;
use crate::failure::Entry;
use crate::host::Current;
use crate::vm::{Lua, REGISTRY};

/// A script at work on messages. What has to outlive an error is here.
struct Work<'a, I> {
    sandbox: &'a Sandbox,
    messages: I,
    target: *mut Messages,
    now_ns: i64,
    /// Nanoseconds of CPU for each message.
    budget: u64,
    /// Is told what the script said, unless that is [`Status::Ok`].
    told: &'a mut dyn FnMut(Status),
    /// Messages the script is done with.
    done: usize,
    /// Of the message it is at.
    start: Option<Start>,
    /// Why what it said ends the work.
    failure: Option<Failure>,
}

impl Sandbox {
    /// Gives the script a message to read.
    pub fn process_message(&mut self, m: MessageRef<'_>, inject: &mut Inject<'_>) -> Result<Status, Failure> {
        let mut status = Status::Ok;
        self.each(std::iter::once(m), inject, &mut |said| status = said).map_err(|(_, failure)| failure)?;
        Ok(status)
    }

    /// Gives the script messages to read, one after the other; each is a call with limits of its own. `told` hears what it
    /// says of a message, unless that is [`Status::Ok`].
    ///
    /// # Errors
    /// At which message of the selection the script failed, and why; it was not given those that follow.
    pub fn process_messages(
        &mut self,
        batch: &Batch,
        selection: &Selection,
        inject: &mut Inject<'_>,
        told: &mut dyn FnMut(Status),
    ) -> Result<(), (usize, Failure)> {
        self.each(batch.selected(selection), inject, told)
    }

    /// The messages are all of one batch.
    fn each<'m>(
        &mut self,
        messages: impl Iterator<Item = MessageRef<'m>>,
        inject: &mut Inject<'_>,
        told: &mut dyn FnMut(Status),
    ) -> Result<(), (usize, Failure)> {
        self.state.host.labels.borrow_mut().forget();
        let (target, now_ns) = (inject.builder.messages() as *mut Messages, inject.now_ns);
        let budget = self.state.budget(Entry::ProcessMessage);
        let mut work = Work { sandbox: self, messages, target, now_ns, budget, told, done: 0, start: None, failure: None };
        let ran = self.state.run_several(Entry::ProcessMessage, &mut work, Work::run);
        let Err(failure) = work.failure.map_or(ran, Err) else { return Ok(()) };
        if let Some(start) = &work.start {
            self.end(start);
            self.undo(start, &failure);
        }
        Err((work.done, failure))
    }
}

impl<'m, I: Iterator<Item = MessageRef<'m>>> Work<'_, I> {
    fn run(lua: Lua, work: &mut Self) {
        lua.raw_geti(REGISTRY, i64::from(work.sandbox.process));
        while let Some(m) = work.messages.next() {
            if work.done > 0 {
                work.sandbox.state.renew(Entry::ProcessMessage, work.budget);
            }
            if !work.one(lua, m) {
                return;
            }
            work.done += 1;
        }
    }

    /// One message, with the function at index 1. False when the script failed without raising an error.
    #[inline]
    fn one(&mut self, lua: Lua, m: MessageRef<'m>) -> bool {
        let (sandbox, host) = (self.sandbox, &*self.sandbox.state.host);
        // SAFETY: only the lifetime changes; the message is forgotten when the call ends.
        let m = unsafe { std::mem::transmute::<MessageRef<'m>, MessageRef<'static>>(m) };
        let start = self.start.insert(sandbox.begin(Current::Read(m), self.target, self.now_ns, host.config.limits.process_inject));
        lua.push_value(1);
        lua.call(0, 2);
        if host.stopped.get().is_some() {
            return false;
        }
        match Answer::read(lua) {
            Ok(Answer { code: 0, .. }) => {}
            Ok(answer) => (self.told)(answer.status()),
            Err(failure) => {
                self.failure = Some(failure);
                return false;
            }
        }
        lua.set_top(1);
        sandbox.end(start);
        true
    }
}
