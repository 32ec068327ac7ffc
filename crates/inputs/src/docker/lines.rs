//! The log of a container as the engine sends it: records with a time in front, one a frame or, of a container
//! with a terminal, one a line.

use std::collections::VecDeque;

use memchr::memchr;

use super::time;

/// Frames begin with the number of the stream, three zeros and their length, big-endian.
const FRAME_HEAD: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Stdout,
    Stderr,
    /// A terminal, which both are.
    Console,
}

impl Output {
    pub fn name(self) -> &'static str {
        match self {
            Output::Stdout => "stdout",
            Output::Stderr => "stderr",
            Output::Console => "console",
        }
    }
}

/// How far a log was read: the time of the last record, in nanoseconds since the epoch, and how many of
/// that time there were. The engine can be asked for records from a time on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub time: i64,
    pub records: u64,
}

impl Place {
    pub fn parse(note: &str) -> Option<Place> {
        let (time, records) = note.split_once(' ')?;
        Some(Place { time: time.parse().ok()?, records: records.parse().ok()? })
    }

    pub fn note(self) -> String {
        format!("{} {}", self.time, self.records)
    }

    fn pass(&mut self, time: i64) {
        if time == self.time {
            self.records += 1;
        } else {
            *self = Place { time, records: 1 };
        }
    }
}

/// A line of a log.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub output: Output,
    /// In nanoseconds since the epoch; none where the engine sent none.
    pub time: Option<i64>,
    pub text: Vec<u8>,
    /// Where to go on behind this line; none while a line of the other output is incomplete.
    pub place: Option<Place>,
}

/// A line that has come in part.
#[derive(Default)]
struct Part {
    time: Option<i64>,
    text: Vec<u8>,
}

pub(super) struct Lines {
    terminal: bool,
    max_line: usize,
    pending: Vec<u8>,
    /// Bytes of a record that is too long, still to come.
    skip: usize,
    parts: [Option<Part>; 2],
    pub place: Place,
    /// What is not new any more: records up to here were read before.
    known: Place,
    seen: u64,
    /// Bytes that did not fit.
    pub cut: u64,
    pub ready: VecDeque<Line>,
}

impl Lines {
    /// Of an answer that begins at `place`.
    pub fn new(terminal: bool, max_line: usize, place: Place) -> Lines {
        let (pending, ready) = (Vec::new(), VecDeque::new());
        Lines { terminal, max_line, pending, skip: 0, parts: [None, None], place, known: place, seen: 0, cut: 0, ready }
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let taken = if self.terminal { self.lines(&pending) } else { self.frames(&pending) };
        pending.drain(..taken);
        self.pending = pending;
    }

