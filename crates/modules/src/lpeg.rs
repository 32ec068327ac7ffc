//! `require "lpeg"`: parsing expression grammars, as LPeg 1.x has them, over the machine of the crate `lpeg`.
//!
//! What differs: names of rules and groups are strings, numbers or booleans; `/ table` reads past metamethods; the
//! backtrack stack can be raised to 100000.

mod pattern;
mod run;
mod state;
mod values;

use lpeg::{Capture, Charset, Constant, Pattern};
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned, Value};

pub(crate) use pattern::{LuaPattern, Operator, RULE, convert, division, division_of};
pub(crate) use run::run;
use values::key;
pub(crate) use values::{Values, raise};

pub static MODULE: Module = Module { name: "lpeg", doc: "Parsing expression grammars.", body: Body::Native(FUNCTIONS, OBJECTS) };

static OBJECTS: &[&ObjectType] = &[&const { ObjectType::of::<LuaPattern>() }];

macro_rules! functions {
    ($($name:literal $signature:literal $doc:literal $call:expr;)*) => {
        &[$(Function { name: $name, signature: $signature, doc: $doc, call: $call },)*]
    };
}

static FUNCTIONS: &[Function] = functions! {
    "B" "(p: any) -> lpeg.pattern" "Matches nothing, where the pattern matches just before." |call| pattern::one(call, Pattern::behind);
    "C" "(p: any) -> lpeg.pattern" "Captures what the pattern matches." |call| simple(call, Capture::Simple);
    "Carg" "(n: integer) -> lpeg.pattern" "The nth extra argument of match." |call| match call.integer(1)? {
        n @ 1..=0xffff => empty(call, Capture::Argument(n as u32)),
        _ => Err(Error::argument(1, "invalid argument index")),
    };
    "Cb" "(name: any) -> lpeg.pattern" "The values of the last group of that name." |call| {
        let name = name(call, 1)?;
        empty(call, Capture::Back(name))
    };
    "Cc" "(...: any) -> lpeg.pattern" "The values given." constants;
    "Cf" "(p: any, f: fun(acc: any, ...: any): any) -> lpeg.pattern" "Folds the captures of the pattern." |call| pattern::with_function(call, Capture::Fold);
    "Cg" "(p: any, name?: any) -> lpeg.pattern" "Groups the captures of the pattern, with a name for tables and Cb." group;
    "Cmt" "(p: any, f: fun(subject: string, position: integer, ...: any): any) -> lpeg.pattern" "Calls the function while matching; it says whether and where to go on." |call| pattern::with_function(call, Capture::Runtime);
    "Cp" "() -> lpeg.pattern" "The position." |call| empty(call, Capture::Position);
    "Cs" "(p: any) -> lpeg.pattern" "The text matched, with captures replaced by their values." |call| simple(call, Capture::Substitute);
    "Ct" "(p: any) -> lpeg.pattern" "A table of the captures." |call| simple(call, Capture::Table);
    "P" "(value: any) -> lpeg.pattern" "A pattern from a string, number, boolean, table of rules or function." to_pattern;
    "R" "(...: string) -> lpeg.pattern" "One byte of the ranges, each two characters." |call| {
        let mut set = Charset::EMPTY;
        (1..=call.args()).try_for_each(|n| pattern::range(call, n, &mut set))?;
        Values::new(call)?.finish(call, Ok(Pattern::set(&set)))
    };
    "S" "(bytes: string) -> lpeg.pattern" "One byte of the string." |call| {
        let set = Charset::of(&call.bytes(1)?);
        Values::new(call)?.finish(call, Ok(Pattern::set(&set)))
    };
    "V" "(name: any) -> lpeg.pattern" "Calls a rule of the grammar around it." |call| {
        let name = name(call, 1)?;
        Values::new(call)?.finish(call, Ok(Pattern::rule(name)))
    };
    "locale" "(into?: table) -> table" "A table of patterns for the classes of characters of the C locale." locale;
    "match" "(p: any, subject: string, init?: integer, ...: any) -> any" "Matches at the position; returns the captures, or the position behind the match, or nil." run::matches;
    "setmaxstack" "(n: integer)" "Sets how many pending choices and calls a match may have (400)." run::set_max_stack;
    "type" "(value: any) -> string?" "'pattern' for patterns." |call| {
        match call.object_at::<LuaPattern>(call.slot(1)).filter(|_| call.args() > 0) {
            Some(_) => call.push_bytes(b"pattern")?,
            None => call.push_nil()?,
        };
        Ok(Returned(1))
    };
    "utfR" "(from: integer, to: integer) -> lpeg.pattern" "One code point of the range, in UTF-8." |call| {
        let code = |n| call.integer(n).map(|code| u32::try_from(code).unwrap_or(u32::MAX));
        let pattern = Pattern::utf8(code(1)?, code(2)?);
        Values::new(call)?.finish(call, pattern)
    };
    "version" "() -> string" "The version of LPeg this behaves like." |call| {
        call.push_bytes(b"1.1.0")?;
        Ok(Returned(1))
    };
};

