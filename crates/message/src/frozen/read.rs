//! Columns as the tables of a batch, of which nothing is believed.

use super::column::{Column, take};
use super::{FrozenError, LEAST_LABEL, LEAST_TEXT, LEAST_VALUE, VERSION};
use crate::pool::Storage;
use crate::record::{Envelope, Field, LabelText, Rec};
use crate::{Label, Messages, Text, ValueType};

/// Fills `storage`, which is empty. After an error it holds anything.
pub(super) fn storage(mut bytes: &[u8], storage: &mut Storage) -> Result<(), FrozenError> {
    let from = &mut bytes;
    let version = take(from, 1)?[0];
    if version != VERSION {
        return Err(FrozenError::Version(version));
    }
    let mut seed = [0; 16];
    seed.copy_from_slice(take(from, 16)?);
    storage.messages.seed = u128::from_le_bytes(seed);
    let [raw, arena, recs, envelopes, labels, fields, values] = numbers(from)?.map(|n| n as usize);
    let mut tables = Tables { from, raw, arena };
    let messages = &mut storage.messages;
    tables.records(recs, &mut messages.recs)?;
    tables.envelopes(envelopes, &mut messages.envelopes)?;
    tables.labels(labels, &mut messages.labels)?;
    tables.fields(fields, &mut messages.fields)?;
    tables.values(values, &mut messages.values)?;
    place_fields(messages)?;
    check_values(messages, raw, arena)?;

    storage.raw.extend_from_slice(take(from, raw)?);
    storage.messages.arena.extend_from_slice(take(from, arena)?);
    if from.is_empty() { Ok(()) } else { Err(FrozenError::Long(from.len())) }
}

/// A column of counts.
fn numbers<const N: usize>(from: &mut &[u8]) -> Result<[u32; N], FrozenError> {
    let mut numbers = [0; N];
    ensure(Column::read(from, 0, N)?.apply(&mut numbers, narrow), "counts")?;
    Ok(numbers)
}

fn ensure(good: bool, what: &'static str) -> Result<(), FrozenError> {
    if good { Ok(()) } else { Err(FrozenError::Damaged(what)) }
}

/// Reads an integer that `to` can hold; otherwise says that it cannot.
fn narrow<T: TryFrom<i64> + Default>(to: &mut T, value: i64) -> bool {
    let narrow = T::try_from(value);
    let fits = narrow.is_ok();
    *to = narrow.unwrap_or_default();
    fits
}

/// What is left of the tables, and how long the blocks are that texts point into.
struct Tables<'r, 'a> {
    from: &'r mut &'a [u8],
    raw: usize,
    arena: usize,
}

struct Texts<'a> {
    start: u32,
    len: Column<'a>,
    gap: Column<'a>,
}

