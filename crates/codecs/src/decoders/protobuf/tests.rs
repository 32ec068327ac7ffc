use std::collections::{BTreeMap, HashMap};

use message::{Batch, Value};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MessageOptions, OneofDescriptorProto,
};
use testkit::plugins::{decode, decoder};

use super::KIND;

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "2")]
    int64: i64,
    #[prost(sint32, tag = "3")]
    sint32: i32,
    #[prost(fixed64, tag = "4")]
    fixed64: u64,
    #[prost(double, tag = "5")]
    double: f64,
    #[prost(bool, tag = "6")]
    flag: bool,
    #[prost(bytes = "vec", tag = "7")]
    raw: Vec<u8>,
    #[prost(enumeration = "Color", tag = "8")]
    color: i32,
    #[prost(sint64, repeated, tag = "9")]
    packed: Vec<i64>,
    #[prost(string, repeated, tag = "10")]
    strings: Vec<String>,
    #[prost(message, optional, tag = "11")]
    inner: Option<Inner>,
    #[prost(message, repeated, tag = "12")]
    list: Vec<Inner>,
    #[prost(map = "string, int32", tag = "13")]
    labels: HashMap<String, i32>,
    #[prost(oneof = "Choice", tags = "14, 15")]
    choice: Option<Choice>,
    #[prost(map = "int32, message", tag = "16")]
    inners: HashMap<i32, Inner>,
    #[prost(message, optional, tag = "17")]
    at: Option<prost_types::Timestamp>,
    #[prost(float, tag = "18")]
    float: f32,
    #[prost(uint64, tag = "19")]
    uint64: u64,
    #[prost(sfixed32, tag = "20")]
    sfixed32: i32,
    #[prost(fixed32, repeated, packed = "false", tag = "21")]
    unpacked: Vec<u32>,
    #[prost(sfixed64, tag = "22")]
    sfixed64: i64,
    #[prost(uint32, tag = "23")]
    uint32: u32,
    #[prost(int32, optional, tag = "1000")]
    int32: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(message, optional, boxed, tag = "2")]
    inner: Option<Box<Inner>>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Choice {
    #[prost(string, tag = "14")]
    Word(String),
    #[prost(message, tag = "15")]
    Other(Inner),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Color {
    None = 0,
    Red = 1,
    Minus = -5,
}

fn field(name: &str, number: i32, type_: Type, type_name: &str, repeated: bool) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(if repeated { Label::Repeated } else { Label::Optional } as i32),
        r#type: Some(type_ as i32),
        type_name: Some(type_name.into()).filter(|n: &String| !n.is_empty()),
        ..Default::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.into()), field, ..Default::default() }
}

fn entry(name: &str, key: Type, value: FieldDescriptorProto) -> DescriptorProto {
    let options = Some(MessageOptions { map_entry: Some(true), ..Default::default() });
    DescriptorProto { options, ..message(name, vec![field("key", 1, key, "", false), value]) }
}

