//! The pattern object: what becomes a pattern, operators, `p:match`.

use lpeg::{Capture, Charset, Key, MAX_RULES, Pattern};
use sandbox::native::{Call, Error, Function, Object, Returned, Slot, Value};

use super::run;
use super::values::{Values, key, raise};

/// What a rule takes in a grammar, while that is made and then.
pub const RULE: usize = 256;
/// How deep tables of rules may lie in each other.
const MAX_TABLES: usize = 20;

pub struct LuaPattern(pub Pattern);

impl Object for LuaPattern {
    const NAME: &'static str = "lpeg.pattern";

    const METHODS: &'static [Function] = &[
        Function {
            name: "match",
            signature: "(subject: string, init?: integer, ...: any) -> any",
            doc: "Matches at the position; returns the captures, or the position behind the match, or nil.",
            call: run::matches,
        },
        Function {
            name: "__mul",
            signature: "(a: any, b: any) -> lpeg.pattern",
            doc: "One, then the other.",
            call: |c| two(c, Pattern::then),
        },
        Function {
            name: "__add",
            signature: "(a: any, b: any) -> lpeg.pattern",
            doc: "One, or else the other.",
            call: |c| two(c, Pattern::or),
        },
        Function {
            name: "__sub",
            signature: "(a: any, b: any) -> lpeg.pattern",
            doc: "One where the other does not match.",
            call: |c| two(c, Pattern::except),
        },
        Function {
            name: "__unm",
            signature: "() -> lpeg.pattern",
            doc: "Where the pattern does not match.",
            call: |c| one(c, Pattern::not),
        },
        Function {
            name: "__len",
            signature: "() -> lpeg.pattern",
            doc: "Where the pattern matches, reading nothing.",
            call: |c| one(c, Pattern::and),
        },
        Function {
            name: "__pow",
            signature: "(n: integer) -> lpeg.pattern",
            doc: "At least n times, or at most -n times.",
            call: |call| {
                let n = call.integer(2)?;
                one(call, |pattern| pattern.repeat(n))
            },
        },
        Function {
            name: "__div",
            signature: "(into: any) -> lpeg.pattern",
            doc: "What a string, number, table or function makes of the captures.",
            call: |call| {
                let mut values = Values::new(call)?;
                let pattern = argument(call, 1, &mut values)?;
                let capture = division(call, 2, &mut values)?;
                values.finish(call, pattern.capture(capture))
            },
        },
        Function {
            name: "__mod",
            signature: "(f: fun(value: any, ...: any): any) -> lpeg.pattern",
            doc: "Changes the value captured before by a function.",
            call: |call| with_function(call, Capture::Accumulate),
        },
    ];

    /// Nodes are on the script's account, as patterns share them.
    fn bytes(&self) -> usize {
        self.0.program_bytes()
    }
}

/// A pattern made from argument 1.
pub fn one(call: &mut Call<'_>, make: impl FnOnce(&Pattern) -> Result<Pattern, lpeg::Error>) -> Result<Returned, Error> {
    let mut values = Values::new(call)?;
    let pattern = argument(call, 1, &mut values)?;
    values.finish(call, make(&pattern))
}

pub type Operator = fn(&Pattern, &Pattern) -> Result<Pattern, lpeg::Error>;

fn two(call: &mut Call<'_>, make: Operator) -> Result<Returned, Error> {
    let mut values = Values::new(call)?;
    let a = argument(call, 1, &mut values)?;
    let b = argument(call, 2, &mut values)?;
    values.room(call, &a, &b)?;
    values.finish(call, make(&a, &b))
}

/// A capture of argument 1 that argument 2, a function, evaluates.
pub fn with_function(call: &mut Call<'_>, capture: fn(lpeg::ValueId) -> Capture) -> Result<Returned, Error> {
    let mut values = Values::new(call)?;
    let pattern = argument(call, 1, &mut values)?;
    let function = call.function(2)?;
    let id = values.keep(call, function)?;
    values.finish(call, pattern.capture(capture(id)))
}

/// What is right of `/`, argument `n`.
pub fn division(call: &mut Call<'_>, n: usize, values: &mut Values) -> Result<Capture, Error> {
    match division_of(call, call.slot(n), values)? {
        Some(capture) if n <= call.args() => Ok(capture),
        _ => Err(Error::argument(n, format!("string, number, table or function expected, got {}", call.arg(n).type_name()))),
    }
}

