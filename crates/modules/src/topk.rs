//! `topk`: the most frequent items.

use ::sketch::TopK;
use sandbox::native::{Body, Call, Error, Function, Module, ObjectType, Returned};

use crate::held::{Held, Named, grow, with};

pub static MODULE: Module = Module {
    name: "topk",
    doc: "The most frequent items of a stream, with so many counters: none that makes up more than 1/counters of it is missing.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Held<TopK>>();

const FUNCTIONS: &[Function] =
    &[Function { name: "new", signature: "(counters: integer) -> topk", doc: "An empty list with 1 to 2^20 counters.", call: new }];

impl Named for TopK {
    const NAME: &'static str = "topk";
    const METHODS: &'static [Function] = &[
        Function { name: "add", signature: "(item: string|number, n?: integer)", doc: "Counts an item, n times.", call: add },
        Function { name: "clear", signature: "()", doc: "Forgets all items.", call: clear },
        Function {
            name: "get",
            signature: "(item: string|number) -> integer?, integer?",
            doc: "An item's count, which is never too low, and by how much it may be too high; nil if it has no counter.",
            call: get,
        },
        Function { name: "len", signature: "() -> integer", doc: "How many items have counters.", call: len },
        Function {
            name: "list",
            signature: "(n?: integer) -> {item: string, count: integer, error: integer}[]",
            doc: "The items with the highest counts, at most n; counts are at most error too high.",
            call: list,
        },
        Function { name: "total", signature: "() -> integer", doc: "The sum of what was added.", call: total },
    ];
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let top = TopK::new(usize::try_from(call.integer(1)?).unwrap_or(0));
    let top = top.ok_or_else(|| Error::argument(1, "counters must be 1 to 2^20"))?;
    call.push_object(Held(top))?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let n = call.optional(3, Call::integer)?.unwrap_or(1);
    let n = u64::try_from(n).map_err(|_| Error::argument(3, "n must be >= 0"))?;
    grow(call, |t: &mut TopK, room| t.try_add(&item, n, room))?;
    Ok(Returned(0))
}

fn get(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let Some((count, error)) = with(call, |t: &mut TopK| t.get(&item).map(|i| (i.count, i.error)))? else {
        call.push_nil()?;
        return Ok(Returned(1));
    };
    call.push_integer(integer(count))?;
    call.push_integer(integer(error))?;
    Ok(Returned(2))
}

fn list(call: &mut Call<'_>) -> Result<Returned, Error> {
    let n = call.optional(2, Call::integer)?.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    let top = call.object::<Held<TopK>>(1)?;
    let top = top.borrow();
    call.room_for(top.0.len() * 64)?;
    let items = top.0.list(n);
    let list = call.push_table(items.len(), 0)?;
    for (i, found) in (1..).zip(&items) {
        call.budget()?;
        let entry = call.push_table(0, 3)?;
        call.push_bytes(found.item)?;
        call.set(entry, "item")?;
        call.push_integer(integer(found.count))?;
        call.set(entry, "count")?;
        call.push_integer(integer(found.error))?;
        call.set(entry, "error")?;
        call.set_index(list, i)?;
    }
    Ok(Returned(1))
}

fn len(call: &mut Call<'_>) -> Result<Returned, Error> {
    let len = with(call, |t: &mut TopK| t.len())?;
    call.push_integer(len as i64)?;
    Ok(Returned(1))
}

fn total(call: &mut Call<'_>) -> Result<Returned, Error> {
    let total = with(call, |t: &mut TopK| t.total())?;
    call.push_integer(integer(total))?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    with(call, |t: &mut TopK| t.clear())?;
    Ok(Returned(0))
}

fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
