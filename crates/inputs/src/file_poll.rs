//! The `file_poll` input: reads small files whole, again and again.
//!
//! For files that say how things are at the moment, such as those below `/proc` and `/sys`. For files
//! that grow there is `tail`. Nothing is remembered from one reading to the next, so after a restart
//! there is nothing to catch up on and nothing is lost but the readings in between.
//!
//! A file is one piece for the splitter: with `none` it is one record, with `line` as many as it has lines.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::Pattern;
use message::StreamId;
use options::unit::show_size;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Fatal, Input, InputCx, Kind, Stability, StreamOptions};
use rustix::fs::{FileType, Mode, OFlags};

pub const KIND: Kind = Kind::input("file_poll", Stability::Experimental, |o, cx| Ok(Box::new(FilePoll::new(o, cx)?)))
    .summary("Reads whole files at an interval, such as those below /proc and /sys.")
    .doc(
        "Every file that `paths` name is read from its beginning to its end, at the start and then at every `every`; with the splitter `none` \
         each reading is one record. Messages get the field `path`. For each file that cannot be read or is larger than `max_size` there is \
         instead a message of Type `file_poll.error` with the reason as Payload and the field `path`, counted as `unreadable_files`; so \
         there is for a path without wildcards that is not there. Only regular files are read. For files that grow use `tail`.",
    )
    .options(&[
        Opt::paths("paths").required().sample("[\"/proc/loadavg\"]").doc("Files to read; `*`, `?`, `[…]` and `**` stand for names."),
        Opt::duration("every").default("10s").doc("Time from one reading to the next, 10ms at least. Readings that are missed are not made up for."),
        Opt::size("max_size").default("1MiB").doc("Larger files are not read. The input's `max_record` limits records as well."),
        Opt::integer("max_files").default("1000").doc("No more files than this are read at a time; further ones are counted as `skipped_files`."),
    ])
    .examples(&[
        Example { title: "The load of this machine", toml: "paths = \"/proc/loadavg\"\nsplitter = \"none\"" },
        Example {
            title: "Temperatures, every minute",
            toml: "paths = \"/sys/class/thermal/thermal_zone*/temp\"\nevery = \"1m\"\nsplitter = \"none\"\nmessage_type = \"temperature\"",
        },
    ]);

const SHORTEST: Duration = Duration::from_millis(10);

struct FilePoll {
    paths: Vec<PathBuf>,
    every: Duration,
    max_size: usize,
    max_files: usize,
}

impl FilePoll {
    fn new(o: &Options, _: &BuildCx) -> Result<FilePoll, Problem> {
        for path in o.paths("paths") {
            if let Err(e) = Pattern::new(&path.to_string_lossy()) {
                return Err(o.problem("paths", format!("`{}` is not a pattern", path.display()), e.msg));
            }
        }
        if o.paths("paths").is_empty() {
            return Err(o.problem("paths", "`paths` is empty", "expected a file at least"));
        }
        if o.duration("every") < SHORTEST {
            return Err(o.problem("every", "`every` is too short", "expected 10ms at least"));
        }
        let max_files = o.integer("max_files");
        if !(1..=1_000_000).contains(&max_files) {
            return Err(o.problem("max_files", format!("`max_files` is {max_files}"), "expected 1 to 1000000"));
        }
        Ok(FilePoll {
            paths: o.paths("paths").to_vec(),
            every: o.duration("every"),
            max_size: o.size("max_size"),
            max_files: max_files as usize,
        })
    }

    /// Reads every file once.
    fn turn(&self, stream: StreamId, cx: &mut InputCx<'_>) {
        let mut left = self.max_files;
        for pattern in &self.paths {
            let text = pattern.to_string_lossy();
            if Pattern::escape(&text) == text {
                left = self.take(pattern, left, stream, cx);
                continue;
            }
            // Was looked at when it was built.
            let Ok(found) = glob::glob(&text) else { continue };
            for found in found {
                match found {
                    // A directory may be among what a pattern finds, and is not meant.
                    Ok(path) if path.is_dir() => {}
                    Ok(path) => left = self.take(&path, left, stream, cx),
                    Err(e) => fail(e.path(), e.error(), cx),
                }
                if cx.stop.asked() {
                    return;
                }
            }
        }
    }

    /// Reads a file if it is not one too many; how many may still be read.
    fn take(&self, path: &Path, left: usize, stream: StreamId, cx: &mut InputCx<'_>) -> usize {
        let Some(left) = left.checked_sub(1) else {
            cx.meter.add_extra("skipped_files", 1);
            return 0;
        };
        match read(path, self.max_size) {
            Ok(content) => {
                cx.intake.attribute(stream, "", &[("path".to_string(), path.to_string_lossy().into_owned())]);
                cx.intake.push(stream, &content);
                cx.intake.end_of_stream(stream);
            }
            Err(e) => fail(path, &e, cx),
        }
        left
    }
}

/// The content of a file, whatever its size is said to be: below `/proc` it is 0.
fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    // One that waits for something to read, such as /proc/kmsg, does not wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut content)?;
    if content.len() > max {
        let max = show_size(max as u64);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max} (option `max_size`)")));
    }
    Ok(content)
}

/// Says what could not be read, and why.
fn fail(path: &Path, e: &io::Error, cx: &mut InputCx<'_>) {
    cx.meter.add_extra("unreadable_files", 1);
    let text = format!("{} cannot be read: {e}", path.display());
    log::debug!("{text}");
    cx.intake.make(&mut |messages| {
        let mut m = messages.add();
        m.set_type(b"file_poll.error");
        m.set_severity(3);
        m.set_payload(text.as_bytes());
        m.add_string(b"path", path.to_string_lossy().as_bytes());
    });
}

