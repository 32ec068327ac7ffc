//! `cuckoo_filter`: was it there before? And forget it.

use ::sketch::{Added, Cuckoo};
use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};

pub static MODULE: Module = Module {
    name: "cuckoo_filter",
    doc: "Tells whether an item was added before, with 0.012 % false positives, and can forget single items.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Filter>();

const FUNCTIONS: &[Function] =
    &[Function { name: "new", signature: "(items: integer) -> cuckoo_filter", doc: "A filter for so many items, 4 at least.", call: new }];

struct Filter(Cuckoo);

impl Object for Filter {
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
    const SAVED: bool = true;

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        Cuckoo::restore(saved).map(Filter)
    }
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let items = u64::try_from(call.integer(1)?).unwrap_or(0);
    let Some(bytes) = Cuckoo::bytes_for(items) else { return Err(Error::argument(1, "items must be 4 to 2^32")) };
    call.room_for(bytes)?;
    let filter = Cuckoo::new(items).ok_or(Error::Memory)?;
    call.push_object(Filter(filter))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let (added, items) = call.with(1, |f: &mut Filter| (f.0.add(&item), f.0.items()))?;
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
    let deleted = call.with(1, |f: &mut Filter| f.0.delete(&item))?;
    call.push_bool(deleted)?;
    Ok(Returned(1))
}

fn query(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let found = call.with(1, |f: &mut Filter| f.0.contains(&item))?;
    call.push_bool(found)?;
    Ok(Returned(1))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = call.with(1, |f: &mut Filter| f.0.count())?;
    call.push_integer(count as i64)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.with(1, |f: &mut Filter| f.0.clear())?;
    Ok(Returned(0))
}
