//! Calls of the host's functions with arguments of any kind, and messages of any content.

use std::fmt::Write;

use message::{Batch, BatchBuilder, Datum, Header, Text, ValueType};
use sandbox::Family;

use super::choices::Choices;

/// Objects and their functions, besides what the host lists.
const FURTHER: &[&str] = &["log.info", "log.error", "log.warn", "rawset", "next", "tostring", "pairs"];
/// Arguments that mean something to one function or other.
const WORDS: &[&str] = &[
    "Type",
    "Payload",
    "Logger",
    "Hostname",
    "EnvVersion",
    "Severity",
    "Timestamp",
    "Pid",
    "Uuid",
    "raw",
    "framed",
    "creader",
    "Fields",
    "Fields[",
    "Fields[a]",
    "Fields[b]",
    "Fields[status]",
    "Fields[a][0]",
    "Fields[]",
    "txt",
    "json",
    "name",
    "a",
    "b",
    "",
    "process_message",
];

pub fn family(choices: &mut Choices<'_>) -> Family {
    choices.of(&[Family::Filter, Family::Decoder, Family::Transform, Family::Encoder, Family::Output, Family::Input])
}

/// One message.
pub fn message(choices: &mut Choices<'_>) -> Batch {
    let mut builder = BatchBuilder::default();
    let mut m = builder.add();
    for header in [Header::Type, Header::Logger, Header::Hostname, Header::Payload, Header::EnvVersion] {
        if choices.below(2) == 1 {
            let text = m.messages().store(choices.bytes(40));
            m.set_text_header(header, text);
        }
    }
    m.set_timestamp(choices.integer());
    m.set_severity(choices.integer() as i32);
    m.set_pid(choices.integer() as i32);
    for _ in 0..choices.below(6) {
        let name = choices.of(&[b"a".as_slice(), b"b", b"status", b"", b"a]", b"\xff"]);
        let name = m.messages().store(name);
        let representation = if choices.below(4) == 0 { m.messages().store(choices.bytes(4)) } else { Text::NONE };
        let type_ = choices.of(&[ValueType::String, ValueType::Bytes, ValueType::Integer, ValueType::Double, ValueType::Bool]);
        let values: Vec<Datum> = (0..choices.below(4))
            .map(|_| match type_ {
                ValueType::String => Datum::String(m.messages().store(choices.bytes(12))),
                ValueType::Bytes => Datum::Bytes(m.messages().store(choices.bytes(12))),
                ValueType::Integer => Datum::Integer(choices.integer()),
                ValueType::Double => Datum::Double(f64::from_bits(choices.integer() as u64)),
                ValueType::Bool => Datum::Bool(choices.below(2) == 1),
            })
            .collect();
        m.add_field(name, representation, type_, &values);
    }
    builder.finish()
}

/// A script that makes these calls on every message, and some of them on a tick and while it loads.
pub fn script(choices: &mut Choices<'_>) -> String {
    let mut out = String::from("v = {}\nfunction process_message()\n");
    for _ in 0..2 + choices.below(14) {
        call(choices, &mut out);
    }
    out.push_str("  return 0\nend\nfunction timer_event(ns)\n");
    for _ in 0..choices.below(4) {
        call(choices, &mut out);
    }
    out.push_str("end\n");
    for _ in 0..choices.below(3) {
        call(choices, &mut out);
    }
    out
}

fn function(choices: &mut Choices<'_>) -> &'static str {
    let nth = choices.below(sandbox::HOST.len() + FURTHER.len());
    sandbox::HOST.get(nth).map_or_else(|| FURTHER[nth - sandbox::HOST.len()], |f| f.name)
}

/// One protected call; what it returns is an argument of later ones.
fn call(choices: &mut Choices<'_>, out: &mut String) {
    // Writing to memory does not fail.
    let _ = write!(out, "  v[{}] = select(2, pcall(function() return {}(", choices.below(3), function(choices));
    for i in 0..choices.below(6) {
        out.push_str(if i > 0 { ", " } else { "" });
        argument(choices, out, 0);
    }
    out.push_str(") end))\n");
}

pub(super) fn argument(choices: &mut Choices<'_>, out: &mut String, depth: usize) {
    let _ = match choices.below(if depth > 3 { 8 } else { 11 }) {
        0 | 1 => write!(out, "'{}'", choices.of(WORDS)),
        2 => write!(out, "{}", i32::from(choices.byte()) - 3),
        3 => write!(out, "math.mininteger ~ {}", choices.integer().unsigned_abs() >> 1),
        4 => write!(out, "{}", choices.of(&["nil", "true", "false", "0/0", "1/0", "-0.0", "0.5", "2^63", "print", "1e300"])),
        5 => write!(out, "v[{}]", choices.below(3)),
        6 => write!(out, "('{}'):rep({})", choices.of(&["a", "ab,", "\\n", "\\xff"]), 1 << choices.below(15)),
        7 => quoted(choices.bytes(20), out),
        8 | 9 => table(choices, out, depth),
        _ => {
            out.push_str("setmetatable(");
            let _ = table(choices, out, depth);
            let _ = write!(out, ", {{{} = ", choices.of(&["__index", "__len", "__tostring", "__pairs", "__name"]));
            argument(choices, out, depth + 1);
            out.write_str("})")
        }
    };
}

fn table(choices: &mut Choices<'_>, out: &mut String, depth: usize) -> std::fmt::Result {
    const KEYS: &[&str] = &[
        "Type",
        "Payload",
        "Timestamp",
        "Severity",
        "Logger",
        "Hostname",
        "Pid",
        "Uuid",
        "EnvVersion",
        "Fields",
        "name",
        "value",
        "value_type",
        "representation",
        "a",
        "b",
    ];
    out.push('{');
    for _ in 0..choices.below(6) {
        match choices.below(4) {
            0 => {}
            1 => write!(out, "[{}] = ", choices.below(5))?,
            _ => write!(out, "{} = ", choices.of(KEYS))?,
        }
        argument(choices, out, depth + 1);
        out.push(',');
    }
    out.write_char('}')
}

fn quoted(bytes: &[u8], out: &mut String) -> std::fmt::Result {
    out.push('\'');
    bytes.iter().try_for_each(|b| write!(out, "\\x{b:02x}"))?;
    out.write_char('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_choices_make_calls_that_compile() {
        for seed in 0..300_u32 {
            let data: Vec<u8> = (0..300_u32).map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * i * 40_503) >> 11) as u8).collect();
            let mut choices = Choices::new(&data);
            family(&mut choices);
            assert_eq!(message(&mut choices).len(), 1);
            let text = script(&mut choices);
            let loaded = sandbox::Sandbox::new(&sandbox::Script::new("c.lua", text.as_bytes()), &sandbox::SandboxConfig::default());
            assert!(loaded.is_ok(), "{:?} in\n{text}", loaded.err());
        }
    }
}
