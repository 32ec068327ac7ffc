use message::{BatchBuilder, Datum, FieldRef, Header, MessageMut, MessageRef, Text, wire};

/// A message as bytes of its own, that outlive its batch: those of the wire.
pub(crate) fn store(m: MessageRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(m, &mut bytes);
    bytes
}

/// Reads a stored message; nothing when it is damaged, or has more fields than the wire allows.
pub(crate) fn with<R>(bytes: &[u8], read: impl FnOnce(MessageRef<'_>) -> R) -> Option<R> {
    let mut b = BatchBuilder::default();
    b.raw().extend_from_slice(bytes);
    let (raw, messages) = b.parts();
    wire::decode(raw, Text::raw(0, raw.len()), messages).ok()?;
    Some(read(b.get(0)))
}

/// Copies the headers, but for the Uuid: it is another message.
pub(crate) fn copy_headers(to: &mut MessageMut<'_>, from: MessageRef<'_>) {
    to.set_timestamp(from.timestamp());
    if from.has(Header::Severity) {
        to.set_severity(from.severity());
    }
    if from.has(Header::Pid) {
        to.set_pid(from.pid());
    }
    for header in [Header::Type, Header::Logger, Header::Payload, Header::EnvVersion, Header::Hostname] {
        if from.has(header) {
            let text = to.messages().store(from.text_header(header));
            to.set_text_header(header, text);
        }
    }
}

/// Adds a copy of a field under a name.
pub(crate) fn copy_field(to: &mut MessageMut<'_>, name: &[u8], field: FieldRef<'_>) {
    let name = to.messages().store(name);
    let representation = match field.representation() {
        b"" => Text::NONE,
        text => to.messages().store(text),
    };
    let values: Vec<Datum> = field.values().map(|v| to.messages().datum(v)).collect();
    to.add_field(name, representation, field.type_(), &values);
}
