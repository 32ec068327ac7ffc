//! Runs a program over a subject.

use std::cell::Cell;

use crate::capture::Constant;
use crate::evaluate::Evaluator;
use crate::program::{Op, Program};
use crate::{Capture, Error, Host, Verdict};

/// The host is asked whether to go on every so many steps: failures, jumps, calls, captures, and every few bytes skipped.
pub const STEPS_PER_TICK: i64 = 8192;

/// What a scratch area may keep between matches, in entries.
const KEPT: usize = 1024;

/// Bounds of one match.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pending choices and calls (`lpeg.setmaxstack`).
    pub stack: usize,
    /// Entries of the list of captures.
    pub captures: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { stack: 400, captures: 1 << 20 }
    }
}

/// One entry in the list of captures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub tag: Tag,
    /// Where it begins and ends in the subject.
    pub at: u32,
    pub to: u32,
    /// Index in [`Program::captures`]. Values: where on the host's stack they begin.
    pub capture: u32,
    /// Open: the entry behind its end, once it is closed. Close: its beginning. Values: their number.
    pub next: u32,
    /// Open: the capture around it.
    pub parent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Open,
    Close,
    Full,
    /// What a match-time capture returned.
    Values,
}

/// No capture is open.
const NONE: u32 = u32::MAX;
/// The position of a frame that is a call.
const CALL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Frame {
    target: u32,
    at: u32,
    captures: u32,
    open: u32,
}

#[derive(Default)]
struct Scratch {
    stack: Vec<Frame>,
    captures: Vec<Entry>,
}

thread_local! {
    /// The lists of the last match, so that the next need not allocate.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Program {
    /// Matches at offset `start`. True: the values captured are on the host's stack, or else the position behind the match.
    ///
    /// # Errors
    /// A limit is reached; a capture cannot be evaluated; the host says no.
    pub fn matches<H: Host>(&self, subject: &[u8], start: usize, limits: &Limits, host: &mut H) -> Result<bool, H::Error> {
        with_scratch(|scratch| {
            let mut machine = Machine::new(self, subject, limits, host, scratch)?;
            let Some(end) = machine.run(start)? else { return Ok(false) };
            let Machine { fuel, dynamic, .. } = machine;
            let mut evaluator = Evaluator::new(self, &scratch.captures, subject, host, fuel);
            evaluator.list(0, scratch.captures.len())?;
            if host.len() == dynamic {
                host.push_integer(end as i64 + 1)?;
            }
            host.remove(0, dynamic);
            Ok(true)
        })
    }

    /// The offset behind a match at offset `start`. No captures are evaluated, match-time captures fail, and
    /// nobody stops a match that takes exponential time: for patterns one trusts.
    pub fn find(&self, subject: &[u8], start: usize) -> Result<Option<usize>, Error> {
        let mut host = crate::host::Nobody(0);
        with_scratch(|scratch| Machine::new(self, subject, &Limits::default(), &mut host, scratch)?.run(start))
    }
}

fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(&mut scratch);
    scratch.stack.clear();
    scratch.captures.clear();
    if scratch.stack.capacity() <= KEPT && scratch.captures.capacity() <= KEPT {
        SCRATCH.set(Some(scratch));
    }
    result
}

struct Machine<'m, H> {
    program: &'m Program,
    subject: &'m [u8],
    limits: &'m Limits,
    host: &'m mut H,
    stack: &'m mut Vec<Frame>,
    captures: &'m mut Vec<Entry>,
    /// The innermost open capture.
    open: u32,
    /// Values of match-time captures on the host's stack.
    dynamic: usize,
    /// Steps until the host is asked.
    fuel: i64,
}

impl<'m, H: Host> Machine<'m, H> {
    fn new(
        program: &'m Program,
        subject: &'m [u8],
        limits: &'m Limits,
        host: &'m mut H,
        scratch: &'m mut Scratch,
    ) -> Result<Self, H::Error> {
        if subject.len() >= CALL as usize {
            return Err(Error::SubjectTooLong.into());
        }
        let Scratch { stack, captures } = scratch;
        Ok(Machine { program, subject, limits, host, stack, captures, open: NONE, dynamic: 0, fuel: STEPS_PER_TICK })
    }

    #[inline]
    fn spend(&mut self, steps: usize) -> Result<(), H::Error> {
        self.fuel -= steps as i64;
        if self.fuel > 0 {
            return Ok(());
        }
        self.fuel = STEPS_PER_TICK;
        self.host.tick()
    }

