//! `read_config`

use crate::native::{Call, Error, Returned, Slot};
use crate::{Api, ConfigValue};

/// `read_config(key)`: the value of an option of the script, nil when it is not set. In
/// Hindsight's API the options of the sandbox itself are there too, and without a key a table of all.
pub(super) fn read_config(call: &mut Call<'_>) -> Result<Returned, Error> {
    let host = call.lua().host();
    let hindsight = host.config.api == Api::Hindsight;
    if hindsight && call.args() == 0 {
        return push_all(call);
    }
    if call.args() != 1 {
        return Err(Error::message("read_config() must have a single argument"));
    }
    let key = call.bytes(1)?;
    let given = host.config.config.iter().find(|(name, _)| name.as_bytes() == &*key).map(|(_, value)| value);
    match given {
        Some(value) => push(call, value)?,
        None if hindsight => match own(call).into_iter().find(|(name, _)| name.as_bytes() == &*key) {
            Some((_, value)) => push(call, &value)?,
            None => call.push_nil()?,
        },
        None => call.push_nil()?,
    };
    Ok(Returned(1))
}

fn push_all(call: &mut Call<'_>) -> Result<Returned, Error> {
    let given = &call.lua().host().config.config;
    let table = call.push_table(0, given.len() + 8)?;
    for (name, value) in own(call).iter().chain(given) {
        push(call, value)?;
        call.set(table, name)?;
    }
    Ok(Returned(1))
}

/// What the sandbox itself was configured with.
fn own(call: &Call<'_>) -> Vec<(String, ConfigValue)> {
    let config = &call.lua().host().config;
    let limits = &config.limits;
    let number = |n: usize| ConfigValue::Integer(n as i64);
    let own = [
        ("Logger", ConfigValue::String(config.name.clone())),
        ("Hostname", ConfigValue::String(config.hostname.clone())),
        ("Pid", ConfigValue::Integer(i64::from(config.pid))),
        ("instruction_limit", ConfigValue::Integer(limits.instructions.unwrap_or(0) as i64)),
        ("max_message_size", number(limits.output)),
        ("memory_limit", number(limits.memory)),
        ("output_limit", number(limits.output)),
    ];
    own.map(|(name, value)| (name.to_string(), value)).into()
}

fn push(call: &mut Call<'_>, value: &ConfigValue) -> Result<Slot, Error> {
    match value {
        ConfigValue::String(s) => call.push_bytes(s.as_bytes()),
        ConfigValue::Integer(n) => call.push_integer(*n),
        ConfigValue::Number(n) => call.push_number(*n),
        ConfigValue::Bool(b) => call.push_bool(*b),
        ConfigValue::List(values) => {
            let table = call.push_table(values.len(), 0)?;
            for (value, nth) in values.iter().zip(1..) {
                push(call, value)?;
                call.set_index(table, nth)?;
            }
            Ok(table)
        }
        ConfigValue::Table(entries) => {
            let table = call.push_table(0, entries.len())?;
            for (name, value) in entries {
                push(call, value)?;
                call.set(table, name)?;
            }
            Ok(table)
        }
    }
}