    /// Takes the frames that are complete, and returns how many bytes that were.
    fn frames(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + FRAME_HEAD) {
            let output = if head[0] == 2 { Output::Stderr } else { Output::Stdout };
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let rest = &bytes[at + FRAME_HEAD..];
            // The time is in front of the text.
            let taken = length.min(self.max_line + 64);
            if rest.len() < taken {
                break;
            }
            self.record(output, &rest[..taken]);
            let dropped = length - taken;
            if dropped > 0 {
                // Its line end is in what is left out.
                self.complete(output);
            }
            self.cut += dropped as u64;
            let here = dropped.min(rest.len() - taken);
            self.skip = dropped - here;
            at += FRAME_HEAD + taken + here;
        }
        at.min(bytes.len())
    }

    fn lines(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(end) = memchr(b'\n', &bytes[at..]) {
            self.record(Output::Console, &bytes[at..=at + end]);
            at += end + 1;
        }
        if bytes.len() - at > self.max_line + 64 {
            self.record(Output::Console, &bytes[at..]);
            at = bytes.len();
        }
        at
    }

    /// A record is a line, or a part of one without a line end.
    fn record(&mut self, output: Output, record: &[u8]) {
        let (time, text) = match memchr(b' ', record).and_then(|at| Some((time::parse(&record[..at])?, &record[at + 1..]))) {
            Some((time, text)) => (Some(time), text),
            None => (None, record),
        };
        if let Some(time) = time {
            if time < self.known.time {
                return;
            }
            if time == self.known.time && self.seen < self.known.records {
                self.seen += 1;
                return;
            }
            self.place.pass(time);
        }
        let max = self.max_line;
        let part = self.parts[usize::from(output == Output::Stderr)].get_or_insert_with(Part::default);
        part.time = part.time.or(time);
        let room = max.saturating_sub(part.text.len());
        let (whole, text) = text.strip_suffix(b"\n").map_or((false, text), |text| (true, text));
        self.cut += text.len().saturating_sub(room) as u64;
        part.text.extend_from_slice(&text[..text.len().min(room)]);
        if whole {
            self.complete(output);
        }
    }

    fn complete(&mut self, output: Output) {
        let Some(Part { time, mut text }) = self.parts[usize::from(output == Output::Stderr)].take() else { return };
        if output == Output::Console {
            text.pop_if(|b| *b == b'\r');
        }
        let place = self.parts.iter().all(Option::is_none).then_some(self.place);
        self.ready.push_back(Line { output, time, text, place });
    }

    /// The log is at its end: what has come in part is all there is.
    pub fn end(&mut self) {
        if self.terminal && !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.record(Output::Console, &pending);
        }
        self.complete(if self.terminal { Output::Console } else { Output::Stdout });
        self.complete(Output::Stderr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        [&[stream, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
    }

    fn texts(lines: &mut Lines) -> Vec<(Output, String)> {
        lines.ready.drain(..).map(|l| (l.output, String::from_utf8_lossy(&l.text).into_owned())).collect()
    }

    #[test]
    fn frames_are_lines_however_they_are_cut() {
        let bytes = [
            frame(1, "2024-05-06T07:08:09.000000001Z one\n"),
            frame(1, "2024-05-06T07:08:09.000000002Z tw"),
            frame(2, "2024-05-06T07:08:09.000000003Z error\n"),
            frame(1, "2024-05-06T07:08:09.000000002Z o\n"),
            frame(2, "2024-05-06T07:08:10Z left"),
        ]
        .concat();
        for step in 1..bytes.len() {
            let mut lines = Lines::new(false, 100, Place::default());
            bytes.chunks(step).for_each(|piece| lines.feed(piece));
            assert_eq!(lines.ready[1].place, None, "a line of the other output is open");
            assert_eq!(
                texts(&mut lines),
                [(Output::Stdout, "one".into()), (Output::Stderr, "error".into()), (Output::Stdout, "two".into())],
                "{step}"
            );
            lines.end();
            assert_eq!(texts(&mut lines), [(Output::Stderr, "left".into())]);
        }
    }

    #[test]
    fn what_was_read_before_is_left_out() {
        let text = |n: u8, text: &str| frame(1, &format!("2024-05-06T07:08:0{n}.5Z {text}\n"));
        let bytes = [text(1, "old"), text(2, "a"), text(2, "b"), text(2, "c"), text(3, "d")].concat();
        let at = time::parse(b"2024-05-06T07:08:02.5Z").unwrap();
        let mut lines = Lines::new(false, 100, Place { time: at, records: 2 });
        lines.feed(&bytes);
        assert_eq!(lines.ready[0].place, Some(Place { time: at, records: 3 }));
        assert_eq!(texts(&mut lines), [(Output::Stdout, "c".into()), (Output::Stdout, "d".into())]);
        assert_eq!(Place::parse(&lines.place.note()), Some(lines.place));
        assert_eq!(lines.place.records, 1);
    }

    #[test]
    fn long_lines_are_cut_and_terminals_have_lines() {
        let bytes = [frame(1, &format!("2024-05-06T07:08:09Z {}\n", "x".repeat(1000))), frame(1, "2024-05-06T07:08:09Z y\n")].concat();
        for step in [1, 7, 2000] {
            let mut lines = Lines::new(false, 10, Place::default());
            bytes.chunks(step).for_each(|piece| lines.feed(piece));
            lines.end();
            assert_eq!(texts(&mut lines), [(Output::Stdout, "x".repeat(10)), (Output::Stdout, "y".into())], "{step}");
            assert!(lines.cut >= 990 && lines.pending.len() < 200);
        }
        let mut lines = Lines::new(true, 100, Place::default());
        lines.feed(b"2024-05-06T07:08:09Z on a terminal\r\n2024-05-06T07:08:10Z prompt> ");
        lines.end();
        assert_eq!(texts(&mut lines), [(Output::Console, "on a terminal".into()), (Output::Console, "prompt> ".into())]);
    }
}
