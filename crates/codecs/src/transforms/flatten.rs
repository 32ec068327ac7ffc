//! JSON in a field, taken apart.
//!
//! For objects that a decoder left as text (`json` below `max_depth`), and for services that put JSON into a string. What
//! the object says of time or severity stays fields: for headers there is `parse` with the decoder `json`.

use message::Messages;
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Example, Kind, Reject, Stability, Transform, Transformed};

use super::parse::record;
use crate::decoders::json::Json;
use crate::json::is_value;

pub const KIND: Kind = Kind::transform("flatten", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Flatten::new(o)?)))
    .summary("Makes fields of the JSON objects in fields.")
    .doc(
        "The members of an object become fields that are named by the path to them, which begins with the field's name: `a` with \
         `{\"b\":{\"c\":1}}` becomes `a.b.c`. Types are those of the decoder `json`; what lies deeper than `max_depth` stays JSON text. A field \
         that is no JSON object stays as it is. A message with too many fields is refused.",
    )
    .options(&[
        Opt::strings("fields").default("").sample("[\"log\"]").doc("Fields to take apart. Default: all with the representation `json`."),
        Opt::bool("keep").default("false").doc("Keep the field as well."),
        Opt::string("separator").default(".").doc("What joins the names on the path."),
        Opt::integer("max_depth").default("8").doc("Depth to which nested objects are taken apart, 1 to 64."),
        Opt::integer("max_fields").default("1024").doc("A message that would have more fields than this is refused."),
    ])
    .examples(&[
        Example { title: "JSON that a service writes into a string", toml: "fields = [\"context\"]" },
        Example { title: "One level, joined with underscores", toml: "separator = \"_\"\nmax_depth = 1" },
    ]);

struct Flatten {
    json: Json,
    fields: Vec<Box<[u8]>>,
    keep: bool,
    /// Memory: places of the fields that are taken apart, a name, a text.
    places: Vec<usize>,
    name: Vec<u8>,
    copy: Vec<u8>,
}

impl Flatten {
    fn new(o: &Options) -> Result<Flatten, Problem> {
        let fields = o.strings("fields").iter().map(|name| name.as_bytes().into()).collect();
        let (json, keep) = (Json::flattening(o)?, o.bool("keep"));
        Ok(Flatten { json, fields, keep, places: Vec::new(), name: Vec::new(), copy: Vec::new() })
    }

    /// Whether a field is to be taken apart.
    fn wants(&self, name: &[u8], representation: &[u8]) -> bool {
        if self.fields.is_empty() { representation == b"json" } else { self.fields.iter().any(|f| **f == *name) }
    }
}

impl Transform for Flatten {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        self.places.clear();
        for (nth, field) in messages.view(raw, index).fields().enumerate() {
            let text = if field.len() == 1 { field.value(0).and_then(|v| v.as_bytes()) } else { None };
            let is_object = |text: &[u8]| text.trim_ascii_start().starts_with(b"{") && is_value(text);
            if self.wants(field.name(), field.representation()) && text.is_some_and(is_object) {
                self.places.push(nth);
            }
        }
        for place in 0..self.places.len() {
            let nth = self.places[place];
            let Some((_, Some(text))) = messages.text_fields(index).nth(nth) else { continue };
            self.name.clear();
            let field = messages.view(raw, index).fields().nth(nth);
            self.name.extend_from_slice(field.map_or(b"", |field| field.name()));
            let record = record(raw, messages, text, &mut self.copy);
            self.json.flatten(&self.name, record, messages, index)?;
        }
        if !self.keep {
            self.places.iter().rev().for_each(|nth| messages.message(index).remove_field(*nth));
        }
        Ok(Transformed::Keep)
    }
}

#[cfg(test)]
mod tests {
    use message::{Batch, BatchBuilder, Datum, Text, Value, ValueType};
    use proptest::prelude::*;

    use super::*;
    use crate::transforms::tests::{apply, error, try_apply};

    fn message(json: &str) -> impl Fn(&mut BatchBuilder) {
        move |b: &mut BatchBuilder| {
            b.raw().extend_from_slice(b"{\"raw\":true}");
            let at = b.raw().len() - 12;
            let mut m = b.add();
            m.add_integer(b"n", 1);
            m.add_string(b"text", b"{\"x\":1}");
            let (name, representation, text) = (m.messages().store(b"a"), m.messages().store(b"json"), m.messages().store(json.as_bytes()));
            m.add_field(name, representation, ValueType::String, &[Datum::String(text)]);
            m.add_field(name, representation, ValueType::String, &[Datum::String(Text::raw(at, 12))]);
            m.add_integer(b"z", 2);
        }
    }

    fn fields(batch: &Batch) -> Vec<(String, String)> {
        let text = |value: Value<'_>| value.as_bytes().map_or(format!("{value:?}"), |s| String::from_utf8(s.to_vec()).unwrap());
        batch
            .get(0)
            .fields()
            .map(|f| (String::from_utf8(f.name().to_vec()).unwrap(), f.values().map(text).collect::<Vec<_>>().join(",")))
            .collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    const OBJECT: &str = r#" {"b":{"c":1,"d\n":"x\ty"},"":[1,2],"e":null} "#;

    #[test]
    fn members_become_fields() {
        let (batch, _) = apply(&KIND, "", &[message(OBJECT)]);
        let rest = [("a.b.c", "Integer(1)"), ("a.b.d\n", "x\ty"), ("a.", "Integer(1),Integer(2)"), ("a.raw", "Bool(true)")];
        let expected = [&[("n", "Integer(1)"), ("text", "{\"x\":1}"), ("z", "Integer(2)")][..], &rest].concat();
        assert_eq!(fields(&batch), pairs(&expected));
        let (batch, _) = apply(&KIND, "fields = ['text']\nkeep = true\nseparator = '_'", &[message("1")]);
        assert_eq!(fields(&batch)[5..], pairs(&[("text_x", "Integer(1)")]));
        let (batch, _) = apply(&KIND, "max_depth = 1", &[message(OBJECT)]);
        assert!(fields(&batch).contains(&("a.b".to_string(), "{\"c\":1,\"d\\n\":\"x\\ty\"}".to_string())));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(
            try_apply(&KIND, "max_fields = 6", &[message(OBJECT)]).unwrap_err(),
            "found more than 6 fields; `max_fields` raises that"
        );
        assert!(error(&KIND, "max_depth = 0").contains("expected 1 to 64"));
    }

    proptest! {
        #[test]
        fn what_is_no_object_stays(json in prop_oneof![".{0,9}", "[{}:,\\[\\]\"a1 ]{0,8}"]) {
            let (batch, _) = apply(&KIND, "fields = ['a']", &[message(&json)]);
            let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&json).is_ok();
            prop_assert_eq!(fields(&batch).contains(&("a".to_string(), json)), !is_object);
        }
    }
}
