//! A script's text on its way to Lua: checked (size, no bytecode, no `<close>`), then compiled in
//! pieces, because a compiler cannot be stopped and some texts take time by the square of their length.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_State};

use crate::stop;
use crate::vm::{Lossy, Lua};

/// Bytes of a script or module. Compiling takes time nobody bounds, so the text is bounded.
pub(crate) const MAX_SOURCE: usize = 256 << 10;

/// Why a text is refused, and the line.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub line: Option<usize>,
    pub why: String,
}

/// Refuses what must not be compiled.
pub(crate) fn check(source: &[u8]) -> Result<(), Refused> {
    let refuse = |line, why: String| Err(Refused { line, why });
    if source.len() > MAX_SOURCE {
        return refuse(None, format!("the script has {} bytes, at most {MAX_SOURCE} are allowed", source.len()));
    }
    if source.first() == Some(&0x1b) {
        return refuse(None, "this is Lua bytecode; only Lua text is loaded".into());
    }
    let mut before = [Token::Other; 2];
    let mut tokens = Tokens { source, at: 0, line: 1 };
    while let Some(token) = tokens.next() {
        if let ([Token::Less, Token::Name(name)], Token::Greater) = (before, token)
            && name == b"close"
        {
            return refuse(Some(tokens.line), format!("<{}> variables are not available in a sandbox", Lossy(name)));
        }
        before = [before[1], token];
    }
    Ok(())
}

/// Bytes between two looks at the CPU budget: a millisecond or two at the very worst.
const PIECE: usize = 128;

/// Compiles a checked text and pushes the function, or the error: see `lua_load` for the status.
/// Raises nothing.
pub(crate) fn load(lua: Lua, name: &CStr, source: &[u8]) -> c_int {
    let mut rest = source;
    // SAFETY: live state and valid name; `rest` lives as long as the reader is called.
    unsafe { ffi::lua_load(lua.raw(), read, (&raw mut rest).cast(), name.as_ptr(), c"t".as_ptr()) }
}

/// Gives the compiler its next piece, or ends it.
unsafe extern "C-unwind" fn read(state: *mut lua_State, rest: *mut c_void, size: *mut usize) -> *const c_char {
    // SAFETY: called by `lua_load` with a live state, the text of `load` and a place for the size.
    let (lua, rest, size) = unsafe { (Lua::from_raw(state), &mut *rest.cast::<&[u8]>(), &mut *size) };
    stop::check(lua);
    let (piece, after) = rest.split_at(rest.len().min(PIECE));
    (*rest, *size) = (after, piece.len());
    if piece.is_empty() { ptr::null() } else { piece.as_ptr().cast() }
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Less,
    Greater,
    Name(&'a [u8]),
    Other,
}

/// Lua's tokens, as far as they matter here: strings and comments are skipped whole.
struct Tokens<'a> {
    source: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn advance(&mut self, n: usize) {
        let end = (self.at + n).min(self.source.len());
        self.line += self.source[self.at..end].iter().filter(|&&b| b == b'\n').count();
        self.at = end;
    }

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            match self.peek(0)? {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => self.advance(1),
                b'-' if self.peek(1) == Some(b'-') => {
                    self.advance(2);
                    if !self.skip_long() {
                        let rest = &self.source[self.at..];
                        self.advance(rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()));
                    }
                }
                b'[' if self.skip_long() => return Some(Token::Other),
                quote @ (b'"' | b'\'') => {
                    self.skip_quoted(quote);
                    return Some(Token::Other);
                }
                b'<' => return Some(self.symbol(Token::Less)),
                b'>' => return Some(self.symbol(Token::Greater)),
                b if b == b'_' || b.is_ascii_alphanumeric() => return Some(self.name()),
                _ => return Some(self.symbol(Token::Other)),
            }
        }
    }

    /// One character, or a doubled or `=` form of it, which is no attribute bracket.
    fn symbol(&mut self, token: Token<'a>) -> Token<'a> {
        let (first, second) = (self.peek(0), self.peek(1));
        if token != Token::Other && (second == Some(b'=') || second == first) {
            self.advance(2);
            return Token::Other;
        }
        self.advance(1);
        token
    }

    fn name(&mut self) -> Token<'a> {
        let rest = &self.source[self.at..];
        let len = rest.iter().position(|b| !(*b == b'_' || b.is_ascii_alphanumeric())).unwrap_or(rest.len());
        self.advance(len);
        Token::Name(&rest[..len])
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.advance(1);
        while let Some(b) = self.peek(0) {
            match b {
                b'\\' => self.advance(2),
                b'\n' => return, // unfinished: the compiler will say so
                _ => self.advance(1),
            }
            if b == quote {
                return;
            }
        }
    }

    /// `[[…]]` or `[=[…]=]` with any number of `=`; false when there is none here.
    fn skip_long(&mut self) -> bool {
        let rest = &self.source[self.at..];
        if rest.first() != Some(&b'[') {
            return false;
        }
        let level = rest[1..].iter().take_while(|&&b| b == b'=').count();
        if rest.get(1 + level) != Some(&b'[') {
            return false;
        }
        let body = &rest[level + 2..];
        let close = |w: &[u8]| w[0] == b']' && w[level + 1] == b']' && w[1..=level].iter().all(|&b| b == b'=');
        let len = body.windows(level + 2).position(close).map_or(body.len(), |n| n + level + 2);
        self.advance(level + 2 + len);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_is_found_where_it_is_code() {
        for text in ["local x <close> = f()", "\nlocal x < --[[c]] close --\n >=1", "local x<close>"] {
            let found = check(text.as_bytes());
            assert_eq!(found.is_err(), !text.contains(">="), "{text}: {found:?}");
        }
        assert_eq!(check(b"\n\nlocal x <close> = 1").unwrap_err().line, Some(3));
    }

    #[test]
    fn close_is_ignored_where_it_is_not() {
        for text in [
            "-- <close>",
            "--[[ <close>\n]] x=1",
            "s = '<close>'",
            "s = \"\\\"<close>\"",
            "s = [==[ ]] <close> ]==]",
            "a << close >> 2",
            "local x <const> = 1",
            "return a < closed",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn bytecode_and_long_texts_are_refused() {
        assert!(check(b"\x1bLua").unwrap_err().why.contains("bytecode"));
        assert!(check(&vec![b' '; MAX_SOURCE + 1]).unwrap_err().why.contains("at most 262144"));
    }
}