impl<'a> Tables<'_, 'a> {
    fn column(&mut self, least: usize, n: usize) -> Result<Column<'a>, FrozenError> {
        Column::read(self.from, least, n)
    }

    fn texts(&mut self, least: usize, n: usize) -> Result<Texts<'a>, FrozenError> {
        let mut start = [0i32];
        let start_is = self.column(0, n.min(1))?.apply(&mut start, narrow);
        ensure(start_is, "place of a text")?;
        Ok(Texts { start: start[0] as u32, len: self.column(least, n)?, gap: self.column(0, n)? })
    }

    /// Sets a text of each of `to`, all of which lie in their block.
    fn apply<T>(&self, texts: &Texts<'_>, to: &mut [T], text: fn(&mut T) -> &mut Text) -> bool {
        let lengths = texts.len.apply(to, |to, len| {
            *text(to) = Text::from_parts(0, len as u32);
            u32::try_from(len).is_ok()
        });
        let mut end = texts.start;
        lengths
            & texts.gap.apply(to, |to, gap| {
                let text = text(to);
                *text = Text::from_parts(end.wrapping_add(gap as u32), text.len() as u32);
                end = text.end();
                text.lies_within(self.raw, self.arena)
            })
    }

    fn records(&mut self, n: usize, recs: &mut Vec<Rec>) -> Result<(), FrozenError> {
        let (payload, uuid) = (self.texts(LEAST_TEXT, n)?, self.texts(0, n)?);
        let (timestamp, severity, pid) = (self.column(0, n)?, self.column(0, n)?, self.column(0, n)?);
        let (flags, envelope, field_count) = (self.column(0, n)?, self.column(0, n)?, self.column(0, n)?);
        recs.resize(n, Rec::default());
        ensure(self.apply(&payload, recs, |r| &mut r.payload), "payload of a message")?;
        ensure(self.apply(&uuid, recs, |r| &mut r.uuid), "uuid of a message")?;
        ensure(timestamp.apply(recs, |r, v| narrow(&mut r.timestamp, v)), "timestamp of a message")?;
        ensure(severity.apply(recs, |r, v| narrow(&mut r.severity, v)), "severity of a message")?;
        ensure(pid.apply(recs, |r, v| narrow(&mut r.pid, v)), "pid of a message")?;
        let flags_are = flags.apply(recs, |r, v| {
            (r.has_severity, r.has_pid) = (v & 1 != 0, v & 2 != 0);
            narrow(&mut r.hops, v >> 2)
        });
        ensure(flags_are, "hops of a message")?;
        ensure(envelope.apply(recs, |r, v| narrow(&mut r.envelope, v)), "envelope of a message")?;
        ensure(field_count.apply(recs, |r, v| narrow(&mut r.field_count, v)), "number of fields of a message")
    }

    fn envelopes(&mut self, n: usize, envelopes: &mut Vec<Envelope>) -> Result<(), FrozenError> {
        let type_ = self.texts(LEAST_TEXT, n)?;
        let (logger, env_version, hostname, signer) = (self.texts(0, n)?, self.texts(0, n)?, self.texts(0, n)?, self.texts(0, n)?);
        envelopes.clear();
        envelopes.resize(n, Envelope::default());
        ensure(self.apply(&type_, envelopes, |e| &mut e.type_), "type")?;
        ensure(self.apply(&logger, envelopes, |e| &mut e.logger), "logger")?;
        ensure(self.apply(&env_version, envelopes, |e| &mut e.env_version), "env_version")?;
        ensure(self.apply(&hostname, envelopes, |e| &mut e.hostname), "hostname")?;
        ensure(self.apply(&signer, envelopes, |e| &mut e.signer), "signer")
    }

    fn labels(&mut self, n: usize, labels: &mut Vec<LabelText>) -> Result<(), FrozenError> {
        let (name, representation) = (self.texts(LEAST_TEXT, n)?, self.texts(0, n)?);
        labels.resize(n, LabelText { name: Text::NONE, representation: Text::NONE });
        ensure(self.apply(&name, labels, |l| &mut l.name), "name of a field")?;
        ensure(self.apply(&representation, labels, |l| &mut l.representation), "representation of a field")
    }

    fn fields(&mut self, n: usize, fields: &mut Vec<Field>) -> Result<(), FrozenError> {
        let (label, shape, bits) = (self.column(LEAST_LABEL, n)?, self.column(0, n)?, self.column(LEAST_VALUE, n)?);
        fields.resize(n, Field::new(Label(0), ValueType::String, 0, 0));
        ensure(label.apply(fields, |f, v| narrow(&mut f.label.0, v)), "label of a field")?;
        ensure(shape.apply(fields, |f, v| u32::try_from(v).is_ok_and(|v| f.set_shape(v))), "type of a field")?;
        bits.apply(fields, |f, v| {
            f.bits = v as u64;
            true
        });
        Ok(())
    }

    fn values(&mut self, n: usize, values: &mut Vec<u64>) -> Result<(), FrozenError> {
        let column = self.column(LEAST_VALUE, n)?;
        values.resize(n, 0);
        column.apply(values, |to, v| {
            *to = v as u64;
            true
        });
        Ok(())
    }
}

/// Each message has the fields behind those of the one before.
fn place_fields(messages: &mut Messages) -> Result<(), FrozenError> {
    let mut next = 0u64;
    let mut good = true;
    for rec in &mut messages.recs {
        rec.first_field = next as u32;
        next += u64::from(rec.field_count);
        good &= (rec.envelope as usize) < messages.envelopes.len();
    }
    ensure(good, "envelope of a message")?;
    ensure(next == messages.fields.len() as u64, "number of fields")
}

/// Each field that has not one value has those behind the ones before; each text lies in its block.
fn check_values(messages: &Messages, raw: usize, arena: usize) -> Result<(), FrozenError> {
    let lies = |bits: u64| Text::from_bits(bits).lies_within(raw, arena);
    let mut values = &messages.values[..];
    for field in &messages.fields {
        ensure((field.label.0 as usize) < messages.labels.len(), "label of a field")?;
        let is_text = matches!(field.type_(), ValueType::String | ValueType::Bytes);
        if field.count() == 1 {
            ensure(!is_text || lies(field.bits), "text of a field")?;
            continue;
        }
        let before = (messages.values.len() - values.len()) as u64;
        ensure(field.count() == 0 || field.bits == before, "place of a field's values")?;
        let (own, rest) = values.split_at_checked(field.count()).ok_or(FrozenError::Damaged("number of values"))?;
        ensure(!is_text || own.iter().all(|v| lies(*v)), "text of a field")?;
        values = rest;
    }
    ensure(values.is_empty(), "number of values")
}
