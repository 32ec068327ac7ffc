//! `bloom_filter`: was it there before?

use ::sketch::Bloom;
use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};

pub static MODULE: Module = Module {
    name: "bloom_filter",
    doc: "Tells whether an item was added before, with false positives of a chosen probability.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Filter>();

const FUNCTIONS: &[Function] = &[Function {
    name: "new",
    signature: "(items: integer, probability: number) -> bloom_filter",
    doc: "A filter for so many items (more than 1) with this probability (between 0 and 1) of false positives.",
    call: new,
}];

struct Filter(Bloom);

impl Object for Filter {
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
    const SAVED: bool = true;

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn save(&self, into: &mut Vec<u8>) {
        self.0.save(into);
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        Bloom::restore(saved).map(Filter)
    }
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
    call.push_object(Filter(filter))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let added = call.with(1, |f: &mut Filter| f.0.add(&item))?;
    call.push_bool(added)?;
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
