//! What an input makes of requests whose bodies are more than records one after the other.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::StatusCode;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::http::request::Parts;
use message::StreamId;
use plugin::{Intake, Meter};

use super::queue::Outcome;

/// A protocol over HTTP.
pub(crate) trait Protocol: Send + Sync {
    /// What can be said before the body is there.
    ///
    /// # Errors
    /// Why the request is refused, and what was expected.
    fn permitted(&self, head: &Parts) -> Result<(), (StatusCode, String)>;

    /// The body as [`Protocol::push`] takes it. Called on the thread that speaks HTTP.
    ///
    /// # Errors
    /// What was expected.
    fn prepared(&self, head: &Parts, body: Vec<u8>) -> Result<Vec<u8>, String>;

    /// Hands the records of a body over. Returns how many positions of the stream they take, and what to answer once
    /// these are accepted.
    fn push(&self, body: &[u8], stream: StreamId, intake: &mut dyn Intake, meter: &Meter) -> (u64, Outcome);

    /// Content type and body of the answer to a request whose records were accepted, but for so many.
    fn answer(&self, head: &Parts, left_out: Option<LeftOut>) -> (&'static str, Vec<u8>);
}

/// Records that were not taken, and what was expected of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeftOut {
    pub records: u64,
    pub expected: &'static str,
}

/// The body of an answer: whole from the beginning.
#[derive(Default, Debug)]
pub(crate) struct Whole(Option<Bytes>);

impl From<Vec<u8>> for Whole {
    fn from(bytes: Vec<u8>) -> Whole {
        Whole(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