fn event() -> DescriptorProto {
    let plain = |name, number, type_| field(name, number, type_, "", false);
    let of = |name, number, type_name, repeated| field(name, number, Type::Message, type_name, repeated);
    let mut fields = vec![
        // The order in the file is not that of the numbers.
        field("int32", 1000, Type::Int32, "", false),
        plain("name", 1, Type::String),
        plain("int64", 2, Type::Int64),
        plain("sint32", 3, Type::Sint32),
        plain("fixed64", 4, Type::Fixed64),
        plain("double", 5, Type::Double),
        plain("flag", 6, Type::Bool),
        plain("raw", 7, Type::Bytes),
        field("color", 8, Type::Enum, ".pkg.v1.Event.Color", false),
        field("packed", 9, Type::Sint64, "", true),
        field("strings", 10, Type::String, "", true),
        of("inner", 11, ".pkg.v1.Inner", false),
        of("list", 12, ".pkg.v1.Inner", true),
        of("labels", 13, ".pkg.v1.Event.LabelsEntry", true),
        plain("word", 14, Type::String),
        of("other", 15, ".pkg.v1.Inner", false),
        of("inners", 16, ".pkg.v1.Event.InnersEntry", true),
        of("at", 17, ".google.protobuf.Timestamp", false),
        plain("float", 18, Type::Float),
        plain("uint64", 19, Type::Uint64),
        plain("sfixed32", 20, Type::Sfixed32),
        field("unpacked", 21, Type::Fixed32, "", true),
        plain("sfixed64", 22, Type::Sfixed64),
        plain("uint32", 23, Type::Uint32),
        field("groups", 30, Type::Group, ".pkg.v1.Inner", false),
        of("wrapped", 31, ".google.protobuf.StringValue", false),
        of("took", 32, ".google.protobuf.Duration", false),
    ];
    fields.iter_mut().filter(|f| matches!(f.number(), 14 | 15)).for_each(|f| f.oneof_index = Some(0));
    let value = |(n, name): (i32, &str)| EnumValueDescriptorProto { name: Some(name.into()), number: Some(n), options: None };
    DescriptorProto {
        nested_type: vec![
            entry("LabelsEntry", Type::String, plain("value", 2, Type::Int32)),
            entry("InnersEntry", Type::Int32, of("value", 2, ".pkg.v1.Inner", false)),
        ],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Color".into()),
            value: [(0, "NONE"), (1, "RED"), (-5, "MINUS"), (1, "ALIAS")].map(value).into(),
            ..Default::default()
        }],
        oneof_decl: vec![OneofDescriptorProto { name: Some("choice".into()), options: None }],
        ..message("Event", fields)
    }
}

fn descriptors() -> Vec<u8> {
    let plain = |name, number, type_| field(name, number, type_, "", false);
    let file = |package: &str, message_type| FileDescriptorProto { package: Some(package.into()), message_type, ..Default::default() };
    let time = || vec![plain("seconds", 1, Type::Int64), plain("nanos", 2, Type::Int32)];
    let google =
        vec![message("Timestamp", time()), message("Duration", time()), message("StringValue", vec![plain("value", 1, Type::String)])];
    let inner = vec![plain("text", 1, Type::String), field("inner", 2, Type::Message, ".pkg.v1.Inner", false)];
    let broken = message("Broken", vec![field("x", 1, Type::Message, ".other.Missing", false)]);
    FileDescriptorSet { file: vec![file("google.protobuf", google), file("pkg.v1", vec![event(), message("Inner", inner), broken])] }
        .encode_to_vec()
}

/// With the descriptors in a file.
fn with<R>(toml: &str, test: impl FnOnce(&mut dyn plugin::Decoder) -> R) -> R {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.desc");
    std::fs::write(&file, descriptors()).unwrap();
    test(&mut *decoder(&KIND, &format!("descriptor_set = {file:?}\nmessage = 'pkg.v1.Event'\n{toml}")).unwrap())
}

fn read(toml: &str, record: &[u8]) -> Result<Batch, String> {
    let (batch, rejects) = with(toml, |decoder| decode(decoder, &[record]));
    rejects.into_iter().next().map_or(Ok(batch), Err)
}

/// Fields, and those headers that `Event` has names for, as text.
fn shown(batch: &Batch) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let value = |v: Value<'_>| match v {
        Value::String(s) => text(s),
        v => format!("{v:?}"),
    };
    let fields =
        batch.get(0).fields().map(|f| (text(f.name()), (0..f.len()).map(|n| value(f.value(n).unwrap())).collect::<Vec<_>>().join("|")));
    fields.collect()
}

fn unsigned(n: u64) -> String {
    i64::try_from(n).map_or(n.to_string(), |n| format!("Integer({n})"))
}

fn inner_json(inner: &Inner) -> serde_json::Value {
    let mut json = serde_json::Map::new();
    if !inner.text.is_empty() {
        json.insert("text".into(), inner.text.clone().into());
    }
    inner.inner.iter().for_each(|i| drop(json.insert("inner".into(), inner_json(i))));
    json.into()
}

