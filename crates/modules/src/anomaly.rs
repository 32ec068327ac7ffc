//! `anomaly`: checks of circular buffers that a configuration text names. As of Heka.

use detect::{Algorithm, Check, Trend, parse};
use sandbox::native::{Body, Call, Error, Function, Module, Returned, Slot, Value};

use crate::circular_buffer::CircularBuffer;

pub const MODULE: Module = Module {
    name: "anomaly",
    doc: "Detects what is out of the ordinary in circular buffers: sudden changes, trends, data that stop or start.",
    body: Body::Native(
        &[
            Function {
                name: "detect",
                signature: "(ns: integer, name: string, buffer: circular_buffer, config?: table) -> string?, table?",
                doc: "Runs the checks that the configuration has for the buffer of this name, once a row: what they found, a line each, and an annotation for each. Advances the buffer to `ns`.",
                call: detect,
            },
            Function {
                name: "parse_config",
                signature: "(config?: string) -> table?",
                doc: "Reads calls such as `roc(\"NAME\", column, win, hwin, sd, loss_of_data, start_of_data)`, `mww(\"NAME\", column, win, nwin, pvalue, decreasing|increasing|any)` and `mww_nonparametric(\"NAME\", column, win, nwin, pstat)`: for each name a list of checks. Raises an error when it cannot; nil stays nil.",
                call: parse_config,
            },
        ],
        &[],
    ),
};

const SECOND: i64 = 1_000_000_000;

/// A list of checks for each name, as tables, so that a script may look at them or make its own.
fn parse_config(call: &mut Call<'_>) -> Result<Returned, Error> {
    if call.arg(1).is_nil() {
        call.push_nil()?;
        return Ok(Returned(1));
    }
    let text = call.text(1)?;
    call.room_for(16 * text.len())?;
    let checks = parse(&text).map_err(|why| Error::message(format!("could not parse the anomaly_config: {why}")))?;
    let config = call.push_table(0, checks.len())?;
    for (name, check) in &checks {
        let list = call.get(config, name)?;
        if call.value(list).is_nil() {
            call.pop(1);
            call.push_table(1, 2)?;
            call.push_slot(list)?;
            call.set(config, name)?;
        }
        let n = call.len(list) as i64 + 1;
        push_check(call, check)?;
        call.set_index(list, n)?;
        call.truncate(config);
        call.budget()?;
    }
    Ok(Returned(1))
}

fn push_check(call: &mut Call<'_>, check: &Check) -> Result<(), Error> {
    let table = call.push_table(0, 8)?;
    let integer = |call: &mut Call<'_>, key, n: usize| {
        call.push_integer(n as i64)?;
        call.set(table, key)
    };
    integer(call, "col", check.column)?;
    match check.algorithm {
        Algorithm::Roc { win, hwin, sd, loss_of_data, start_of_data } => {
            integer(call, "win", win)?;
            integer(call, "hwin", hwin)?;
            set_number(call, table, "sd", sd)?;
            for (key, on) in [("loss_of_data", loss_of_data), ("start_of_data", start_of_data)] {
                call.push_bool(on)?;
                call.set(table, key)?;
            }
        }
        Algorithm::Mww { win, nwin, pvalue, trend } => {
            integer(call, "win", win)?;
            integer(call, "nwin", nwin)?;
            set_number(call, table, "pvalue", pvalue)?;
            set_text(call, table, "trend", trend.name())?;
        }
        Algorithm::MwwNonparametric { win, nwin, pstat } => {
            integer(call, "win", win)?;
            integer(call, "nwin", nwin)?;
            set_number(call, table, "pstat", pstat)?;
        }
    }
    set_text(call, table, "algorithm", check.algorithm.name())
}

fn set_number(call: &mut Call<'_>, table: Slot, key: &str, x: f64) -> Result<(), Error> {
    call.push_number(x)?;
    call.set(table, key)
}

fn set_text(call: &mut Call<'_>, table: Slot, key: &str, text: &str) -> Result<(), Error> {
    call.push_bytes(text.as_bytes())?;
    call.set(table, key)
}

fn detect(call: &mut Call<'_>) -> Result<Returned, Error> {
    let (ns, name) = (call.integer(1)?, call.text(2)?);
    let buffer = call.object::<CircularBuffer>(3)?;
    {
        // Time goes on when nothing comes in, so that a loss of data shows.
        let ring = &mut buffer.borrow_mut().ring;
        if ring.get(ns, 0).is_none() {
            ring.add(ns, 0, f64::NAN);
        }
    }
    if call.arg(4).is_nil() {
        return Ok(Returned(0));
    }
    let config = call.table(4)?;
    let checks = call.get(config, &name)?;
    if !matches!(call.value(checks), Value::Table(_)) {
        return Ok(Returned(0));
    }
    let interval = i64::from(buffer.borrow().ring.seconds_per_row()) * SECOND;
    let last_run = integer(call, checks, "last_run")?.unwrap_or(0);
    if ns <= last_run || ns.saturating_sub(last_run) < interval {
        return Ok(Returned(0));
    }
    call.push_integer(ns)?;
    call.set(checks, "last_run")?;
    run(call, &name, checks)
}

