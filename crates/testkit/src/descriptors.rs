//! A small schema of protobuf as `protoc --descriptor_set_out` writes it (descriptor.proto), for tests of what reads such files.

/// A length-delimited field.
fn part(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 1 << 14, "two bytes of length are enough here");
    [&[number << 3 | 2, content.len() as u8 & 0x7f | 0x80, (content.len() >> 7) as u8], content].concat()
}

/// FieldDescriptorProto: 1 name, 3 number, 4 label (1 optional, 3 repeated), 5 type, 6 name of the type.
fn field(name: &str, number: u8, repeated: bool, type_: u8, type_name: &str) -> Vec<u8> {
    let label = if repeated { 3 } else { 1 };
    let type_name = if type_name.is_empty() { Vec::new() } else { part(6, type_name.as_bytes()) };
    part(2, &[&part(1, name.as_bytes())[..], &[0x18, number, 0x20, label, 0x28, type_], &type_name].concat())
}

/// A FileDescriptorSet with `message Event { string name = 1; int64 n = 2; Event parent = 3; repeated string tags = 4;
/// repeated Event children = 5; }` in the package `example`.
pub fn descriptor_set() -> Vec<u8> {
    let message = [
        part(1, b"Event"),
        field("name", 1, false, 9, ""),
        field("n", 2, false, 3, ""),
        field("parent", 3, false, 11, ".example.Event"),
        field("tags", 4, true, 9, ""),
        field("children", 5, true, 11, ".example.Event"),
    ];
    let file = [part(1, b"event.proto"), part(2, b"example"), part(4, &message.concat()), part(12, b"proto3")];
    part(1, &file.concat())
}
