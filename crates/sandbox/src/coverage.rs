//! Which lines of a script have run: for tests of scripts, on request only.
//!
//! The lines that can run are those the compiler made code for. It tells them in what `lua_dump`
//! writes, whose format is that of `ldump.c` of Lua 5.4; the bytes stay here and are never loaded.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::{self, lua_Debug, lua_State};

use crate::vm::Lua;

/// Lines of a script, from 1: whether each that can run has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub lines: BTreeMap<u32, bool>,
}

impl Coverage {
    /// Adds what ran elsewhere of the same script.
    pub fn merge(&mut self, other: &Coverage) {
        for (line, ran) in &other.lines {
            *self.lines.entry(*line).or_default() |= ran;
        }
    }
}

/// What is recorded while a script runs.
#[derive(Default)]
pub(crate) struct Recorder {
    /// Its chunk's name, as the compiler got it.
    chunk: Vec<u8>,
    ran: Vec<bool>,
    can_run: Vec<u32>,
}

impl Recorder {
    /// For the function on top of the stack, which is a compiled script that has not run.
    pub fn of(lua: Lua, chunk: &CStr) -> Recorder {
        unsafe extern "C-unwind" fn write(_: *mut lua_State, piece: *const c_void, len: usize, into: *mut c_void) -> c_int {
            if len > 0 {
                // SAFETY: `lua_dump` gives a valid piece, and back what it was given below.
                unsafe { (*into.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(piece.cast::<u8>(), len)) };
            }
            0
        }
        let mut dump: Vec<u8> = Vec::new();
        // SAFETY: live state with a Lua function on top; dumping allocates nothing and does not raise.
        unsafe { ffi::lua_dump(lua.raw(), write, (&raw mut dump).cast(), 0) };
        let mut can_run = lines(&dump).unwrap_or_default();
        can_run.sort_unstable();
        can_run.dedup();
        let last = can_run.last().copied().unwrap_or(0) as usize;
        Recorder { chunk: chunk.to_bytes().to_vec(), ran: vec![false; last + 1], can_run }
    }

    /// A line begins. Neither allocates nor raises.
    pub fn record(&mut self, lua: Lua, at: *mut lua_Debug) {
        // SAFETY: Lua calls its hook with a live record, whose source is a valid text once asked for.
        let (line, source) = unsafe {
            ffi::lua_getinfo(lua.raw(), c"S".as_ptr(), at);
            ((*at).currentline, CStr::from_ptr((*at).source))
        };
        let ran = usize::try_from(line).ok().and_then(|line| self.ran.get_mut(line));
        if let (Some(ran), true) = (ran, source.to_bytes() == self.chunk) {
            *ran = true;
        }
    }

    pub fn coverage(&self) -> Coverage {
        Coverage { lines: self.can_run.iter().map(|line| (*line, self.ran[*line as usize])).collect() }
    }
}

/// Bytes before the main function: signature, version, format, data, sizes, two numbers, upvalues.
const HEADER: usize = 4 + 1 + 1 + 6 + 3 + 8 + 8 + 1;
/// Marks a line that is told in full instead of as a difference.
const IN_FULL: i8 = -128;

/// The lines of all instructions of a dumped function and those in it; none if it is not understood.
fn lines(dump: &[u8]) -> Option<Vec<u32>> {
    let mut lines = Vec::new();
    Dump(dump.get(HEADER..)?).function(&mut lines)?;
    Some(lines)
}

struct Dump<'a>(&'a [u8]);

impl<'a> Dump<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.bytes(1)?[0])
    }

    /// Seven bits a byte, the last one marked.
    fn number(&mut self) -> Option<usize> {
        let mut n = 0_usize;
        loop {
            let byte = self.byte()?;
            n = n.checked_mul(128)? | usize::from(byte & 127);
            if byte & 128 != 0 {
                return Some(n);
            }
        }
    }

    fn text(&mut self) -> Option<()> {
        let len = self.number()?.saturating_sub(1);
        self.bytes(len)?;
        Some(())
    }

    fn function(&mut self, lines: &mut Vec<u32>) -> Option<()> {
        self.text()?;
        let first = self.number()?;
        self.number()?;
        let has_varargs = self.bytes(3)?[1] != 0;
        let instructions = self.number()?;
        self.bytes(instructions.checked_mul(4)?)?;
        for _ in 0..self.number()? {
            match self.byte()? {
                0x03 | 0x13 => drop(self.bytes(8)?),
                0x04 | 0x14 => self.text()?,
                _ => {}
            }
        }
        let upvalues = self.number()?;
        self.bytes(upvalues.checked_mul(3)?)?;
        for _ in 0..self.number()? {
            self.function(lines)?;
        }
        self.line_info(first, has_varargs, lines)?;
        for _ in 0..self.number()? {
            self.text()?;
            self.number()?;
            self.number()?;
        }
        for _ in 0..self.number()? {
            self.text()?;
        }
        Some(())
    }

    fn line_info(&mut self, first: usize, has_varargs: bool, lines: &mut Vec<u32>) -> Option<()> {
        let count = self.number()?;
        let differences = self.bytes(count)?;
        let mut full = Vec::new();
        for _ in 0..self.number()? {
            full.push((self.number()?, self.number()?));
        }
        let mut full = full.into_iter();
        let mut line = i64::try_from(first).ok()?;
        for (at, difference) in differences.iter().enumerate() {
            line = match *difference as i8 {
                IN_FULL => i64::try_from(full.next()?.1).ok()?,
                difference => line + i64::from(difference),
            };
            // The first instruction of a function with varargs only arranges them.
            if !(at == 0 && has_varargs) {
                lines.push(u32::try_from(line).ok()?);
            }
        }
        Some(())
    }
}