/// Runs a list of checks on the buffer that is argument 3.
fn run(call: &mut Call<'_>, name: &str, checks: Slot) -> Result<Returned, Error> {
    let buffer = call.object::<CircularBuffer>(3)?;
    let annotations = call.push_table(0, 0)?;
    let mut messages: Vec<String> = Vec::new();
    for n in 1..=call.len(checks) as i64 {
        call.budget()?;
        let table = call.get_index(checks, n)?;
        let check = read_check(call, table, n)?;
        call.truncate(annotations);
        let ring = &buffer.borrow().ring;
        call.room_for(2 * ring.bytes() / ring.columns())?;
        let prefix = format!("{name} - algorithm: {} col: {} msg: ", check.algorithm.name(), check.column);
        if let Some(found) = check.run(ring).map_err(|why| Error::message(format!("{prefix}{why}")))? {
            call.room_for(prefix.len() + found.len())?;
            let annotation = call.push_table(0, 4)?;
            for (key, number) in [("x", ring.newest_ns().div_euclid(SECOND / 1000)), ("col", check.column as i64)] {
                call.push_integer(number)?;
                call.set(annotation, key)?;
            }
            set_text(call, annotation, "shortText", "A")?;
            set_text(call, annotation, "text", &found)?;
            messages.push(prefix + &found);
            call.set_index(annotations, messages.len() as i64)?;
        }
    }
    if messages.is_empty() {
        return Ok(Returned(0));
    }
    call.push_bytes(messages.join("\n").as_bytes())?;
    call.push_slot(annotations)?;
    Ok(Returned(2))
}

/// A check from its table.
fn read_check(call: &mut Call<'_>, table: Slot, n: i64) -> Result<Check, Error> {
    let wrong = |key: &str| Error::argument(4, format!("check {n} has no valid `{key}`"));
    let count = |call: &mut Call<'_>, key| {
        let found = integer(call, table, key)?.and_then(|n| usize::try_from(n).ok());
        found.ok_or_else(|| wrong(key))
    };
    let (column, win) = (count(call, "col")?, count(call, "win")?);
    let algorithm = match &*text(call, table, "algorithm")? {
        "roc" => Algorithm::Roc {
            win,
            hwin: count(call, "hwin")?,
            sd: number(call, table, "sd")?.ok_or_else(|| wrong("sd"))?,
            loss_of_data: truthy(call, table, "loss_of_data")?,
            start_of_data: truthy(call, table, "start_of_data")?,
        },
        "mww" => {
            let trend = text(call, table, "trend")?;
            Algorithm::Mww {
                win,
                nwin: count(call, "nwin")?,
                pvalue: number(call, table, "pvalue")?.ok_or_else(|| wrong("pvalue"))?,
                trend: Trend::ALL.into_iter().find(|t| t.name() == trend).ok_or_else(|| wrong("trend"))?,
            }
        }
        "mww_nonparametric" => {
            let pstat = number(call, table, "pstat")?.ok_or_else(|| wrong("pstat"))?;
            Algorithm::MwwNonparametric { win, nwin: count(call, "nwin")?, pstat }
        }
        _ => return Err(wrong("algorithm")),
    };
    Ok(Check { column, algorithm })
}

fn number(call: &mut Call<'_>, table: Slot, key: &str) -> Result<Option<f64>, Error> {
    let slot = call.get(table, key)?;
    Ok(match call.value(slot) {
        Value::Integer(n) => Some(n as f64),
        Value::Number(x) => Some(x),
        _ => None,
    })
}

/// A number that is finite, without its fraction.
fn integer(call: &mut Call<'_>, table: Slot, key: &str) -> Result<Option<i64>, Error> {
    let slot = call.get(table, key)?;
    Ok(match call.value(slot) {
        Value::Integer(n) => Some(n),
        Value::Number(x) if x.is_finite() => Some(x as i64),
        _ => None,
    })
}

fn truthy(call: &mut Call<'_>, table: Slot, key: &str) -> Result<bool, Error> {
    let slot = call.get(table, key)?;
    Ok(!matches!(call.value(slot), Value::Nil | Value::None | Value::Bool(false)))
}

/// A short text; empty when there is none.
fn text(call: &mut Call<'_>, table: Slot, key: &str) -> Result<String, Error> {
    let slot = call.get(table, key)?;
    Ok(match call.value(slot) {
        Value::String(s) if s.len() <= 40 => String::from_utf8_lossy(s).into_owned(),
        _ => String::new(),
    })
}
