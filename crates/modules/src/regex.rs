//! `regex`: regular expressions that take time in proportion to the text.
//!
//! Perl's syntax without look-around and back references, as of Rust's `regex`, on bytes. What an
//! expression compiles to, and what its searches keep, counts as the script's memory; there are
//! bounds for both, and for the product of an expression's and a text's size, because a single
//! search cannot be interrupted.

use std::cell::Cell;
use std::rc::Rc;

use regex_automata::meta::{Cache, Config};
use regex_automata::util::{captures::Captures, syntax};
use regex_automata::{Input, PatternID};
use sandbox::native::{Body, Call, Error, Function, Module, Object, Returned, Slot, Value};

pub static MODULE: Module =
    Module { name: "regex", doc: "Regular expressions that take time in proportion to the text.", body: Body::Native(FUNCTIONS, &[]) };

const FUNCTIONS: &[Function] = &[Function {
    name: "compile",
    signature: "(pattern: string, flags?: string) -> regex",
    doc: "Compiles an expression, or finds it among those compiled before. Flags: i (any case), m (^ and $ at lines), s (. is any byte), x (spaces and # comments do not count), a (classes of ASCII only, smaller and faster).",
    call: compile,
}];

/// Bytes an expression may compile to.
const MOST_COMPILED: usize = 1 << 20;
/// Bytes of an expression's text: some 0.1 seconds at the very worst, as compiling cannot be interrupted, either.
const MOST_TEXT: usize = 32 << 10;
/// Bytes that a class such as `\pL` takes while it is compiled.
const CLASS: usize = 6 << 10;
/// Bytes that any other byte of an expression takes meanwhile.
const LETTER: usize = 256;
/// Bytes a search may keep of its states.
const MOST_CACHED: usize = 256 << 10;
/// Bytes a search may keep in all: three automata of that size, and the places it has been to.
const MOST_GROWN: usize = 4 * MOST_CACHED;
/// Bytes of a compiled expression times bytes of a text: some half a second at the very worst.
const MOST_WORK: usize = 1 << 32;
/// Expressions that are kept compiled.
const MOST_KEPT: usize = 64;

struct Regex {
    regex: regex_automata::meta::Regex,
    cache: Cache,
    /// Bytes of the cache when they were last asked for.
    cached: Cell<usize>,
    found: Captures,
}

impl Object for Regex {
    const NAME: &'static str = "regex";
    const METHODS: &'static [Function] = &[
        Function {
            name: "captures",
            signature: "(text: string, init?: integer) -> table?",
            doc: "A table of what was captured, by number and by name, with the whole match at 0; nil if there is no match.",
            call: captures,
        },
        Function {
            name: "find",
            signature: "(text: string, init?: integer) -> integer?, integer?, ...",
            doc: "First and last position of the match, and what was captured; nil if there is none.",
            call: find,
        },
        Function {
            name: "gmatch",
            signature: "(text: string) -> function",
            doc: "For a for loop: what match returns, for one match after the other.",
            call: gmatch,
        },
        Function {
            name: "gsub",
            signature: "(text: string, replacement: string|table|function, max?: integer) -> string, integer",
            doc: "The text with its matches (max at most) replaced, and how many there were. A text may contain $1, ${name}, $0 and $$; a table is asked with the first capture, a function is called with all; nil and false leave the match as it is.",
            call: gsub,
        },
        Function {
            name: "match",
            signature: "(text: string, init?: integer) -> ...",
            doc: "What was captured, or the whole match if the expression captures nothing; nil if there is no match. A group that took no part is false. ^ is the begin of the text, whatever init is.",
            call: match_,
        },
    ];

    fn bytes(&self) -> usize {
        self.cached.set(self.cache.memory_usage());
        self.regex.memory_usage() + self.cached.get() + self.found.slots().len() * 16
    }
}

/// Where a group was found.
type Group = Option<(usize, usize)>;
/// The groups of a match, the whole one first.
type Groups = Vec<Group>;
/// A match, and where the whole of it is.
type Match = (Groups, (usize, usize));
/// A text, and its first match.
type Searched<'a> = (std::borrow::Cow<'a, [u8]>, Option<Groups>);

