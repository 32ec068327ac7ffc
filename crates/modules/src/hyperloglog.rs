//! `hyperloglog`: counts distinct items in 12 KiB, to within about 0.8 %.

use ::sketch::{HyperLogLog, Sketch};
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned};

use crate::held::{Held, Named, with};

pub static MODULE: Module = Module {
    name: "hyperloglog",
    doc: "Counts distinct items in 12 KiB, with a standard error of 0.81 %.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Held<HyperLogLog>>();

const FUNCTIONS: &[Function] = &[Function { name: "new", signature: "() -> hyperloglog", doc: "A counter at 0.", call: new }];

impl Named for HyperLogLog {
    const NAME: &'static str = "hyperloglog";
    const METHODS: &'static [Function] = &[
        Function {
            name: "add",
            signature: "(item: string|number) -> boolean",
            doc: "Adds an item; true if that may have changed the count.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all items.", call: clear },
        Function { name: "count", signature: "() -> integer", doc: "The estimated number of distinct items.", call: count },
        Function { name: "merge", signature: "(other: hyperloglog)", doc: "Adds all that the other one has counted.", call: merge },
    ];
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.push_object(Held(HyperLogLog::default()))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let changed = with(call, |c: &mut HyperLogLog| c.add(&item))?;
    call.push_bool(changed)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |c: &mut HyperLogLog| c.clear())?;
    Ok(Returned(0))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = with(call, |c: &mut HyperLogLog| c.count())?;
    call.push_integer(count as i64)?;
    Ok(Returned(1))
}

fn merge(call: &mut Call<'_>) -> Result<Returned, Error> {
    let bytes = call.with(2, |other: &mut Held<HyperLogLog>| other.0.bytes())?;
    call.room_for(bytes)?;
    let other = call.with(2, |other: &mut Held<HyperLogLog>| other.0.clone())?;
    with(call, |c: &mut HyperLogLog| c.merge(&other))?;
    Ok(Returned(0))
}
