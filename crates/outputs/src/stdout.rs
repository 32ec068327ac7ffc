//! The `stdout` output: writes encoded messages to standard output.
//!
//! For looking at a stream and for pipes. A slow reader is waited for; a reader that is gone is
//! gone for good: from then on every message is a Reject.
//!
//! A stop does not wait for a reader that is stuck; the last line may then be cut short.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use plugin::{Kind, OutBatch, OutCx, Output, Stability};
use rustix::event::PollFlags;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use crate::patience::Patience;

pub const KIND: Kind = Kind::output("stdout", Stability::Stable, |_, _| Ok(Box::new(Stdout { to: None, closed: false })))
    .summary("Writes encoded messages to standard output.")
    .doc(
        "For looking at a stream, and for pipes. A slow reader is waited for. When the reader closed its end, messages are \
         refused from then on. After a stop, a stuck reader is waited for only briefly.",
    );

/// Waiting for a reader has no limit but a stop: nobody else needs this thread.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

struct Stdout {
    /// Opened at the first write.
    to: Option<OwnedFd>,
    closed: bool,
}

impl Output for Stdout {
    fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
        let (written, result) = if self.closed { (0, Err(Errno::PIPE.into())) } else { self.write_all(batch.bytes(), cx) };
        let done = batch.within(written);
        match result {
            Ok(()) => cx.done(0..batch.len()),
            Err(e) if e.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {
                self.closed = true;
                cx.done(0..done);
                (done..batch.len()).for_each(|i| cx.reject(i, "standard output was closed by its reader"));
            }
            Err(e) => {
                cx.done(0..done);
                cx.retry(done..batch.len(), None, format!("cannot write to standard output: {e}"));
            }
        }
    }
}

impl Stdout {
    /// Writes as much as it can; how much is returned with the error that ended it.
    fn write_all(&mut self, bytes: &[u8], cx: &OutCx<'_>) -> (usize, io::Result<()>) {
        let to = match &self.to {
            Some(to) => to,
            None => match own_description() {
                Ok(fd) => self.to.insert(fd),
                Err(e) => return (0, Err(e)),
            },
        };
        let mut patience = Patience::new(cx, FOREVER);
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(to, &bytes[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if let Err(e) = patience.wait(to, PollFlags::OUT) {
                        return (written, Err(e));
                    }
                }
                Err(e) => return (written, Err(e.into())),
            }
        }
        (written, Ok(()))
    }
}

/// Standard output, non-blocking where it can block for long: a pipe and a terminal are opened a
/// second time, because the flag would otherwise be set for every process that shares the first.
fn own_description() -> io::Result<OwnedFd> {
    let stdout = rustix::stdio::stdout();
    let path: Cow<'_, str> = match FileType::from_raw_mode(fstat(stdout)?.st_mode) {
        FileType::Fifo | FileType::CharacterDevice => "/proc/self/fd/1".into(),
        _ => return stdout.try_clone_to_owned(),
    };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(&*path, flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(_) => stdout.as_fd().try_clone_to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use plugin::Verdict;
    use rustix::pipe::{PipeFlags, pipe_with};
    use testkit::deliver::{Delivery, payloads};

    use super::*;

    fn piped() -> (File, Delivery) {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&read, OFlags::empty()).unwrap();
        (read.into(), Delivery::new(Box::new(Stdout { to: Some(write), closed: false })))
    }

    #[test]
    fn a_batch_larger_than_the_pipe_arrives_whole() {
        let (mut read, mut delivery) = piped();
        let batch = payloads((0..20_000).map(|i| format!("line {i}")));
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            read.read_to_string(&mut all).unwrap();
            all
        });
        assert!(delivery.write(&batch).iter().all(|v| *v == Verdict::Done));
        drop(delivery);
        assert_eq!(reader.join().unwrap(), (0..20_000).map(|i| format!("line {i}\n")).collect::<String>());
    }

    #[test]
    fn a_reader_that_is_gone_makes_rejects() {
        let (read, mut delivery) = piped();
        drop(read);
        for _ in 0..2 {
            assert_eq!(delivery.write(&payloads(["a"])), [Verdict::Reject("standard output was closed by its reader".to_string())]);
        }
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_stuck_reader() {
        let (_read, mut delivery) = piped();
        delivery.stop.ask();
        let verdicts = delivery.write(&payloads([vec![b'x'; 100], vec![b'x'; 1 << 20]]));
        assert_eq!(verdicts[0], Verdict::Done);
        assert!(matches!(&verdicts[1], Verdict::Retry { why, .. } if why.contains("stopped while waiting")));
    }
}
