//! One name for the same thing from every input.
//!
//! A field can be renamed, become a header, or the other way round. The value stays where it is
//! unless it changes between header and field.

use message::{Datum, Header, Messages, Value};
use options::{Opt, Options, Problem, Scalar};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use super::set::place;
use crate::constants::Constants;
use crate::number::integer;
use crate::severity::severity;

pub const KIND: Kind = Kind::transform("rename", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Rename::new(o)?)))
    .summary("Renames fields, and moves values between fields and headers.")
    .doc(
        "Renamings are done in the order they are written. A name that is a header's (Type, Logger, Payload, EnvVersion, Hostname; \
         Severity and Pid as the new name only) means the header, any other a field; `Fields[Type]` is the field of that name. All fields \
         of the old name are renamed; the first one becomes a header, and a header's old value is lost. What a message does not have is \
         passed over. A value that cannot be a Severity or Pid rejects the message.",
    )
    .options(&[Opt::table("names")
        .required()
        .sample("{ addr = \"remote_addr\", host = \"Hostname\", level = \"Severity\" }")
        .doc("Old names and the new ones.")])
    .examples(&[Example {
        title: "Headers out of fields",
        toml: "names = { msg = \"Payload\", host = \"Hostname\", level = \"Severity\" }",
    }]);

#[derive(Debug)]
struct Rename {
    constants: Constants,
    moves: Vec<(Name, Name)>,
}

#[derive(Clone, PartialEq, Debug)]
enum Name {
    Header(Header),
    /// The name as it is and as a constant.
    Field(Box<[u8]>, usize),
}

impl Rename {
    fn new(o: &Options) -> Result<Rename, Problem> {
        let mut constants = Constants::new();
        let mut moves = Vec::new();
        for (old, new) in o.table("names") {
            let Scalar::String(new) = new else {
                return Err(o.problem("names", "a new name must be a string", format!("found {new} for `{old}`")));
            };
            let (from, to) = (name(old, &mut constants), name(new, &mut constants));
            let fixed = |n: &Name, also: &[Header]| matches!(n, Name::Header(h) if [Header::Uuid, Header::Timestamp].contains(h) || also.contains(h));
            if fixed(&from, &[Header::Severity, Header::Pid]) || fixed(&to, &[]) {
                let help = "write `Fields[…]` if a field of that name is meant";
                return Err(o.problem("names", format!("`{old}` cannot become `{new}`"), "this header cannot be moved").help(help));
            }
            if from != to {
                moves.push((from, to));
            }
        }
        if moves.is_empty() {
            return Err(o.problem("names", "this transform renames nothing", "expected old names and new ones"));
        }
        Ok(Rename { constants, moves })
    }
}

fn name(text: &str, constants: &mut Constants) -> Name {
    if let Some(header) = Header::from_name(text.as_bytes()) {
        return Name::Header(header);
    }
    let field = text.strip_prefix("Fields[").and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    Name::Field(field.as_bytes().into(), constants.add(field.as_bytes()))
}

impl Transform for Rename {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let texts = self.constants.texts(messages);
        for (from, to) in &self.moves {
            match (from, to) {
                (Name::Field(old, _), Name::Field(_, new)) => {
                    let mut at = 0;
                    while let Some(found) = place(raw, messages, index, old, at) {
                        messages.message(index).set_field_name(found, texts[*new]);
                        at = found + 1;
                    }
                }
                (Name::Field(old, _), Name::Header(header)) => {
                    if let Some(at) = place(raw, messages, index, old, 0) {
                        let value = messages.view(raw, index).fields().nth(at).and_then(|f| f.value(0));
                        write(header, &owned(value), messages, index)?;
                        messages.message(index).remove_field(at);
                    }
                }
                (Name::Header(header), to) => {
                    if !messages.message(index).has(*header) {
                        continue;
                    }
                    let value = messages.view(raw, index).text_header(*header).to_vec();
                    let text = messages.store(&value);
                    let mut m = messages.message(index);
                    m.set_text_header(*header, message::Text::NONE);
                    match to {
                        Name::Field(_, name) => m.add(texts[*name], Datum::String(text)),
                        Name::Header(header) => write(header, &value, messages, index)?,
                    }
                }
            }
        }
        Ok(Transformed::Keep)
    }
}

/// A value as text.
fn owned(value: Option<Value<'_>>) -> Vec<u8> {
    match value {
        Some(Value::String(s) | Value::Bytes(s)) => s.to_vec(),
        Some(Value::Integer(n)) => n.to_string().into_bytes(),
        Some(Value::Double(n)) => n.to_string().into_bytes(),
        Some(Value::Bool(b)) => b.to_string().into_bytes(),
        None => Vec::new(),
    }
}

fn write(header: &Header, value: &[u8], messages: &mut Messages, index: usize) -> Result<(), Reject> {
    let unfit = |expected: &str| {
        let found = value[..value.len().min(80)].escape_ascii().to_string();
        Reject::new(format!("`{found}` cannot be the {}: expected {expected}", header.name()))
    };
    match header {
        Header::Severity => {
            let severity = severity(value).ok_or_else(|| unfit("0 to 7 or the name of a level"))?;
            messages.message(index).set_severity(severity);
        }
        Header::Pid => {
            let pid = integer(value).and_then(|n| i32::try_from(n).ok()).ok_or_else(|| unfit("a whole number of 32 bits"))?;
            messages.message(index).set_pid(pid);
        }
        text => {
            let value = messages.store(value);
            messages.message(index).set_text_header(*text, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use message::BatchBuilder;

    use super::*;
    use crate::transforms::tests::{apply, error, try_apply};

    fn some(b: &mut BatchBuilder) {
        let mut m = b.add();
        m.set_type(b"t");
        m.add_string(b"a", b"1");
        m.add_integer(b"pid", 42);
        m.add_string(b"level", b"WARN");
        m.add_string(b"a", b"2");
        m.add_string(b"Type", b"field");
    }

    #[test]
    fn names_move_in_order() {
        let toml = "names = { Type = 'kind', 'Fields[Type]' = 'Logger', a = 'b', pid = 'Pid', level = 'Severity', missing = 'x', EnvVersion = 'y' }";
        let (batch, _) = apply(&KIND, toml, &[some]);
        let m = batch.get(0);
        assert_eq!((m.has(Header::Type), m.logger(), m.pid(), m.severity()), (false, &b"field"[..], 42, 4));
        let names: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
        assert_eq!(names, [(&b"b"[..], Value::String(b"1")), (b"b", Value::String(b"2")), (b"kind", Value::String(b"t"))]);
    }

    #[test]
    fn headers_move_between_each_other() {
        let (batch, _) = apply(&KIND, "names = { Type = 'Payload' }", &[some]);
        assert_eq!((batch.get(0).has(Header::Type), batch.get(0).payload()), (false, &b"t"[..]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            try_apply(&KIND, "names = { a = 'Pid', level = 'Pid' }", &[some]).unwrap_err(),
            "`WARN` cannot be the Pid: expected a whole number of 32 bits"
        );
        assert!(error(&KIND, "names = { a = 'Uuid' }").contains("cannot be moved"));
        assert!(error(&KIND, "names = { Pid = 'a' }").contains("cannot be moved"));
        assert!(error(&KIND, "names = { a = 1 }").contains("must be a string"));
        assert!(error(&KIND, "names = {}").contains("renames nothing"));
    }
}