/// The capture that the value in a slot makes right of `/`, if it can.
pub fn division_of(call: &mut Call<'_>, slot: Slot, values: &mut Values) -> Result<Option<Capture>, Error> {
    Ok(Some(match call.value(slot) {
        Value::String(text) => {
            call.room_for(text.len())?;
            Capture::Format(text.into())
        }
        Value::Table(_) => Capture::Query(values.keep(call, slot)?),
        Value::Function(_) => Capture::Function(values.keep(call, slot)?),
        Value::Integer(n) if (0..=0xffff).contains(&n) => Capture::Select(n as u32),
        Value::Number(x) if x.fract() == 0.0 && (0.0..65536.0).contains(&x) => Capture::Select(x as u32),
        Value::Integer(_) | Value::Number(_) => return Err(Error::message("invalid number of a capture (0 to 65535 expected)")),
        _ => return Ok(None),
    }))
}

/// Argument `n` as a pattern.
pub fn argument(call: &mut Call<'_>, n: usize, values: &mut Values) -> Result<Pattern, Error> {
    match call.arg(n) {
        Value::None | Value::Nil => Err(Error::argument(n, format!("pattern expected, got {}", call.arg(n).type_name()))),
        Value::Object(slot) if call.object_at::<LuaPattern>(slot).is_none() => Err(Error::argument(n, "pattern expected, got userdata")),
        _ => convert(call, call.slot(n), values, 0),
    }
}

/// What lies in a slot as a pattern: strings, numbers, booleans, tables of rules and functions become patterns.
pub fn convert(call: &mut Call<'_>, slot: Slot, values: &mut Values, depth: usize) -> Result<Pattern, Error> {
    match call.value(slot) {
        Value::String(text) => {
            call.room_for(text.len())?;
            Ok(Pattern::literal(text))
        }
        Value::Integer(n) => Pattern::any(n).map_err(raise),
        Value::Number(x) if x.fract() == 0.0 => Pattern::any(x as i64).map_err(raise),
        Value::Bool(true) => Ok(Pattern::empty()),
        Value::Bool(false) => Ok(Pattern::never()),
        Value::Function(_) => Pattern::function(values.keep(call, slot)?).map_err(raise),
        Value::Table(_) => grammar(call, slot, values, depth),
        other => match call.object_at::<LuaPattern>(slot) {
            Some(object) => {
                values.take(call, slot)?;
                let pattern = object.borrow().0.clone();
                Ok(pattern)
            }
            None => Err(Error::message(format!("pattern expected, got {}", other.type_name()))),
        },
    }
}

/// A table of rules: its first item is the initial rule or the name of it.
fn grammar(call: &mut Call<'_>, table: Slot, values: &mut Values, depth: usize) -> Result<Pattern, Error> {
    if depth >= MAX_TABLES {
        return Err(Error::message(format!("grammar tables nested too deep (limit is {MAX_TABLES})")));
    }
    // `for_each` clears the stack above: the table of values is to lie below.
    values.own(call)?;
    let first = call.get_index(table, 1)?;
    let (name, initial) = match call.value(first) {
        Value::Nil => return Err(raise(lpeg::Error::NoInitialRule)),
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let name = key(call, first)?;
            call.push_slot(first)?;
            (name, call.get_pair(table)?)
        }
        _ => (Key::Integer(1), first),
    };
    let mut rules = vec![(name.clone(), rule(call, &name, initial, values, depth)?)];
    call.for_each(table, |call, slot, value| {
        let other = key(call, slot)?;
        if other == name || other == Key::Integer(1) {
            return Ok(());
        }
        if rules.len() >= MAX_RULES {
            return Err(raise(lpeg::Error::TooManyRules));
        }
        let pattern = rule(call, &other, value, values, depth)?;
        call.room_for((rules.len() + 1) * RULE)?;
        rules.push((other, pattern));
        Ok(())
    })?;
    call.room_for(rules.len() * RULE)?;
    Pattern::grammar(rules).map_err(raise)
}

fn rule(call: &mut Call<'_>, name: &Key, slot: Slot, values: &mut Values, depth: usize) -> Result<Pattern, Error> {
    match call.value(slot) {
        Value::None | Value::Nil => Err(Error::message(format!("rule '{name}' is not a pattern (a nil value)"))),
        _ => convert(call, slot, values, depth + 1),
    }
}

/// Adds bytes from argument `n`, `from-to` as two characters.
pub fn range(call: &Call<'_>, n: usize, set: &mut Charset) -> Result<(), Error> {
    match &*call.bytes(n)? {
        [from, to] => {
            *set = set.union(&Charset::range(*from..=*to));
            Ok(())
        }
        _ => Err(Error::argument(n, "range must have two characters")),
    }
}
