//! Named values on their way into a message: what the decoders share whose records name their values.

use message::{Datum, MessageMut, Messages, Text};
use options::{Opt, Options, Problem};
use plugin::{Record, Reject};

use super::headers::HeaderMap;
use super::logfmt::typed;
use crate::labels::Labels;

/// Options that [`Fields::new`] reads beside those of [`super::headers`].
pub(super) const MAX_FIELDS: Opt = Opt::integer("max_fields").default("1024").doc("A record with more fields than this is refused.");
pub(super) const TYPED: Opt = Opt::bool("typed")
    .default("true")
    .doc("Whether `true`, `false` and what JSON takes for a number are booleans and numbers; otherwise all values are strings.");

/// What joined names may take in memory: a long name repeated for each of many values below it
/// would otherwise make hundreds of times the record's length.
const MIN_NAMES: usize = 64 << 10;
const NAMES_PER_BYTE: usize = 8;

/// A name or value.
#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    /// As it stands in the record.
    Here(&'a [u8]),
    /// Written anew, without escapes and such.
    Made(&'a [u8]),
}

impl<'a> Piece<'a> {
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Piece::Here(bytes) | Piece::Made(bytes) => bytes,
        }
    }

    pub fn text(self, record: &Record<'_>, messages: &mut Messages) -> Text {
        match self {
            Piece::Here(bytes) => record.text(bytes),
            Piece::Made(bytes) => messages.store(bytes),
        }
    }
}

/// Makes headers and fields of named values.
pub(super) struct Fields {
    headers: HeaderMap,
    max_fields: usize,
    labels: Labels,
    /// Bytes that names written anew may still take in this record.
    names_left: usize,
}

impl Fields {
    /// # Errors
    /// A limit that is none.
    pub fn new(o: &Options) -> Result<Fields, Problem> {
        Fields::with(HeaderMap::new(o), o)
    }

    /// # Errors
    /// As [`Fields::new`].
    pub fn with(headers: HeaderMap, o: &Options) -> Result<Fields, Problem> {
        Ok(Fields { headers, max_fields: within(o, "max_fields", 1, 1_000_000)?, labels: Labels::default(), names_left: 0 })
    }

    /// Whether the whole record is the Payload.
    pub fn keep_payload(&self) -> bool {
        self.headers.keep_payload
    }

    /// How many fields a record may have.
    pub fn max(&self) -> usize {
        self.max_fields
    }

    /// Begins a record and its message.
    pub fn begin<'m>(&mut self, record: &Record<'_>, out: &'m mut Messages) -> MessageMut<'m> {
        self.headers.begin();
        self.labels.begin(out);
        self.names_left = MIN_NAMES + NAMES_PER_BYTE * record.bytes().len();
        let mut m = out.add();
        if self.headers.keep_payload {
            m.set_payload_text(record.at());
        }
        m
    }

    /// Adds a value that is text, or what the text is when `guess` is set: a number or boolean.
    ///
    /// # Errors
    /// Too many fields, or too long names.
    pub fn add(
        &mut self,
        m: &mut MessageMut<'_>,
        record: &Record<'_>,
        name: Piece<'_>,
        value: Piece<'_>,
        guess: bool,
    ) -> Result<(), Reject> {
        let datum = match if guess { typed(value.bytes()) } else { None } {
            Some(datum) => datum,
            None => Datum::String(value.text(record, m.messages())),
        };
        self.put(m, record, name, datum, value.bytes())
    }

    /// Adds a value; `text` is how it is written.
    ///
    /// # Errors
    /// As [`Fields::add`].
    pub fn put(&mut self, m: &mut MessageMut<'_>, record: &Record<'_>, name: Piece<'_>, value: Datum, text: &[u8]) -> Result<(), Reject> {
        if self.headers.take(m, name.bytes(), value, text) {
            return Ok(());
        }
        if m.field_count() >= self.max_fields {
            return Err(Reject::new(format!("found more than {} fields; `max_fields` raises that", self.max_fields)));
        }
        match self.labels.learnt(name.bytes(), m.messages()) {
            Some(label) => m.add_labelled(label, value),
            None => {
                if let Piece::Made(name) = name {
                    self.names_left = self.names_left.checked_sub(name.len()).ok_or_else(|| Reject::new(LONG_NAMES))?;
                }
                let name = name.text(record, m.messages());
                m.add(name, value);
            }
        }
        Ok(())
    }
}

const LONG_NAMES: &str = "the names of its fields, joined, are far longer than the record";

/// An integer option between two limits.
///
/// # Errors
/// When it is not between them.
pub(crate) fn within(o: &Options, name: &str, least: usize, most: usize) -> Result<usize, Problem> {
    let n = usize::try_from(o.integer(name)).ok().filter(|n| (least..=most).contains(n));
    n.ok_or_else(|| o.problem(name, format!("`{name}` is out of range"), format!("expected {least} to {most}")))
}

/// An option of one byte of ASCII; `None` when it is empty.
///
/// # Errors
/// When it is more than that.
pub(super) fn one_byte(o: &Options, name: &str) -> Result<Option<u8>, Problem> {
    match o.str(name).as_bytes() {
        [] => Ok(None),
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        _ => Err(o.problem(name, format!("`{name}` is too long"), "expected one character of ASCII")),
    }
}
