//! `sax`: shapes of time series as words.

use ::sketch::sax::{MOST_VALUES, Window, Word, mindist};
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned, Slot, Value};

use crate::held::{Held, Named, with};

pub static MODULE: Module = Module {
    name: "sax",
    doc: "Words for the shapes of time series (Symbolic Aggregate approXimation), and how far two are apart.",
    body: Body::Native(FUNCTIONS, &[&WINDOW, &WORD]),
};

static WINDOW: ObjectType = ObjectType::of::<Held<Window>>();
static WORD: ObjectType = ObjectType::of::<Held<Word>>();

const FUNCTIONS: &[Function] = &[
    Function {
        name: "mindist",
        signature: "(a: sax.word|sax.window, b: sax.word|sax.window) -> number, number, number",
        doc: "A lower bound of the distance of two normalised series; its part where a is higher, and where b is.",
        call: distance,
    },
    Function {
        name: "window.new",
        signature: "(n: integer, w: integer, c: integer) -> sax.window",
        doc: "A window over the last n values (2 to 4096), in w frames (at least 2, a divisor of n) and c letters (2 to 16).",
        call: new_window,
    },
    Function {
        name: "word.new",
        signature: "(values: number[]|string, w: integer, c?: integer) -> sax.word",
        doc: "The word of a list of values in w frames and c letters; or with (text, c) the word that is written so.",
        call: new_word,
    },
];

const EQ: Function = Function {
    name: "__eq",
    signature: "(other: any) -> boolean",
    doc: "Whether both are words, or windows over words, of the same letters and cardinality.",
    call: equal,
};
const TOSTRING: Function =
    Function { name: "__tostring", signature: "() -> string", doc: "The letters; # for a frame without values.", call: to_string };

impl Named for Window {
    const NAME: &'static str = "sax.window";
    const METHODS: &'static [Function] = &[
        EQ,
        TOSTRING,
        Function {
            name: "add",
            signature: "(value: number|number[]) -> boolean",
            doc: "Adds a value, or a list of them; true if the window now holds n values.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all values.", call: clear },
        Function { name: "get_word", signature: "() -> sax.word", doc: "The word of the values now.", call: get_word },
    ];
}

impl Named for Word {
    const NAME: &'static str = "sax.word";
    const METHODS: &'static [Function] =
        &[EQ, TOSTRING, Function { name: "copy", signature: "() -> sax.word", doc: "The same word.", call: get_word }];
}

fn new_window(call: &mut Call<'_>) -> Result<Returned, Error> {
    let [n, w, c] = [size(call, 1)?, size(call, 2)?, size(call, 3)?];
    call.room_for(Window::bytes_for(n))?;
    let window = Window::new(n, w, c).map_err(Error::message)?;
    call.push_object(Held(window))?;
    Ok(Returned(1))
}

fn new_word(call: &mut Call<'_>) -> Result<Returned, Error> {
    let word = match call.arg(1) {
        Value::String(text) => Word::parse(text, size(call, 2)?),
        Value::Table(list) => {
            let (w, c) = (size(call, 2)?, size(call, 3)?);
            if call.len(list) > MOST_VALUES {
                return Err(Error::argument(1, format!("there are 2 to {MOST_VALUES} values")));
            }
            Word::new(&numbers(call, list, 1, MOST_VALUES)?, w, c)
        }
        other => return Err(Error::argument(1, format!("list of numbers or string expected, got {}", other.type_name()))),
    };
    call.push_object(Held(word.map_err(Error::message)?))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let values = match call.arg(2) {
        Value::Table(list) => numbers(call, list, 2, MOST_VALUES)?,
        Value::Integer(_) | Value::Number(_) => vec![call.number(2)?],
        other => return Err(Error::argument(2, format!("number or list of numbers expected, got {}", other.type_name()))),
    };
    let full = with(call, |window: &mut Window| {
        for value in values {
            window.add(value);
        }
        window.is_full()
    })?;
    call.push_bool(full)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |window: &mut Window| window.clear())?;
    Ok(Returned(0))
}

fn get_word(call: &mut Call<'_>) -> Result<Returned, Error> {
    let word = word(call, 1)?;
    call.push_object(Held(word))?;
    Ok(Returned(1))
}

fn to_string(call: &mut Call<'_>) -> Result<Returned, Error> {
    let word = word(call, 1)?;
    call.push_bytes(word.to_string().as_bytes())?;
    Ok(Returned(1))
}

fn equal(call: &mut Call<'_>) -> Result<Returned, Error> {
    let equal = matches!((word(call, 1), word(call, 2)), (Ok(a), Ok(b)) if a == b);
    call.push_bool(equal)?;
    Ok(Returned(1))
}

fn distance(call: &mut Call<'_>) -> Result<Returned, Error> {
    let distances = mindist(&word(call, 1)?, &word(call, 2)?).map_err(Error::message)?;
    for distance in distances {
        call.push_number(distance)?;
    }
    Ok(Returned(3))
}

/// The word of argument `n`, a word or a window.
fn word(call: &Call<'_>, n: usize) -> Result<Word, Error> {
    let slot = call.slot(n);
    if let Some(word) = call.object_at::<Held<Word>>(slot) {
        return Ok(word.borrow().0.clone());
    }
    match call.object_at::<Held<Window>>(slot) {
        Some(window) if n <= call.args() => Ok(window.borrow().0.word()),
        _ => Err(Error::argument(n, format!("sax.word or sax.window expected, got {}", call.arg(n).type_name()))),
    }
}

fn size(call: &Call<'_>, n: usize) -> Result<usize, Error> {
    usize::try_from(call.integer(n)?).map_err(|_| Error::argument(n, "positive number expected"))
}

/// The last `most` numbers of a list, which is argument `n`.
fn numbers(call: &mut Call<'_>, list: Slot, n: usize, most: usize) -> Result<Vec<f64>, Error> {
    let len = call.len(list);
    let mut numbers = Vec::with_capacity(len.min(most));
    for i in len.saturating_sub(most)..len {
        let slot = call.get_index(list, i as i64 + 1)?;
        numbers.push(match call.value(slot) {
            Value::Integer(value) => value as f64,
            Value::Number(value) => value,
            other => return Err(Error::argument(n, format!("numbers expected, got {} at index {}", other.type_name(), i + 1))),
        });
        call.pop(1);
    }
    Ok(numbers)
}
