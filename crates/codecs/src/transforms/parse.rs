//! A decoder for what a message holds.
//!
//! JSON or pairs in one field of a message, CEF in the Payload of some. For all records of an input `chain` does the same
//! within decoding; this goes with transforms before and behind it, and where the message comes from elsewhere.

use message::{Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, Clock, DecodeCx, Decoder, Example, Family, Kind, Record, Reject, Scripted, Stability, Transform, Transformed};

pub const KIND: Kind = Kind::transform("parse", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Parse::new(o, cx)?)))
    .summary("Runs a decoder on a field or the Payload of messages.")
    .doc(
        "What the decoder sets goes before what the message has, its fields are added. A message without the field, or whose field is not one \
         text, passes unchanged; so does one that the decoder refuses, unless `refused` says otherwise. A decoder that makes anything but \
         one message of a text refuses it.",
    )
    .options(&[
        Opt::string("decoder")
            .required()
            .sample("\"json\"")
            .doc("The decoder: a kind of decoder, a well-known format or the NAME of a [decoder.NAME]."),
        Opt::string("field").sample("\"log\"").doc("The field that is read. Default: the Payload."),
        Opt::bool("keep").default("false").doc("Keep what was read."),
        Opt::choice("refused", &["keep", "refuse"])
            .default("keep")
            .doc("What becomes of a message whose text the decoder refuses: it stays as it is, or is refused."),
    ])
    .nests("decoder", Family::Decoder)
    .examples(&[
        Example { title: "JSON in a field", toml: "decoder = \"json\"\nfield = \"log\"" },
        Example { title: "Pairs in the Payload, which stays", toml: "decoder = \"logfmt\"\nkeep = true" },
    ]);

struct Parse {
    decoder: Box<dyn Decoder>,
    name: String,
    field: Option<Box<[u8]>>,
    keep: bool,
    refuse: bool,
    clock: Clock,
    /// Memory for a text that is not of the raw block.
    copy: Vec<u8>,
}

impl Parse {
    fn new(o: &Options, cx: &BuildCx) -> Result<Parse, Problem> {
        let [nested] = &cx.nested[..] else {
            return Err(o.problem("decoder", "the decoder is not known here", "`parse` works in a configuration file only"));
        };
        Ok(Parse {
            decoder: nested.decoder(cx)?,
            name: nested.name.clone(),
            field: o.get_str("field").map(|name| name.as_bytes().into()),
            keep: o.bool("keep"),
            refuse: o.str("refused") == "refuse",
            clock: cx.clock.clone(),
            copy: Vec::new(),
        })
    }

    fn reject(&self, why: &str) -> Result<Transformed, Reject> {
        Err(Reject::new(format!("{}: {why}", self.name)))
    }
}

/// The place and the text of the first field of this name, if it is one text.
pub(super) fn text_field(raw: &[u8], messages: &Messages, index: usize, name: &[u8]) -> Option<(usize, Text)> {
    let nth = super::set::place(raw, messages, index, name, 0)?;
    Some((nth, messages.text_fields(index).nth(nth)?.1?))
}

/// A text as a record; `copy` takes its bytes where they cannot stay.
pub(super) fn record<'b>(raw: &'b [u8], messages: &Messages, text: Text, copy: &'b mut Vec<u8>) -> Record<'b> {
    copy.clear();
    match messages.stored(text) {
        Some(bytes) => {
            copy.extend_from_slice(bytes);
            Record::new(copy, text)
        }
        None if text.is_empty() => Record::new(b"", text),
        None => Record::new(text.in_raw(raw), text),
    }
}