    /// The offset behind the match.
    fn run(&mut self, start: usize) -> Result<Option<usize>, H::Error> {
        let (subject, program) = (self.subject, self.program);
        let ops = &*program.ops;
        let mut at = start.min(subject.len());
        let mut next = 0_usize;
        loop {
            let op = ops[next];
            next += 1;
            let matched = match op {
                Op::Char(byte) => {
                    let hit = subject.get(at) == Some(&byte);
                    at += usize::from(hit);
                    hit
                }
                Op::Set(set) => {
                    let hit = subject.get(at).is_some_and(|byte| program.sets[usize::from(set)].contains(*byte));
                    at += usize::from(hit);
                    hit
                }
                Op::Any(n) => {
                    let hit = subject.len() - at >= n as usize;
                    at += if hit { n as usize } else { 0 };
                    hit
                }
                Op::Literal(literal) => {
                    let text = &program.literals[literal as usize];
                    self.spend(text.len() >> 6)?;
                    let hit = subject[at..].starts_with(text);
                    at += if hit { text.len() } else { 0 };
                    hit
                }
                Op::Utf8(range) => match code_point(&subject[at..]) {
                    Some((code, length)) if program.ranges[range as usize].0 <= code && code <= program.ranges[range as usize].1 => {
                        at += length;
                        true
                    }
                    _ => false,
                },
                Op::Span(set) => {
                    let set = &program.sets[usize::from(set)];
                    let rest = &subject[at..];
                    let length = rest.iter().position(|byte| !set.contains(*byte)).unwrap_or(rest.len());
                    at += length;
                    self.spend(length >> 5)?;
                    true
                }
                Op::SpanTo(byte) => {
                    let rest = &subject[at..];
                    let length = memchr::memchr(byte, rest).unwrap_or(rest.len());
                    at += length;
                    self.spend(length >> 8)?;
                    true
                }
                Op::Until(literal) => {
                    let rest = &subject[at..];
                    let length = memchr::memmem::find(rest, &program.literals[literal as usize]).unwrap_or(rest.len());
                    at += length;
                    self.spend(length >> 6)?;
                    true
                }
                Op::Rest => {
                    at = subject.len();
                    true
                }
                Op::TestChar(byte, otherwise) => {
                    if subject.get(at) != Some(&byte) {
                        next = otherwise as usize;
                    }
                    true
                }
                Op::TestSet(set, otherwise) => {
                    if !subject.get(at).is_some_and(|byte| program.sets[usize::from(set)].contains(*byte)) {
                        next = otherwise as usize;
                    }
                    true
                }
                Op::TestAny(otherwise) => {
                    if at == subject.len() {
                        next = otherwise as usize;
                    }
                    true
                }
                Op::Choice(target) => {
                    self.push(target, at as u32)?;
                    true
                }
                Op::Call(target) => {
                    self.spend(1)?;
                    self.push(next as u32, CALL)?;
                    next = target as usize;
                    true
                }
                Op::Return => {
                    next = self.stack.pop().map_or(ops.len() - 1, |frame| frame.target as usize);
                    true
                }
                Op::Jump(target) => {
                    self.spend(1)?;
                    next = target as usize;
                    true
                }
                Op::Commit(target) => {
                    self.stack.pop();
                    next = target as usize;
                    true
                }
                Op::PartialCommit(target) => {
                    self.spend(1)?;
                    if let Some(frame) = self.stack.last_mut() {
                        *frame = Frame { target: frame.target, at: at as u32, captures: self.captures.len() as u32, open: self.open };
                    }
                    next = target as usize;
                    true
                }
                Op::BackCommit(target) => {
                    if let Some(frame) = self.stack.pop() {
                        at = frame.at as usize;
                    }
                    next = target as usize;
                    true
                }
                Op::Behind(n) => {
                    let hit = at >= n as usize;
                    at -= if hit { n as usize } else { 0 };
                    hit
                }
                Op::Open(capture) => {
                    let parent = std::mem::replace(&mut self.open, self.captures.len() as u32);
                    self.note(Entry { tag: Tag::Open, at: at as u32, to: 0, capture, next: 0, parent })?;
                    true
                }
                Op::Close => {
                    let open = self.open;
                    self.note(Entry { tag: Tag::Close, at: at as u32, to: at as u32, capture: 0, next: open, parent: 0 })?;
                    self.close(at);
                    true
                }
                Op::Full(length, capture) => {
                    let begin = at as u32 - u32::from(length);
                    self.note(Entry { tag: Tag::Full, at: begin, to: at as u32, capture, next: 0, parent: 0 })?;
                    true
                }
                Op::Runtime => match self.call(at)? {
                    Some(position) => {
                        at = position;
                        true
                    }
                    None => false,
                },
                Op::FailTwice => {
                    self.stack.pop();
                    false
                }
                Op::Fail => false,
                Op::End => return Ok(Some(at)),
            };
            if !matched {
                match self.fail()? {
                    Some(frame) => (next, at) = (frame.target as usize, frame.at as usize),
                    None => return Ok(None),
                }
            }
        }
    }

    #[inline]
    fn push(&mut self, target: u32, at: u32) -> Result<(), H::Error> {
        if self.stack.len() == self.stack.capacity() || self.stack.len() >= self.limits.stack {
            self.more_stack()?;
        }
        self.stack.push(Frame { target, at, captures: self.captures.len() as u32, open: self.open });
        Ok(())
    }

    #[cold]
    fn more_stack(&mut self) -> Result<(), H::Error> {
        let now = self.stack.len();
        if now >= self.limits.stack {
            return Err(Error::StackOverflow(self.limits.stack).into());
        }
        let more = now.max(32).min(self.limits.stack - now);
        self.host.room((now + more) * size_of::<Frame>())?;
        self.stack.reserve_exact(more);
        Ok(())
    }

