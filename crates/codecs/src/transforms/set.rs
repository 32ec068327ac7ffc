//! Constants on every message of an input: the environment, the datacentre, a Type.
//!
//! For what depends on the message, write a filter.

use message::{Datum, Header, Messages, Text};
use options::{Opt, Options, Problem, Scalar, nearest};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use crate::constants::Constants;

pub const KIND: Kind = Kind::transform("set", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Set::new(o)?)))
    .summary("Sets headers and fields to constants.")
    .doc(
        "What a message has already is overwritten, with all fields of the same name; with `only_if_missing` it stays as it is. \
         Headers an input fills in later (Type, Logger, Hostname) count as missing.",
    )
    .options(&[
        Opt::table("headers")
            .sample("{ Type = \"app\", Hostname = \"web1\" }")
            .doc("Headers to set: Type, Logger, Payload, EnvVersion, Hostname, Severity and Pid."),
        Opt::table("fields").sample("{ env = \"prod\", shard = 3 }").doc("Fields to set."),
        Opt::bool("only_if_missing").default("false").doc("Leave alone what a message has already."),
    ])
    .examples(&[Example { title: "Tell environments apart", toml: "fields = { env = \"prod\", region = \"eu-1\" }" }]);

#[derive(Debug)]
struct Set {
    constants: Constants,
    headers: Vec<(Header, Constant)>,
    /// The name, as it is and as a constant, and the value.
    fields: Vec<(Box<[u8]>, usize, Constant)>,
    only_if_missing: bool,
}

#[derive(Clone, Copy, Debug)]
enum Constant {
    /// The number of the constant.
    Text(usize),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

impl Set {
    fn new(o: &Options) -> Result<Set, Problem> {
        let mut constants = Constants::new();
        let mut headers = Vec::new();
        for (name, value) in o.table("headers") {
            headers.push(header(o, name, value, &mut constants)?);
        }
        let mut fields = Vec::new();
        for (name, value) in o.table("fields") {
            let value = match value {
                Scalar::String(text) => Constant::Text(constants.add(text.as_bytes())),
                Scalar::Integer(n) => Constant::Integer(*n),
                Scalar::Float(n) => Constant::Double(*n),
                Scalar::Bool(b) => Constant::Bool(*b),
            };
            fields.push((name.as_bytes().into(), constants.add(name.as_bytes()), value));
        }
        if headers.is_empty() && fields.is_empty() {
            return Err(Problem::new("this transform sets nothing").at(o.at(), "expected `headers` or `fields`"));
        }
        Ok(Set { constants, headers, fields, only_if_missing: o.bool("only_if_missing") })
    }
}

fn header(o: &Options, name: &str, value: &Scalar, constants: &mut Constants) -> Result<(Header, Constant), Problem> {
    let known = ["Type", "Logger", "Payload", "EnvVersion", "Hostname", "Severity", "Pid"];
    let Some(header) = Header::from_name(name.as_bytes()).filter(|h| known.contains(&h.name())) else {
        let help = match nearest(name, known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("it takes: {}; everything else is a field", known.join(", ")),
        };
        return Err(o.problem("headers", format!("`{name}` is not a header that can be set"), format!("found `{name}`")).help(help));
    };
    match (header, value) {
        (Header::Severity, Scalar::Integer(n @ 0..=7)) => Ok((header, Constant::Integer(*n))),
        (Header::Pid, Scalar::Integer(n)) if i32::try_from(*n).is_ok() => Ok((header, Constant::Integer(*n))),
        (Header::Severity, _) => Err(o.problem("headers", "Severity is a number from 0 to 7", format!("found {value}"))),
        (Header::Pid, _) => Err(o.problem("headers", "Pid is a whole number of 32 bits", format!("found {value}"))),
        _ => Ok((header, Constant::Text(constants.add(value.to_string().as_bytes())))),
    }
}

impl Transform for Set {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let texts = self.constants.texts(messages);
        let mut m = messages.message(index);
        for (header, value) in &self.headers {
            match value {
                _ if self.only_if_missing && m.has(*header) => {}
                Constant::Text(text) => drop(m.set_text_header(*header, texts[*text])),
                Constant::Integer(n) if *header == Header::Severity => m.set_severity(*n as i32),
                Constant::Integer(n) => m.set_pid(*n as i32),
                Constant::Double(_) | Constant::Bool(_) => {}
            }
        }
        for (name, text, value) in &self.fields {
            let value = match *value {
                Constant::Text(text) => Datum::String(texts[text]),
                Constant::Integer(n) => Datum::Integer(n),
                Constant::Double(n) => Datum::Double(n),
                Constant::Bool(b) => Datum::Bool(b),
            };
            let known = place(raw, messages, index, name, 0);
            match known {
                None => messages.message(index).add(texts[*text], value),
                Some(_) if self.only_if_missing => {}
                Some(first) => {
                    let mut m = messages.message(index);
                    m.set_field_values(first, value.type_(), &[value]);
                    m.set_field_representation(first, Text::NONE);
                    while let Some(next) = place(raw, messages, index, name, first + 1) {
                        messages.message(index).remove_field(next);
                    }
                }
            }
        }
        Ok(Transformed::Keep)
    }
}

/// The first place from `from` on of a field with this name.
pub(super) fn place(raw: &[u8], messages: &Messages, index: usize, name: &[u8], from: usize) -> Option<usize> {
    messages.view(raw, index).fields().skip(from).position(|f| f.name() == name).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, MessageRef, Value};

    use super::*;
    use crate::transforms::tests::{apply, error};

    fn some(b: &mut BatchBuilder) {
        let mut m = b.add();
        m.set_type(b"old");
        m.add_string(b"env", b"test");
        m.add_integer(b"n", 1);
        m.add_string(b"env", b"again");
    }

    fn values<'a>(m: MessageRef<'a>, name: &[u8]) -> Vec<Value<'a>> {
        m.fields().filter(|f| f.name() == name).filter_map(|f| f.value(0)).collect()
    }

    const TOML: &str = "headers = { Type = 'new', Logger = 'l', Severity = 3, Pid = 7 }\nfields = { env = 'prod', on = true, x = 0.5 }\n";

    #[test]
    fn constants_overwrite_and_are_added() {
        let (batch, _) = apply(&KIND, TOML, &[some, some]);
        for m in batch.iter() {
            assert_eq!((m.type_(), m.logger(), m.severity(), m.pid()), (&b"new"[..], &b"l"[..], 3, 7));
            assert_eq!((values(m, b"env"), values(m, b"on")), (vec![Value::String(b"prod")], vec![Value::Bool(true)]));
            assert_eq!((values(m, b"n"), values(m, b"x")), (vec![Value::Integer(1)], vec![Value::Double(0.5)]));
        }
    }

    #[test]
    fn what_is_there_may_stay() {
        let (batch, _) = apply(&KIND, &format!("{TOML}only_if_missing = true"), &[some]);
        let m = batch.get(0);
        assert_eq!((m.type_(), m.logger(), m.severity()), (&b"old"[..], &b"l"[..], 3));
        assert_eq!((values(m, b"env").len(), values(m, b"x")), (2, vec![Value::Double(0.5)]));
    }

    #[test]
    fn what_cannot_be_set_is_said() {
        assert!(error(&KIND, "").contains("sets nothing"));
        assert!(error(&KIND, "headers = { Tpye = 'a' }").contains("did you mean `Type`?"));
        assert!(error(&KIND, "headers = { Uuid = 'a' }").contains("`Uuid` is not a header that can be set"));
        assert!(error(&KIND, "headers = { Severity = 8 }").contains("from 0 to 7"));
    }
}
