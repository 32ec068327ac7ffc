use message::Messages;

use crate::{Reject, Scripted};

/// What a transform decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transformed {
    Keep,
    Drop,
}

/// Changes or drops a message before anyone else sees it. Built on its input's thread.
pub trait Transform {
    /// `messages.view(raw, index)` reads the message, `messages.message(index)` changes it.
    ///
    /// # Errors
    /// A Reject keeps the message from everyone: a redaction that fails leaks nothing.
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject>;

    /// Its script, if it is made of one.
    fn script(&mut self) -> Option<&mut dyn Scripted> {
        None
    }
}
