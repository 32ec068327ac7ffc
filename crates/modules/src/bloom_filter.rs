//! `bloom_filter`: was it there before?

use ::sketch::Bloom;
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned};

use crate::held::{Held, Named, with};

pub static MODULE: Module = Module {
    name: "bloom_filter",
    doc: "Tells whether an item was added before, with false positives of a chosen probability.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Held<Bloom>>();

const FUNCTIONS: &[Function] = &[Function {
    name: "new",
    signature: "(items: integer, probability: number) -> bloom_filter",
    doc: "A filter for so many items (more than 1) with this probability (between 0 and 1) of false positives.",
    call: new,
}];

impl Named for Bloom {
    const NAME: &'static str = "bloom_filter";
    const METHODS: &'static [Function] = &[
        Function {
            name: "add",
            signature: "(item: string|number) -> boolean",
            doc: "Adds an item; true if it was not there before.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all items.", call: clear },
        Function { name: "count", signature: "() -> integer", doc: "How many items were added that were not there before.", call: count },
        Function { name: "query", signature: "(item: string|number) -> boolean", doc: "Whether the item was added.", call: query },
    ];
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let items = u64::try_from(call.integer(1)?).unwrap_or(0);
    if items < 2 {
        return Err(Error::argument(1, "items must be > 1"));
    }
    let probability = call.number(2)?;
    if !(probability > 0.0 && probability < 1.0) {
        return Err(Error::argument(2, "probability must be between 0 and 1"));
    }
    call.room_for(Bloom::bytes_for(items, probability).unwrap_or(usize::MAX))?;
    let filter = Bloom::new(items, probability).ok_or(Error::Memory)?;
    call.push_object(Held(filter))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let added = with(call, |f: &mut Bloom| f.add(&item))?;
    call.push_bool(added)?;
    Ok(Returned(1))
}

fn query(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let found = with(call, |f: &mut Bloom| f.contains(&item))?;
    call.push_bool(found)?;
    Ok(Returned(1))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = with(call, |f: &mut Bloom| f.count())?;
    call.push_integer(count as i64)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |f: &mut Bloom| f.clear())?;
    Ok(Returned(0))
}
