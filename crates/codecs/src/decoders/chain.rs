//! Several decoders, one after the other.
//!
//! For streams of mixed lines (the first decoder that takes a record), and for formats within others, such as JSON
//! or CEF in syslog (each decoder reads what the one before left). For a decoder that is to see only some
//! messages there is the transform `parse`.

use message::{Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Family, Kind, Record, Refusal, Reject, Scripted, Stability};

mod scripts;
#[cfg(test)]
mod tests;

pub const KIND: Kind = Kind::decoder("chain", Stability::Stable, |o, cx: &BuildCx| Ok(Box::new(Chain::new(o, cx)?)))
    .summary("Runs several decoders in turn.")
    .doc(
        "With `mode = \"first\"` the first decoder that takes a record makes its messages; a record that all refuse is refused, for all of \
         their reasons. With `mode = \"all\"` the second decoder reads the Payload, or the field `field`, of the messages that the first one made, \
         and so on. What a later decoder sets goes before what an earlier one did, fields are added to those that are there, and what was \
         read is gone unless the decoder keeps it (`keep_payload`). A message without a Payload, or that field, passes unchanged.",
    )
    .options(&[
        Opt::strings("decoders")
            .required()
            .sample("[\"json\", \"logfmt\"]")
            .doc("The decoders in their order, each a kind of decoder, a well-known format or the NAME of a [decoder.NAME]."),
        Opt::choice("mode", &["first", "all"]).default("first").doc("Whether the first that fits decodes, or all of them do, one within the other."),
        Opt::string("field").sample("\"log\"").doc("With \"all\": the field that later decoders read. Default: the Payload."),
        Opt::choice("refused", &["refuse", "keep"])
            .default("refuse")
            .doc("With \"all\": what becomes of a record that a later decoder refuses: it is refused, or stays as the one before made it."),
    ])
    .nests("decoders", Family::Decoder)
    .examples(&[
        Example { title: "Lines of two kinds", toml: "decoders = [\"json\", \"logfmt\", \"none\"]" },
        Example { title: "JSON in syslog, where there is any", toml: "decoders = [\"syslog\", \"json\"]\nmode = \"all\"\nrefused = \"keep\"" },
        Example { title: "Containers' logs of a web server", toml: "decoders = [\"json\", \"nginx\"]\nmode = \"all\"\nfield = \"log\"" },
    ]);

struct Chain {
    parts: Vec<Part>,
    first_fits: bool,
    field: Option<Box<[u8]>>,
    keep: bool,
    /// Memory for a Payload that is not part of the record.
    copy: Vec<u8>,
    refusal: Refusal,
    scripts: scripts::Known,
}

struct Part {
    name: String,
    decoder: Box<dyn Decoder>,
}

impl Part {
    /// Its reason to refuse a record. A script that failed is told from one that refused.
    fn refused(&mut self, reject: &Reject) -> (Reject, Refusal) {
        let refusal = self.decoder.script().map_or(Refusal::Refused, |script| script.refusal());
        (Reject::new(format!("{}: {}", self.name, beginning(&reject.0, MAX_REASON))), refusal)
    }
}

/// Reasons are joined to one: bytes of each, and of all.
const MAX_REASON: usize = 240;
const MAX_REASONS: usize = 900;

impl Chain {
    fn new(o: &Options, cx: &BuildCx) -> Result<Chain, Problem> {
        if o.strings("decoders").is_empty() {
            return Err(o.problem("decoders", "`decoders` names none", "expected at least one decoder"));
        }
        if cx.nested.is_empty() {
            return Err(o.problem("decoders", "the decoders are not known here", "a chain works in a configuration file only"));
        }
        let first_fits = o.str("mode") == "first";
        for option in ["field", "refused"] {
            if first_fits && o.given(option) {
                return Err(o.problem(option, format!("`{option}` does nothing here"), "it is for mode = \"all\""));
            }
        }
        let part = |nested: &plugin::Nested| Ok(Part { name: nested.name.clone(), decoder: nested.decoder(cx)? });
        Ok(Chain {
            parts: cx.nested.iter().map(part).collect::<Result<_, Problem>>()?,
            first_fits,
            field: o.get_str("field").map(|name| name.as_bytes().into()),
            keep: o.str("refused") == "keep",
            copy: Vec::new(),
            refusal: Refusal::Refused,
            scripts: scripts::Known::default(),
        })
    }