fn simple(call: &mut Call<'_>, capture: Capture) -> Result<Returned, Error> {
    pattern::one(call, |pattern| pattern.capture(capture))
}

/// A capture that matches nothing.
fn empty(call: &mut Call<'_>, capture: Capture) -> Result<Returned, Error> {
    Values::new(call)?.finish(call, Pattern::empty().capture(capture))
}

fn name(call: &Call<'_>, n: usize) -> Result<lpeg::Key, Error> {
    match call.arg(n) {
        Value::None | Value::Nil => Err(Error::argument(n, "non-nil value expected")),
        _ => key(call, call.slot(n)),
    }
}

fn group(call: &mut Call<'_>) -> Result<Returned, Error> {
    let name = if call.arg(2).is_nil() { None } else { Some(name(call, 2)?) };
    simple(call, Capture::Group(name))
}

fn constants(call: &mut Call<'_>) -> Result<Returned, Error> {
    let mut values = Values::new(call)?;
    let mut list = Vec::with_capacity(call.args());
    for n in 1..=call.args() {
        list.push(match call.arg(n) {
            Value::None | Value::Nil => Constant::Nil,
            Value::Bool(b) => Constant::Boolean(b),
            Value::Integer(n) => Constant::Integer(n),
            Value::Number(x) => Constant::Number(x),
            Value::String(text) => {
                call.room_for(text.len())?;
                Constant::Text(text.into())
            }
            Value::Table(slot) | Value::Function(slot) | Value::Object(slot) => Constant::Value(values.keep(call, slot)?),
        });
    }
    values.finish(call, Pattern::constants(list))
}

fn to_pattern(call: &mut Call<'_>) -> Result<Returned, Error> {
    if call.object_at::<LuaPattern>(call.slot(1)).is_some() && call.args() > 0 {
        call.push_slot(call.slot(1))?;
        return Ok(Returned(1));
    }
    pattern::one(call, |pattern| Ok(pattern.clone()))
}

/// A class of characters by its name.
type Class = (&'static str, fn(u8) -> bool);

/// The classes of characters of the C locale.
pub(crate) const CLASSES: [Class; 11] = [
    ("alnum", |b| b.is_ascii_alphanumeric()),
    ("alpha", |b| b.is_ascii_alphabetic()),
    ("cntrl", |b| b.is_ascii_control()),
    ("digit", |b| b.is_ascii_digit()),
    ("graph", |b| b.is_ascii_graphic()),
    ("lower", |b| b.is_ascii_lowercase()),
    ("print", |b| b.is_ascii_graphic() || b == b' '),
    ("punct", |b| b.is_ascii_punctuation()),
    ("space", |b| b.is_ascii_whitespace() || b == 0x0b),
    ("upper", |b| b.is_ascii_uppercase()),
    ("xdigit", |b| b.is_ascii_hexdigit()),
];

fn locale(call: &mut Call<'_>) -> Result<Returned, Error> {
    let table = if call.arg(1).is_nil() { call.push_table(0, CLASSES.len())? } else { call.table(1)? };
    for (name, class) in CLASSES {
        Values::new(call)?.push(call, Pattern::set(&Charset::filter(class)))?;
        call.set(table, name)?;
    }
    call.push_slot(table)?;
    Ok(Returned(1))
}
