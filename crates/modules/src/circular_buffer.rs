//! `circular_buffer`: rows × columns of numbers, a row for each interval of time, that advance with
//! the time of what is added. As of Heka, with the additions of its successor.

use detect::{Aggregation, Annotation, Column, Ring, Rows, Statistic, mann_whitney};
use sandbox::native::{Body, Call, Error, Function, Module, Object, ObjectType, Returned};

pub const MODULE: Module = Module {
    name: "circular_buffer",
    doc: "Columns of numbers over a sliding window of time, with statistics and a text for graphs.",
    body: Body::Native(
        &[Function {
            name: "new",
            signature: "(rows: integer, columns: integer, seconds_per_row: integer, enable_delta?: boolean) -> circular_buffer",
            doc: "A buffer of empty rows, at least 2, each of 1 to 86400 seconds. With `enable_delta` it knows what has changed since that was last sent.",
            call: new,
        }],
        &[&ObjectType::of::<CircularBuffer>()],
    ),
};

/// What a script holds.
pub(crate) struct CircularBuffer {
    pub(crate) ring: Ring,
    /// Its text tells what has changed, not all there is.
    deltas: bool,
}

impl Object for CircularBuffer {
    const NAME: &'static str = "circular_buffer";
    const METHODS: &'static [Function] = METHODS;
    const SAVED: bool = true;

    fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Version 1: whether the format is `cbufd`, then the ring.
    fn save(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[1, u8::from(self.deltas)]);
        self.ring.save(into);
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        match saved {
            [1, deltas @ (0 | 1), ring @ ..] => Some(CircularBuffer { ring: Ring::restore(ring)?, deltas: *deltas == 1 }),
            _ => None,
        }
    }

    fn write(&mut self, into: &mut Vec<u8>, limit: usize) -> bool {
        self.show(into, limit);
        // What does not fit is refused and has not been told.
        if self.deltas && into.len() <= limit {
            self.ring.reset_deltas();
        }
        true
    }
}

impl CircularBuffer {
    fn show(&self, into: &mut Vec<u8>, limit: usize) {
        if self.deltas { self.ring.write_deltas(into, limit) } else { self.ring.write(into, limit) }
    }
}

