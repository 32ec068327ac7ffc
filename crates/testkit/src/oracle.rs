//! Heka's schema as `prost` implements it, to compare with, and messages to compare.

use message::wire::{DecodeError, decode, encode, validate};
use message::{BatchBuilder, Datum, Header, MessageRef, Text, Uuid, Value, ValueType};
use proptest::prelude::*;
use prost::Message as _;

/// The schema, with number lists packed or not. Strings are bytes here: on the wire they are the
/// same, and ours need not be UTF-8.
macro_rules! schema {
    ($module:ident, $packed:tt) => {
        pub mod $module {
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct Field {
                #[prost(bytes = "vec", required, tag = "1")]
                pub name: Vec<u8>,
                #[prost(int32, optional, tag = "2")]
                pub value_type: Option<i32>,
                #[prost(bytes = "vec", optional, tag = "3")]
                pub representation: Option<Vec<u8>>,
                #[prost(bytes = "vec", repeated, tag = "4")]
                pub value_string: Vec<Vec<u8>>,
                #[prost(bytes = "vec", repeated, tag = "5")]
                pub value_bytes: Vec<Vec<u8>>,
                #[prost(int64, repeated, packed = $packed, tag = "6")]
                pub value_integer: Vec<i64>,
                #[prost(double, repeated, packed = $packed, tag = "7")]
                pub value_double: Vec<f64>,
                #[prost(bool, repeated, packed = $packed, tag = "8")]
                pub value_bool: Vec<bool>,
            }

            #[derive(Clone, PartialEq, prost::Message)]
            pub struct Message {
                #[prost(bytes = "vec", required, tag = "1")]
                pub uuid: Vec<u8>,
                #[prost(int64, required, tag = "2")]
                pub timestamp: i64,
                #[prost(bytes = "vec", optional, tag = "3")]
                pub type_: Option<Vec<u8>>,
                #[prost(bytes = "vec", optional, tag = "4")]
                pub logger: Option<Vec<u8>>,
                #[prost(int32, optional, tag = "5")]
                pub severity: Option<i32>,
                #[prost(bytes = "vec", optional, tag = "6")]
                pub payload: Option<Vec<u8>>,
                #[prost(bytes = "vec", optional, tag = "7")]
                pub env_version: Option<Vec<u8>>,
                #[prost(int32, optional, tag = "8")]
                pub pid: Option<i32>,
                #[prost(bytes = "vec", optional, tag = "9")]
                pub hostname: Option<Vec<u8>>,
                #[prost(message, repeated, tag = "10")]
                pub fields: Vec<Field>,
                #[prost(uint32, optional, tag = "100")]
                pub hops: Option<u32>,
            }
        }
    };
}

schema!(packed, "true");
schema!(unpacked, "false");

pub use packed::{Field, Message};

/// Builds the message with our model.
pub fn build(from: &Message) -> BatchBuilder {
    let mut b = BatchBuilder::default();
    let mut m = b.add();
    m.set_uuid(Uuid(from.uuid[..].try_into().unwrap()));
    m.set_timestamp(from.timestamp);
    from.severity.into_iter().for_each(|n| m.set_severity(n));
    from.pid.into_iter().for_each(|n| m.set_pid(n));
    m.set_hops(from.hops.unwrap_or(0) as u8);
    let texts = [
        (Header::Type, &from.type_),
        (Header::Logger, &from.logger),
        (Header::Payload, &from.payload),
        (Header::EnvVersion, &from.env_version),
        (Header::Hostname, &from.hostname),
    ];
    for (header, text) in texts {
        let text = text.as_ref().map_or(Text::NONE, |t| m.messages().store(t));
        assert!(m.set_text_header(header, text));
    }
    for field in &from.fields {
        let store = m.messages();
        let (name, representation) = (store.store(&field.name), field.representation.as_ref().map_or(Text::NONE, |r| store.store(r)));
        let mut values: Vec<Datum> = Vec::new();
        values.extend(field.value_string.iter().map(|v| Datum::String(store.store(v))));
        values.extend(field.value_bytes.iter().map(|v| Datum::Bytes(store.store(v))));
        values.extend(field.value_integer.iter().map(|v| Datum::Integer(*v)));
        values.extend(field.value_double.iter().map(|v| Datum::Double(*v)));
        values.extend(field.value_bool.iter().map(|v| Datum::Bool(*v)));
        m.add_field(name, representation, ValueType::from_number(field.value_type.unwrap_or(0) as u64).unwrap(), &values);
    }
    b
}

/// Reads a message of our model.
pub fn read(m: MessageRef<'_>) -> Message {
    let text = |header| m.has(header).then(|| m.text_header(header).to_vec());
    let field = |f: message::FieldRef<'_>| {
        let mut field = Field { name: f.name().to_vec(), ..Field::default() };
        field.value_type = (f.type_() != ValueType::String).then_some(f.type_() as i32);
        field.representation = (!f.representation().is_empty()).then(|| f.representation().to_vec());
        for value in f.values() {
            assert_eq!(value.type_(), f.type_());
            match value {
                Value::String(v) => field.value_string.push(v.to_vec()),
                Value::Bytes(v) => field.value_bytes.push(v.to_vec()),
                Value::Integer(v) => field.value_integer.push(v),
                Value::Double(v) => field.value_double.push(v),
                Value::Bool(v) => field.value_bool.push(v),
            }
        }
        field
    };
    Message {
        uuid: m.uuid().0.to_vec(),
        timestamp: m.timestamp(),
        type_: text(Header::Type),
        logger: text(Header::Logger),
        severity: m.has(Header::Severity).then(|| m.severity()),
        payload: text(Header::Payload),
        env_version: text(Header::EnvVersion),
        pid: m.has(Header::Pid).then(|| m.pid()),
        hostname: text(Header::Hostname),
        fields: m.fields().map(field).collect(),
        hops: (m.hops() > 0).then(|| u32::from(m.hops())),
    }
}

