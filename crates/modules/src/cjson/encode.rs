//! Values to JSON. Tables are walked with a stack of their own, so depth costs no machine stack:
//! of an object first the scalars are written, then the tables in it.

use sandbox::native::{Call, Error, Returned, Slot, Value};

use super::{Null, Settings, settings};

/// A table that is being written.
struct Open {
    table: Slot,
    rest: Rest,
}

enum Rest {
    /// Next index and the last one.
    Array(i64, i64),
    /// Keys of the tables in it, the next one last; and whether something was written before.
    Object(Vec<Key>, bool),
}

enum Key {
    Text(Vec<u8>),
    Integer(i64),
    Number(f64),
}

pub(super) fn encode(call: &mut Call<'_>) -> Result<Returned, Error> {
    if call.args() == 0 {
        return Err(Error::argument(1, "value expected"));
    }
    let settings = settings(call)?;
    let mut writer = Writer { out: Vec::new(), limit: call.output_limit(), settings };
    let value = call.slot(1);
    let mut open = Vec::new();
    if !writer.scalar(call, value)? {
        open.push(writer.begin(call, value, 1)?);
    }
    while let Some(top) = open.last_mut() {
        let Some(child) = writer.advance(call, top)? else {
            call.truncate(open.pop().map_or(value, |closed| closed.table));
            call.pop(usize::from(!open.is_empty()));
            continue;
        };
        let depth = open.len() + 1;
        open.push(writer.begin(call, child, depth)?);
    }
    call.push_bytes(&writer.out)?;
    Ok(Returned(1))
}

struct Writer {
    out: Vec<u8>,
    limit: usize,
    settings: Settings,
}

