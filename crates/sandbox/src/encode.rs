//! An encoder's call: a message in, bytes out.

use message::{MessageRef, wire};

use crate::host::Current;
use crate::{Failure, Sandbox, Status};

/// What an encoder made of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Encoded {
    /// Bytes were appended.
    Bytes,
    /// −2: no output, and no error.
    Skipped,
    /// Any other negative number: the message cannot be encoded.
    Failed(Option<String>),
}

impl Sandbox {
    /// Gives an encoder the message, of which `write_message` changes a copy, and appends what it
    /// makes of it: the payload it injected, or the message it injected as protobuf, the last one
    /// counting; without either the message itself as protobuf, with its changes.
    ///
    /// # Errors
    /// The call failed; nothing is appended.
    pub fn encode(&mut self, m: MessageRef<'_>, now_ns: i64, into: &mut Vec<u8>) -> Result<Encoded, Failure> {
        // SAFETY: only the lifetime changes; the message is forgotten before this returns.
        let m = unsafe { std::mem::transmute::<MessageRef<'_>, MessageRef<'static>>(m) };
        let host = self.host();
        host.own().borrow_mut().clear();
        host.encoded.borrow_mut().clear();
        host.has_encoded.set(false);
        let answer = self.process_own(Current::Read(m), now_ns, |_| 0)?;
        Ok(match answer.status() {
            Status::Skipped(_) => Encoded::Skipped,
            Status::Failed(why) => Encoded::Failed(why),
            Status::Ok => {
                let own = host.own().borrow();
                if host.has_encoded.get() {
                    into.extend_from_slice(&host.encoded.borrow());
                } else if own.is_empty() {
                    wire::encode(m, into);
                } else {
                    wire::encode(own.view(b"", 0), into);
                }
                Encoded::Bytes
            }
        })
    }
}
