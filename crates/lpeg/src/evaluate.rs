//! From the list of captures of a match to the values it makes.

use std::cell::Cell;

use crate::machine::{Entry, STEPS_PER_TICK, Tag};
use crate::{Capture, Constant, Error, Host, Key, Program, ValueId};

/// How deep captures may be nested in each other in a match.
const MAX_NESTING: usize = 400;

thread_local! {
    /// How deep they are now. Functions that are called may match in their turn, on the same stack.
    static NESTING: Cell<usize> = const { Cell::new(0) };
}

pub(crate) struct Evaluator<'e, H> {
    program: &'e Program,
    entries: &'e [Entry],
    subject: &'e [u8],
    host: &'e mut H,
    /// Steps until the host is asked.
    pub fuel: i64,
    /// Where on the stack the values begin that an accumulator may reach.
    floor: usize,
}

/// A part of a string capture that `%n` names.
#[derive(Clone, Copy)]
enum Part {
    Text(u32, u32),
    Entry(usize),
}

impl<'e, H: Host> Evaluator<'e, H> {
    pub fn new(program: &'e Program, entries: &'e [Entry], subject: &'e [u8], host: &'e mut H, fuel: i64) -> Self {
        let floor = host.len();
        Evaluator { program, entries, subject, host, fuel, floor }
    }

    fn spend(&mut self, steps: usize) -> Result<(), H::Error> {
        self.fuel -= steps as i64;
        if self.fuel > 0 {
            return Ok(());
        }
        self.fuel = STEPS_PER_TICK;
        self.host.tick()
    }

