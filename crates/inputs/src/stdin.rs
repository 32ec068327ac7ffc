//! Reads standard input to its end.
//!
//! For pipelines and containers. Nothing can be read twice: what was read when the program is
//! killed, and not delivered, is gone. On an orderly stop an incomplete last line counts as a line.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use options::{Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const KIND: Kind = Kind::input("stdin", Stability::Stable, build)
    .summary("Reads standard input.")
    .doc(
        "Reads standard input to its end and finishes. A writer that is faster than the outputs waits. \
         What was read and not delivered when the program is killed is lost, as a pipe cannot be read again; use `tail` for files.",
    )
    .examples(&[Example { title: "A pipe", toml: "" }]);

struct Stdin;

fn build(_: &Options, _: &BuildCx) -> Result<Box<dyn Input>, Problem> {
    Ok(Box::new(Stdin))
}

impl Input for Stdin {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        drain(rustix::stdio::stdin(), cx)
    }

    fn can_wait(&self) -> bool {
        true
    }
}

/// Reads without a buffer of its own, so that `poll` tells what there is.
struct Unbuffered<'a>(BorrowedFd<'a>);

impl Read for Unbuffered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, buf)?)
    }
}

fn drain(from: BorrowedFd<'_>, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
    let stream = cx.intake.open(StreamOptions::default());
    let mut result = Ok(());
    while !cx.stop.asked() {
        if !readable(from, cx) {
            cx.intake.poll();
            continue;
        }
        match cx.intake.read(stream, &mut Unbuffered(from)) {
            Ok(0) => break,
            Ok(_) => cx.intake.poll(),
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(e) => {
                result = Err(Fatal::new(format!("standard input cannot be read: {e}")));
                break;
            }
        }
    }
    cx.intake.end_of_stream(stream);
    cx.intake.close(stream);
    cx.intake.poll();
    result
}

/// Waits for bytes, the end or trouble, as long as the intake permits; false when there is none of these.
fn readable(from: BorrowedFd<'_>, cx: &InputCx<'_>) -> bool {
    let wait = cx.intake.wait();
    let timeout = Timespec { tv_sec: wait.as_secs().min(3600) as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    let stop = PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN);
    let mut fds = [PollFd::from_borrowed_fd(from, PollFlags::IN), stop];
    poll(&mut fds, Some(&timeout)).is_ok() && !fds[0].revents().is_empty() && !cx.stop.asked()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::{AsFd, OwnedFd};

    use testkit::intake::{RecordingIntake, run_until, start};

    use super::*;

    /// The same input, with a pipe for standard input.
    struct Pipe(OwnedFd);

    impl Input for Pipe {
        fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
            drain(self.0.as_fd(), cx)
        }

        fn can_wait(&self) -> bool {
            true
        }
    }

    fn pipe() -> (Box<dyn Input>, File) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (Box::new(Pipe(read)), File::from(write))
    }

    #[test]
    fn it_reads_to_the_end_and_finishes() {
        let (input, mut write) = pipe();
        let intake = RecordingIntake::default().with_block(100);
        let running = start(input, &intake);
        let text: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        write.write_all(text.as_bytes()).unwrap();
        running.wait_for(|seen| seen.bytes().len() == text.len());
        write.write_all(b"incomplete").unwrap();
        drop(write);
        running.finish().unwrap();
        let seen = intake.seen();
        assert_eq!(seen.bytes(), (text + "incomplete").as_bytes());
        assert!(seen.streams[0].closed && seen.streams[0].ends == [seen.bytes().len()]);
    }

    #[test]
    fn stop_is_heeded_while_nothing_comes() {
        let (input, mut write) = pipe();
        write.write_all(b"half a li").unwrap();
        let intake = RecordingIntake::default();
        run_until(input, &intake, |seen| seen.bytes() == b"half a li" && seen.polls > 2);
        assert_eq!(intake.seen().lines(), ["half a li"], "what cannot be read again is not thrown away");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let input = Box::new(Pipe(File::open(dir.path()).unwrap().into()));
        let fatal = start(input, &RecordingIntake::default()).finish().unwrap_err();
        assert!(fatal.to_string().contains("standard input cannot be read"), "{fatal}");
    }
}
