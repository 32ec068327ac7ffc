//! `cuckoo_filter`: was it there before? And forget it.

use ::sketch::{Added, Cuckoo};
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned};

use crate::held::{Held, Named, with};

pub static MODULE: Module = Module {
    name: "cuckoo_filter",
    doc: "Tells whether an item was added before, with 0.012 % false positives, and can forget single items.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Held<Cuckoo>>();

const FUNCTIONS: &[Function] =
    &[Function { name: "new", signature: "(items: integer) -> cuckoo_filter", doc: "A filter for so many items, 4 at least.", call: new }];

impl Named for Cuckoo {
    const NAME: &'static str = "cuckoo_filter";
    const METHODS: &'static [Function] = &[
        Function {
            name: "add",
            signature: "(item: string|number) -> boolean?, string?",
            doc: "Adds an item. True if it was not there before; false if it was; nil and why if there is no room.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all items.", call: clear },
        Function { name: "count", signature: "() -> integer", doc: "How many items it holds.", call: count },
        Function {
            name: "delete",
            signature: "(item: string|number) -> boolean",
            doc: "Forgets an item that was added; false if it is not there.",
            call: delete,
        },
        Function { name: "query", signature: "(item: string|number) -> boolean", doc: "Whether the item was added.", call: query },
    ];
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let items = u64::try_from(call.integer(1)?).unwrap_or(0);
    let Some(bytes) = Cuckoo::bytes_for(items) else { return Err(Error::argument(1, "items must be 4 to 2^32")) };
    call.room_for(bytes)?;
    let filter = Cuckoo::new(items).ok_or(Error::Memory)?;
    call.push_object(Held(filter))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let (added, items) = with(call, |f: &mut Cuckoo| (f.add(&item), f.items()))?;
    if added == Added::Full {
        call.push_nil()?;
        call.push_bytes(format!("the filter is full; it was made for {items} items").as_bytes())?;
        return Ok(Returned(2));
    }
    call.push_bool(added == Added::New)?;
    Ok(Returned(1))
}

fn delete(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let deleted = with(call, |f: &mut Cuckoo| f.delete(&item))?;
    call.push_bool(deleted)?;
    Ok(Returned(1))
}

fn query(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let found = with(call, |f: &mut Cuckoo| f.contains(&item))?;
    call.push_bool(found)?;
    Ok(Returned(1))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = with(call, |f: &mut Cuckoo| f.count())?;
    call.push_integer(count as i64)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |f: &mut Cuckoo| f.clear())?;
    Ok(Returned(0))
}