impl Transform for Parse {
    fn transform(&mut self, raw: &[u8], messages: &mut Messages, index: usize) -> Result<Transformed, Reject> {
        let source = match &self.field {
            Some(name) => text_field(raw, messages, index, name).map(|(nth, text)| (Some(nth), text)),
            None => Some((None, messages.payload_text(index))).filter(|(_, text)| !text.is_empty()),
        };
        let Some((field, text)) = source else { return Ok(Transformed::Keep) };
        let mut copy = std::mem::take(&mut self.copy);
        let made = messages.len();
        let now = self.clock.now();
        let decoded = self.decoder.decode(record(raw, messages, text, &mut copy), messages, &DecodeCx { now });
        self.copy = copy;
        let count = messages.len() - made;
        match decoded {
            Ok(()) if count == 1 => {}
            Ok(()) => {
                messages.forget(made);
                return self.reject(&format!("made {count} messages of a text, expected one"));
            }
            Err(why) => {
                messages.truncate(made);
                let failed = self.decoder.script().is_some_and(|script| script.refusal() != plugin::Refusal::Refused);
                return if self.refuse || failed { self.reject(&why.0) } else { Ok(Transformed::Keep) };
            }
        }
        match field {
            Some(nth) if !self.keep => messages.message(index).remove_field(nth),
            _ => {}
        }
        if (field.is_some() || self.keep) && messages.payload_text(made).is_none() {
            let payload = messages.payload_text(index);
            messages.message(made).set_payload_text(payload);
        }
        // What a script's message has before the script changes it: no time that was read.
        if messages.message(made).timestamp() == now {
            messages.message(made).set_timestamp(0);
        }
        messages.complete(made, index);
        messages.put(index, made);
        messages.forget(made);
        Ok(Transformed::Keep)
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        self.decoder.script()
    }
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, Header, Value};
    use plugin::{Build, Nested};
    use testkit::plugins::{build_cx, options};

    use super::*;
    use crate::decoders::{json, logfmt, statsd};

    fn parse(toml: &str, decoder: &'static Kind) -> Box<dyn Transform> {
        let options = |kind: &Kind, toml: &str| options(kind, toml).unwrap();
        let nested = Nested { name: decoder.name.into(), kind: decoder, options: options(decoder, ""), nested: Vec::new() };
        let Build::Transform(build) = KIND.build else { panic!("a transform") };
        let toml = format!("decoder = '{}'\n{toml}", decoder.name);
        build(&options(&KIND, &toml), &BuildCx { nested: vec![nested], ..build_cx() }).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Messages with a field `log` in the raw block, one in the arena, and a Payload.
    fn messages() -> BatchBuilder {
        let mut b = BatchBuilder::default();
        b.raw().extend_from_slice(b"{\"a\":1}");
        for stored in [false, true] {
            let mut m = b.add();
            m.set_type(b"outer");
            m.set_payload(b"x=y level=error");
            m.add_integer(b"before", 1);
            let text = if stored { m.messages().store(b"{\"a\":1}") } else { Text::raw(0, 7) };
            let name = m.messages().store(b"log");
            m.add(name, message::Datum::String(text));
            m.add_integer(b"after", 2);
        }
        b
    }

    fn run(transform: &mut dyn Transform, b: &mut BatchBuilder) -> Vec<Result<Transformed, Reject>> {
        let all = (0..b.len()).map(|index| {
            let (raw, messages) = b.parts();
            let outcome = transform.transform(raw, messages, index);
            assert_eq!(messages.len(), 2);
            outcome
        });
        all.collect()
    }

    #[test]
    fn a_field_is_decoded() {
        let mut b = messages();
        assert_eq!(run(&mut *parse("field = 'log'", &json::KIND), &mut b), [Ok(Transformed::Keep), Ok(Transformed::Keep)]);
        for m in b.finish().iter() {
            let fields: Vec<_> = m.fields().map(|f| (f.name(), f.value(0).unwrap())).collect();
            assert_eq!(fields, [(&b"before"[..], Value::Integer(1)), (b"after", Value::Integer(2)), (b"a", Value::Integer(1))]);
            assert_eq!((m.type_(), m.payload()), (&b"outer"[..], &b"x=y level=error"[..]));
        }
    }

    #[test]
    fn the_payload_is_decoded() {
        for (toml, kept) in [("", false), ("keep = true", true)] {
            let mut b = messages();
            run(&mut *parse(toml, &logfmt::KIND), &mut b);
            for m in b.finish().iter() {
                assert_eq!((m.severity(), m.has(Header::Payload), m.fields().count()), (3, kept, 4));
            }
        }
    }

    #[test]
    fn what_does_not_fit_stays_or_is_refused() {
        let mut b = messages();
        let kept = Ok(Transformed::Keep);
        assert_eq!(run(&mut *parse("", &json::KIND), &mut b), [kept.clone(), kept.clone()]);
        assert_eq!(run(&mut *parse("field = 'after'", &json::KIND), &mut b), [kept.clone(), kept.clone()]);
        assert_eq!(run(&mut *parse("field = 'none'", &json::KIND), &mut b), [kept.clone(), kept]);
        assert_eq!((b.get(0).fields().count(), b.get(0).payload()), (3, &b"x=y level=error"[..]));
        let refused = run(&mut *parse("refused = 'refuse'", &json::KIND), &mut b);
        assert_eq!(refused[0], Err(Reject::new("json: at byte 0: found `x`, expected `{`")));
        b.message(0).set_payload(b"a:1|c\nb:1|c");
        let refused = run(&mut *parse("", &statsd::KIND), &mut b);
        assert_eq!(refused[0], Err(Reject::new("statsd: made 2 messages of a text, expected one")));
    }
}