    /// The first that fits.
    fn first(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let before = out.len();
        let mut reasons = String::new();
        for part in &mut self.parts {
            let Err(reject) = part.decoder.decode(record, out, cx) else { return Ok(()) };
            out.truncate(before);
            let (reject, refusal) = part.refused(&reject);
            if refusal != Refusal::Refused {
                // It is replaced, and the record tried once more, before others are asked.
                self.refusal = refusal;
                return Err(reject);
            }
            reasons.push_str(if reasons.is_empty() { "" } else { "; " });
            reasons.push_str(&reject.0);
        }
        Err(Reject::new(beginning(&reasons, MAX_REASONS).to_string()))
    }

    /// Each on what the one before left.
    fn all(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let first = out.len();
        for nth in 0..self.parts.len() {
            if nth == 0 {
                self.part(nth, record, out, cx)?;
                continue;
            }
            let made = out.len();
            for index in first..made {
                self.within(nth, &record, out, index, cx)?;
            }
            out.remove_all(first..made);
        }
        Ok(())
    }

    /// One decoder.
    fn part(&mut self, nth: usize, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        let part = &mut self.parts[nth];
        part.decoder.decode(record, out, cx).map_err(|reject| {
            let (reject, refusal) = part.refused(&reject);
            self.refusal = refusal;
            reject
        })
    }

    /// One decoder on what message `index` holds; adds the messages that take its place.
    fn within(&mut self, nth: usize, outer: &Record<'_>, out: &mut Messages, index: usize, cx: &DecodeCx) -> Result<(), Reject> {
        let before = out.len();
        let Some((field, text)) = self.source(outer, out, index) else {
            out.add();
            out.put(before, index);
            return Ok(());
        };
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        let inner = match out.stored(text) {
            Some(bytes) => {
                copy.extend_from_slice(bytes);
                Record::new(&copy, text)
            }
            None => Record::new(slice(outer, text).unwrap_or_default(), text),
        };
        let decoded = self.part(nth, inner, out, cx);
        self.copy = copy;
        match decoded {
            Ok(()) => {}
            Err(_) if self.keep && self.refusal == Refusal::Refused => {
                out.truncate(before);
                out.add();
                out.put(before, index);
                return Ok(());
            }
            Err(reject) => return Err(reject),
        }
        let payload = field.map(|nth| {
            out.message(index).remove_field(nth);
            out.payload_text(index)
        });
        for made in before..out.len() {
            // What a script's message has before the script changes it: no time that was read.
            if out.message(made).timestamp() == cx.now {
                out.message(made).set_timestamp(0);
            }
            if let Some(payload) = payload.filter(|_| out.payload_text(made).is_none()) {
                out.message(made).set_payload_text(payload);
            }
            out.complete(made, index);
        }
        Ok(())
    }

    /// What of a message the next decoder reads: the place of the field, if it is one, and the text.
    fn source(&self, outer: &Record<'_>, out: &Messages, index: usize) -> Option<(Option<usize>, Text)> {
        let Some(wanted) = &self.field else {
            let text = out.payload_text(index);
            return (!text.is_empty()).then_some((None, text));
        };
        let is = |name: Text| out.stored(name).or_else(|| slice(outer, name)) == Some(&**wanted);
        let mut fields = out.text_fields(index).enumerate();
        fields.find_map(|(nth, (name, text))| if is(name) { Some((Some(nth), text?)) } else { None })
    }
}

/// The bytes of a text that is a part of the record.
fn slice<'b>(record: &Record<'b>, text: Text) -> Option<&'b [u8]> {
    if text.is_empty() {
        return Some(b"");
    }
    let start = text.start().checked_sub(record.at().start())?;
    record.bytes().get(start..start + text.len())
}

/// The beginning of a text that is too long.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

impl Decoder for Chain {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, cx: &DecodeCx) -> Result<(), Reject> {
        self.refusal = Refusal::Refused;
        if self.first_fits { self.first(record, out, cx) } else { self.all(record, out, cx) }
    }

    fn script(&mut self) -> Option<&mut dyn Scripted> {
        if self.look_at_scripts() { Some(self) } else { None }
    }
}