impl Regex {
    /// The groups of the first match at or behind `at`, the whole one first.
    fn search(&mut self, call: &Call<'_>, text: &[u8], at: usize) -> Result<Option<Groups>, Error> {
        let size = self.regex.memory_usage();
        if size.saturating_mul(text.len()) > MOST_WORK {
            let most = MOST_WORK / size;
            return Err(Error::message(format!(
                "a text of {} bytes is too long for this expression ({most} at most): a smaller one takes longer texts; see flag a",
                text.len()
            )));
        }
        if at > text.len() {
            return Ok(None);
        }
        call.room_for(MOST_GROWN.saturating_sub(self.cached.get()))?;
        self.regex.search_captures_with(&mut self.cache, &Input::new(text).range(at..), &mut self.found);
        if !self.found.is_match() {
            return Ok(None);
        }
        let groups = (0..self.found.group_len()).map(|i| self.found.get_group(i).map(|span| (span.start, span.end)));
        Ok(Some(groups.collect()))
    }

    fn name(&self, group: usize) -> Option<&str> {
        self.regex.group_info().to_name(PatternID::ZERO, group)
    }

    /// The number of a group that a replacement names.
    fn group(&self, name: &str) -> Option<usize> {
        let count = self.regex.group_info().group_len(PatternID::ZERO);
        name.parse().ok().filter(|&n| n < count).or_else(|| self.regex.group_info().to_index(PatternID::ZERO, name))
    }
}

/// One match after the other.
#[derive(Default)]
struct Walk {
    at: usize,
    /// End of the match before: an empty one right there is none.
    last: Option<usize>,
}

impl Walk {
    fn next(&mut self, call: &Call<'_>, regex: &mut Regex, text: &[u8]) -> Result<Option<Match>, Error> {
        while let Some(groups) = regex.search(call, text, self.at)? {
            let Some((start, end)) = groups[0] else { return Ok(None) };
            if start == end && self.last == Some(end) {
                self.at = end + 1;
                continue;
            }
            (self.at, self.last) = (end, Some(end));
            return Ok(Some((groups, (start, end))));
        }
        self.at = text.len() + 1;
        Ok(None)
    }
}

/// What `gmatch` returns: a value that can be called. Its companion is the regex.
struct Matches {
    text: Rc<[u8]>,
    walk: Walk,
}

impl Object for Matches {
    const NAME: &'static str = "regex.matches";
    const METHODS: &'static [Function] = &[Function {
        name: "__call",
        signature: "() -> ...",
        doc: "What match returns, for the next match; nil at the end.",
        call: next_match,
    }];

    fn bytes(&self) -> usize {
        self.text.len()
    }
}

fn compile(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (pattern, flags) = (call.text(1)?, call.optional(2, Call::text)?.unwrap_or_default());
    let module = call.module()?;
    let mut kept = call.get(module, "_compiled")?;
    if !matches!(call.value(kept), Value::Table(_)) {
        kept = call.push_table(0, 0)?;
        call.push_slot(kept)?;
        call.set(module, "_compiled")?;
    }
    let key = format!("{flags}/{pattern}");
    let found = call.get(kept, &key)?;
    if call.object_at::<Regex>(found).is_some() {
        return Ok(Returned(1));
    }
    let regex = build(call, &pattern, &flags)?;
    let mut count = 0;
    call.for_each(kept, |_, _, _| {
        count += 1;
        Ok(())
    })?;
    if count >= MOST_KEPT {
        kept = call.push_table(0, 0)?;
        call.push_slot(kept)?;
        call.set(module, "_compiled")?;
    }
    let object = call.push_object(regex)?;
    call.push_slot(object)?;
    call.set(kept, &key)?;
    Ok(Returned(1))
}