    fn capture(&self, i: usize) -> &'e Capture {
        &self.program.captures[self.entries[i].capture as usize]
    }

    fn after(&self, i: usize) -> usize {
        let entry = &self.entries[i];
        if entry.tag == Tag::Open { entry.next as usize } else { i + 1 }
    }

    /// The entries inside entry `i`.
    fn inside(&self, i: usize) -> std::ops::Range<usize> {
        let end = if self.entries[i].tag == Tag::Open { self.entries[i].next as usize - 1 } else { i + 1 };
        i + 1..end
    }

    fn push_text(&mut self, from: u32, to: u32) -> Result<(), H::Error> {
        self.spend((to - from) as usize >> 6)?;
        self.host.push_text(&self.subject[from as usize..to as usize])
    }

    /// Pushes the values of the entries of a range.
    pub fn list(&mut self, from: usize, to: usize) -> Result<(), H::Error> {
        let mut i = from;
        while i < to {
            self.values(i)?;
            i = self.after(i);
        }
        Ok(())
    }

    /// Pushes the values inside entry `i`, or the text it matched when there are none.
    pub fn nested(&mut self, i: usize) -> Result<(), H::Error> {
        let before = self.host.len();
        let inside = self.inside(i);
        self.list(inside.start, inside.end)?;
        if self.host.len() == before {
            self.push_text(self.entries[i].at, self.entries[i].to)?;
        }
        Ok(())
    }

    /// As [`Evaluator::nested`], but only the first value.
    fn one(&mut self, i: usize) -> Result<(), H::Error> {
        let before = self.host.len();
        self.nested(i)?;
        self.host.truncate(before + 1);
        Ok(())
    }

    /// Pushes the values of entry `i`.
    fn values(&mut self, i: usize) -> Result<(), H::Error> {
        let floor = self.floor;
        let done = self.nest(|evaluator| evaluator.kind(i));
        self.floor = floor;
        done
    }

    /// Goes one level deeper, if there is one.
    fn nest(&mut self, work: impl FnOnce(&mut Self) -> Result<(), H::Error>) -> Result<(), H::Error> {
        self.spend(1)?;
        let depth = NESTING.get();
        if depth >= MAX_NESTING {
            return Err(Error::CapturesTooDeep(MAX_NESTING).into());
        }
        NESTING.set(depth + 1);
        let done = work(self);
        NESTING.set(depth);
        done
    }

    fn kind(&mut self, i: usize) -> Result<(), H::Error> {
        let entry = self.entries[i];
        if entry.tag == Tag::Values {
            let first = entry.capture as usize;
            return (first..first + entry.next as usize).try_for_each(|value| self.host.copy(value));
        }
        let base = self.host.len();
        match self.capture(i) {
            Capture::Position => self.host.push_integer(i64::from(entry.at) + 1),
            Capture::Constants(list) => list.iter().try_for_each(|constant| self.host.push_constant(constant)),
            Capture::Argument(n) => match self.host.push_argument(*n)? {
                true => Ok(()),
                false => Err(Error::AbsentArgument(*n).into()),
            },
            Capture::Simple => {
                self.push_text(entry.at, entry.to)?;
                self.floor = base + 1;
                let inside = self.inside(i);
                self.list(inside.start, inside.end)
            }
            Capture::Group(None) | Capture::Runtime(_) => self.nested(i),
            Capture::Group(Some(_)) => Ok(()),
            Capture::Back(name) => {
                let group = self.find_group(i, name)?;
                self.nested(group)
            }
            Capture::Table => self.table(i),
            Capture::Substitute | Capture::Format(_) => {
                let mut text = Vec::new();
                self.text_of(i, &mut text)?;
                self.host.push_text(&text)
            }
            Capture::Select(0) => Ok(()),
            Capture::Select(n) => {
                self.nested(i)?;
                let wanted = base + *n as usize - 1;
                if wanted >= self.host.len() {
                    return Err(Error::NoCapture(*n).into());
                }
                self.host.copy(wanted)?;
                self.host.replace(base);
                self.host.truncate(base + 1);
                Ok(())
            }
            Capture::Query(table) => {
                self.one(i)?;
                self.host.query(*table)?;
                Ok(())
            }
            Capture::Function(function) => {
                self.host.push_constant(&Constant::Value(*function))?;
                self.floor = base + 1;
                self.nested(i)?;
                self.host.call(base)
            }
            Capture::Fold(function) => self.fold(i, *function),
            Capture::Accumulate(function) => self.accumulate(i, *function),
        }
    }

    /// The last group of this name before entry `from` that is complete.
    fn find_group(&mut self, from: usize, name: &Key) -> Result<usize, H::Error> {
        let mut i = from;
        while i > 0 {
            i -= 1;
            self.spend(1)?;
            match self.entries[i].tag {
                // One around the reference.
                Tag::Open | Tag::Values => continue,
                Tag::Close => i = self.entries[i].next as usize,
                Tag::Full => {}
            }
            if matches!(self.capture(i), Capture::Group(Some(group)) if group == name) {
                return Ok(i);
            }
        }
        Err(Error::NoBackReference(name.to_string()).into())
    }

    fn table(&mut self, i: usize) -> Result<(), H::Error> {
        let table = self.host.len();
        self.host.push_table()?;
        self.floor = table;
        let (mut n, inside) = (0, self.inside(i));
        let mut child = inside.start;
        while child < inside.end {
            match self.entries[child].tag {
                Tag::Open | Tag::Full if matches!(self.capture(child), Capture::Group(Some(_))) => {
                    self.spend(1)?;
                    self.one(child)?;
                    if let Capture::Group(Some(name)) = self.capture(child) {
                        self.host.set_field(table, name)?;
                    }
                }
                _ => {
                    self.values(child)?;
                    let count = self.host.len() - table - 1;
                    for k in (1..=count).rev() {
                        self.host.set_item(table, n + k as i64)?;
                    }
                    n += count as i64;
                }
            }
            child = self.after(child);
        }
        Ok(())
    }

    fn fold(&mut self, i: usize, function: ValueId) -> Result<(), H::Error> {
        let base = self.host.len();
        let inside = self.inside(i);
        if inside.is_empty() {
            return Err(Error::NoFoldStart.into());
        }
        self.values(inside.start)?;
        if self.host.len() == base {
            return Err(Error::NoFoldStart.into());
        }
        self.host.truncate(base + 1);
        let mut child = self.after(inside.start);
        while child < inside.end {
            self.host.push_constant(&Constant::Value(function))?;
            self.host.copy(base)?;
            self.values(child)?;
            self.call_for_one(base + 1, base)?;
            child = self.after(child);
        }
        Ok(())
    }

    fn accumulate(&mut self, i: usize, function: ValueId) -> Result<(), H::Error> {
        let base = self.host.len();
        if base <= self.floor {
            return Err(Error::NoPrevious.into());
        }
        self.host.push_constant(&Constant::Value(function))?;
        self.host.copy(base - 1)?;
        self.floor = base + 2;
        self.nested(i)?;
        self.call_for_one(base, base - 1)
    }

    /// Calls the function at `base`; its first result, or nil, goes to `into`.
    fn call_for_one(&mut self, base: usize, into: usize) -> Result<(), H::Error> {
        self.host.call(base)?;
        if self.host.len() == base {
            self.host.push_constant(&Constant::Nil)?;
        }
        self.host.truncate(base + 1);
        self.host.replace(into);
        Ok(())
    }

    // ---- text

    fn append(&mut self, text: &mut Vec<u8>, from: u32, to: u32) -> Result<(), H::Error> {
        self.extend(text, &self.subject[from as usize..to as usize])
    }

    fn extend(&mut self, text: &mut Vec<u8>, more: &[u8]) -> Result<(), H::Error> {
        self.spend(more.len() >> 6)?;
        if text.capacity() - text.len() < more.len() {
            self.host.room(2 * (text.len() + more.len()))?;
        }
        text.extend_from_slice(more);
        Ok(())
    }

    /// Appends what a substitution or string capture makes.
    fn text_of(&mut self, i: usize, text: &mut Vec<u8>) -> Result<(), H::Error> {
        match self.capture(i) {
            Capture::Format(format) => self.format(i, format, text),
            _ => self.substitute(i, text),
        }
    }

    fn substitute(&mut self, i: usize, text: &mut Vec<u8>) -> Result<(), H::Error> {
        let mut from = self.entries[i].at;
        let inside = self.inside(i);
        let mut child = inside.start;
        while child < inside.end {
            let Entry { at, to, .. } = self.entries[child];
            self.append(text, from, at)?;
            // Without a value the text stays as it is.
            from = if self.one_text(child, text, "replacement")? { to } else { at };
            child = self.after(child);
        }
        self.append(text, from, self.entries[i].to)
    }

    /// Appends the first value of entry `i` as text; false when it has none.
    fn one_text(&mut self, i: usize, text: &mut Vec<u8>, what: &'static str) -> Result<bool, H::Error> {
        if self.entries[i].tag != Tag::Values && matches!(self.capture(i), Capture::Substitute | Capture::Format(_)) {
            self.nest(|evaluator| evaluator.text_of(i, text))?;
            return Ok(true);
        }
        let base = self.host.len();
        self.floor = base;
        self.values(i)?;
        if self.host.len() == base {
            return Ok(false);
        }
        let before = text.len();
        self.host.append_text(base, text).map_err(|found| Error::NotText { what, found })?;
        self.spend((text.len() - before) >> 6)?;
        self.host.room(text.len())?;
        self.host.truncate(base);
        Ok(true)
    }

    fn format(&mut self, i: usize, format: &[u8], text: &mut Vec<u8>) -> Result<(), H::Error> {
        let mut parts = [Part::Text(0, 0); 10];
        let count = self.parts(i, &mut parts, 0);
        let mut bytes = format.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                text.push(byte);
                continue;
            }
            match bytes.next() {
                Some(digit @ b'0'..=b'9') => {
                    let n = usize::from(digit - b'0');
                    match parts[..count].get(n) {
                        None => return Err(Error::CaptureIndex(n as u32).into()),
                        Some(Part::Text(from, to)) => self.append(text, *from, *to)?,
                        Some(Part::Entry(child)) => {
                            if !self.one_text(*child, text, "capture")? {
                                return Err(Error::NoValues(n as u32).into());
                            }
                        }
                    }
                }
                Some(other) => text.push(other),
                None => text.push(b'%'),
            }
        }
        Ok(())
    }

    /// What `%0` (all of entry `i`) to `%9` stand for; how many there are.
    fn parts(&self, i: usize, parts: &mut [Part; 10], mut n: usize) -> usize {
        parts[n] = Part::Text(self.entries[i].at, self.entries[i].to);
        n += 1;
        let inside = self.inside(i);
        let mut child = inside.start;
        while child < inside.end && n < parts.len() {
            if self.entries[child].tag != Tag::Values && matches!(self.capture(child), Capture::Simple) {
                n = self.parts(child, parts, n);
            } else {
                parts[n] = Part::Entry(child);
                n += 1;
            }
            child = self.after(child);
        }
        n
    }
}
