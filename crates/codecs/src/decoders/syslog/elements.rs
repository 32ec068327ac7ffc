//! Structured data of [RFC 5424](https://www.rfc-editor.org/rfc/rfc5424#section-6.3).
//!
//! Messages of one application mostly have the same parameters in the same order. What stands before
//! a value, `[id name="` or ` name="`, is therefore remembered with the label of its field; where it
//! is found again nothing is read but the value.

use message::{Datum, Label, Text};

use super::{Misfit, Reading};
use crate::labels::Labels;
use crate::lanes::Needle;

/// Leads that are remembered, and the longest of them in bytes.
const MAX_KNOWN: usize = 64;
const MAX_LEAD: usize = 128;

/// Leads that are looked at behind the expected one.
const SKIPPED: usize = 7;

const UNENDED: &str = "`\"` at the end of the value";
const BRACKET: &str = "`\\]`, for brackets in values have a backslash";

/// Longest name of an element or parameter, in characters.
const MAX_NAME: usize = 32;

#[derive(Debug)]
pub(super) struct Elements {
    max_fields: usize,
    known: Vec<Lead>,
    labels: Labels,
    /// Of known leads, the one that comes next if this record is like the one before.
    expected: usize,
    unescaped: Vec<u8>,
}

/// What stands before a value.
#[derive(Debug)]
struct Lead {
    text: Box<[u8]>,
    /// Of an element's first parameter, the length of the element's id.
    first: Option<usize>,
    id: Box<[u8]>,
    /// Its place in the labels.
    label: usize,
}

impl Elements {
    pub fn new(max_fields: usize) -> Elements {
        Elements { max_fields, known: Vec::new(), labels: Labels::default(), expected: 0, unescaped: Vec::new() }
    }

    /// Whether the message has as many fields as it may have.
    pub fn full(&self, r: &Reading<'_, '_>) -> bool {
        r.message.field_count() >= self.max_fields
    }

    /// Adds the parameters of all elements, of which the first begins here; goes behind the last one.
    pub fn read(&mut self, r: &mut Reading<'_, '_>) -> Result<(), Misfit> {
        self.expected = 0;
        let mut id: &[u8] = b"";
        loop {
            if self.full(r) {
                return Err(r.misfit("no more parameters; `max_fields` raises that"));
            }
            // Here is the bracket of an element, or the space before another parameter of this one.
            let label = match self.lead(r, id) {
                Some(place) => {
                    let lead = &self.known[place];
                    if let Some(length) = lead.first {
                        id = &r.line[r.at + 1..r.at + 1 + length];
                    }
                    r.at += lead.text.len();
                    self.expected = place + 1;
                    Some(self.labels.of(r.message.messages())[lead.label])
                }
                None => self.new_lead(r, &mut id)?,
            };
            if let Some(label) = label {
                let value = self.value(r)?;
                r.message.add_labelled(label, Datum::String(value));
            }
            match r.rest() {
                [b' ', ..] => {}
                [b']', b'[', ..] => r.at += 1,
                [b']', ..] => {
                    r.at += 1;
                    return Ok(());
                }
                _ => return Err(r.misfit("a space and another parameter, or `]`")),
            }
        }
    }

    /// The known lead that stands here.
    #[inline]
    fn lead(&self, r: &Reading<'_, '_>, id: &[u8]) -> Option<usize> {
        let (rest, next) = (r.rest(), self.known.get(self.expected..).unwrap_or_default());
        let is = |lead: &Lead| rest.starts_with(&lead.text) && (lead.first.is_some() || *lead.id == *id);
        next.iter().take(1 + SKIPPED).position(is).map(|n| self.expected + n)
    }