    /// Adds a capture.
    #[inline]
    fn note(&mut self, entry: Entry) -> Result<(), H::Error> {
        if self.captures.len() == self.captures.capacity() || self.captures.len() >= self.limits.captures {
            self.more_captures()?;
        }
        self.captures.push(entry);
        Ok(())
    }

    #[cold]
    fn more_captures(&mut self) -> Result<(), H::Error> {
        let now = self.captures.len();
        if now >= self.limits.captures {
            return Err(Error::TooManyCaptures(self.limits.captures).into());
        }
        let more = now.max(32).min(self.limits.captures - now);
        self.host.room((now + more) * size_of::<Entry>())?;
        self.captures.reserve_exact(more);
        Ok(())
    }

    /// Closes the innermost open capture, whose end is the last entry.
    #[inline]
    fn close(&mut self, at: usize) {
        let next = self.captures.len() as u32;
        if let Some(entry) = self.captures.get_mut(self.open as usize) {
            entry.to = at as u32;
            entry.next = next;
            self.open = entry.parent;
        }
    }

    /// Goes back to the last choice, if there is one.
    #[inline]
    fn fail(&mut self) -> Result<Option<Frame>, H::Error> {
        self.spend(1)?;
        loop {
            let Some(frame) = self.stack.pop() else { return Ok(None) };
            if frame.at != CALL {
                if self.dynamic > 0 {
                    self.drop_values(frame.captures as usize);
                }
                self.captures.truncate(frame.captures as usize);
                self.open = frame.open;
                return Ok(Some(frame));
            }
        }
    }

    /// Drops the host's values that belong to captures from `from` on.
    fn drop_values(&mut self, from: usize) {
        if let Some(entry) = self.captures.get(from..).and_then(|list| list.iter().find(|entry| entry.tag == Tag::Values)) {
            self.dynamic = entry.capture as usize;
            self.host.truncate(self.dynamic);
        }
    }

    /// Calls the function of the innermost open capture. Where to go on, if it agrees.
    #[cold]
    fn call(&mut self, at: usize) -> Result<Option<usize>, H::Error> {
        let open = self.open as usize;
        let Some(&Entry { at: begin, capture, parent, .. }) = self.captures.get(open) else { return Ok(None) };
        let Capture::Runtime(function) = self.program.captures[capture as usize] else { return Ok(None) };
        let end = self.captures.len();
        self.captures[open].to = at as u32;
        self.captures[open].next = end as u32 + 1;

        let base = self.host.len();
        self.host.push_constant(&Constant::Value(function))?;
        self.host.push_subject()?;
        self.host.push_integer(at as i64 + 1)?;
        let mut evaluator = Evaluator::new(self.program, self.captures, self.subject, self.host, self.fuel);
        evaluator.nested(open)?;
        self.fuel = evaluator.fuel;
        self.host.call(base)?;

        let verdict = if self.host.len() > base { self.host.verdict(base) } else { Verdict::Fail };
        let position = match verdict {
            Verdict::Fail => None,
            Verdict::Stay => Some(at),
            Verdict::Position(n) => match usize::try_from(n.saturating_sub(1)) {
                Ok(position) if position >= at && position <= self.subject.len() => Some(position),
                _ => return Err(Error::InvalidPosition.into()),
            },
        };
        // Values from captures inside go; those returned take their place.
        let inner = self.captures[open..].iter().find(|entry| entry.tag == Tag::Values).map_or(base, |entry| entry.capture as usize);
        self.captures.truncate(open);
        self.open = parent;
        match position {
            None => self.host.truncate(inner),
            Some(position) => {
                self.host.remove(inner, base + 1 - inner);
                let count = self.host.len() - inner;
                if count > 0 {
                    let entry =
                        Entry { tag: Tag::Values, at: begin, to: position as u32, capture: inner as u32, next: count as u32, parent: 0 };
                    self.note(entry)?;
                }
            }
        }
        self.dynamic = self.host.len();
        Ok(position)
    }
}

/// The code point at the beginning, and its length in bytes. Neither overlong forms nor values past 0x10FFFF; surrogates
/// are code points here.
fn code_point(text: &[u8]) -> Option<(u32, usize)> {
    let lead = *text.first()?;
    let (length, least, bits) = match lead {
        0..=0x7f => return Some((u32::from(lead), 1)),
        0xc0..=0xdf => (2, 0x80, lead & 0x1f),
        0xe0..=0xef => (3, 0x800, lead & 0x0f),
        0xf0..=0xf7 => (4, 0x1_0000, lead & 0x07),
        _ => return None,
    };
    let code = text
        .get(1..length)?
        .iter()
        .try_fold(u32::from(bits), |code, byte| (byte & 0xc0 == 0x80).then(|| code << 6 | u32::from(byte & 0x3f)))?;
    (code >= least && code <= 0x10_FFFF).then_some((code, length))
}