fn inner_fields(path: &str, inner: &Inner, fields: &mut BTreeMap<String, String>) {
    if !inner.text.is_empty() {
        fields.insert(format!("{path}.text"), inner.text.clone());
    }
    inner.inner.iter().for_each(|i| inner_fields(&format!("{path}.inner"), i, fields));
}

/// What the decoder should make of it.
fn expected(e: &Event) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let integer = |n: i64| format!("Integer({n})");
    let mut set = |name: &str, is_set: bool, value: String| drop(is_set.then(|| fields.insert(name.to_string(), value)));
    set("name", !e.name.is_empty(), e.name.clone());
    set("int64", e.int64 != 0, integer(e.int64));
    set("sint32", e.sint32 != 0, integer(e.sint32.into()));
    set("fixed64", e.fixed64 != 0, unsigned(e.fixed64));
    set("double", e.double != 0.0, format!("{:?}", Value::Double(e.double)));
    set("flag", e.flag, "Bool(true)".into());
    set("raw", !e.raw.is_empty(), format!("{:?}", Value::Bytes(&e.raw)));
    let color = ["NONE", "RED", "MINUS"].into_iter().zip([0, 1, -5]).find(|(_, n)| *n == e.color);
    set("color", e.color != 0, color.map_or(e.color.to_string(), |(name, _)| name.into()));
    set("packed", !e.packed.is_empty(), e.packed.iter().map(|n| integer(*n)).collect::<Vec<_>>().join("|"));
    set("strings", !e.strings.is_empty(), e.strings.join("|"));
    set("list", !e.list.is_empty(), serde_json::Value::from(e.list.iter().map(inner_json).collect::<Vec<_>>()).to_string());
    e.labels.iter().for_each(|(k, v)| set(&format!("labels.{k}"), true, integer((*v).into())));
    if let Some(Choice::Word(word)) = &e.choice {
        set("word", true, word.clone());
    }
    set("float", e.float != 0.0, format!("{:?}", Value::Double(e.float.into())));
    set("uint64", e.uint64 != 0, unsigned(e.uint64));
    set("sfixed32", e.sfixed32 != 0, integer(e.sfixed32.into()));
    set("unpacked", !e.unpacked.is_empty(), e.unpacked.iter().map(|n| integer((*n).into())).collect::<Vec<_>>().join("|"));
    set("sfixed64", e.sfixed64 != 0, integer(e.sfixed64));
    set("uint32", e.uint32 != 0, integer(e.uint32.into()));
    set("int32", e.int32.is_some(), integer(e.int32.unwrap_or_default().into()));
    if let Some(at) = &e.at {
        let mut text = Vec::new();
        crate::time::write_rfc3339(at.seconds * 1_000_000_000 + i64::from(at.nanos), 9, &mut text);
        set("at", true, String::from_utf8(text).unwrap());
    }
    e.inner.iter().for_each(|i| inner_fields("inner", i, &mut fields));
    e.inners.iter().for_each(|(key, i)| inner_fields(&format!("inners.{key}"), i, &mut fields));
    if let Some(Choice::Other(other)) = &e.choice {
        inner_fields("other", other, &mut fields);
    }
    fields
}

fn inner() -> impl Strategy<Value = Inner> {
    let leaf = "[a-zä\"]{0,3}".prop_map(|text| Inner { text, inner: None });
    leaf.prop_recursive(3, 4, 1, |deeper| ("[a-z]{0,3}", deeper).prop_map(|(text, inner)| Inner { text, inner: Some(Box::new(inner)) }))
}