impl Writer {
    /// Begins a table: writes its bracket, and of an object the scalars.
    fn begin(&mut self, call: &mut Call<'_>, table: Slot, depth: usize) -> Result<Open, Error> {
        if depth > self.settings.encode_depth {
            return Err(Error::message(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        if let Some(length) = self.array_length(call, table)? {
            self.put(call, b"[")?;
            return Ok(Open { table, rest: Rest::Array(1, length) });
        }
        self.put(call, b"{")?;
        let (mut tables, mut first, mut pending) = (Vec::new(), true, 0);
        call.for_each(table, |call, key, value| {
            if matches!(call.value(value), Value::Table(_)) {
                let key = match call.value(key) {
                    Value::String(text) => Key::Text(text.to_vec()),
                    Value::Integer(n) => Key::Integer(n),
                    Value::Number(x) => Key::Number(x),
                    other => return Err(key_error(&other)),
                };
                pending += 64 + if let Key::Text(text) = &key { text.len() } else { 0 };
                call.room_for(pending)?;
                tables.push(key);
                return Ok(());
            }
            self.separate(call, &mut first)?;
            self.key(call, key)?;
            if !self.scalar(call, value)? {
                return Err(Error::message("Cannot serialise: unexpected value"));
            }
            Ok(())
        })?;
        Ok(Open { table, rest: Rest::Object(tables, first) })
    }

    /// Writes on in a table, until there is another table in it, which is pushed, or it is complete.
    fn advance(&mut self, call: &mut Call<'_>, open: &mut Open) -> Result<Option<Slot>, Error> {
        match &mut open.rest {
            Rest::Array(next, last) => {
                while *next <= *last {
                    if *next > 1 {
                        self.put(call, b",")?;
                    }
                    let value = call.get_index(open.table, *next)?;
                    *next += 1;
                    if !self.scalar(call, value)? {
                        return Ok(Some(value));
                    }
                    call.pop(1);
                }
                self.put(call, b"]")?;
            }
            Rest::Object(tables, first) => {
                if let Some(key) = tables.pop() {
                    self.separate(call, first)?;
                    let slot = match key {
                        Key::Text(text) => call.push_bytes(&text)?,
                        Key::Integer(n) => call.push_integer(n)?,
                        Key::Number(x) => call.push_number(x)?,
                    };
                    self.key(call, slot)?;
                    return call.get_pair(open.table).map(Some);
                }
                self.put(call, b"}")?;
            }
        }
        Ok(None)
    }

    /// The length of a table that is an array.
    fn array_length(&self, call: &mut Call<'_>, table: Slot) -> Result<Option<i64>, Error> {
        let (mut items, mut most, mut array) = (0_u64, 0_i64, true);
        call.for_each(table, |call, key, _| {
            array &= match call.value(key) {
                Value::Integer(n) if n > 0 => {
                    most = most.max(n);
                    true
                }
                _ => false,
            };
            items += 1;
            Ok(())
        })?;
        if !array || items == 0 {
            return Ok(None);
        }
        let sparse = self.settings.sparse;
        if sparse.ratio > 0 && most as u64 > items.saturating_mul(sparse.ratio) && most as u64 > sparse.safe {
            if sparse.convert {
                return Ok(None);
            }
            return Err(Error::message(format!(
                "Cannot serialise table: excessively sparse array ({items} items, last index {most}); see encode_sparse_array"
            )));
        }
        Ok(Some(most))
    }

    /// Writes a value that is no table; false if it is one.
    fn scalar(&mut self, call: &Call<'_>, slot: Slot) -> Result<bool, Error> {
        match call.value(slot) {
            Value::Table(_) => return Ok(false),
            Value::String(text) => self.text(call, text)?,
            Value::Integer(n) => self.put(call, n.to_string().as_bytes())?,
            Value::Number(x) if x.is_finite() => self.put(call, number(x, self.settings.digits).as_bytes())?,
            Value::Number(_) if self.settings.invalid_is_null => self.put(call, b"null")?,
            Value::Number(_) => return Err(Error::message("Cannot serialise number: must not be NaN or Inf")),
            Value::Bool(b) => self.put(call, if b { b"true" } else { b"false" })?,
            Value::Nil => self.put(call, b"null")?,
            Value::Object(_) if call.object_at::<Null>(slot).is_some() => self.put(call, b"null")?,
            other => return Err(Error::message(format!("Cannot serialise {}: type not supported", other.type_name()))),
        }
        Ok(true)
    }

    fn key(&mut self, call: &Call<'_>, slot: Slot) -> Result<(), Error> {
        match call.value(slot) {
            Value::String(text) => self.text(call, text)?,
            Value::Integer(n) => self.put(call, format!("\"{n}\"").as_bytes())?,
            Value::Number(x) => self.put(call, format!("\"{}\"", number(x, self.settings.digits)).as_bytes())?,
            other => return Err(key_error(&other)),
        }
        self.put(call, b":")
    }

    fn separate(&mut self, call: &Call<'_>, first: &mut bool) -> Result<(), Error> {
        if std::mem::take(first) { Ok(()) } else { self.put(call, b",") }
    }

    fn text(&mut self, call: &Call<'_>, text: &[u8]) -> Result<(), Error> {
        self.put(call, b"\"")?;
        for chunk in text.utf8_chunks() {
            let mut rest = chunk.valid().as_bytes();
            while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\' || b == 0x7f) {
                self.put(call, &rest[..at])?;
                match rest[at] {
                    b'\n' => self.put(call, b"\\n")?,
                    b'\r' => self.put(call, b"\\r")?,
                    b'\t' => self.put(call, b"\\t")?,
                    8 => self.put(call, b"\\b")?,
                    12 => self.put(call, b"\\f")?,
                    b @ (b'"' | b'\\') => self.put(call, &[b'\\', b])?,
                    b => self.put(call, format!("\\u{b:04x}").as_bytes())?,
                }
                rest = &rest[at + 1..];
            }
            self.put(call, rest)?;
            if !chunk.invalid().is_empty() {
                self.put(call, "\u{fffd}".as_bytes())?;
            }
        }
        self.put(call, b"\"")
    }

    fn put(&mut self, call: &Call<'_>, bytes: &[u8]) -> Result<(), Error> {
        let len = self.out.len() + bytes.len();
        if len > self.limit {
            return Err(Error::message(format!("strbuf output_limit exceeded: the JSON text is longer than {} bytes", self.limit)));
        }
        if len > self.out.capacity() {
            call.budget()?;
            call.room_for(2 * len)?;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

fn key_error(key: &Value<'_>) -> Error {
    Error::message(format!("Cannot serialise {}: table key must be a number or string", key.type_name()))
}

/// A float with so many digits as `%.{digits}g` has them; with 17 as many as it needs to read back equal.
fn number(x: f64, digits: usize) -> String {
    // Read back as an integer, it must be the very one.
    if digits >= 17 && x.fract() == 0.0 && x.abs() < 9_223_372_036_854_775_808.0 {
        return (x as i64).to_string();
    }
    let scientific = if digits >= 17 { format!("{x:e}") } else { format!("{x:.*e}", digits - 1) };
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    if (-4..digits as i32).contains(&exponent) {
        // The rounded value has its digits before the exponent; `{}` writes it without one.
        return format!("{mantissa}e{exponent}").parse::<f64>().map_or(scientific.clone(), |rounded| rounded.to_string());
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_read_back_equal() {
        for (x, text) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1e15, "1000000000000000"),
            (1e21, "1e+21"),
            (2_f64.powi(60), "1152921504606846976"),
            (1.5e-7, "1.5e-07"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(number(x, 17), text);
            assert_eq!(number(x, 17).parse(), Ok(x));
        }
        assert_eq!(number(1.0 / 3.0, 17), "0.3333333333333333");
        assert_eq!(number(1.0 / 3.0, 3), "0.333");
        assert_eq!(number(0.1 + 0.2, 14), "0.3");
    }
}
