//! `ddsketch`: quantiles of numbers, to within a chosen relative error.

use ::sketch::{DdSketch, Sketch};
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned};

use crate::held::{Held, Named, grow, with};

pub static MODULE: Module = Module {
    name: "ddsketch",
    doc: "Quantiles of numbers to within a relative error, in bounded memory; sketches of many sources can be merged.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Held<DdSketch>>();

const FUNCTIONS: &[Function] = &[Function {
    name: "new",
    signature: "(accuracy?: number, max_buckets?: integer) -> ddsketch",
    doc: "An empty sketch: relative accuracy 0.0001 to 0.5 (default 0.01), 16 to 65536 buckets of 8 bytes for each sign (default 2048).",
    call: new,
}];

impl Named for DdSketch {
    const NAME: &'static str = "ddsketch";
    const METHODS: &'static [Function] = &[
        Function {
            name: "add",
            signature: "(value: number, n?: integer) -> boolean",
            doc: "Adds a value, n times; false if it is not finite, and so not added.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all values.", call: clear },
        Function {
            name: "collapsed",
            signature: "() -> boolean",
            doc: "Whether there were more buckets than allowed, so that the lowest quantiles are not within the accuracy.",
            call: collapsed,
        },
        Function { name: "count", signature: "() -> integer", doc: "How many values were added.", call: count },
        Function { name: "max", signature: "() -> number?", doc: "The greatest value, exactly.", call: max },
        Function {
            name: "merge",
            signature: "(other: ddsketch)",
            doc: "Adds all values of another sketch of the same accuracy.",
            call: merge,
        },
        Function { name: "min", signature: "() -> number?", doc: "The least value, exactly.", call: min },
        Function {
            name: "quantile",
            signature: "(q: number) -> number?",
            doc: "The value below which the share q (0 to 1) of the values lies; nil when there are none.",
            call: quantile,
        },
        Function { name: "sum", signature: "() -> number", doc: "The sum of the values.", call: sum },
    ];
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let accuracy = call.optional(1, Call::number)?.unwrap_or(0.01);
    let buckets = call.optional(2, Call::integer)?.unwrap_or(2048);
    if !(0.0001..=0.5).contains(&accuracy) {
        return Err(Error::argument(1, "accuracy must be 0.0001 to 0.5"));
    }
    let sketch = DdSketch::new(accuracy, usize::try_from(buckets).unwrap_or(0));
    let sketch = sketch.ok_or_else(|| Error::argument(2, "max_buckets must be 16 to 65536"))?;
    call.push_object(Held(sketch))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let value = call.number(2)?;
    let n = call.optional(3, Call::integer)?.unwrap_or(1);
    let n = u64::try_from(n).map_err(|_| Error::argument(3, "n must be >= 0"))?;
    let added = grow(call, |s: &mut DdSketch, room| s.try_add(value, n, room))?;
    call.push_bool(added)?;
    Ok(Returned(1))
}

fn quantile(call: &mut Call<'_>) -> Result<Returned, Error> {
    let q = call.number(2)?;
    if !(0.0..=1.0).contains(&q) {
        return Err(Error::argument(2, "q must be 0 to 1"));
    }
    let value = with(call, |s: &mut DdSketch| s.quantile(q))?;
    push_number_or_nil(call, value)
}

fn merge(call: &mut Call<'_>) -> Result<Returned, Error> {
    let bytes = call.with(2, |other: &mut Held<DdSketch>| other.0.bytes())?;
    call.room_for(bytes)?;
    let other = call.with(2, |other: &mut Held<DdSketch>| other.0.clone())?;
    let merged = grow(call, |s: &mut DdSketch, room| s.try_merge(&other, room))?;
    if !merged {
        let accuracy = with(call, |s: &mut DdSketch| s.alpha())?;
        return Err(Error::argument(2, format!("a sketch of accuracy {accuracy} expected, got one of {}", other.alpha())));
    }
    Ok(Returned(0))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = with(call, |s: &mut DdSketch| s.count())?;
    call.push_integer(i64::try_from(count).unwrap_or(i64::MAX))?;
    Ok(Returned(1))
}

fn sum(call: &mut Call<'_>) -> Result<Returned, Error> {
    let sum = with(call, |s: &mut DdSketch| s.sum())?;
    call.push_number(sum)?;
    Ok(Returned(1))
}

fn min(call: &mut Call<'_>) -> Result<Returned, Error> {
    let min = with(call, |s: &mut DdSketch| s.min())?;
    push_number_or_nil(call, min)
}

fn max(call: &mut Call<'_>) -> Result<Returned, Error> {
    let max = with(call, |s: &mut DdSketch| s.max())?;
    push_number_or_nil(call, max)
}

fn collapsed(call: &mut Call<'_>) -> Result<Returned, Error> {
    let collapsed = with(call, |s: &mut DdSketch| s.collapsed())?;
    call.push_bool(collapsed)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |s: &mut DdSketch| s.clear())?;
    Ok(Returned(0))
}

fn push_number_or_nil(call: &mut Call<'_>, value: Option<f64>) -> Result<Returned, Error> {
    match value {
        Some(value) => call.push_number(value)?,
        None => call.push_nil()?,
    };
    Ok(Returned(1))
}
