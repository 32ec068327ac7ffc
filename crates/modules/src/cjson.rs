//! `cjson`: JSON, as Heka's build of lua-cjson has it.
//!
//! What is ours: integers are exact in all 64 bits; a float is written so that it reads back equal
//! (until `encode_number_precision` says otherwise), and one without a fraction without `.0`; text
//! that is not UTF-8 is written with U+FFFD, so that the result is always JSON. An empty table is `{}`.

mod decode;
mod encode;

use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned, Slot, Value};

pub static MODULE: Module = Module { name: "cjson", doc: "Reads and writes JSON.", body: Body::Native(FUNCTIONS, &[&NULL]) };

static NULL: ObjectType = ObjectType::of::<Null>();

const FUNCTIONS: &[Function] = &[
    Function {
        name: "decode",
        signature: "(text: string) -> any",
        doc: "The value of a JSON text. null is nil, unless decode_null(true) was called.",
        call: decode::decode,
    },
    Function {
        name: "decode_max_depth",
        signature: "(depth?: integer) -> integer",
        doc: "Sets and returns how deeply arrays and objects of a text may be nested, 1 to 10000; at first 1000.",
        call: decode_max_depth,
    },
    Function {
        name: "decode_null",
        signature: "(keep?: boolean) -> boolean",
        doc: "Sets and returns whether null becomes cjson.null; at first it is dropped.",
        call: decode_null,
    },
    Function {
        name: "encode",
        signature: "(value: any) -> string",
        doc: "The JSON text of a value, of output_limit bytes at most. A table whose keys are 1, 2, … is an array; an empty one is {}.",
        call: encode::encode,
    },
    Function {
        name: "encode_invalid_numbers",
        signature: "(how?: boolean|\"null\") -> boolean|\"null\"",
        doc: "Sets and returns what becomes of NaN and infinity: false (an error, at first) or \"null\".",
        call: encode_invalid_numbers,
    },
    Function {
        name: "encode_max_depth",
        signature: "(depth?: integer) -> integer",
        doc: "Sets and returns how deeply tables may be nested, 1 to 10000; at first 1000.",
        call: encode_max_depth,
    },
    Function {
        name: "encode_number_precision",
        signature: "(digits?: integer) -> integer",
        doc: "Sets and returns how many digits a float has, 1 to 17; at first 17, which stands for as many as needed.",
        call: encode_number_precision,
    },
    Function {
        name: "encode_sparse_array",
        signature: "(convert?: boolean, ratio?: integer, safe?: integer) -> boolean, integer, integer",
        doc: "Sets and returns what becomes of an array that has a key above safe (at first 10) and above ratio (at first 2; 0 allows all) times its number of items: an object (true) or an error (false, at first). In others, holes are null.",
        call: encode_sparse_array,
    },
    Function { name: "null", signature: "cjson.null", doc: "The null of JSON.", call: null },
];

/// `cjson.null`; all of them are equal.
struct Null;

impl Object for Null {
    const NAME: &'static str = "cjson.null";
    const METHODS: &'static [Function] = &[
        Function { name: "__eq", signature: "(other: any) -> boolean", doc: "Whether both are null.", call: null_equal },
        Function { name: "__tostring", signature: "() -> string", doc: "null.", call: null_text },
    ];
    const SAVED: bool = true;

    fn restore(_saved: &[u8]) -> Option<Self> {
        Some(Null)
    }
}

fn null(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.push_object(Null)?;
    Ok(Returned(1))
}

fn null_equal(call: &mut Call<'_>) -> Result<Returned, Error> {
    let equal = [1, 2].iter().all(|&n| call.object_at::<Null>(call.slot(n)).is_some());
    call.push_bool(equal)?;
    Ok(Returned(1))
}

fn null_text(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.push_bytes(b"null")?;
    Ok(Returned(1))
}

#[derive(Clone, Copy)]
struct Settings {
    decode_depth: usize,
    decode_null: bool,
    encode_depth: usize,
    /// NaN and infinity become null.
    invalid_is_null: bool,
    /// 17: as many as needed.
    digits: usize,
    sparse: Sparse,
}

#[derive(Clone, Copy)]
struct Sparse {
    convert: bool,
    ratio: u64,
    safe: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let sparse = Sparse { convert: false, ratio: 2, safe: 10 };
        Settings { decode_depth: 1000, decode_null: false, encode_depth: 1000, invalid_is_null: false, digits: 17, sparse }
    }
}

