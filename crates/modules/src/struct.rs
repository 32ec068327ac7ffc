//! `struct`: numbers and strings to bytes and back, in the format of Roberto Ierusalimschy's library.
//!
//! | | |
//! | --- | --- |
//! | `<` `>` `=` | little endian, big endian, this machine's |
//! | `!n` | aligns to at most n bytes (8 without n); at first nothing is aligned |
//! | `x` | a byte of padding |
//! | `b` `B`, `h` `H`, `l` `L`, `T` | integers of 1, 2, 8 and 8 bytes; capitals are unsigned |
//! | `in` `In` | integers of n bytes, 1 to 32; 4 without n |
//! | `cn` | n bytes of a string (1 without n); `c0` packs a whole string, and unpacks as many bytes as the number before it says |
//! | `s` | a string and a zero byte |
//! | `f` `d` | floats of 4 and 8 bytes |

use sandbox::native::{Body, Call, Error, Function, Module, Returned, Value};

pub static MODULE: Module =
    Module { name: "struct", doc: "Packs numbers and strings into bytes, and unpacks them.", body: Body::Native(FUNCTIONS, &[]) };

const FUNCTIONS: &[Function] = &[
    Function { name: "pack", signature: "(format: string, ...: any) -> string", doc: "The values as bytes.", call: pack },
    Function {
        name: "size",
        signature: "(format: string) -> integer",
        doc: "How many bytes the format takes; not with s and c0.",
        call: size,
    },
    Function {
        name: "unpack",
        signature: "(format: string, data: string, position?: integer) -> ...",
        doc: "The values at a position of the data (1 if not given), and the position behind them.",
        call: unpack,
    },
];

/// Most bytes of an integer, and of alignment.
const MOST: usize = 32;

#[derive(Clone, Copy, PartialEq)]
enum Item {
    Padding,
    Integer {
        signed: bool,
        size: usize,
    },
    /// 0: as long as it is.
    Bytes(usize),
    Zeroed,
    Float,
    Double,
}

impl Item {
    /// Bytes it takes, and 0 if that depends.
    fn size(self) -> usize {
        match self {
            Item::Padding => 1,
            Item::Integer { size, .. } | Item::Bytes(size) => size,
            Item::Zeroed => 0,
            Item::Float => 4,
            Item::Double => 8,
        }
    }
}

struct Format<'f> {
    rest: std::slice::Iter<'f, u8>,
    big: bool,
    align: usize,
}

impl<'f> Format<'f> {
    fn new(text: &'f [u8]) -> Self {
        Format { rest: text.iter(), big: cfg!(target_endian = "big"), align: 1 }
    }

    /// The next item that stands for a value or for padding.
    fn next(&mut self) -> Result<Option<Item>, Error> {
        while let Some(&letter) = self.rest.next() {
            let item = match letter {
                b' ' => continue,
                b'<' | b'>' | b'=' => {
                    self.big = letter == b'>' || letter == b'=' && cfg!(target_endian = "big");
                    continue;
                }
                b'!' => {
                    self.align = self.bounded(8)?;
                    if !self.align.is_power_of_two() {
                        return Err(Error::argument(1, "alignment is not a power of 2"));
                    }
                    continue;
                }
                b'x' => Item::Padding,
                b'b' | b'B' => Item::Integer { signed: letter == b'b', size: 1 },
                b'h' | b'H' => Item::Integer { signed: letter == b'h', size: 2 },
                b'l' | b'L' | b'T' => Item::Integer { signed: letter == b'l', size: 8 },
                b'i' | b'I' => Item::Integer { signed: letter == b'i', size: self.bounded(4)? },
                b'c' => Item::Bytes(self.number()?.unwrap_or(1)),
                b's' => Item::Zeroed,
                b'f' => Item::Float,
                b'd' => Item::Double,
                other => return Err(Error::argument(1, format!("invalid format option '{}'", other.escape_ascii()))),
            };
            return Ok(Some(item));
        }
        Ok(None)
    }

    fn number(&mut self) -> Result<Option<usize>, Error> {
        let mut number = None;
        while let Some(digit) = self.rest.as_slice().first().filter(|b| b.is_ascii_digit()) {
            self.rest.next();
            let next = number.unwrap_or(0_usize).checked_mul(10).and_then(|n| n.checked_add(usize::from(digit - b'0')));
            number = Some(next.filter(|&n| n <= i32::MAX as usize).ok_or_else(|| Error::argument(1, "number in format is too large"))?);
        }
        Ok(number)
    }

    fn bounded(&mut self, default: usize) -> Result<usize, Error> {
        match self.number()?.unwrap_or(default) {
            n @ 1..=MOST => Ok(n),
            n => Err(Error::argument(1, format!("integral size {n} is not 1 to {MOST}"))),
        }
    }

    /// Bytes to skip before an item at `at`.
    fn padding(&self, item: Item, at: usize) -> Result<usize, Error> {
        let size = match item {
            Item::Padding | Item::Bytes(_) | Item::Zeroed => return Ok(0),
            other => other.size().min(self.align),
        };
        if size > 1 && !size.is_power_of_two() {
            return Err(Error::argument(1, format!("size {size} is not a power of 2 and cannot be aligned")));
        }
        Ok(at.next_multiple_of(size) - at)
    }
}

