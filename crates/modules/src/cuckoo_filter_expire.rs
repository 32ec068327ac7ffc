//! `cuckoo_filter_expire`: was it there lately?

use ::sketch::{Expiring, Seen, Sketch};
use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};

pub static MODULE: Module = Module {
    name: "cuckoo_filter_expire",
    doc: "Tells whether an item was added within the last 255 intervals, with 0.012 % false positives.",
    body: Body::Native(FUNCTIONS, &[&OBJECT]),
};

static OBJECT: ObjectType = ObjectType::of::<Filter>();

const FUNCTIONS: &[Function] = &[Function {
    name: "new",
    signature: "(items: integer, minutes: integer) -> cuckoo_filter_expire",
    doc: "A filter for so many items, 4 at least, within 255 intervals of 1 to 1440 minutes each.",
    call: new,
}];

struct Filter {
    sketch: Expiring,
    /// Nanoseconds of an interval.
    interval: i64,
}

const MINUTE: i64 = 60_000_000_000;

impl Object for Filter {
    const NAME: &'static str = "cuckoo_filter_expire";
    const METHODS: &'static [Function] = &[
        Function {
            name: "add",
            signature: "(item: string|number, ns: integer) -> boolean?, integer|string|nil",
            doc: "Adds an item seen at a time. True if it was not there; false, and the seconds since it was last added, in whole intervals, if it was; nil and why if it is too old or there is no room.",
            call: add,
        },
        Function { name: "clear", signature: "()", doc: "Forgets all items.", call: clear },
        Function { name: "count", signature: "() -> integer", doc: "How many items it holds.", call: count },
        Function {
            name: "current_interval",
            signature: "() -> integer, integer",
            doc: "Nanoseconds at which the newest interval began, and its number since 1970.",
            call: current_interval,
        },
        Function {
            name: "delete",
            signature: "(item: string|number) -> boolean",
            doc: "Forgets an item that was added; false if it is not there.",
            call: delete,
        },
        Function {
            name: "query",
            signature: "(item: string|number) -> boolean, integer?",
            doc: "Whether the item is there, and the nanoseconds at which the interval began in which it was last added.",
            call: query,
        },
    ];
    const SAVED: bool = true;

    fn bytes(&self) -> usize {
        self.sketch.bytes()
    }

    fn save(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.interval.to_le_bytes());
        self.sketch.save(into);
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        let (interval, sketch) = saved.split_first_chunk()?;
        let interval = i64::from_le_bytes(*interval);
        (MINUTE..=1440 * MINUTE).contains(&interval).then_some(Filter { sketch: Expiring::restore(sketch)?, interval })
    }
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    let items = u64::try_from(call.integer(1)?).unwrap_or(0);
    let Some(bytes) = Expiring::bytes_for(items) else { return Err(Error::argument(1, "items must be 4 to 2^32")) };
    let minutes = call.integer(2)?;
    if !(1..=1440).contains(&minutes) {
        return Err(Error::argument(2, "minutes of an interval must be 1 to 1440"));
    }
    call.room_for(bytes)?;
    let sketch = Expiring::new(items).ok_or(Error::Memory)?;
    call.push_object(Filter { sketch, interval: minutes * MINUTE })?;
    Ok(Returned(1))
}

fn add(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (item, ns) = (call.bytes(2)?, call.integer(3)?);
    let (seen, interval, items) =
        call.with(1, |f: &mut Filter| (f.sketch.add(&item, ns.div_euclid(f.interval)), f.interval, f.sketch.items()))?;
    match seen {
        Seen::New => {
            call.push_bool(true)?;
            return Ok(Returned(1));
        }
        Seen::Again(ago) => {
            call.push_bool(false)?;
            call.push_integer(ago.saturating_mul(interval / 1_000_000_000))?;
        }
        Seen::Old => {
            call.push_nil()?;
            call.push_bytes(b"older than 255 intervals")?;
        }
        Seen::Full => {
            call.push_nil()?;
            call.push_bytes(format!("the filter is full; it was made for {items} items").as_bytes())?;
        }
    }
    Ok(Returned(2))
}

fn query(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let last = call.with(1, |f: &mut Filter| f.sketch.last(&item).map(|last| last.saturating_mul(f.interval)))?;
    call.push_bool(last.is_some())?;
    let Some(ns) = last else { return Ok(Returned(1)) };
    call.push_integer(ns)?;
    Ok(Returned(2))
}

fn current_interval(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (now, interval) = call.with(1, |f: &mut Filter| (f.sketch.now(), f.interval))?;
    call.push_integer(now.saturating_mul(interval))?;
    call.push_integer(now)?;
    Ok(Returned(2))
}

fn delete(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(2)?;
    let deleted = call.with(1, |f: &mut Filter| f.sketch.delete(&item))?;
    call.push_bool(deleted)?;
    Ok(Returned(1))
}

fn count(call: &mut Call<'_>) -> Result<Returned, Error> {
    let count = call.with(1, |f: &mut Filter| f.sketch.count())?;
    call.push_integer(count as i64)?;
    Ok(Returned(1))
}

fn clear(call: &mut Call<'_>) -> Result<Returned, Error> {
    call.with(1, |f: &mut Filter| f.sketch.clear())?;
    Ok(Returned(0))
}
