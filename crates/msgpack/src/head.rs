/// What the first bytes of a value say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub kind: Kind,
    /// Bytes of the head itself.
    pub size: usize,
    /// Bytes behind it that are the value's own.
    pub body: usize,
    /// Values behind it that are inside it.
    pub children: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Nil,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Double(f64),
    Text,
    Bytes,
    Array,
    Map,
    Extension(i8),
}

/// The head at the beginning of `bytes`; `Ok(None)`: more bytes are needed.
///
/// # Errors
/// The one byte that begins nothing.
#[allow(clippy::result_unit_err)]
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, ()> {
    let Some((&marker, rest)) = bytes.split_first() else { return Ok(None) };
    let small = usize::from(marker);
    let head = match marker {
        0x00..=0x7f => plain(Kind::Integer(small as i64), 1),
        0x80..=0x8f => nested(Kind::Map, 1, 2 * (small & 15) as u64),
        0x90..=0x9f => nested(Kind::Array, 1, (small & 15) as u64),
        0xa0..=0xbf => run(Kind::Text, 1, small & 31),
        0xc0 => plain(Kind::Nil, 1),
        0xc1 => return Err(()),
        0xc2 | 0xc3 => plain(Kind::Bool(marker == 0xc3), 1),
        0xe0..=0xff => plain(Kind::Integer(i64::from(marker as i8)), 1),
        _ => {
            let Some(number) = number(marker, rest) else { return Ok(None) };
            long(marker, number)
        }
    };
    Ok(head)
}

/// Bytes of the number behind a marker: a length or the value itself.
fn width(marker: u8) -> usize {
    match marker {
        0xc4 | 0xc7 | 0xcc | 0xd0 | 0xd9 => 1,
        0xc5 | 0xc8 | 0xcd | 0xd1 | 0xda | 0xdc | 0xde => 2,
        0xc6 | 0xc9 | 0xca | 0xce | 0xd2 | 0xdb | 0xdd | 0xdf => 4,
        0xcb | 0xcf | 0xd3 => 8,
        // Extensions of a fixed length, which have a type.
        _ => 0,
    }
}

/// The number behind a marker, and the type of an extension.
fn number(marker: u8, rest: &[u8]) -> Option<(u64, i8)> {
    let width = width(marker);
    let number = rest.get(..width)?.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let type_ = if matches!(marker, 0xc7..=0xc9 | 0xd4..=0xd8) { *rest.get(width)? as i8 } else { 0 };
    Some((number, type_))
}

fn long(marker: u8, (n, type_): (u64, i8)) -> Option<Head> {
    let size = 1 + width(marker);
    let length = n as usize;
    match marker {
        0xc4..=0xc6 => run(Kind::Bytes, size, length),
        0xc7..=0xc9 => run(Kind::Extension(type_), size + 1, length),
        0xca => plain(Kind::Double(f64::from(f32::from_bits(n as u32))), size),
        0xcb => plain(Kind::Double(f64::from_bits(n)), size),
        0xcc..=0xce => plain(Kind::Integer(n as i64), size),
        0xcf => plain(i64::try_from(n).map_or(Kind::Unsigned(n), Kind::Integer), size),
        0xd0 => plain(Kind::Integer(i64::from(n as i8)), size),
        0xd1 => plain(Kind::Integer(i64::from(n as i16)), size),
        0xd2 => plain(Kind::Integer(i64::from(n as i32)), size),
        0xd3 => plain(Kind::Integer(n as i64), size),
        0xd4..=0xd8 => run(Kind::Extension(type_), 2, 1 << (marker - 0xd4)),
        0xd9..=0xdb => run(Kind::Text, size, length),
        0xdc | 0xdd => nested(Kind::Array, size, n),
        _ => nested(Kind::Map, size, 2 * n),
    }
}

fn plain(kind: Kind, size: usize) -> Option<Head> {
    Some(Head { kind, size, body: 0, children: 0 })
}

fn run(kind: Kind, size: usize, body: usize) -> Option<Head> {
    Some(Head { kind, size, body, children: 0 })
}

fn nested(kind: Kind, size: usize, children: u64) -> Option<Head> {
    Some(Head { kind, size, body: 0, children })
}
