//! `require "re"`: patterns in the syntax of LPeg's `re`, made in Rust into patterns of the module `lpeg`.

mod parse;

use lpeg::{Capture, Charset, Pattern};
use sandbox::native::{Body, Call, Error, Function, Module, Returned, Slot, Value};

use crate::lpeg::{LuaPattern, Values, division, raise, run};

pub static MODULE: Module = Module { name: "re", doc: "Patterns as text, in the syntax of LPeg's re.", body: Body::Native(FUNCTIONS, &[]) };

static FUNCTIONS: &[Function] = &[
    Function {
        name: "compile",
        signature: "(text: string, definitions?: table) -> lpeg.pattern",
        doc: "The pattern of a text; %name and functions are looked up in the definitions.",
        call: |call| {
            let definitions = call.optional(2, |call, n| call.table(n))?;
            pattern(call, 1, definitions)?;
            Ok(Returned(1))
        },
    },
    Function {
        name: "find",
        signature: "(subject: string, pattern: any, init?: integer) -> integer?, integer?",
        doc: "The first and last position of the first match at or after the position, or nil.",
        call: find,
    },
    Function {
        name: "gsub",
        signature: "(subject: string, pattern: any, replacement: any) -> string",
        doc: "The subject with all matches replaced by what the string, table or function makes of them.",
        call: gsub,
    },
    Function {
        name: "match",
        signature: "(subject: string, pattern: any, init?: integer) -> any",
        doc: "Matches at the position; returns the captures, or the position behind the match, or nil.",
        call: |call| {
            let pattern = remembered(call, "match", &[], |_, pattern| Ok(pattern))?;
            results(call, pattern, 3)
        },
    },
    Function {
        name: "updatelocale",
        signature: "()",
        doc: "Nothing: the classes of characters are those of the C locale.",
        call: |_| Ok(Returned(0)),
    },
];

/// Patterns that are kept for their texts.
const KEPT: i64 = 100;

static CACHE: &str = "re: compiled patterns";

/// Pushes the pattern object that argument `n` is, or is the text of.
fn pattern(call: &mut Call<'_>, n: usize, definitions: Option<Slot>) -> Result<Slot, Error> {
    if call.object_at::<LuaPattern>(call.slot(n)).is_some() && n <= call.args() {
        return call.push_slot(call.slot(n));
    }
    let text = call.bytes(n)?;
    let mut values = Values::new(call)?;
    let pattern = parse::parse(call, &text, definitions, &mut values)?;
    values.push(call, pattern)
}

/// Pushes the pattern that `make` makes of argument 2: once, if that is a text. `kind` and `more` tell what is made apart.
fn remembered(
    call: &mut Call<'_>,
    kind: &str,
    more: &[u8],
    make: impl FnOnce(&mut Call<'_>, Pattern) -> Result<Pattern, Error>,
) -> Result<Slot, Error> {
    let Value::String(text) = call.arg(2) else {
        let object = pattern(call, 2, None)?;
        return if kind == "match" { Ok(object) } else { remade(call, object, make) };
    };
    let name = [kind.as_bytes(), &more.len().to_le_bytes(), more, text].concat();
    let mut cache = call.kept(CACHE)?;
    if matches!(call.value(cache), Value::Table(_)) {
        call.push_bytes(&name)?;
        let found = call.get_pair(cache)?;
        if call.object_at::<LuaPattern>(found).is_some() {
            return Ok(found);
        }
    }
    let count = call.get_index(cache, 1)?;
    let mut count = if let Value::Integer(n) = call.value(count) { n } else { KEPT };
    if count >= KEPT {
        cache = call.push_table(0, 4)?;
        call.push_slot(cache)?;
        call.keep(CACHE)?;
        count = 0;
    }
    let object = pattern(call, 2, None)?;
    let object = if kind == "match" { object } else { remade(call, object, make)? };
    call.push_integer(count + 1)?;
    call.set_index(cache, 1)?;
    call.push_bytes(&name)?;
    call.push_slot(object)?;
    call.set_pair(cache)?;
    Ok(object)
}

/// Pushes what `make` makes of a pattern object.
fn remade(call: &mut Call<'_>, object: Slot, make: impl FnOnce(&mut Call<'_>, Pattern) -> Result<Pattern, Error>) -> Result<Slot, Error> {
    let mut values = Values::new(call)?;
    values.take(call, object)?;
    let Some(inner) = call.object_at::<LuaPattern>(object) else { return Err(Error::message("pattern expected")) };
    let inner = inner.borrow().0.clone();
    let pattern = make(call, inner)?;
    values.push(call, pattern)
}

/// Matches argument 1 from the position in argument `init` on.
fn results(call: &mut Call<'_>, pattern: Slot, init: usize) -> Result<Returned, Error> {
    match run(call, pattern, 1, init, usize::MAX)? {
        Some(count) => Ok(Returned(count)),
        None => {
            call.push_nil()?;
            Ok(Returned(1))
        }
    }
}

fn find(call: &mut Call<'_>) -> Result<Returned, Error> {
    let pattern = remembered(call, "find", &[], |_, pattern| searching(&pattern).map_err(raise))?;
    let found = results(call, pattern, 3)?;
    if found == Returned(2) {
        // The position behind the match becomes that of its last byte.
        let end = call.top();
        if let Value::Integer(n) = call.value(end) {
            call.pop(1);
            call.push_integer(n - 1)?;
        }
    }
    Ok(found)
}

/// The pattern wherever it is found first, with the positions before and behind it.
fn searching(pattern: &Pattern) -> Result<Pattern, lpeg::Error> {
    let position = Pattern::empty().capture(Capture::Position)?;
    let here = position.then(&pattern.capture(Capture::Select(0))?)?.then(&position)?;
    let search = lpeg::Key::from("search");
    let later = Pattern::set(&Charset::FULL).then(&Pattern::rule(search.clone()))?;
    Pattern::grammar(vec![(search, here.or(&later)?)])
}

fn gsub(call: &mut Call<'_>) -> Result<Returned, Error> {
    let object = match call.arg(3) {
        Value::String(replacement) => {
            remembered(call, "gsub", replacement, |_, pattern| replacing(&pattern, Capture::Format(replacement.into())).map_err(raise))?
        }
        _ => {
            let mut values = Values::new(call)?;
            let capture = division(call, 3, &mut values)?;
            let object = pattern(call, 2, None)?;
            values.take(call, object)?;
            let Some(inner) = call.object_at::<LuaPattern>(object) else { return Err(Error::argument(2, "pattern expected")) };
            let inner = inner.borrow().0.clone();
            values.push(call, replacing(&inner, capture).map_err(raise)?)?
        }
    };
    results(call, object, usize::MAX)
}

/// The subject with what the capture makes of each match.
fn replacing(pattern: &Pattern, capture: Capture) -> Result<Pattern, lpeg::Error> {
    pattern.capture(capture)?.or(&Pattern::set(&Charset::FULL))?.repeat(0)?.capture(Capture::Substitute)
}
