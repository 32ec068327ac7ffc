use std::collections::{HashMap, VecDeque};

use options::nearest;

use super::wire::{Malformed, Raw, Reader, Slice};

/// What is known of a message type and all it refers to.
#[derive(Debug)]
pub(super) struct Schema {
    /// The first is the one that was asked for.
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

#[derive(Default, Debug)]
pub(super) struct Message {
    /// With its package, such as `google.protobuf.Timestamp`.
    pub name: String,
    /// By number.
    pub fields: Vec<Field>,
    pub known: Option<Known>,
    /// Made by the compiler for the entries of a map.
    map_entry: bool,
}

/// Messages with a meaning of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    Timestamp,
    Duration,
    /// One that holds a value in its field 1.
    Wrapper,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub name: Box<[u8]>,
    pub type_: Type,
    pub repeated: bool,
    /// Whether the messages it repeats are entries of a map.
    pub map: bool,
    pub oneof: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Bytes,
    Uint32,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
    /// Place in [`Schema::enums`].
    Enum(usize),
    /// Place in [`Schema::messages`].
    Message(usize),
}

/// Names by number.
#[derive(Debug)]
pub(super) struct Enum(Vec<(i32, Box<[u8]>)>);

impl Enum {
    pub fn name(&self, number: i32) -> Option<&[u8]> {
        self.0.binary_search_by_key(&number, |(n, _)| *n).ok().map(|at| &*self.0[at].1)
    }
}

impl Message {
    /// The place of the field with this number.
    pub fn field(&self, number: u32) -> Option<usize> {
        // Most are numbered from 1 without a gap.
        let likely = (number as usize).wrapping_sub(1);
        match self.fields.get(likely) {
            Some(field) if field.number == number => Some(likely),
            _ => self.fields.binary_search_by_key(&number, |f| f.number).ok(),
        }
    }
}

/// Types within types that are read.
const MAX_NESTED: usize = 32;

/// Where a type is declared.
#[derive(Clone, Copy)]
enum Declared {
    Message(Slice),
    Enum(Slice),
}

/// Where a type is in the schema.
#[derive(Clone, Copy)]
enum Place {
    Message(usize),
    Enum(usize),
}

impl Schema {
    /// Reads a FileDescriptorSet (descriptor.proto): `wanted` and what it refers to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8], wanted: &str) -> Result<Schema, String> {
        let mut build =
            Build { bytes, declared: HashMap::new(), places: HashMap::new(), queue: VecDeque::new(), messages: 0, enums: Vec::new() };
        build.files().map_err(|m| format!("it is no descriptor set: at byte {}: {}", m.at, m.what))?;
        let wanted = wanted.strip_prefix('.').unwrap_or(wanted);
        if !matches!(build.declared.get(wanted), Some(Declared::Message(_))) {
            return Err(build.missing(wanted));
        }
        build.place(wanted, "")?;
        let mut messages = Vec::new();
        while let Some((name, slice)) = build.queue.pop_front() {
            let message = build.message(&name, slice)?;
            messages.push(message);
        }
        let entries: Vec<bool> = messages.iter().map(|m| m.map_entry).collect();
        for field in messages.iter_mut().flat_map(|m| &mut m.fields) {
            field.map = field.repeated && matches!(field.type_, Type::Message(id) if entries[id]);
        }
        Ok(Schema { messages, enums: build.enums })
    }
}

struct Build<'b> {
    bytes: &'b [u8],
    /// By name with package, without a dot in front.
    declared: HashMap<String, Declared>,
    places: HashMap<String, Place>,
    /// Messages that have a place, but are not read yet.
    queue: VecDeque<(String, Slice)>,
    messages: usize,
    enums: Vec<Enum>,
}

