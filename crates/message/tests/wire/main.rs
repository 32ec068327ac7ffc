//! The wire format against a second implementation of it, and under arbitrary input.

mod codec;
mod framing;
