//! The tables of a batch as columns.

use std::borrow::Cow;
use std::iter;

use super::column;
use super::{LEAST_LABEL, LEAST_TEXT, LEAST_VALUE, VERSION};
use crate::record::{Field, LabelText, Rec};
use crate::{Messages, Text};

/// Appends everything but the raw block, which is of `raw` bytes, and the arena.
pub(super) fn tables(messages: &Messages, raw: usize, out: &mut Vec<u8>) {
    let (fields, values) = in_order(messages);
    out.push(VERSION);
    out.extend_from_slice(&messages.seed.to_le_bytes());
    let (recs, envelopes, labels) = (&messages.recs, &messages.envelopes, &messages.labels);
    let counts = [raw, messages.arena.len(), recs.len(), envelopes.len(), labels.len(), fields.len(), values.len()];
    column::write(out, 0, counts.len(), counts.iter().map(|n| *n as i64));
    records(recs, out);

    // Those that no message has any more may point at bytes that are gone.
    let kept = |text: Text| if text.lies_within(raw, messages.arena.len()) { text } else { Text::NONE };
    let part = |out: &mut Vec<u8>, least, part: fn(&crate::record::Envelope) -> Text| {
        texts(out, least, envelopes.len(), envelopes.iter().map(|e| kept(part(e))));
    };
    part(out, LEAST_TEXT, |e| e.type_);
    part(out, 0, |e| e.logger);
    part(out, 0, |e| e.env_version);
    part(out, 0, |e| e.hostname);
    part(out, 0, |e| e.signer);

    let part = |out: &mut Vec<u8>, least, part: fn(&LabelText) -> Text| {
        texts(out, least, labels.len(), labels.iter().map(|l| kept(part(l))));
    };
    part(out, LEAST_TEXT, |l| l.name);
    part(out, 0, |l| l.representation);

    column::write(out, LEAST_LABEL, fields.len(), fields.iter().map(|f| i64::from(f.label.0)));
    column::write(out, 0, fields.len(), fields.iter().map(|f| i64::from(f.shape())));
    column::write(out, LEAST_VALUE, fields.len(), fields.iter().map(|f| f.bits as i64));
    column::write(out, LEAST_VALUE, values.len(), values.iter().map(|v| *v as i64));
}

fn records(recs: &[Rec], out: &mut Vec<u8>) {
    texts(out, LEAST_TEXT, recs.len(), recs.iter().map(|r| r.payload));
    texts(out, 0, recs.len(), recs.iter().map(|r| r.uuid));
    let mut column = |value: fn(&Rec) -> i64| column::write(out, 0, recs.len(), recs.iter().map(value));
    column(|r| r.timestamp);
    column(|r| i64::from(r.severity));
    column(|r| i64::from(r.pid));
    column(|r| i64::from(r.hops) << 2 | i64::from(r.has_pid) << 1 | i64::from(r.has_severity));
    column(|r| i64::from(r.envelope));
    column(|r| i64::from(r.field_count));
}

/// Texts: how far each begins behind the end of the one before, and how long it is. Records lie side by
/// side in what was read, so that the first is mostly the same for all.
fn texts(out: &mut Vec<u8>, least: usize, n: usize, texts: impl Iterator<Item = Text> + Clone) {
    let mut rest = texts.clone();
    let Some(first) = rest.next() else { return };
    // The first begins behind what would make its gap that of the second.
    let gap = rest.next().map_or(0, |second| second.at().wrapping_sub(first.end()));
    let start = first.at().wrapping_sub(gap) as i32;
    column::write(out, 0, 1, iter::once(i64::from(start)));
    column::write(out, least, n, texts.clone().map(|t| t.len() as i64));
    let mut end = start as u32;
    let gaps = texts.map(move |text| {
        let gap = text.at().wrapping_sub(end) as i32;
        end = text.end();
        i64::from(gap)
    });
    column::write(out, 0, n, gaps);
}

/// The fields of all messages one behind the other, and so their values, with none that belong to no
/// message: where those of a message begin need not be written.
fn in_order(messages: &Messages) -> (Cow<'_, [Field]>, Cow<'_, [u64]>) {
    let (all, values) = (&messages.fields, &messages.values);
    let mut next = 0;
    let fields_are = all.is_empty()
        || messages.recs.iter().all(|rec| {
            let behind = rec.field_count == 0 || rec.first_field as usize == next;
            next += rec.field_count as usize;
            behind
        }) && next == all.len();
    let fields = if fields_are {
        Cow::Borrowed(&all[..])
    } else {
        Cow::Owned(messages.recs.iter().flat_map(|rec| &all[rec.fields()]).copied().collect())
    };
    let mut next = 0;
    let values_are = values.is_empty()
        || fields.iter().filter(|f| f.count() != 1).all(|f| {
            let behind = f.count() == 0 || f.bits == next as u64;
            next += f.count();
            behind
        }) && next == values.len();
    if values_are {
        return (fields, Cow::Borrowed(values));
    }
    let mut ordered = Vec::with_capacity(values.len());
    let mut fields = fields.into_owned();
    for field in fields.iter_mut().filter(|f| f.count() != 1) {
        let old = field.bits as usize;
        field.bits = ordered.len() as u64;
        if field.count() > 0 {
            ordered.extend_from_slice(&values[old..old + field.count()]);
        }
    }
    (Cow::Owned(fields), Cow::Owned(ordered))
}
