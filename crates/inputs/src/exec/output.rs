use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use message::StreamId;
use plugin::InputCx;

use super::settings::Settings;

/// What is taken at a time of an output that is gathered.
const BLOCK: u64 = 64 << 10;

/// Where what commands write to one of their outputs goes.
pub struct Output {
    pub stream: StreamId,
    /// What this run wrote, when it goes on in one piece.
    gathered: Option<Vec<u8>>,
}

impl Output {
    pub fn new(stream: StreamId, settings: &Settings) -> Output {
        Output { stream, gathered: settings.whole.then(Vec::new) }
    }

    /// Reads once from a pipe that has something, `most` bytes at most; 0 at its end.
    ///
    /// # Errors
    /// Those of the pipe.
    pub fn read(&mut self, pipe: BorrowedFd<'_>, most: usize, cx: &mut InputCx<'_>) -> io::Result<usize> {
        let mut pipe = Unbuffered(pipe).take(most as u64);
        match &mut self.gathered {
            None => cx.intake.read(self.stream, &mut pipe),
            Some(gathered) => {
                let before = gathered.len();
                gathered.resize(before + BLOCK.min(most as u64) as usize, 0);
                let read = pipe.read(&mut gathered[before..]);
                gathered.truncate(before + *read.as_ref().unwrap_or(&0));
                read
            }
        }
    }

    /// The run is over: what is left is its last record.
    pub fn end(&mut self, cx: &mut InputCx<'_>) {
        if let Some(gathered) = &mut self.gathered
            && !gathered.is_empty()
        {
            cx.intake.push(self.stream, &std::mem::take(gathered));
        }
        cx.intake.end_of_stream(self.stream);
    }
}

/// Reads without a buffer of its own, so that `poll` tells what there is.
struct Unbuffered<'a>(BorrowedFd<'a>);

impl Read for Unbuffered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buf)?)
    }
}