impl Object for Settings {
    const NAME: &'static str = "cjson.settings";
    const METHODS: &'static [Function] = &[];
}

/// Where the settings lie in the module's table, once one was changed.
const SETTINGS: &str = "_settings";

fn settings(call: &mut Call<'_>) -> Result<Settings, Error> {
    let module = call.module()?;
    let slot = call.get(module, SETTINGS)?;
    let settings = call.object_at::<Settings>(slot).map_or_else(Settings::default, |s| *s.borrow());
    call.pop(2);
    Ok(settings)
}

/// Changes the settings and returns what they are then.
fn change(call: &mut Call<'_>, change: impl FnOnce(&mut Settings)) -> Result<Settings, Error> {
    let mut settings = settings(call)?;
    change(&mut settings);
    let module = call.module()?;
    call.push_object(settings)?;
    call.set(module, SETTINGS)?;
    Ok(settings)
}

/// An optional argument, which is `low` to `high`.
fn within(call: &Call<'_>, n: usize, low: i64, high: i64) -> Result<Option<usize>, Error> {
    match call.optional(n, Call::integer)? {
        Some(value) if !(low..=high).contains(&value) => Err(Error::argument(n, format!("{low} to {high} expected, got {value}"))),
        value => Ok(value.map(|v| v as usize)),
    }
}

fn decode_null(call: &mut Call<'_>) -> Result<Returned, Error> {
    let keep = call.optional(1, Call::boolean)?;
    let settings = change(call, |s| s.decode_null = keep.unwrap_or(s.decode_null))?;
    call.push_bool(settings.decode_null)?;
    Ok(Returned(1))
}

fn decode_max_depth(call: &mut Call<'_>) -> Result<Returned, Error> {
    let depth = within(call, 1, 1, 10_000)?;
    let settings = change(call, |s| s.decode_depth = depth.unwrap_or(s.decode_depth))?;
    call.push_integer(settings.decode_depth as i64)?;
    Ok(Returned(1))
}

fn encode_max_depth(call: &mut Call<'_>) -> Result<Returned, Error> {
    let depth = within(call, 1, 1, 10_000)?;
    let settings = change(call, |s| s.encode_depth = depth.unwrap_or(s.encode_depth))?;
    call.push_integer(settings.encode_depth as i64)?;
    Ok(Returned(1))
}

fn encode_number_precision(call: &mut Call<'_>) -> Result<Returned, Error> {
    let digits = within(call, 1, 1, 17)?;
    let settings = change(call, |s| s.digits = digits.unwrap_or(s.digits))?;
    call.push_integer(settings.digits as i64)?;
    Ok(Returned(1))
}

fn encode_invalid_numbers(call: &mut Call<'_>) -> Result<Returned, Error> {
    let null = match call.arg(1) {
        Value::None | Value::Nil => None,
        Value::Bool(false) => Some(false),
        Value::String(b"null") => Some(true),
        _ => return Err(Error::argument(1, "false or \"null\" expected")),
    };
    let settings = change(call, |s| s.invalid_is_null = null.unwrap_or(s.invalid_is_null))?;
    if settings.invalid_is_null {
        call.push_bytes(b"null")?
    } else {
        call.push_bool(false)?
    };
    Ok(Returned(1))
}

fn encode_sparse_array(call: &mut Call<'_>) -> Result<Returned, Error> {
    let convert = call.optional(1, Call::boolean)?;
    let (ratio, safe) = (within(call, 2, 0, i64::MAX)?, within(call, 3, 0, i64::MAX)?);
    let Sparse { convert, ratio, safe } = change(call, |s| {
        let old = s.sparse;
        let new = |value: Option<usize>, old: u64| value.map_or(old, |v| v as u64);
        s.sparse = Sparse { convert: convert.unwrap_or(old.convert), ratio: new(ratio, old.ratio), safe: new(safe, old.safe) };
    })?
    .sparse;
    call.push_bool(convert)?;
    call.push_integer(ratio as i64)?;
    call.push_integer(safe as i64)?;
    Ok(Returned(3))
}

/// Pushes `cjson.null`.
fn push_null(call: &mut Call<'_>) -> Result<Slot, Error> {
    let module = call.module()?;
    let null = call.get(module, "null")?;
    if call.object_at::<Null>(null).is_some() { Ok(null) } else { call.push_object(Null) }
}