const METHODS: &[Function] = &[
    Function {
        name: "__tostring",
        signature: "() -> string",
        doc: "Its text in the chosen format. Unlike sending it, this does not reset what has changed.",
        call: to_string,
    },
    Function {
        name: "add",
        signature: "(ns: integer, column: integer, value: number) -> number?",
        doc: "Adds to the cell of a time and returns its new value. Nil when the time is older than the buffer; a newer one advances it.",
        call: |call| put(call, Ring::add),
    },
    Function {
        name: "annotate",
        signature: r#"(ns: integer, column: integer, type: "info"|"alert", text: string, delta?: boolean) -> boolean"#,
        doc: "Puts a remark on the graph, and, unless `delta` is false, into the next delta output. False when the buffer does not hold the time.",
        call: annotate,
    },
    Function {
        name: "compute",
        signature: r#"(statistic: "sum"|"avg"|"sd"|"variance"|"min"|"max", column: integer, start_ns?: integer, end_ns?: integer) -> number?, integer?"#,
        doc: "A statistic over the rows from start to end, and how many of them have a value. Nil when the buffer does not hold the times.",
        call: compute,
    },
    Function {
        name: "current_time",
        signature: "() -> integer",
        doc: "The time at which the newest row begins, in nanoseconds.",
        call: |call| {
            let ns = call.with(1, |b: &mut CircularBuffer| b.ring.newest_ns())?;
            call.push_integer(ns)?;
            Ok(Returned(1))
        },
    },
    Function {
        name: "format",
        signature: r#"(format: "cbuf"|"cbufd") -> circular_buffer"#,
        doc: "Chooses what its text tells: all there is, or what has changed. Returns the buffer.",
        call: format,
    },
    Function {
        name: "fromstring",
        signature: "(values: string)",
        doc: "Takes values from a text: seconds of the newest row, its place from 0, the cells row by row, then changed rows.",
        call: from_string,
    },
    Function {
        name: "get",
        signature: "(ns: integer, column: integer) -> number?",
        doc: "The value of the cell of a time; NaN when it has none, nil when the buffer does not hold the time.",
        call: |call| cell(call, Ring::get),
    },
    Function {
        name: "get_configuration",
        signature: "() -> integer, integer, integer",
        doc: "Rows, columns and seconds per row.",
        call: get_configuration,
    },
    Function {
        name: "get_delta",
        signature: "(ns: integer, column: integer) -> number?",
        doc: "What has been added to a cell since changes were last sent; NaN when nothing was, nil when the buffer does not hold the time or keeps no deltas.",
        call: |call| cell(call, Ring::get_delta),
    },
    Function {
        name: "get_header",
        signature: "(column: integer) -> string, string, string",
        doc: "Name, unit and aggregation of a column.",
        call: get_header,
    },
    Function {
        name: "get_range",
        signature: "(column: integer, start_ns?: integer, end_ns?: integer) -> number[]?",
        doc: "The values of the rows from start to end. Nil when the buffer does not hold the times.",
        call: |call| range_of(call, |ring, column, rows| ring.values(column, rows).collect()),
    },
    Function {
        name: "get_range_delta",
        signature: "(column: integer, start_ns?: integer, end_ns?: integer) -> number[]?",
        doc: "The deltas of the rows from start to end. Nil when the buffer does not hold the times; empty when it keeps no deltas.",
        call: |call| range_of(call, |ring, column, rows| ring.deltas(column, rows).collect()),
    },
    Function {
        name: "mannwhitneyu",
        signature: "(column: integer, start_1: integer, end_1: integer, start_2: integer, end_2: integer, use_continuity?: boolean) -> number?, number?",
        doc: "Compares two ranges of rows by rank: U of the first, and the one-sided probability of so large a difference. Nothing when all values are equal, a range has none, or the buffer does not hold the times.",
        call: mannwhitneyu,
    },
    Function {
        name: "reset_delta",
        signature: "()",
        doc: "Forgets what has changed.",
        call: |call| {
            call.with(1, |b: &mut CircularBuffer| b.ring.reset_deltas())?;
            Ok(Returned(0))
        },
    },
    Function {
        name: "set",
        signature: "(ns: integer, column: integer, value: number) -> number?",
        doc: "Sets the cell of a time and returns what it holds then: of a column aggregated as min or max, the smaller or larger value. Nil as for `add`.",
        call: |call| put(call, Ring::set),
    },
    Function {
        name: "set_header",
        signature: r#"(column: integer, name: string, unit?: string, aggregation?: "sum"|"min"|"max"|"none") -> integer"#,
        doc: "Describes a column: a name of up to 15 letters, digits and `_`, a unit of up to 7 characters (`count`), how many sources become one (`sum`). Returns the column.",
        call: set_header,
    },
];

/// Refuses a call with more or fewer arguments, the buffer included.
fn arguments(call: &Call<'_>, allowed: std::ops::RangeInclusive<usize>) -> Result<(), Error> {
    if allowed.contains(&call.args()) { Ok(()) } else { Err(Error::argument(0, "incorrect number of arguments")) }
}

fn new(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 3..=4)?;
    let [rows, columns, seconds] = [call.integer(1)?, call.integer(2)?, call.integer(3)?];
    let deltas = call.optional(4, Call::boolean)?.unwrap_or(false);
    let [rows, columns] = [rows, columns].map(|n| usize::try_from(n).unwrap_or(0));
    let seconds = u32::try_from(seconds).unwrap_or(0);
    Ring::check(rows, columns, seconds).map_err(|why| {
        let n = match why {
            detect::Size::Rows => 1,
            detect::Size::Columns => 2,
            detect::Size::SecondsPerRow => 3,
        };
        Error::argument(n, why.to_string())
    })?;
    call.room_for(Ring::bytes_for(rows, columns, deltas))?;
    let ring = Ring::new(rows, columns, seconds, deltas).map_err(|why| Error::message(why.to_string()))?;
    call.push_object(CircularBuffer { ring, deltas: false })?;
    Ok(Returned(1))
}

