//! Lines of container runtimes, with the pieces of a long line kept together.
//!
//! Runtimes cut what a container writes into pieces of 16 KiB. As pieces of standard output and standard error take turns, a
//! record goes on until no line of either is open; the decoder makes one message of each line. Nothing of it counts as read
//! before it is whole, so a restart in its middle loses no piece.

use std::time::Duration;

use memchr::memchr;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Split, Splitter, Stability};

use crate::container::{Source, cri, docker};

pub const KIND: Kind = Kind::splitter("container", Stability::Stable, build)
    .summary("Keeps the pieces of a container's long lines together.")
    .doc(
        "For files that the decoders `cri` (containerd, CRI-O) and `docker_json` read; which of the formats it is shows in each line. A record is one \
         line or, where a runtime cut what a container wrote into pieces, all lines up to the one with the last piece. A record that \
         is larger than `max_joined`, or whose end does not come within `timeout`, goes on its way as it is.",
    )
    .options(&[
        Opt::size("max_joined").default("1MiB").doc(
            "Largest record, with all that the runtime adds to each piece; below the input's `max_record`, which is 1MiB unless it says otherwise.",
        ),
        Opt::duration("timeout").default("5s").doc("How long a piece waits for the next one."),
    ])
    .examples(&[Example { title: "Containers that write documents in a line", toml: "max_joined = \"256KiB\"" }]);

fn build(o: &Options, _: &BuildCx) -> Result<Box<dyn Splitter>, Problem> {
    Ok(Box::new(Container { most: o.size("max_joined"), timeout: o.duration("timeout"), next: 0, searched: 0, open: 0 }))
}

struct Container {
    most: usize,
    timeout: Duration,
    /// Where the line begins that was not looked at yet, and how far its end has been looked for.
    next: usize,
    searched: usize,
    /// Sources whose line goes on, one bit each.
    open: u8,
}

impl Container {
    /// Everything before `next` is a record.
    fn cut(&mut self, end: usize, text: usize) -> Split {
        (self.next, self.searched, self.open) = (0, 0, 0);
        if text == 0 { Split::Garbage { end } } else { Split::Record { record: 0..text, end } }
    }

    /// Takes note of what a line says of its source.
    fn look(&mut self, line: &[u8]) {
        let piece = if line.starts_with(b"{") { docker::piece(line) } else { cri::piece(line) };
        // What is not understood is for the decoder to refuse.
        if let Some((source, partial)) = piece {
            let bit = match source {
                Source::Stdout => 1,
                Source::Stderr => 2,
            };
            self.open = if partial { self.open | bit } else { self.open & !bit };
        }
    }
}

impl Splitter for Container {
    fn split(&mut self, buf: &[u8], end: bool) -> Split {
        while let Some(at) = buf.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            let newline = self.searched + at;
            if self.next > 0 && newline > self.most {
                return self.cut(self.next, self.next - 1);
            }
            let line = &buf[self.next..newline];
            self.look(line.strip_suffix(b"\r").unwrap_or(line));
            (self.next, self.searched) = (newline + 1, newline + 1);
            if self.open == 0 {
                let text = buf[..newline].strip_suffix(b"\r").map_or(newline, <[u8]>::len);
                return self.cut(newline + 1, text);
            }
        }
        self.searched = buf.len();
        match self.next {
            _ if buf.is_empty() => Split::More,
            next if next > 0 && (buf.len() > self.most || end) => self.cut(next, next - 1),
            _ if end => self.cut(buf.len(), buf.len()),
            _ => Split::More,
        }
    }

    fn patience(&self) -> Option<Duration> {
        (self.open != 0).then_some(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(toml: &str, stream: &str) -> Vec<String> {
        let stream = stream.as_bytes();
        let split = |step| testkit::plugins::split(&mut *testkit::plugins::splitter(&KIND, toml).unwrap(), stream, step).0;
        let records = split(stream.len());
        (1..20).for_each(|step| assert_eq!(split(step), records, "in steps of {step}"));
        records.into_iter().map(|r| String::from_utf8(r).unwrap()).collect()
    }

    #[test]
    fn pieces_stay_together_until_no_line_is_open() {
        let stream = "t stdout F a\nt stdout P b\nt stderr P c\nt stdout F d\nt stderr F e\nt stdout F f\n";
        assert_eq!(split("", stream), ["t stdout F a", "t stdout P b\nt stderr P c\nt stdout F d\nt stderr F e", "t stdout F f"]);
        let docker = |log: &str, stream: &str| format!("{{\"log\":\"{log}\",\"stream\":\"{stream}\",\"time\":\"t\"}}\n");
        let stream = [docker("a\\n", "stdout"), docker("b", "stdout"), docker("c\\n", "stdout")].concat();
        assert_eq!(split("", &stream), [stream.lines().next().unwrap(), stream.split_once('\n').unwrap().1.trim_end()]);
        assert_eq!(split("", "rubbish\n\nt stdout F a"), ["rubbish", "t stdout F a"]);
    }

    #[test]
    fn records_are_bounded_and_do_not_wait_for_ever() {
        let stream = "t stdout P 1\nt stdout P 2\nt stdout P 3\nt stdout F 4\n";
        assert_eq!(split("max_joined = '30B'", stream), ["t stdout P 1\nt stdout P 2", "t stdout P 3\nt stdout F 4"]);
        let mut splitter = testkit::plugins::splitter(&KIND, "timeout = '100ms'").unwrap();
        assert_eq!((splitter.split(b"t stdout F", false), splitter.patience()), (Split::More, None));
        assert_eq!(splitter.split(b"t stdout P 1\nt st", false), Split::More);
        assert_eq!(splitter.patience(), Some(Duration::from_millis(100)));
        assert_eq!(splitter.split(b"t stdout P 1\nt st", true), Split::Record { record: 0..12, end: 13 });
    }
}