fn build(call: &Call<'_>, pattern: &str, flags: &str) -> Result<Regex, Error> {
    let mut syntax = syntax::Config::new().utf8(false);
    for flag in flags.chars() {
        syntax = match flag {
            'i' => syntax.case_insensitive(true),
            'm' => syntax.multi_line(true),
            's' => syntax.dot_matches_new_line(true),
            'x' => syntax.ignore_whitespace(true),
            'a' => syntax.unicode(false),
            other => return Err(Error::argument(2, format!("unknown flag '{}': i, m, s, x and a are known", other.escape_debug()))),
        };
    }
    if pattern.len() > MOST_TEXT {
        return Err(Error::argument(1, format!("the expression has {} bytes, {MOST_TEXT} are allowed", pattern.len())));
    }
    // Compiling takes about as much again as it leaves, and before that what it reads.
    let classes = memchr::memchr_iter(b'\\', pattern.as_bytes()).count();
    call.room_for(2 * MOST_COMPILED + classes * CLASS + pattern.len() * LETTER)?;
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(MOST_COMPILED))
        .onepass_size_limit(Some(MOST_COMPILED / 8))
        .dfa_size_limit(Some(MOST_COMPILED / 8))
        .hybrid_cache_capacity(MOST_CACHED);
    let regex = regex_automata::meta::Regex::builder().configure(config).syntax(syntax).build(pattern).map_err(|e| {
        let why = match (e.syntax_error(), e.size_limit()) {
            (Some(syntax), _) => syntax.to_string(),
            (None, Some(limit)) => format!("the expression compiles to more than {limit} bytes; smaller repetitions help, and flag a"),
            (None, None) => e.to_string(),
        };
        Error::argument(1, why)
    })?;
    Ok(Regex { cache: regex.create_cache(), cached: Cell::new(0), found: regex.create_captures(), regex })
}

/// The first match of the method's text from `init` on.
fn search<'a>(call: &mut Call<'a>) -> Result<Searched<'a>, Error> {
    let text = call.bytes(2)?;
    let at = match call.optional(3, Call::integer)?.unwrap_or(1) {
        0 => 0,
        init @ 1.. => init as usize - 1,
        init => text.len().saturating_sub(init.unsigned_abs() as usize),
    };
    let groups = call.with(1, |regex: &mut Regex| regex.search(call, &text, at))??;
    Ok((text, groups))
}

/// Pushes what `match` returns.
fn push_captured(call: &mut Call<'_>, text: &[u8], groups: &[Group]) -> Result<usize, Error> {
    let shown = if groups.len() > 1 { &groups[1..] } else { groups };
    shown.iter().try_for_each(|&group| push_group(call, text, group).map(drop))?;
    Ok(shown.len())
}

fn push_group(call: &mut Call<'_>, text: &[u8], group: Group) -> Result<Slot, Error> {
    match group {
        Some((start, end)) => call.push_bytes(&text[start..end]),
        None => call.push_bool(false),
    }
}

fn match_(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (text, Some(groups)) = search(call)? else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    push_captured(call, &text, &groups).map(Returned)
}

fn find(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (text, Some(groups)) = search(call)? else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    let (start, end) = groups[0].unwrap_or_default();
    call.push_integer(start as i64 + 1)?;
    call.push_integer(end as i64)?;
    groups[1..].iter().try_for_each(|&group| push_group(call, &text, group).map(drop))?;
    Ok(Returned(1 + groups.len()))
}

fn captures(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (text, Some(groups)) = search(call)? else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    let regex = call.object::<Regex>(1)?;
    let table = call.push_table(groups.len(), 1)?;
    for (i, &group) in groups.iter().enumerate() {
        push_group(call, &text, group)?;
        call.set_index(table, i as i64)?;
        if let Some(name) = regex.borrow().name(i) {
            push_group(call, &text, group)?;
            call.set(table, name)?;
        }
    }
    Ok(Returned(1))
}

fn gmatch(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(2)?;
    call.room_for(text.len())?;
    call.object::<Regex>(1)?;
    let matches = call.push_object(Matches { text: Rc::from(&*text), walk: Walk::default() })?;
    call.push_slot(call.slot(1))?;
    call.set_companion(matches);
    Ok(Returned(1))
}