impl Input for FilePoll {
    fn run(&mut self, cx: &mut InputCx<'_>) -> Result<(), Fatal> {
        let stream = cx.intake.open(StreamOptions::default());
        let mut due = cx.clock.steady();
        while !cx.stop.asked() {
            let now = cx.clock.steady();
            if now >= due {
                self.turn(stream, cx);
                due = if due + self.every > now { due + self.every } else { now + self.every };
            }
            cx.intake.poll();
            cx.stop.wait(due.saturating_sub(cx.clock.steady()).min(cx.intake.wait()));
        }
        cx.intake.close(stream);
        Ok(())
    }

    fn can_wait(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use plugin::Clock;
    use testkit::intake::{RecordingIntake, Running, Seen, run_until, start, start_at};

    use super::*;

    fn input(toml: &str) -> Result<Box<dyn Input>, String> {
        testkit::plugins::input(&KIND, toml)
    }

    fn begin(toml: &str) -> (RecordingIntake, Running) {
        let intake = RecordingIntake::default();
        let running = start(input(toml).unwrap(), &intake);
        (intake, running)
    }

    fn errors(seen: &Seen) -> Vec<String> {
        let messages = seen.made.iter().flat_map(|batch| batch.iter());
        messages.filter(|m| m.type_() == b"file_poll.error").map(|m| String::from_utf8_lossy(m.payload()).into_owned()).collect()
    }

    #[test]
    fn a_file_of_the_kernel_is_read_whole() {
        let intake = RecordingIntake::default();
        run_until(input("paths = '/proc/self/status'").unwrap(), &intake, |seen| !seen.bytes().is_empty());
        let seen = intake.seen();
        let [stream] = &seen.streams[..] else { panic!("{seen:?}") };
        assert_eq!(stream.options.fields, [("path".to_string(), "/proc/self/status".to_string())]);
        assert!(seen.lines().iter().any(|line| line.starts_with("VmRSS")) && stream.pushed.len() == 1 && stream.closed);
    }

    #[test]
    fn files_are_read_again_as_they_are_by_then() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("c.d")).unwrap();
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), format!("{name} 1")).unwrap();
        }
        let (_, running) = begin(&format!("paths = '{}/*'\nevery = '10ms'", dir.path().display()));
        running
            .wait_for(|seen| seen.streams.first().is_some_and(|s| s.pushed.len() >= 4 && s.pushed[2] == b"a 1" && s.pushed[3] == b"b 1"));
        fs::write(dir.path().join("a"), "a 2").unwrap();
        fs::remove_file(dir.path().join("b")).unwrap();
        fs::write(dir.path().join("c"), "c 1").unwrap();
        running.wait_for(|seen| seen.streams[0].pushed.ends_with(&[b"a 2".to_vec(), b"c 1".to_vec()]));
        running.wait_for(|seen| errors(seen).iter().all(|e| e.contains("/b ")));
        running.stop().unwrap();
    }

    #[test]
    fn it_waits_for_its_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "text").unwrap();
        let (intake, clock) = (RecordingIntake::default(), Clock::standing(1_000_000_000));
        let running = start_at(input(&format!("paths = '{}/a'\nevery = '1h'", dir.path().display())).unwrap(), &intake, clock.clone());
        running.wait_for(|seen| seen.polls > 2);
        assert_eq!(intake.seen().streams[0].pushed.len(), 1);
        clock.set(3_700_000_000_000);
        running.wait_for(|seen| seen.streams[0].pushed.len() == 2);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(path("large"), vec![b'x'; 1001]).unwrap();
        fs::write(path("exact"), vec![b'y'; 1000]).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let paths = ["gone", "large", "pipe", "", "exact"].map(path);
        let (intake, running) = begin(&format!("paths = {paths:?}\nmax_size = '1000B'"));
        running.wait_for(|seen| seen.bytes().len() == 1000);
        let errors = errors(&intake.seen());
        for (error, (name, told)) in errors.iter().zip([
            ("gone", "No such file"),
            ("large", "larger than 1000 B (option `max_size`)"),
            ("pipe", "not a regular file"),
            ("", "not a regular file"),
        ]) {
            assert!(error.contains(&path(name)) && error.contains(told), "{error}");
        }
        assert_eq!(errors.len(), 4);
        running.wait_for(|_| running.meter().read().contains(&("unreadable_files", 4)));
        running.stop().unwrap();
    }

    #[test]
    fn no_more_files_are_read_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        (0..5).for_each(|n| fs::write(dir.path().join(n.to_string()), "x").unwrap());
        let (_, running) = begin(&format!("paths = '{}/*'\nmax_files = 3", dir.path().display()));
        running.wait_for(|_| running.meter().read().contains(&("skipped_files", 2)));
        running.wait_for(|seen| seen.bytes() == b"xxx");
    }

    #[test]
    fn what_cannot_work_is_refused_when_it_is_configured() {
        for (toml, told) in [
            ("paths = []", "is empty"),
            ("paths = '/a/***'", "not a pattern"),
            ("paths = '/a'\nevery = '1ms'", "too short"),
            ("paths = '/a'\nmax_files = 0", "max_files"),
        ] {
            let problem = input(toml).err().unwrap();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