fn pack(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(1)?;
    let mut format = Format::new(&text);
    let mut out = Vec::new();
    let mut argument = 2;
    while let Some(item) = format.next()? {
        call.budget()?;
        if out.len() + 2 * MOST > out.capacity() {
            call.room_for(2 * out.len())?;
        }
        let padding = format.padding(item, out.len())?;
        out.resize(out.len() + padding, 0);
        match item {
            Item::Padding => {
                out.push(0);
                continue;
            }
            Item::Integer { size, .. } => put_integer(&mut out, whole(call, argument)?, size, format.big),
            Item::Float => put(&mut out, (call.number(argument)? as f32).to_le_bytes(), format.big),
            Item::Double => put(&mut out, call.number(argument)?.to_le_bytes(), format.big),
            Item::Bytes(size) => {
                let bytes = call.bytes(argument)?;
                let size = if size == 0 { bytes.len() } else { size };
                let Some(bytes) = bytes.get(..size) else {
                    return Err(Error::argument(argument, format!("string too short: {size} bytes expected, got {}", bytes.len())));
                };
                call.room_for(2 * (out.len() + bytes.len()))?;
                out.extend_from_slice(bytes);
            }
            Item::Zeroed => {
                let bytes = call.bytes(argument)?;
                if bytes.contains(&0) {
                    return Err(Error::argument(argument, "string contains a zero byte"));
                }
                call.room_for(2 * (out.len() + bytes.len()))?;
                out.extend_from_slice(&bytes);
                out.push(0);
            }
        }
        argument += 1;
    }
    call.push_bytes(&out)?;
    Ok(Returned(1))
}

fn unpack(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(1)?;
    let data = call.bytes(2)?;
    let mut at = match call.optional(3, Call::integer)?.unwrap_or(1) {
        position if position >= 1 => (position - 1) as usize,
        _ => return Err(Error::argument(3, "position must be >= 1")),
    };
    let mut format = Format::new(&text);
    let mut values = 0;
    while let Some(item) = format.next()? {
        call.budget()?;
        at = at.saturating_add(format.padding(item, at)?);
        let size = match item {
            Item::Bytes(0) => {
                let size = match call.value(call.top()) {
                    Value::Integer(n) if values > 0 => usize::try_from(n).ok(),
                    Value::Number(n) if values > 0 && n >= 0.0 => Some(n as usize),
                    _ => None,
                };
                call.pop(1);
                values -= 1_usize.min(values);
                size.ok_or_else(|| Error::argument(1, "format 'c0' needs a size before it"))?
            }
            Item::Zeroed => {
                let rest = data.get(at..).unwrap_or_default();
                memchr::memchr(0, rest).ok_or_else(|| Error::argument(2, "unfinished string in data"))?
            }
            other => other.size(),
        };
        let end = at.checked_add(size);
        let Some(bytes) = end.and_then(|end| data.get(at..end)) else {
            return Err(Error::argument(
                2,
                format!("data string too short: {size} bytes expected at position {}, it has {}", at.saturating_add(1), data.len()),
            ));
        };
        at += size;
        match item {
            Item::Padding => continue,
            Item::Integer { signed, .. } => call.push_integer(get_integer(bytes, signed, format.big))?,
            Item::Float => call.push_number(f64::from(f32::from_le_bytes(get(bytes, format.big))))?,
            Item::Double => call.push_number(f64::from_le_bytes(get(bytes, format.big)))?,
            Item::Bytes(_) => call.push_bytes(bytes)?,
            Item::Zeroed => {
                at += 1;
                call.push_bytes(bytes)?
            }
        };
        values += 1;
    }
    call.push_integer(at as i64 + 1)?;
    Ok(Returned(values + 1))
}

fn size(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.bytes(1)?;
    let mut format = Format::new(&text);
    let mut total = 0_usize;
    while let Some(item) = format.next()? {
        if item.size() == 0 {
            return Err(Error::argument(1, "a format with s or c0 has no fixed size"));
        }
        total += format.padding(item, total)? + item.size();
    }
    call.push_integer(total as i64)?;
    Ok(Returned(1))
}

/// An argument as the 64 bits of an integer; a float may be as large as an unsigned one.
fn whole(call: &Call<'_>, n: usize) -> Result<i64, Error> {
    match call.arg(n) {
        Value::Number(x) if (9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0).contains(&x) => Ok(x as u64 as i64),
        _ => call.integer(n),
    }
}

fn put_integer(out: &mut Vec<u8>, value: i64, size: usize, big: bool) {
    let start = out.len();
    let sign = if value < 0 { 0xff } else { 0 };
    out.extend((0..size).map(|i| value.to_le_bytes().get(i).copied().unwrap_or(sign)));
    if big {
        out[start..].reverse();
    }
}

/// The low 64 bits.
fn get_integer(bytes: &[u8], signed: bool, big: bool) -> i64 {
    let byte = |i: usize| if big { bytes[bytes.len() - 1 - i] } else { bytes[i] };
    let negative = signed && byte(bytes.len() - 1) & 0x80 != 0;
    let mut value = [if negative { 0xff } else { 0 }; 8];
    for (i, slot) in value.iter_mut().enumerate().take(bytes.len()) {
        *slot = byte(i);
    }
    i64::from_le_bytes(value)
}

fn put<const N: usize>(out: &mut Vec<u8>, mut bytes: [u8; N], big: bool) {
    if big {
        bytes.reverse();
    }
    out.extend_from_slice(&bytes);
}

fn get<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    if big {
        array.reverse();
    }
    array
}
