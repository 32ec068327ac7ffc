use message::{Datum, MessageMut, Text, ValueType};
use plugin::{Record, Reject};

use super::State;
use super::scalar::{Scalar, fits, slice, unpack};
use super::schema::{Field, Known, Schema, Type};
use super::wire::{Malformed, Raw, Reader, Slice};
use crate::time::write_rfc3339;

/// Messages within messages that are gone through, whether as fields or as JSON.
const MAX_NESTED: usize = 100;

/// One record on its way into a message.
pub(super) struct Walk<'s, 'b, 'm> {
    pub schema: &'s Schema,
    pub state: &'s mut State,
    pub record: Record<'b>,
    pub m: MessageMut<'m>,
    /// Fields that the schema does not know.
    pub unknown: u64,
}

/// A value of one of a message's fields.
#[derive(Clone, Copy)]
struct Occurrence {
    /// Place in the message's list.
    field: usize,
    raw: Raw,
}

/// A map's key, as text, and its value; of a value that is left out none.
type MapEntry = (Vec<u8>, Vec<Occurrence>);

impl<'s, 'b: 's> Walk<'s, 'b, '_> {
    /// Fields of the message that `parts` are merged; false when none is known.
    pub fn message(&mut self, id: usize, parts: &[Slice], depth: usize) -> Result<bool, Reject> {
        let (schema, found) = (self.schema, self.scan(id, parts, depth)?);
        for group in found.chunk_by(|a, b| a.field == b.field) {
            let field = &schema.messages[id].fields[group[0].field];
            let outer = self.push(depth > 1, &field.name);
            self.field(field, group, depth)?;
            self.state.path.truncate(outer);
        }
        Ok(!found.is_empty())
    }

    /// The message's values by field, each field's in their order; of those that exclude each other the last.
    fn scan(&mut self, id: usize, parts: &[Slice], depth: usize) -> Result<Vec<Occurrence>, Reject> {
        if depth > MAX_NESTED {
            return Err(Reject::new(format!("its messages are more than {MAX_NESTED} deep in each other")));
        }
        let message = &self.schema.messages[id];
        let mut found = Vec::new();
        // Of each oneof the field that is set, and the first of its values since it is.
        let mut set: Vec<(u32, usize, usize)> = Vec::new();
        for part in parts {
            let mut reader = Reader::new(self.record.bytes(), *part);
            loop {
                let at = reader.at();
                let Some((number, raw)) = reader.field().map_err(malformed)? else { break };
                let Some(place) = message.field(number) else {
                    self.unknown += 1;
                    continue;
                };
                let field = &message.fields[place];
                if !fits(field.type_, raw, field.repeated) {
                    let (name, type_) = (String::from_utf8_lossy(&field.name), field.type_);
                    let why = format!("at byte {at}: found {}, but `{name}` of {} is {type_:?}", raw.name(), message.name);
                    return Err(Reject::new(format!("{why}; is the option `message` right?")));
                }
                if let Some(oneof) = field.oneof {
                    match set.iter_mut().find(|(o, ..)| *o == oneof) {
                        Some((_, known, _)) if *known == place => {}
                        Some(other) => *other = (oneof, place, found.len()),
                        None => set.push((oneof, place, found.len())),
                    }
                }
                found.push(Occurrence { field: place, raw });
            }
        }
        let mut at = 0..;
        found.retain(|o| {
            let at = at.next().unwrap_or_default();
            message.fields[o.field]
                .oneof
                .is_none_or(|oneof| set.iter().any(|(is, field, from)| (*is, *field) == (oneof, o.field) && *from <= at))
        });
        found.sort_by_key(|o| o.field);
        Ok(found)
    }

    /// Adds a name to the path. Returns the path's length before.
    fn push(&mut self, nested: bool, name: &[u8]) -> usize {
        let path = &mut self.state.path;
        let outer = path.len();
        if nested {
            path.extend_from_slice(&self.state.separator);
        }
        path.extend_from_slice(name);
        outer
    }

