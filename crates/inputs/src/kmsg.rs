//! The `kmsg` input: what the kernel says, from `/dev/kmsg`.
//!
//! Each record has a number, so that after a restart the input goes on behind the last one that was
//! accepted, as long as it is the same boot. What the kernel overwrote before it was read is counted.
//!
//! Not where `journald` is read: systemd's journal has the same records.

mod record;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use message::{Messages, StreamId};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, fstat, open, seek};
use rustix::io::Errno;

use self::record::{Record, Records};

pub const KIND: Kind = Kind::input("kmsg", Stability::Stable, |o, cx| Ok(Box::new(Kmsg::new(o, cx)?)))
    .summary("Reads the kernel's log.")
    .doc(
        "Messages have Type `kmsg` and Logger `kernel` (those that programs wrote to the device have the input's name), the kernel's text as Payload, \
         Severity, and the fields `facility`, `sequence` (the kernel's number of the record), `boot_us` (microseconds since boot) and what the kernel \
         adds, such as `subsystem` and `device`; `continuation` is true for one that goes on with the line before. The Timestamp is reckoned from the \
         time since boot and is off by the time the machine slept.\n\n\
         After a restart it goes on behind the last record that was accepted, if the machine was not started again meanwhile. The kernel overwrites \
         the oldest records when its buffer is full: that this happened is counted as `overruns`, and the records as `lost`.\n\n\
         The device is for root and holders of CAP_SYSLOG, unless the sysctl kernel.dmesg_restrict is 0. While it cannot be read the input says so and waits.",
    )
    .options(&[
        Opt::path("path").default("/dev/kmsg").doc("The device, or a file with records as they come from it."),
        Opt::choice("from", &["start", "end"])
            .default("start")
            .doc("Where to begin when no record of this boot was read yet: with the oldest the kernel still has, or with what comes."),
    ])
    .examples(&[Example { title: "The kernel's log", toml: "" }, Example { title: "Only what comes", toml: "from = \"end\"" }]);

/// Name under which the number of the last record is remembered.
const KEY: &str = "kmsg";

/// The kernel gives no longer records; a shorter buffer is an error.
const LONGEST: usize = 16 << 10;

/// How often to try again to open what cannot be.
const AGAIN: Duration = Duration::from_secs(5);

/// Nanoseconds by which reckoning when the machine was started may be off.
const JITTER: u64 = 10_000_000;

/// Records taken before the intake is asked what is due.
const AT_ONCE: usize = 256;

struct Kmsg {
    path: PathBuf,
    from_end: bool,
}

impl Kmsg {
    fn new(o: &Options, _: &BuildCx) -> Result<Kmsg, Problem> {
        Ok(Kmsg { path: o.path("path").to_path_buf(), from_end: o.str("from") == "end" })
    }
}

/// Where the input is.
struct Reading {
    source: OwnedFd,
    /// A file, whose records are separated by line ends, and not the device, which gives one a read.
    file: bool,
    records: Records,
    stream: StreamId,
    /// Number of the last record that was taken.
    last: Option<u64>,
    /// When the machine was started, in nanoseconds since the epoch.
    booted: i64,
    buffer: Vec<u8>,
}

impl Input for Kmsg {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut said = false;
        while !cx.stop.asked() {
            match self.open(cx) {
                Ok(mut reading) => return self.follow(&mut reading, cx),
                Err(e) if matches!(e, Errno::NOENT | Errno::PERM | Errno::ACCESS) => {
                    if !std::mem::replace(&mut said, true) {
                        let path = self.path.display();
                        log::warn!(target: &cx.build.name, "{path} cannot be read ({e}): it is for root and holders of CAP_SYSLOG; waiting for it");
                    }
                    self.pause(cx);
                }
                Err(e) => return Err(Fatal::new(format!("{} cannot be opened: {e} (`path`)", self.path.display()))),
            }
        }
        Ok(())
    }

    /// The kernel does not wait, but what is not read stays in its buffer for long.
    fn can_wait(&self) -> bool {
        true
    }
}

