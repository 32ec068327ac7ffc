//! An output's call: a message in, and word of what became of it, now or later.

use message::MessageRef;

use crate::host::Current;
use crate::sandbox::Answer;
use crate::{Failure, Sandbox};

/// What an output did with a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// 0: delivered.
    Done,
    /// −2: not meant for this output.
    Skipped,
    /// −1, and any other negative number: it cannot be delivered, go on with the next.
    Failed(Option<String>),
    /// −3: not now; give it again after a while.
    Retry(Option<String>),
    /// −4: kept for a batch; [`Sandbox::take_confirmed`] tells when it is out.
    Batching,
    /// −5: under way; [`Sandbox::take_confirmed`] tells when it has arrived.
    Later,
}

/// What `update_checkpoint` said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Confirmed {
    /// Everything up to and with this message is delivered; nothing only if the output was never given a message.
    pub sequence: Option<u64>,
    /// Messages that could not be delivered, of all calls since the last time.
    pub failures: u64,
}

impl Sandbox {
    /// Gives an output the message with this sequence number, as `process_message(sequence)`.
    ///
    /// # Errors
    /// The call failed, or the script returned a positive number: it wants to be ended.
    pub fn deliver(&mut self, m: MessageRef<'_>, sequence: u64, now_ns: i64) -> Result<Delivery, Failure> {
        // SAFETY: only the lifetime changes; the message is forgotten before this returns.
        let m = unsafe { std::mem::transmute::<MessageRef<'_>, MessageRef<'static>>(m) };
        self.host().delivering.set(Some(sequence));
        let Answer { code, text } = self.process_own(Current::Read(m), now_ns, |lua| {
            lua.push_integer(sequence as i64);
            1
        })?;
        Ok(match code {
            0 => Delivery::Done,
            -2 => Delivery::Skipped,
            -3 => Delivery::Retry(text),
            -4 => Delivery::Batching,
            -5 => Delivery::Later,
            _ => Delivery::Failed(text),
        })
    }

    /// What `update_checkpoint` said since the last time this was asked: in `deliver` or in `timer_event`.
    pub fn take_confirmed(&mut self) -> Option<Confirmed> {
        self.host().confirmed.take()
    }
}