    /// Reads what stands before a value; `None` when there is no value: the element has no (further) parameter.
    #[cold]
    fn new_lead<'a>(&mut self, r: &mut Reading<'a, '_>, id: &mut &'a [u8]) -> Result<Option<Label>, Misfit> {
        let start = r.at;
        let first = r.rest().starts_with(b"[");
        if first {
            r.at += 1;
            *id = name(r, "the id of an element: 1 to 32 printable ASCII characters but `=`, `]` and `\"`")?;
            if r.rest().starts_with(b"]") {
                let label = self.new_label(r, id);
                r.message.add_labelled(label, Datum::Bool(true));
                return Ok(None);
            }
            if !r.rest().starts_with(b" ") {
                return Err(r.misfit("a space or `]` behind the element's id"));
            }
        }
        r.at += 1;
        if r.lenient {
            r.at += r.rest().iter().take_while(|b| **b == b' ').count();
            if r.rest().starts_with(b"]") {
                return Ok(None);
            }
        }
        let name = name(r, "the name of a parameter: 1 to 32 printable ASCII characters but `=`, `]` and `\"`")?;
        if !r.rest().starts_with(b"=\"") {
            return Err(r.misfit("`=\"` and a value"));
        }
        r.at += b"=\"".len();
        let (full_name, text) = ([*id, b".", name].concat(), &r.line[start..r.at]);
        // A wrong id, with one parameter known under another, would never be found.
        let is = |lead: &Lead| *lead.text == *text && *lead.id == **id;
        if let Some(place) = self.known.iter().position(is) {
            self.expected = place + 1;
            return Ok(Some(self.labels.of(r.message.messages())[self.known[place].label]));
        }
        if self.known.len() == MAX_KNOWN || text.len() > MAX_LEAD || full_name.len() > MAX_LEAD {
            return Ok(Some(self.new_label(r, &full_name)));
        }
        let Ok(field) = std::str::from_utf8(&full_name) else { return Ok(Some(self.new_label(r, &full_name))) };
        let label = self.labels.add(field, "");
        self.known.push(Lead { text: text.into(), first: first.then_some(id.len()), id: (*id).into(), label });
        self.expected = self.known.len();
        Ok(Some(self.labels.of(r.message.messages())[label]))
    }

    /// A label for this message alone.
    fn new_label(&self, r: &mut Reading<'_, '_>, name: &[u8]) -> Label {
        let name = r.message.messages().store(name);
        r.message.messages().label(name, Text::NONE)
    }

    /// Reads a value and goes behind the quote at its end.
    #[inline]
    fn value(&mut self, r: &mut Reading<'_, '_>) -> Result<Text, Misfit> {
        let start = r.at;
        let Some(quote) = Needle::new(b'"').find(r.line, start) else {
            return Err(Misfit { at: r.line.len(), expected: UNENDED });
        };
        let value = &r.line[start..quote];
        if Needle::new(b'\\').find(&r.line[..quote], start).is_some() {
            return self.escaped(r);
        }
        if !r.lenient
            && let Some(bracket) = memchr::memchr(b']', value)
        {
            return Err(Misfit { at: start + bracket, expected: BRACKET });
        }
        r.at = quote + 1;
        Ok(r.record.text(value))
    }

    /// A value with backslashes. Before anything but `"`, `\` and `]` a backslash is one.
    #[cold]
    fn escaped(&mut self, r: &mut Reading<'_, '_>) -> Result<Text, Misfit> {
        self.unescaped.clear();
        loop {
            match r.rest() {
                [b'\\', byte @ (b'"' | b'\\' | b']'), ..] => {
                    self.unescaped.push(*byte);
                    r.at += 2;
                }
                [b'"', ..] => break,
                [b']', ..] if !r.lenient => return Err(r.misfit(BRACKET)),
                [byte, ..] => {
                    self.unescaped.push(*byte);
                    r.at += 1;
                }
                [] => return Err(r.misfit(UNENDED)),
            }
        }
        r.at += 1;
        Ok(r.message.messages().store(&self.unescaped))
    }
}

/// Longest name that is taken where what devices send is. Bytes.
const LONGEST_NAME: usize = 255;

/// The name here: what may be in one, up to 32 of it, or 255 where what devices send is taken.
fn name<'a>(r: &mut Reading<'a, '_>, expected: &'static str) -> Result<&'a [u8], Misfit> {
    let fits =
        |b: &u8| if r.lenient { !matches!(b, b' ' | b'=' | b']' | b'"') } else { b.is_ascii_graphic() && !matches!(b, b'=' | b']' | b'"') };
    let length = r.rest().iter().take_while(|b| fits(b)).count();
    // Each parameter's field has the id in its name.
    if length == 0 || length > if r.lenient { LONGEST_NAME } else { MAX_NAME } {
        return Err(r.misfit(expected));
    }
    let name = &r.rest()[..length];
    r.at += length;
    Ok(name)
}