impl Kmsg {
    fn open(&self, cx: &mut InputCx<'_>) -> Result<Reading, Errno> {
        let source = open(&self.path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        let file = FileType::from_raw_mode(fstat(&source)?.st_mode) == FileType::RegularFile;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let identity = if file { self.path.display().to_string() } else { boot.trim().to_string() };
        let known = cx.intake.checkpoints().into_iter().find(|c| c.key == KEY && c.identity == identity);
        if known.is_none() && self.from_end {
            seek(&source, SeekFrom::End(0))?;
        }
        let (position, last) = known.map_or((0, None), |c| (c.position, c.note.parse().ok()));
        let stream = cx.intake.open(StreamOptions { key: KEY.into(), identity, position, ..StreamOptions::default() });
        Ok(Reading { source, file, records: Records::default(), stream, last, booted: 0, buffer: vec![0; LONGEST] })
    }

    fn follow(&self, reading: &mut Reading, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let mut result = Ok(());
        while !cx.stop.asked() && result.is_ok() {
            match reading.some(cx) {
                Ok(true) => {}
                Ok(false) => wait(reading, cx),
                Err(e) => result = Err(Fatal::new(format!("{} cannot be read: {e}", self.path.display()))),
            }
            cx.intake.poll();
        }
        cx.intake.close(reading.stream);
        result
    }

    fn pause(&self, cx: &mut InputCx<'_>) {
        let until = cx.clock.steady() + AGAIN;
        while cx.clock.steady() < until && !cx.stop.wait(cx.intake.wait().min(AGAIN)) {
            cx.intake.poll();
        }
    }
}

/// Sleeps until there is more, or as long as the intake permits.
fn wait(reading: &Reading, cx: &InputCx<'_>) {
    let wait = cx.intake.wait();
    let wait = Timespec { tv_sec: wait.as_secs().min(3600) as i64, tv_nsec: wait.subsec_nanos().into() };
    let stop = PollFd::from_borrowed_fd(cx.stop.fd(), PollFlags::IN);
    let source = PollFd::from_borrowed_fd(reading.source.as_fd(), PollFlags::IN);
    // A file is always readable, also at its end.
    let _ = if reading.file { poll(&mut [stop], Some(&wait)) } else { poll(&mut [stop, source], Some(&wait)) };
}

impl Reading {
    /// Takes some of what there is; false when there was nothing.
    fn some(&mut self, cx: &mut InputCx<'_>) -> io::Result<bool> {
        for taken in 0..AT_ONCE {
            match rustix::io::read(&self.source, &mut self.buffer) {
                Ok(0) | Err(Errno::AGAIN) => {
                    self.take_read(0, cx);
                    return Ok(taken > 0);
                }
                Ok(n) if self.file => self.take_read(n, cx),
                Ok(n) => {
                    let buffer = std::mem::take(&mut self.buffer);
                    self.take(&buffer[..n], cx);
                    self.buffer = buffer;
                }
                // The record that was due is overwritten; the next read gives the oldest there is.
                Err(Errno::PIPE) => cx.meter.add_extra("overruns", 1),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    /// Takes the records that `read` more bytes of a file complete; 0 is its end.
    fn take_read(&mut self, read: usize, cx: &mut InputCx<'_>) {
        let (mut records, buffer) = (std::mem::take(&mut self.records), std::mem::take(&mut self.buffer));
        match read {
            0 => records.end(|record| self.take(record, cx)),
            n => records.add(&buffer[..n], |record| self.take(record, cx)),
        }
        (self.records, self.buffer) = (records, buffer);
    }

    fn take(&mut self, bytes: &[u8], cx: &mut InputCx<'_>) {
        let Some(record) = Record::parse(bytes) else {
            cx.meter.add_extra("malformed", 1);
            return;
        };
        if self.last.is_some_and(|last| record.sequence <= last) {
            return;
        }
        if let Some(last) = self.last.replace(record.sequence) {
            cx.meter.add_extra("lost", record.sequence - last - 1);
        }
        let booted = cx.clock.now() - cx.clock.steady().as_nanos() as i64;
        // The two clocks are not read at the same moment: only when one was set they differ by more.
        if booted.abs_diff(self.booted) > JITTER {
            self.booted = booted;
        }
        let (note, booted) = (record.sequence.to_string(), self.booted);
        cx.intake.make_at(self.stream, Some(&note), &mut |messages| make(&record, booted, messages));
    }
}

/// `booted` is when the machine was, in nanoseconds since the epoch.
fn make(record: &Record<'_>, booted: i64, messages: &mut Messages) {
    let mut m = messages.add();
    m.set_type(b"kmsg");
    m.set_severity(record.priority as i32 & 7);
    m.set_timestamp(booted.saturating_add(record.boot_us.saturating_mul(1000)));
    let payload = m.messages().store_with(|into| record::unescape(record.text, into));
    m.set_payload_text(payload);
    if record.priority >> 3 == 0 {
        m.set_logger(b"kernel");
    }
    m.add_integer(b"facility", i64::from(record.priority >> 3));
    m.add_integer(b"sequence", record.sequence as i64);
    m.add_integer(b"boot_us", record.boot_us);
    if record.continuation {
        m.add_bool(b"continuation", true);
    }
    for (name, value) in record.properties() {
        let name = m.messages().store_with(|into| into.extend(name.iter().map(u8::to_ascii_lowercase)));
        let value = m.messages().store_with(|into| record::unescape(value, into));
        m.add(name, message::Datum::String(value));
    }
}

#[cfg(test)]
mod tests;