fn next_match(call: &mut Call<'_>) -> Result<Returned, Error> {
    let slot = call.companion(call.slot(1))?;
    let Some(regex) = call.object_at::<Regex>(slot) else { return Err(Error::argument(1, "regex.matches expected")) };
    let next = |m: &mut Matches| -> Result<_, Error> {
        let mut regex = regex.try_borrow_mut().map_err(|_| Error::message("the regex is in use"))?;
        Ok((m.text.clone(), m.walk.next(call, &mut regex, &m.text)?))
    };
    let found = call.with(1, next)??;
    call.charge(slot)?;
    let (text, Some((groups, _))) = found else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    push_captured(call, &text, &groups).map(Returned)
}

fn gsub(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(2)?;
    let by = match call.arg(3) {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => Replacement::Text(call.bytes(3)?),
        Value::Table(slot) => Replacement::Table(slot),
        Value::Function(slot) => Replacement::Function(slot),
        other => return Err(Error::argument(3, format!("string, table or function expected, got {}", other.type_name()))),
    };
    let max = call.optional(4, Call::integer)?.unwrap_or(i64::MAX);
    let mut walk = Walk::default();
    let (mut out, mut copied, mut count) = (Vec::new(), 0, 0);
    while count < max {
        call.budget()?;
        let Some((groups, (start, end))) = call.with(1, |regex: &mut Regex| walk.next(call, regex, &text))?? else { break };
        append(call, &mut out, &text[copied..start])?;
        replace(call, &by, &text, &groups, &mut out)?;
        (copied, count) = (end, count + 1);
    }
    append(call, &mut out, &text[copied..])?;
    call.push_bytes(&out)?;
    call.push_integer(count)?;
    Ok(Returned(2))
}

enum Replacement<'a> {
    Text(std::borrow::Cow<'a, [u8]>),
    Table(Slot),
    Function(Slot),
}

fn append(call: &Call<'_>, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    call.room_for(2 * (out.len() + bytes.len()))?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn replace(call: &mut Call<'_>, by: &Replacement<'_>, text: &[u8], groups: &[Group], out: &mut Vec<u8>) -> Result<(), Error> {
    let base = call.top();
    let found = match *by {
        Replacement::Text(ref template) => return expand(call, template, text, groups, out),
        Replacement::Table(table) => {
            push_group(call, text, if groups.len() > 1 { groups[1] } else { groups[0] })?;
            call.get_pair(table)?
        }
        Replacement::Function(function) => {
            call.push_slot(function)?;
            let arguments = push_captured(call, text, groups)?;
            call.call(arguments, 1)?;
            call.top()
        }
    };
    let piece = match call.value(found) {
        Value::Nil | Value::Bool(false) => groups[0].map_or(Vec::new(), |(start, end)| text[start..end].to_vec()),
        Value::String(piece) => {
            call.room_for(piece.len())?;
            piece.to_vec()
        }
        Value::Integer(n) => n.to_string().into_bytes(),
        Value::Number(n) => n.to_string().into_bytes(),
        other => return Err(Error::message(format!("invalid replacement value (a {})", other.type_name()))),
    };
    call.truncate(base);
    append(call, out, &piece)
}

/// Appends a replacement with its `$1`, `${name}` and `$$`.
fn expand(call: &mut Call<'_>, template: &[u8], text: &[u8], groups: &[Group], out: &mut Vec<u8>) -> Result<(), Error> {
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'$', rest) {
        append(call, out, &rest[..at])?;
        rest = &rest[at + 1..];
        let word = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let (name, behind) = match rest.first() {
            Some(b'$') => {
                append(call, out, b"$")?;
                rest = &rest[1..];
                continue;
            }
            Some(b'{') => match memchr::memchr(b'}', rest) {
                Some(end) => (&rest[1..end], end + 1),
                None => return Err(Error::argument(3, "'${' without '}' in the replacement")),
            },
            _ => (&rest[..word(rest)], word(rest)),
        };
        let number = std::str::from_utf8(name).ok().and_then(|name| call.object::<Regex>(1).ok()?.borrow().group(name));
        let Some(number) = number else {
            let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).into_owned();
            return Err(Error::argument(3, format!("the expression has no group '{shown}'; a $ is written $$")));
        };
        if let Some((start, end)) = groups[number] {
            append(call, out, &text[start..end])?;
        }
        rest = &rest[behind..];
    }
    append(call, out, rest)
}