fn events() -> impl Strategy<Value = Event> {
    let numbers = (any::<i64>(), any::<i32>(), any::<u64>(), any::<i32>(), any::<f32>(), any::<u32>(), any::<Option<i32>>(), any::<f64>());
    let lists = (
        "[a-zä]{0,4}",
        prop::collection::vec(any::<u8>(), 0..4),
        prop::collection::vec(any::<i64>(), 0..4),
        prop::collection::vec("[a-z]{0,3}", 0..4),
        prop::collection::vec(any::<u32>(), 0..3),
    );
    let messages = (
        prop::option::of(inner()),
        prop::collection::vec(inner(), 0..3),
        prop::collection::hash_map("[a-z]{0,2}", any::<i32>(), 0..3),
        prop::option::of(prop_oneof!["[a-z]{0,3}".prop_map(Choice::Word), inner().prop_map(Choice::Other)]),
        prop::collection::hash_map(any::<i32>(), inner(), 0..3),
        prop::option::of((0..4_000_000_000_i64, 0..1_000_000_000_i32)),
    );
    (numbers, lists, messages, any::<bool>(), prop::sample::select(vec![0, 1, -5, 7])).prop_map(|(n, l, m, flag, color)| Event {
        name: l.0,
        int64: n.0,
        sint32: n.1,
        fixed64: n.2,
        double: n.7,
        flag,
        raw: l.1,
        color,
        packed: l.2,
        strings: l.3,
        inner: m.0,
        list: m.1,
        labels: m.2,
        choice: m.3,
        inners: m.4,
        at: m.5.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
        float: n.4,
        uint64: n.2.rotate_left(7),
        sfixed32: n.3,
        unpacked: l.4,
        sfixed64: n.0.wrapping_mul(3),
        uint32: n.5,
        int32: n.6,
    })
}

proptest! {
    #[test]
    fn records_are_read_as_prost_reads_them(event in events()) {
        let batch = read("", &event.encode_to_vec());
        prop_assume!(event != Event::default());
        prop_assert_eq!(shown(&batch.unwrap()), expected(&event));
    }

    #[test]
    fn records_in_a_row_are_merged_as_prost_merges_them(a in events(), b in events()) {
        let bytes = [a.encode_to_vec(), b.encode_to_vec()].concat();
        let merged = Event::decode(&bytes[..]).unwrap();
        prop_assert_eq!(shown(&read("", &bytes).unwrap()), expected(&merged));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(event in events(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), depth in 1..4) {
        let mut bytes = event.encode_to_vec();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        // What prost takes is taken here, but for values of other wire types in maps and the like.
        if let Err(why) = read(&format!("max_depth = {depth}"), &bytes) {
            prop_assert!(!why.is_empty());
        }
    }

    #[test]
    fn any_descriptor_set_is_read_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        let mut bytes = descriptors();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(why) = super::Schema::parse(&bytes, "pkg.v1.Event") {
            prop_assert!(!why.is_empty());
        }
    }
}

#[test]
fn what_lies_deep_is_json() {
    let inner = |text: &str, inner: Option<Inner>| Inner { text: text.into(), inner: inner.map(Box::new) };
    let event = Event {
        inner: Some(inner("a", Some(inner("b", Some(inner("c\"", None)))))),
        inners: HashMap::from([(-7, inner("x", None)), (3, Inner::default())]),
        labels: HashMap::from([("k".into(), 0)]),
        ..Event::default()
    };
    let lines =
        |toml: &str| shown(&read(toml, &event.encode_to_vec()).unwrap()).into_iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
    assert_eq!(
        lines("max_depth = 2\nseparator = '/'"),
        [r#"inner/inner={"text":"b","inner":{"text":"c\""}}"#, "inner/text=a", "inners/-7={\"text\":\"x\"}", "labels/k=Integer(0)"]
    );
    assert_eq!(lines("max_depth = 1")[1..], [r#"inners={"-7":{"text":"x"},"3":{}}"#, r#"labels={"k":0}"#]);
    let batch = read("max_depth = 1", &event.encode_to_vec()).unwrap();
    assert!(batch.get(0).fields().all(|f| f.representation() == b"json"));
}

#[test]
fn groups_wrappers_and_durations_are_read() {
    let tag = |number: u32, wire: u32| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | wire), &mut bytes);
        bytes
    };
    let group = [&tag(30, 3)[..], b"\x0a\x01x", &tag(2, 2), &[0], &tag(99, 3), &tag(99, 4), &tag(30, 4)].concat();
    let wrapped = [&tag(31, 2)[..], &[3], b"\x0a\x01w"].concat();
    let took = [&tag(32, 2)[..], b"\x08\x08\x01\x10\x80\xca\xb5\xee\x01"].concat();
    let batch = read("count_field = 'odd'", &[group, wrapped, took, tag(40, 0), vec![5]].concat()).unwrap();
    let expected = [("groups.text", "x"), ("odd", "Integer(2)"), ("took", "Double(1.5)"), ("wrapped", "w")];
    assert_eq!(shown(&batch), expected.map(|(n, v)| (n.to_string(), v.to_string())).into());
}

