//! One XML document a record: Windows events, log4j, exports.
//!
//! Elements and attributes become fields by the path to them. What a document declares is not obeyed: there are
//! no entities but the five of XML and numbers, nothing is fetched, nothing expands.

use message::{MessageMut, Messages};
use options::{Opt, Options, Problem, Scalar};
use plugin::{BuildCx, DecodeCx, Decoder, Example, Kind, Record, Reject, Stability};

use super::fields::{Fields, MAX_FIELDS, Piece, TYPED, within};
use super::headers::header_options;

mod reader;
#[cfg(test)]
mod tests;

use reader::{Attribute, Reader, Wrong, text};

pub const KIND: Kind = Kind::decoder("xml", Stability::Stable, |o, _: &BuildCx| Ok(Box::new(Xml::new(o)?)))
    .summary("Reads XML documents.")
    .doc(
        "The text of an element and the value of an attribute become a field, named by the path below the outermost element, such as \
         `System.EventID`; the outermost element's own text has its name. Names are kept as they are written, with their prefixes. White \
         space around text is dropped, except within CDATA; the pieces of text between children are joined; an element without text gives \
         no field. Comments and processing instructions are passed over. A document that is not well-formed, declares entities or uses \
         others than XML's own is refused.",
    )
    .options(header_options![
        Opt::string("separator").default(".").doc("What joins the names on the path."),
        Opt::bool("root").default("false").doc("Begin paths with the name of the outermost element."),
        Opt::string("attribute_prefix").default("").sample("\"@\"").doc("What stands before the names of attributes."),
        Opt::table("name_attributes").sample("{ Data = \"Name\" }").doc(
            "Elements that are called what one of their attributes says: with `{ Data = \"Name\" }`, `<Data Name=\"User\">ann</Data>` is \
             `User`, not `Data` and `Data.Name`.",
        ),
        TYPED,
        Opt::integer("max_depth").default("64").doc("A record with elements nested deeper than this is refused."),
        MAX_FIELDS,
    ])
    .examples(&[
        Example {
            title: "Windows events",
            toml: "name_attributes = { Data = \"Name\" }\ntimestamp = \"System.TimeCreated.SystemTime\"\nhostname = \"System.Computer\"",
        },
        Example { title: "log4j's XMLLayout", toml: "payload = \"log4j:message\"" },
    ]);

struct Xml {
    fields: Fields,
    separator: Box<[u8]>,
    prefix: Box<[u8]>,
    root: bool,
    typed: bool,
    max_depth: usize,
    /// Elements and the attribute that names them.
    named_by: Vec<NamedBy>,
    /// Memory for what one record needs.
    path: Vec<u8>,
    open: Vec<Open>,
    attributes: Vec<Attribute>,
    /// Text of open elements that is not one piece of the record, by their depth.
    texts: Vec<Vec<u8>>,
    made: Vec<u8>,
}

/// An element and an attribute.
type NamedBy = (Box<[u8]>, Box<[u8]>);

/// An element whose end is yet to come.
#[derive(Clone, Copy)]
struct Open {
    /// Where its name stands.
    name: (usize, usize),
    /// Length of the path to what is around it.
    outer: usize,
    text: Found,
}

/// The text of an element so far.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Nothing,
    /// One piece of the record, as it stands.
    Here {
        start: usize,
        end: usize,
        trim: bool,
    },
    /// Gathered in [`Xml::texts`].
    Made,
}

impl Xml {
    fn new(o: &Options) -> Result<Xml, Problem> {
        let mut named_by = Vec::new();
        for (element, attribute) in o.table("name_attributes") {
            let Scalar::String(attribute) = attribute else {
                return Err(o.problem("name_attributes", "an attribute's name must be a string", format!("found {attribute}")));
            };
            named_by.push((element.as_bytes().into(), attribute.as_bytes().into()));
        }
        Ok(Xml {
            fields: Fields::new(o)?,
            separator: o.str("separator").as_bytes().into(),
            prefix: o.str("attribute_prefix").as_bytes().into(),
            root: o.bool("root"),
            typed: o.bool("typed"),
            max_depth: within(o, "max_depth", 1, 1000)?,
            named_by,
            path: Vec::new(),
            open: Vec::new(),
            attributes: Vec::new(),
            texts: Vec::new(),
            made: Vec::new(),
        })
    }
}