/// The column that argument `n` names, from 0.
fn column(call: &Call<'_>, n: usize) -> Result<usize, Error> {
    let columns = call.object::<CircularBuffer>(1)?.borrow().ring.columns();
    let column = call.integer(n)?;
    match usize::try_from(column) {
        Ok(c) if (1..=columns).contains(&c) => Ok(c - 1),
        _ => Err(Error::argument(n, format!("column {column} out of range (1 to {columns})"))),
    }
}

/// `add` and `set`
fn put(call: &mut Call<'_>, change: fn(&mut Ring, i64, usize, f64) -> Option<f64>) -> Result<Returned, Error> {
    arguments(call, 4..=4)?;
    let (ns, column, value) = (call.integer(2)?, column(call, 3)?, call.number(4)?);
    let new = call.with(1, |b: &mut CircularBuffer| change(&mut b.ring, ns, column, value))?;
    push_number(call, new)
}

/// `get` and `get_delta`
fn cell(call: &mut Call<'_>, read: fn(&Ring, i64, usize) -> Option<f64>) -> Result<Returned, Error> {
    arguments(call, 3..=3)?;
    let (ns, column) = (call.integer(2)?, column(call, 3)?);
    let value = call.with(1, |b: &mut CircularBuffer| read(&b.ring, ns, column))?;
    push_number(call, value)
}

fn push_number(call: &mut Call<'_>, x: Option<f64>) -> Result<Returned, Error> {
    match x {
        Some(x) => call.push_number(x)?,
        None => call.push_nil()?,
    };
    Ok(Returned(1))
}

/// The rows between the times that arguments `n` and `n` + 1 may give; nothing when they are not held.
fn rows(call: &Call<'_>, n: usize) -> Result<Option<Rows>, Error> {
    let (start, end) = (call.optional(n, Call::integer)?, call.optional(n + 1, Call::integer)?);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        return Err(Error::argument(n + 1, "end must be >= start"));
    }
    Ok(call.object::<CircularBuffer>(1)?.borrow().ring.between(start, end))
}

fn compute(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 3..=5)?;
    let name = call.bytes(2)?;
    let statistic = Statistic::from_name(&name).ok_or_else(|| invalid_option(2, &name))?;
    let column = column(call, 3)?;
    let Some(rows) = rows(call, 4)? else { return push_number(call, None) };
    let (value, active) = call.with(1, |b: &mut CircularBuffer| b.ring.compute(statistic, column, rows))?;
    call.push_number(value)?;
    call.push_integer(active as i64)?;
    Ok(Returned(2))
}

fn invalid_option(n: usize, name: &[u8]) -> Error {
    Error::argument(n, format!("invalid option '{}'", String::from_utf8_lossy(name)))
}

fn mannwhitneyu(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 6..=7)?;
    let column = column(call, 2)?;
    let [s1, e1, s2, e2] = [call.integer(3)?, call.integer(4)?, call.integer(5)?, call.integer(6)?];
    let (first, second) = (rows(call, 3)?, rows(call, 5)?);
    if e1 >= s2 && e2 >= s1 {
        return Err(Error::argument(4, "ranges must not overlap"));
    }
    let continuity = call.optional(7, Call::boolean)?.unwrap_or(true);
    let (Some(first), Some(second)) = (first, second) else { return Ok(Returned(0)) };
    let buffer = call.object::<CircularBuffer>(1)?;
    let ring = &buffer.borrow().ring;
    call.room_for((first.count() + second.count()) * size_of::<(f64, bool)>())?;
    call.budget()?;
    let Some(test) = mann_whitney(ring.values(column, first), ring.values(column, second), continuity) else {
        return Ok(Returned(0));
    };
    call.push_number(test.u)?;
    call.push_number(test.p)?;
    Ok(Returned(2))
}

/// `get_range` and `get_range_delta`
fn range_of(call: &mut Call<'_>, read: fn(&Ring, usize, Rows) -> Vec<f64>) -> Result<Returned, Error> {
    arguments(call, 2..=4)?;
    let column = column(call, 2)?;
    let Some(rows) = rows(call, 3)? else { return push_number(call, None) };
    call.room_for(rows.count() * (size_of::<f64>() + 16))?;
    let values = call.with(1, |b: &mut CircularBuffer| read(&b.ring, column, rows))?;
    let list = call.push_table(values.len(), 0)?;
    for (n, value) in (1..).zip(values) {
        call.push_number(value)?;
        call.set_index(list, n)?;
        if n % 1024 == 0 {
            call.budget()?;
        }
    }
    Ok(Returned(1))
}

