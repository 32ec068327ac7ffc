use matcher::Parts;
use message::{BatchBuilder, Datum, MessageMut};

/// The combination that stands for all beyond a cap.
pub(crate) const OTHER: &[u8] = b"(other)";

/// Begins a metric: a message of Type `metric` with the fields name, value and kind; tags follow. Values that are whole numbers are
/// integers.
pub(crate) fn add<'a>(out: &'a mut BatchBuilder, at: i64, name: &[u8], value: f64, kind: &str) -> MessageMut<'a> {
    let mut m = out.add();
    m.set_type(b"metric");
    m.set_timestamp(at);
    m.add_string(b"name", name);
    let field = m.messages().store(b"value");
    m.add(field, whole(value));
    m.add_string(b"kind", kind.as_bytes());
    m
}

fn whole(value: f64) -> Datum {
    let is_whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    if is_whole { Datum::Integer(value as i64) } else { Datum::Double(value) }
}

/// Adds a tag, named as those of samples are.
pub(crate) fn tag(m: &mut MessageMut<'_>, name: &[u8], value: &[u8]) {
    if metrics::is_reserved(name) {
        m.add_string(&[b"tag_", name].concat(), value);
    } else {
        m.add_string(name, value);
    }
}

/// Adds a tag for each value of a key; without a key, those that stand for all others.
pub(crate) fn tags(m: &mut MessageMut<'_>, by: &Parts, key: Option<&[u8]>) {
    match key {
        Some(key) => by.values(key).for_each(|(part, value)| {
            if let Some(value) = value {
                tag(m, part.name().as_bytes(), value);
            }
        }),
        None => by.iter().for_each(|part| tag(m, part.name().as_bytes(), OTHER)),
    }
}