/// Memory of a text that is kept for the next record, of which there may be one a level. Bytes.
const KEPT_TEXT: usize = 16 << 10;

/// Why reading ends early.
enum Stop {
    Wrong(Wrong),
    Refused(Reject),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Stop {
        Stop::Wrong(wrong)
    }
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Stop {
        Stop::Refused(reject)
    }
}

impl Decoder for Xml {
    fn decode(&mut self, record: Record<'_>, out: &mut Messages, _: &DecodeCx) -> Result<(), Reject> {
        self.path.clear();
        self.open.clear();
        let m = self.fields.begin(&record, out);
        let read = Walk { xml: self, record, m }.document();
        self.texts.iter_mut().filter(|text| text.capacity() > KEPT_TEXT).for_each(|text| *text = Vec::new());
        read.map_err(|stop| match stop {
            Stop::Wrong(wrong) => wrong.reject(record.bytes()),
            Stop::Refused(reject) => reject,
        })
    }
}

/// One record on its way into a message.
struct Walk<'b, 'm> {
    xml: &'m mut Xml,
    record: Record<'b>,
    m: MessageMut<'m>,
}

impl<'b> Walk<'b, '_> {
    fn document(mut self) -> Result<(), Stop> {
        let bytes = self.record.bytes();
        let mut r = Reader::new(bytes);
        r.prologue()?;
        self.start(&mut r)?;
        while !self.xml.open.is_empty() {
            let run = r.text();
            if run.0 < run.1 {
                self.text(run, false)?;
            }
            if r.skip_comment()? {
                continue;
            }
            match r.rest() {
                [b'<', b'!', b'[', ..] => {
                    let run = r.cdata()?;
                    self.text(run, true)?;
                }
                [b'<', b'/', ..] => self.end(&mut r)?,
                [] => return Err(r.wrong("the end of an element").into()),
                _ => self.start(&mut r)?,
            }
        }
        Ok(r.epilogue()?)
    }

    /// An element's start, with its end when it is empty.
    fn start(&mut self, r: &mut Reader<'b>) -> Result<(), Stop> {
        let bytes = self.record.bytes();
        if self.xml.open.len() == self.xml.max_depth {
            return Err(r.wrong("fewer levels of nesting; `max_depth` raises that").into());
        }
        self.xml.attributes.clear();
        let most = self.xml.fields_left(&self.m);
        let (name, empty) = r.start(&mut self.xml.attributes, most)?;
        let outer = self.xml.path.len();
        let element = &bytes[name.0..name.1];
        let naming = self.xml.named_by.iter().find(|(known, _)| **known == *element).map(|(_, attribute)| attribute);
        let by = naming.and_then(|attribute| self.xml.attributes.iter().position(|a| bytes[a.name.0..a.name.1] == **attribute));
        if !self.xml.open.is_empty() || self.xml.root {
            let Xml { path, separator, attributes, .. } = &mut *self.xml;
            if !path.is_empty() {
                path.extend_from_slice(separator);
            }
            match by {
                Some(by) => text(bytes, attributes[by].value, true, path)?,
                None => path.extend_from_slice(element),
            }
        }
        for at in 0..self.xml.attributes.len() {
            if Some(at) != by {
                self.attribute(self.xml.attributes[at])?;
            }
        }
        if empty {
            self.xml.path.truncate(outer);
            return Ok(());
        }
        self.xml.open.push(Open { name, outer, text: Found::Nothing });
        Ok(())
    }

    fn attribute(&mut self, attribute: Attribute) -> Result<(), Stop> {
        let Walk { xml, record, m } = self;
        let (bytes, length) = (record.bytes(), xml.path.len());
        if length > 0 {
            xml.path.extend_from_slice(&xml.separator);
        }
        xml.path.extend_from_slice(&xml.prefix);
        xml.path.extend_from_slice(&bytes[attribute.name.0..attribute.name.1]);
        let raw = &bytes[attribute.value.0..attribute.value.1];
        let value = if raw.iter().any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r')) {
            xml.made.clear();
            text(bytes, attribute.value, true, &mut xml.made)?;
            Piece::Made(&xml.made)
        } else {
            Piece::Here(raw)
        };
        xml.fields.add(m, record, Piece::Made(&xml.path), value, xml.typed)?;
        xml.path.truncate(length);
        Ok(())
    }

    /// A piece of text of the innermost element.
    fn text(&mut self, (start, end): (usize, usize), cdata: bool) -> Result<(), Stop> {
        let bytes = self.record.bytes();
        let depth = self.xml.open.len() - 1;
        let raw = &bytes[start..end];
        let found = self.xml.open[depth].text;
        if !cdata && found == Found::Nothing && raw.trim_ascii().is_empty() {
            return Ok(());
        }
        let plain = !raw.iter().any(|b| *b == b'\r' || (*b == b'&' && !cdata));
        if found == Found::Nothing && plain {
            self.xml.open[depth].text = Found::Here { start, end, trim: !cdata };
            return Ok(());
        }
        if self.xml.texts.len() <= depth {
            self.xml.texts.resize(depth + 1, Vec::new());
        }
        let into = &mut self.xml.texts[depth];
        match found {
            Found::Nothing => into.clear(),
            Found::Here { start, end, trim } => {
                into.clear();
                let piece = &bytes[start..end];
                into.extend_from_slice(if trim { piece.trim_ascii_start() } else { piece });
            }
            Found::Made => {}
        }
        let before = into.len();
        match cdata {
            true => reader::plain(raw, into),
            false => text(bytes, (start, end), false, into)?,
        }
        if before == 0 && !cdata && found == Found::Nothing {
            let blank = into.len() - into.trim_ascii_start().len();
            into.drain(..blank);
        }
        self.xml.open[depth].text = Found::Made;
        Ok(())
    }

    /// An element's end.
    fn end(&mut self, r: &mut Reader<'b>) -> Result<(), Stop> {
        let bytes = self.record.bytes();
        let Some(open) = self.xml.open.pop() else { return Ok(()) };
        let name = &bytes[open.name.0..open.name.1];
        let at = r.at();
        if r.end()? != name {
            let shown = super::types::excerpt(name);
            return Err(Reject::new(format!("at byte {at}: found the end of another element, expected that of {shown}")).into());
        }
        let Walk { xml, record, m } = self;
        let value = match open.text {
            Found::Nothing => None,
            Found::Here { start, end, trim: true } => Some(Piece::Here(bytes[start..end].trim_ascii())),
            Found::Here { start, end, trim: false } => Some(Piece::Here(&bytes[start..end])),
            Found::Made => xml.texts.get(xml.open.len()).map(|text| Piece::Made(text.trim_ascii_end())),
        };
        if let Some(value) = value.filter(|v| !v.bytes().is_empty()) {
            let path = if xml.path.is_empty() { Piece::Here(name) } else { Piece::Made(&xml.path) };
            xml.fields.add(m, record, path, value, xml.typed)?;
        }
        xml.path.truncate(open.outer);
        Ok(())
    }
}

impl Xml {
    /// More attributes than this need not be looked at.
    fn fields_left(&self, m: &MessageMut<'_>) -> usize {
        self.fields.max().saturating_sub(m.field_count()) + MOST_HEADERS
    }
}

/// Attributes may become headers, which are no fields.
const MOST_HEADERS: usize = 16;