fn get_configuration(call: &mut Call<'_>) -> Result<Returned, Error> {
    let configuration =
        call.with(1, |b: &mut CircularBuffer| [b.ring.rows() as i64, b.ring.columns() as i64, i64::from(b.ring.seconds_per_row())])?;
    for n in configuration {
        call.push_integer(n)?;
    }
    Ok(Returned(3))
}

fn set_header(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 3..=5)?;
    let (column, name) = (column(call, 2)?, call.bytes(3)?);
    let unit = call.optional(4, Call::bytes)?;
    let aggregation = match call.optional(5, Call::bytes)? {
        None => Aggregation::Sum,
        Some(name) => Aggregation::from_name(&name).ok_or_else(|| invalid_option(5, &name))?,
    };
    let what = Column::new(&name, unit.as_deref().unwrap_or(b"count"), aggregation);
    call.with(1, |b: &mut CircularBuffer| b.ring.set_column(column, what))?;
    call.push_integer(column as i64 + 1)?;
    Ok(Returned(1))
}

fn get_header(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 2..=2)?;
    let column = column(call, 2)?;
    let buffer = call.object::<CircularBuffer>(1)?;
    let buffer = buffer.borrow();
    let Some(column) = buffer.ring.column(column) else { return Ok(Returned(0)) };
    call.push_bytes(column.name().as_bytes())?;
    call.push_bytes(column.unit().as_bytes())?;
    call.push_bytes(column.aggregation.name().as_bytes())?;
    Ok(Returned(3))
}

fn annotate(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 5..=6)?;
    let (ns, column) = (call.integer(2)?, column(call, 3)?);
    let kind = call.bytes(4)?;
    let alert = match &*kind {
        b"alert" => true,
        b"info" => false,
        other => return Err(invalid_option(4, other)),
    };
    let text = call.bytes(5)?;
    call.room_for(3 * text.len() + 1024)?; // a byte that is not UTF-8 becomes three
    let mut text = String::from_utf8_lossy(&text).into_owned();
    text.shrink_to_fit();
    let fresh = call.optional(6, Call::boolean)?.unwrap_or(true);
    let note = |b: &mut CircularBuffer| {
        call.room_for(b.ring.annotation_bytes(text.len()))?;
        Ok(b.ring.annotate(Annotation { ns, column, alert, text, fresh }))
    };
    let done = call.with(1, note)??;
    call.push_bool(done)?;
    Ok(Returned(1))
}

fn format(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 2..=2)?;
    let name = call.bytes(2)?;
    let deltas = match &*name {
        b"cbuf" => false,
        b"cbufd" => true,
        other => return Err(invalid_option(2, other)),
    };
    call.with(1, |b: &mut CircularBuffer| b.deltas = deltas)?;
    call.push_slot(call.slot(1))?;
    Ok(Returned(1))
}

fn from_string(call: &mut Call<'_>) -> Result<Returned, Error> {
    arguments(call, 2..=2)?;
    let text = call.text(2)?;
    let bytes = call.object::<CircularBuffer>(1)?.borrow().ring.bytes();
    call.room_for(2 * bytes)?; // values are read aside
    call.with(1, |b: &mut CircularBuffer| b.ring.read_values(&text))?.map_err(|why| Error::message(why.to_string()))?;
    Ok(Returned(0))
}

fn to_string(call: &mut Call<'_>) -> Result<Returned, Error> {
    let limit = call.output_limit();
    call.room_for(limit)?;
    let mut text = Vec::new();
    call.with(1, |b: &mut CircularBuffer| b.show(&mut text, limit))?;
    if text.len() > limit {
        return Err(Error::message(format!(
            "tostring() of a circular_buffer makes more than {limit} bytes: raise output_limit or keep fewer rows"
        )));
    }
    call.push_bytes(&text)?;
    Ok(Returned(1))
}