    fn field(&mut self, field: &'s Field, group: &[Occurrence], depth: usize) -> Result<(), Reject> {
        match field.type_ {
            Type::Message(id) if field.map => self.map(field, id, group, depth),
            _ if field.repeated => self.array(field, group, depth),
            type_ => self.single(field, type_, group, depth),
        }
    }

    /// A field that is not repeated, or one entry's value in a map.
    fn single(&mut self, field: &'s Field, type_: Type, group: &[Occurrence], depth: usize) -> Result<(), Reject> {
        if let Some(scalar) = self.value(type_, group, depth)? {
            return self.add(&scalar);
        }
        let Type::Message(id) = type_ else { return Ok(()) };
        if depth < self.state.max_depth {
            return self.message(id, &parts(group), depth + 1).map(drop);
        }
        self.json(|walk, json| walk.json_value(field, type_, group, depth, json))
    }

    /// The value of a field that is not repeated, unless it is a message without a meaning of its own. Of several values the last
    /// counts; messages are merged.
    fn value(&mut self, type_: Type, group: &[Occurrence], depth: usize) -> Result<Option<Scalar<'s>>, Reject> {
        let (schema, bytes): (&'s Schema, &'s [u8]) = (self.schema, self.record.bytes());
        let Type::Message(id) = type_ else {
            return Ok(group.last().and_then(|o| Scalar::read(schema, type_, o.raw, bytes)));
        };
        let Some(known) = schema.messages[id].known else { return Ok(None) };
        let inner = self.scan(id, &parts(group), depth + 1)?;
        let fields = &schema.messages[id].fields;
        let of = |number: u32| {
            let last = inner.iter().rfind(|o| fields[o.field].number == number);
            last.and_then(|o| Scalar::read(schema, fields[o.field].type_, o.raw, bytes))
        };
        let integer = |number: u32| match of(number) {
            Some(Scalar::Integer(n)) => n,
            _ => 0,
        };
        Ok(match known {
            Known::Wrapper => {
                let type_ = fields.first().map_or(Type::String, |f| f.type_);
                Some(of(1).unwrap_or_else(|| Scalar::default(type_)))
            }
            Known::Duration => Some(Scalar::Double(integer(1) as f64 + integer(2) as f64 / 1e9)),
            Known::Timestamp => {
                let nanoseconds = integer(1).checked_mul(1_000_000_000).and_then(|n| n.checked_add(integer(2)));
                let mut text = Vec::new();
                nanoseconds.into_iter().for_each(|ns| write_rfc3339(ns, 9, &mut text));
                nanoseconds.map(|_| Scalar::Text(text.into()))
            }
        })
    }

    /// Entries become fields of their own; of entries with the same key the last counts.
    fn map(&mut self, field: &'s Field, entry: usize, group: &[Occurrence], depth: usize) -> Result<(), Reject> {
        if depth >= self.state.max_depth {
            return self.json(|walk, json| walk.json_map(entry, group, depth, json));
        }
        let value_type = self.value_type(entry);
        for (key, values) in self.entries(entry, group, depth)? {
            let outer = self.push(true, &key);
            match values.is_empty() {
                false => self.single(field, value_type, &values, depth + 1)?,
                true if matches!(value_type, Type::Message(_)) => {}
                true => self.add(&Scalar::default(value_type))?,
            }
            self.state.path.truncate(outer);
        }
        Ok(())
    }

    fn value_type(&self, entry: usize) -> Type {
        let fields = &self.schema.messages[entry].fields;
        fields.iter().find(|f| f.number == 2).map_or(Type::String, |f| f.type_)
    }

    /// Keys, as text and in order, and values of a map.
    fn entries(&mut self, entry: usize, group: &[Occurrence], depth: usize) -> Result<Vec<MapEntry>, Reject> {
        let (schema, bytes): (&'s Schema, &'s [u8]) = (self.schema, self.record.bytes());
        let mut entries = Vec::new();
        for part in parts(group) {
            let mut found = self.scan(entry, &[part], depth + 1)?;
            let fields = &schema.messages[entry].fields;
            let key = found.iter().rfind(|o| fields[o.field].number == 1);
            let key = key.and_then(|o| Scalar::read(schema, fields[o.field].type_, o.raw, bytes));
            let key_type = fields.iter().find(|f| f.number == 1).map_or(Type::String, |f| f.type_);
            let mut text = Vec::new();
            key.unwrap_or_else(|| Scalar::default(key_type)).write(&mut text);
            found.retain(|o| fields[o.field].number == 2);
            entries.push((text, found));
        }
        // The last of a key comes first, and is the one that stays.
        entries.reverse();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        Ok(entries)
    }

    /// A field of several values; of messages as JSON.
    fn array(&mut self, field: &'s Field, group: &[Occurrence], depth: usize) -> Result<(), Reject> {
        if matches!(field.type_, Type::Message(_)) {
            return self.json(|walk, json| walk.json_value(field, field.type_, group, depth, json));
        }
        let mut values = std::mem::take(&mut self.state.values);
        values.clear();
        let read = self.each(field.type_, group, |walk, scalar| {
            values.push(scalar.datum(&walk.record, walk.m.messages()));
            Ok(())
        });
        read?;
        let type_ = self.one_type(&mut values);
        let name = self.name()?;
        self.m.add_field(name, Text::NONE, type_, &values);
        self.state.values = values;
        Ok(())
    }

    /// The type of all values: when some are integers and some are too large for that, they are text.
    fn one_type(&mut self, values: &mut [Datum]) -> ValueType {
        let type_ = values.first().map_or(ValueType::String, |v| v.type_());
        if values.iter().all(|v| v.type_() == type_) {
            return type_;
        }
        for value in values {
            if let Datum::Integer(n) = value {
                *value = Datum::String(self.m.messages().store(n.to_string().as_bytes()));
            }
        }
        ValueType::String
    }

    /// Every scalar of a repeated field, packed or not.
    fn each(
        &mut self,
        type_: Type,
        group: &[Occurrence],
        mut take: impl FnMut(&mut Self, Scalar<'s>) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let (schema, bytes): (&'s Schema, &'s [u8]) = (self.schema, self.record.bytes());
        for occurrence in group {
            if let Some(scalar) = Scalar::read(schema, type_, occurrence.raw, bytes) {
                take(self, scalar)?;
                continue;
            }
            let Raw::Bytes(packed) = occurrence.raw else { continue };
            let mut reader = Reader::new(self.record.bytes(), packed);
            while !reader.is_empty() {
                let Some(raw) = unpack(type_, &mut reader) else { break };
                if let Some(scalar) = Scalar::read(schema, type_, raw.map_err(malformed)?, bytes) {
                    take(self, scalar)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a header or field of the path's name.
    fn add(&mut self, scalar: &Scalar<'_>) -> Result<(), Reject> {
        let value = scalar.datum(&self.record, self.m.messages());
        let state = &mut *self.state;
        state.text.clear();
        scalar.write(&mut state.text);
        if state.headers.take(&mut self.m, &state.path, value, &state.text) {
            return Ok(());
        }
        match state.labels.learnt(&state.path, self.m.messages()) {
            Some(label) if self.m.field_count() < state.max_fields => self.m.add_labelled(label, value),
            _ => {
                let name = self.name()?;
                self.m.add(name, value);
            }
        }
        Ok(())
    }

    /// The name of a field that is about to be added.
    fn name(&mut self) -> Result<Text, Reject> {
        if self.m.field_count() >= self.state.max_fields {
            return Err(Reject::new(format!("found more than {} fields; `max_fields` raises that", self.state.max_fields)));
        }
        self.state.spend(self.state.path.len())?;
        Ok(self.m.messages().store(&self.state.path))
    }

    /// Adds a field of JSON text.
    fn json(&mut self, write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), Reject>) -> Result<(), Reject> {
        let mut json = std::mem::take(&mut self.state.json);
        json.clear();
        write(self, &mut json)?;
        let (name, value) = (self.name()?, self.m.messages().store(&json));
        let representation = self.m.messages().store(b"json");
        self.m.add_field(name, representation, ValueType::String, &[Datum::String(value)]);
        self.state.json = json;
        Ok(())
    }

    fn json_message(&mut self, id: usize, parts: &[Slice], depth: usize, json: &mut Vec<u8>) -> Result<(), Reject> {
        let (schema, found) = (self.schema, self.scan(id, parts, depth)?);
        json.push(b'{');
        for group in found.chunk_by(|a, b| a.field == b.field) {
            let field = &schema.messages[id].fields[group[0].field];
            self.json_name(&field.name, json)?;
            match field.type_ {
                Type::Message(entry) if field.map => self.json_map(entry, group, depth, json)?,
                type_ => self.json_value(field, type_, group, depth, json)?,
            }
        }
        json.push(b'}');
        Ok(())
    }

    fn json_map(&mut self, entry: usize, group: &[Occurrence], depth: usize, json: &mut Vec<u8>) -> Result<(), Reject> {
        let (schema, value_type) = (self.schema, self.value_type(entry));
        let Some(field) = schema.messages[entry].fields.iter().find(|f| f.number == 2) else {
            json.extend_from_slice(b"{}");
            return Ok(());
        };
        json.push(b'{');
        for (key, values) in self.entries(entry, group, depth)? {
            self.json_name(&key, json)?;
            match (values.is_empty(), value_type) {
                (true, Type::Message(_)) => json.extend_from_slice(b"{}"),
                (true, _) => Scalar::default(value_type).write_json(json),
                _ => self.json_value(field, value_type, &values, depth + 1, json)?,
            }
        }
        json.push(b'}');
        Ok(())
    }

    fn json_name(&mut self, name: &[u8], json: &mut Vec<u8>) -> Result<(), Reject> {
        self.state.spend(name.len() + 4)?;
        if json.last() != Some(&b'{') {
            json.push(b',');
        }
        crate::json::write_string(name, json);
        json.push(b':');
        Ok(())
    }

    fn json_value(&mut self, field: &'s Field, type_: Type, group: &[Occurrence], depth: usize, json: &mut Vec<u8>) -> Result<(), Reject> {
        if !field.repeated || field.map {
            return self.json_single(type_, group, depth, json);
        }
        json.push(b'[');
        let first = json.len();
        let comma = |json: &mut Vec<u8>| {
            if json.len() > first {
                json.push(b',');
            }
        };
        if matches!(type_, Type::Message(_)) {
            for one in group {
                comma(json);
                self.json_single(type_, &[*one], depth, json)?;
            }
        } else {
            self.each(type_, group, |_, scalar| {
                comma(json);
                scalar.write_json(json);
                Ok(())
            })?;
        }
        json.push(b']');
        Ok(())
    }

    fn json_single(&mut self, type_: Type, group: &[Occurrence], depth: usize, json: &mut Vec<u8>) -> Result<(), Reject> {
        match (self.value(type_, group, depth)?, type_) {
            (Some(scalar), _) => scalar.write_json(json),
            (None, Type::Message(id)) => self.json_message(id, &parts(group), depth + 1, json)?,
            _ => json.extend_from_slice(b"null"),
        }
        Ok(())
    }
}

fn parts(group: &[Occurrence]) -> Vec<Slice> {
    group.iter().filter_map(|o| slice(o.raw)).collect()
}

fn malformed(malformed: Malformed) -> Reject {
    Reject::new(format!("at byte {}: {}", malformed.at, malformed.what))
}