/// The same message with number lists not packed.
pub fn unpack(from: &Message) -> unpacked::Message {
    let field = |f: &Field| unpacked::Field {
        name: f.name.clone(),
        value_type: f.value_type,
        representation: f.representation.clone(),
        value_string: f.value_string.clone(),
        value_bytes: f.value_bytes.clone(),
        value_integer: f.value_integer.clone(),
        value_double: f.value_double.clone(),
        value_bool: f.value_bool.clone(),
    };
    unpacked::Message {
        uuid: from.uuid.clone(),
        timestamp: from.timestamp,
        type_: from.type_.clone(),
        logger: from.logger.clone(),
        severity: from.severity,
        payload: from.payload.clone(),
        env_version: from.env_version.clone(),
        pid: from.pid,
        hostname: from.hostname.clone(),
        fields: from.fields.iter().map(field).collect(),
        hops: from.hops,
    }
}

/// The message's bytes as we write them.
pub fn encoded(m: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(build(m).get(0), &mut bytes);
    bytes
}

/// Decodes `bytes` where they stand among others in the raw block, behind another message: it is
/// the second one.
///
/// # Errors
/// Why they are no message.
///
/// # Panics
/// When what is left behind is not what it should be.
pub fn decoded(bytes: &[u8]) -> Result<BatchBuilder, DecodeError> {
    let mut b = BatchBuilder::default();
    b.add().add_integer(b"before", 1);
    b.raw().extend_from_slice(&[b"before", bytes, b"after"].concat());
    let used = b.bytes();
    let (raw, messages) = b.parts();
    let result = decode(&raw[6..6 + bytes.len()], Text::raw(6, bytes.len()), messages);
    assert_eq!(b.len(), 1 + usize::from(result.is_ok()));
    if result.is_err() {
        assert_eq!(b.bytes(), used);
    }
    result.map(|()| b)
}

/// What our model keeps of a message that another implementation read.
fn kept(mut m: Message) -> Message {
    m.hops = m.hops.map(|n| n.min(255)).filter(|n| *n > 0);
    for field in &mut m.fields {
        let type_ = ValueType::from_number(field.value_type.unwrap_or(0) as u64);
        let all = std::mem::take(field);
        *field = Field {
            name: all.name,
            value_type: all.value_type.filter(|t| *t != 0),
            representation: all.representation.filter(|r| !r.is_empty()),
            ..Field::default()
        };
        match type_.expect("a known type") {
            ValueType::String => field.value_string = all.value_string,
            ValueType::Bytes => field.value_bytes = all.value_bytes,
            ValueType::Integer => field.value_integer = all.value_integer,
            ValueType::Double => field.value_double = all.value_double,
            ValueType::Bool => field.value_bool = all.value_bool,
        }
    }
    m
}

/// `Debug` as the measure of equality: a changed double may have become NaN.
fn assert_same(ours: &Message, theirs: &Message) {
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

/// Decodes and compares everything that must agree about bytes of any kind.
///
/// # Panics
/// When something does not.
pub fn agree(bytes: &[u8]) {
    let result = decoded(bytes);
    assert_eq!(result.as_ref().err(), validate(bytes).as_ref().err());
    let Ok(ours) = result else { return };
    let ours = read(ours.get(1));
    let mut theirs = Message::decode(bytes).expect("the other implementation is no stricter");
    if theirs.uuid.is_empty() {
        theirs.uuid = ours.uuid.clone();
    }
    assert_same(&ours, &kept(theirs));
    assert_same(&read(decoded(&encoded(&ours)).unwrap().get(1)), &ours);
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => proptest::collection::vec(any::<u8>(), 0..20), 1 => proptest::collection::vec(any::<u8>(), 120..400)]
}

fn field() -> impl Strategy<Value = Field> {
    let list = 0..5usize;
    let values = prop_oneof![
        proptest::collection::vec(bytes(), list.clone()).prop_map(|v| Field { value_string: v, ..Field::default() }),
        proptest::collection::vec(bytes(), list.clone()).prop_map(|v| Field { value_type: Some(1), value_bytes: v, ..Field::default() }),
        proptest::collection::vec(any::<i64>(), 0..30).prop_map(|v| Field { value_type: Some(2), value_integer: v, ..Field::default() }),
        proptest::collection::vec(any::<f64>(), 0..30).prop_map(|v| Field { value_type: Some(3), value_double: v, ..Field::default() }),
        proptest::collection::vec(any::<bool>(), list).prop_map(|v| Field { value_type: Some(4), value_bool: v, ..Field::default() }),
    ];
    (bytes(), proptest::option::of(proptest::collection::vec(any::<u8>(), 1..5)), values).prop_map(|(name, representation, values)| Field {
        name,
        representation,
        ..values
    })
}

/// Any message, in the form that our encoder gives it.
pub fn any_message() -> impl Strategy<Value = Message> {
    let text = || proptest::option::of(bytes());
    let numbers = (any::<[u8; 16]>(), any::<i64>(), any::<Option<i32>>(), any::<Option<i32>>(), any::<u8>());
    (numbers, text(), text(), text(), text(), text(), proptest::collection::vec(field(), 0..5)).prop_map(
        |((uuid, timestamp, severity, pid, hops), type_, logger, payload, env_version, hostname, fields)| Message {
            uuid: uuid.to_vec(),
            timestamp,
            type_,
            logger,
            severity,
            payload,
            env_version,
            pid,
            hostname,
            fields,
            hops: (hops > 0).then_some(hops.into()),
        },
    )
}