impl Build<'_> {
    fn text(&self, slice: Slice) -> String {
        String::from_utf8_lossy(slice.in_record(self.bytes)).into_owned()
    }

    /// The length-delimited fields of a message of the descriptor.
    fn each(&self, slice: Slice, mut field: impl FnMut(u32, Raw) -> Result<(), Malformed>) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.bytes, slice);
        while let Some((number, raw)) = reader.field()? {
            field(number, raw)?;
        }
        Ok(())
    }

    fn files(&mut self) -> Result<(), Malformed> {
        let mut files = Vec::new();
        self.each(Slice::of(self.bytes), |number, raw| {
            if let (1, Raw::Bytes(file)) = (number, raw) {
                files.push(file);
            }
            Ok(())
        })?;
        files.into_iter().try_for_each(|file| self.file(file))
    }

    fn file(&mut self, file: Slice) -> Result<(), Malformed> {
        let (mut package, mut declared) = (String::new(), Vec::new());
        self.each(file, |number, raw| {
            match (number, raw) {
                (2, Raw::Bytes(name)) => package = self.text(name),
                (4, Raw::Bytes(slice)) => declared.push(Declared::Message(slice)),
                (5, Raw::Bytes(slice)) => declared.push(Declared::Enum(slice)),
                _ => {}
            }
            Ok(())
        })?;
        declared.into_iter().try_for_each(|what| self.declare(&package, what, 0))
    }

    /// Adds a type and those within it.
    fn declare(&mut self, scope: &str, what: Declared, depth: usize) -> Result<(), Malformed> {
        let (Declared::Message(slice) | Declared::Enum(slice)) = what;
        let (mut name, mut nested) = (String::new(), Vec::new());
        self.each(slice, |number, raw| {
            match (number, raw, what) {
                (1, Raw::Bytes(text), _) => name = self.text(text),
                (3, Raw::Bytes(slice), Declared::Message(_)) => nested.push(Declared::Message(slice)),
                (4, Raw::Bytes(slice), Declared::Message(_)) => nested.push(Declared::Enum(slice)),
                _ => {}
            }
            Ok(())
        })?;
        if depth == MAX_NESTED {
            return Err(Malformed { at: slice.start, what: "found types too deep in each other" });
        }
        let full = if scope.is_empty() { name } else { format!("{scope}.{name}") };
        self.declared.insert(full.clone(), what);
        nested.into_iter().try_for_each(|what| self.declare(&full, what, depth + 1))
    }

    fn missing(&self, wanted: &str) -> String {
        let names = || self.declared.iter().filter(|(_, d)| matches!(d, Declared::Message(_))).map(|(name, _)| name.as_str());
        // Often only the package is missing.
        let same = names().find(|name| name.rsplit('.').next() == Some(wanted));
        match same.or_else(|| nearest(wanted, names())) {
            Some(name) => format!("it has no message `{wanted}` (did you mean `{name}`?)"),
            None => {
                let mut some: Vec<_> = names().take(10).collect();
                some.sort_unstable();
                format!("it has no message `{wanted}`, only {}", some.join(", "))
            }
        }
    }

    /// The place in the schema of a type that `user` refers to; it is read later.
    fn place(&mut self, name: &str, user: &str) -> Result<Place, String> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        let place = match self.declared.get(name) {
            None => return Err(format!("`{user}` refers to `{name}`, which it has not; `protoc --include_imports` adds what is imported")),
            Some(Declared::Message(slice)) => {
                self.queue.push_back((name.to_string(), *slice));
                self.messages += 1;
                Place::Message(self.messages - 1)
            }
            Some(Declared::Enum(slice)) => {
                let values = self.enumeration(*slice).map_err(|m| format!("`{name}`: at byte {}: {}", m.at, m.what))?;
                self.enums.push(values);
                Place::Enum(self.enums.len() - 1)
            }
        };
        self.places.insert(name.to_string(), place);
        Ok(place)
    }

    fn enumeration(&self, slice: Slice) -> Result<Enum, Malformed> {
        let mut values: Vec<(i32, Box<[u8]>)> = Vec::new();
        self.each(slice, |number, raw| {
            let (2, Raw::Bytes(value)) = (number, raw) else { return Ok(()) };
            let (mut name, mut n) = (Box::default(), 0);
            self.each(value, |number, raw| {
                match (number, raw) {
                    (1, Raw::Bytes(text)) => name = text.in_record(self.bytes).into(),
                    (2, Raw::Varint(value)) => n = value as i32,
                    _ => {}
                }
                Ok(())
            })?;
            values.push((n, name));
            Ok(())
        })?;
        // Of names for one number the first counts.
        values.sort_by_key(|(n, _)| *n);
        values.dedup_by_key(|(n, _)| *n);
        Ok(Enum(values))
    }

    fn message(&mut self, name: &str, slice: Slice) -> Result<Message, String> {
        let (mut declared, mut map_entry) = (Vec::new(), false);
        let read = self.each(slice, |number, raw| {
            match (number, raw) {
                (2, Raw::Bytes(field)) => declared.push(field),
                (7, Raw::Bytes(options)) => self.each(options, |number, raw| {
                    map_entry |= (number, raw) == (7, Raw::Varint(1));
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        });
        let malformed = |m: Malformed| format!("`{name}`: at byte {}: {}", m.at, m.what);
        read.map_err(malformed)?;
        let mut fields = Vec::new();
        for slice in declared {
            let declared = self.declared_field(slice).map_err(malformed)?;
            fields.push(self.field(name, declared)?);
        }
        fields.sort_by_key(|f| f.number);
        let known = match name {
            "google.protobuf.Timestamp" => Some(Known::Timestamp),
            "google.protobuf.Duration" => Some(Known::Duration),
            _ => {
                let wrapped = name.strip_prefix("google.protobuf.").and_then(|n| n.strip_suffix("Value"));
                let wraps = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
                wrapped.filter(|w| wraps.contains(w)).map(|_| Known::Wrapper)
            }
        };
        Ok(Message { name: name.to_string(), fields, known, map_entry })
    }

    fn declared_field(&self, slice: Slice) -> Result<DeclaredField, Malformed> {
        let mut field = DeclaredField::default();
        self.each(slice, |number, raw| {
            match (number, raw) {
                (1, Raw::Bytes(name)) => field.name = name.in_record(self.bytes).into(),
                (3, Raw::Varint(n)) => field.number = n as u32,
                (4, Raw::Varint(label)) => field.repeated = label == 3,
                (5, Raw::Varint(n)) => field.type_ = n,
                (6, Raw::Bytes(name)) => field.type_name = self.text(name),
                (9, Raw::Varint(n)) => field.oneof = u32::try_from(n).ok(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(field)
    }

    fn field(&mut self, message: &str, declared: DeclaredField) -> Result<Field, String> {
        let DeclaredField { number, name, repeated, type_, type_name, oneof } = declared;
        let type_ = match type_ {
            1 => Type::Double,
            2 => Type::Float,
            3 => Type::Int64,
            4 => Type::Uint64,
            5 => Type::Int32,
            6 => Type::Fixed64,
            7 => Type::Fixed32,
            8 => Type::Bool,
            9 => Type::String,
            12 => Type::Bytes,
            13 => Type::Uint32,
            15 => Type::Sfixed32,
            16 => Type::Sfixed64,
            17 => Type::Sint32,
            18 => Type::Sint64,
            // A group is a message as well.
            10 | 11 | 14 => match self.place(type_name.strip_prefix('.').unwrap_or(&type_name), message)? {
                Place::Message(id) => Type::Message(id),
                Place::Enum(id) => Type::Enum(id),
            },
            n => return Err(format!("`{message}`: the field `{}` has the unknown type {n}", String::from_utf8_lossy(&name))),
        };
        Ok(Field { number, name, type_, repeated, map: false, oneof })
    }
}

#[derive(Default)]
struct DeclaredField {
    number: u32,
    name: Box<[u8]>,
    repeated: bool,
    /// FieldDescriptorProto.Type.
    type_: u64,
    type_name: String,
    oneof: Option<u32>,
}