#[test]
fn well_known_names_become_headers() {
    let event = Event { name: "web".into(), at: Some(prost_types::Timestamp { seconds: 5, nanos: 7 }), sint32: 3, ..Event::default() };
    let batch = read("timestamp = 'at'\nhostname = 'name'\nseverity = 'sint32'\nkeep_payload = true", &event.encode_to_vec()).unwrap();
    let m = batch.get(0);
    assert_eq!((m.timestamp(), m.hostname(), m.severity(), m.payload()), (5_000_000_007, &b"web"[..], 3, &event.encode_to_vec()[..]));
    assert_eq!(m.fields().count(), 0);
}

#[test]
fn refusals_say_where_and_what() {
    for (record, expected) in [
        (&b"\x0a\x05x"[..], "at byte 1: found a length beyond the end"),
        (b"\x10\xff", "at byte 1: found the end within a varint"),
        (b"\x08\x01", "at byte 0: found a varint, but `name` of pkg.v1.Event is String; is the option `message` right?"),
        (b"\x00", "at byte 0: found a field number that is out of range"),
        (b"\xf3\x01", "at byte 2: found the end within a group"),
        (b"\x0c", "at byte 1: found the end of a group that did not begin"),
        (b"\xc0\x02\x05", "found no field of pkg.v1.Event in `\\xc0\\x02\\x05`; is the option `message` right?"),
        (b"\x4a\x01\x80", "at byte 2: found the end within a varint"),
    ] {
        assert_eq!(read("", record).unwrap_err(), expected);
    }
    assert_eq!(read("", b"").unwrap().get(0).fields().count(), 0);
    let many = Event { labels: (0..20).map(|n| (n.to_string(), 1)).collect(), ..Event::default() };
    assert_eq!(read("max_fields = 10", &many.encode_to_vec()).unwrap_err(), "found more than 10 fields; `max_fields` raises that");
    let deep = (0..200).fold(Vec::new(), |inner, _| {
        let mut bytes = vec![0x12];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        [bytes, inner].concat()
    });
    let mut record = vec![0x5a];
    prost::encoding::encode_varint(deep.len() as u64, &mut record);
    assert_eq!(read("", &[record, deep].concat()).unwrap_err(), "its messages are more than 100 deep in each other");
}

#[test]
fn unusable_descriptor_sets_are_told() {
    let parse = |bytes: &[u8], name: &str| super::Schema::parse(bytes, name).err().unwrap_or_default();
    assert_eq!(parse(&descriptors(), "Event"), "it has no message `Event` (did you mean `pkg.v1.Event`?)");
    assert_eq!(parse(&descriptors(), "pkg.v1.Evnt"), "it has no message `pkg.v1.Evnt` (did you mean `pkg.v1.Event`?)");
    let expected = "`pkg.v1.Broken` refers to `other.Missing`, which it has not; `protoc --include_imports` adds what is imported";
    assert_eq!(parse(&descriptors(), "pkg.v1.Broken"), expected);
    assert_eq!(parse(b"syntax = 3", "a.B"), "it is no descriptor set: at byte 10: found the end within a group");
    assert!(decoder(&KIND, "descriptor_set = 'no/such.desc'\nmessage = 'a.B'").err().unwrap().contains("such.desc: "));
    let files = with("", |decoder| decoder.script().unwrap().files());
    assert!(files[0].ends_with("x.desc"));
}
