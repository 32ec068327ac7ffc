//! Lua values and messages, apart from any Lua state: what goes between two sandboxes.

use message::{Datum, Header, MessageRef, Messages, Text, Uuid, Value as Field, ValueType};
use sandbox::native::{Call, Error, Slot, Value};

/// A Lua value on its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    Nil,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Vec<u8>),
    /// Entries in no order.
    Table(Vec<(Plain, Plain)>),
}

/// Tables in tables, at most.
const DEPTH: usize = 32;

impl Plain {
    pub fn text(text: impl AsRef<[u8]>) -> Plain {
        Plain::Text(text.as_ref().to_vec())
    }

    pub fn list(items: impl IntoIterator<Item = Plain>) -> Plain {
        Plain::Table((1..).map(Plain::Integer).zip(items).collect())
    }

    /// An argument of a call.
    pub fn read(call: &mut Call<'_>, slot: Slot) -> Result<Plain, Error> {
        Plain::read_at(call, slot, 0)
    }

    fn read_at(call: &mut Call<'_>, slot: Slot, depth: usize) -> Result<Plain, Error> {
        Ok(match call.value(slot) {
            Value::None | Value::Nil => Plain::Nil,
            Value::Bool(b) => Plain::Bool(b),
            Value::Integer(n) => Plain::Integer(n),
            Value::Number(n) => Plain::Number(n),
            Value::String(text) => Plain::text(text),
            Value::Table(_) if depth == DEPTH => return Err(Error::message("tables are nested too deep")),
            Value::Table(table) => {
                let mut entries = Vec::new();
                call.for_each(table, |call, key, value| {
                    entries.push((Plain::read_at(call, key, depth + 1)?, Plain::read_at(call, value, depth + 1)?));
                    Ok(())
                })?;
                Plain::Table(entries)
            }
            other => return Err(Error::message(format!("a {} cannot be passed on", other.type_name()))),
        })
    }

    pub fn push(&self, call: &mut Call<'_>) -> Result<Slot, Error> {
        match self {
            Plain::Nil => call.push_nil(),
            Plain::Bool(b) => call.push_bool(*b),
            Plain::Integer(n) => call.push_integer(*n),
            Plain::Number(n) => call.push_number(*n),
            Plain::Text(text) => call.push_bytes(text),
            Plain::Table(entries) => {
                let table = call.push_table(0, entries.len())?;
                for (key, value) in entries {
                    key.push(call)?;
                    value.push(call)?;
                    call.set_pair(table)?;
                }
                Ok(table)
            }
        }
    }

    /// `table[key]`.
    pub fn get(&self, key: &str) -> Option<&Plain> {
        let Plain::Table(entries) = self else { return None };
        entries.iter().find(|(k, _)| matches!(k, Plain::Text(t) if t == key.as_bytes())).map(|(_, value)| value)
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Plain::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// A whole number; a fraction is cut off.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Plain::Integer(n) => Some(*n),
            Plain::Number(n) if n.is_finite() => Some(*n as i64),
            _ => None,
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Plain::Nil => "nil",
            Plain::Bool(_) => "boolean",
            Plain::Integer(_) | Plain::Number(_) => "number",
            Plain::Text(_) => "string",
            Plain::Table(_) => "table",
        }
    }

    /// The items of a list, up to its end.
    fn items(&self) -> Vec<&Plain> {
        let Plain::Table(entries) = self else { return Vec::new() };
        let item = |n: i64| entries.iter().find(|(k, _)| k.as_integer() == Some(n)).map(|(_, v)| v);
        (1..).map_while(item).collect()
    }
}

/// Adds the message that a table describes, in the form that `inject_message` takes.
///
/// # Errors
/// What in it cannot be part of a message.
pub fn add_message(table: &Plain, messages: &mut Messages) -> Result<(), String> {
    let Plain::Table(entries) = table else { return Err(format!("a message is a table, not a {}", table.type_name())) };
    let at = messages.add().index();
    for (key, value) in entries {
        match key.as_str() {
            Some("Fields") => fields(value, at, messages)?,
            Some(name) => match Header::from_name(name.as_bytes()) {
                Some(header) => set_header(header, value, at, messages)?,
                None => return Err(format!("a message has no `{name}`{}", near(name))),
            },
            None => return Err(format!("a {} is no name of a header", key.type_name())),
        }
    }
    Ok(())
}

fn near(name: &str) -> String {
    let names = Header::ALL.into_iter().map(Header::name).chain(["Fields"]);
    options::nearest(name, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}

fn set_header(header: Header, value: &Plain, at: usize, messages: &mut Messages) -> Result<(), String> {
    let wrong = || format!("{} cannot be a {}", header.name(), value.type_name());
    let number = || value.as_integer().ok_or_else(wrong);
    let small = || number().and_then(|n| i32::try_from(n).map_err(|_| wrong()));
    let mut m = messages.message(at);
    match (header, value) {
        (Header::Timestamp, _) => m.set_timestamp(number()?),
        (Header::Severity, _) => m.set_severity(small()?),
        (Header::Pid, _) => m.set_pid(small()?),
        (Header::Uuid, Plain::Text(text)) => {
            let uuid = <[u8; 16]>::try_from(&text[..]).map(Uuid).ok().or_else(|| Uuid::parse(text));
            m.set_uuid(uuid.ok_or_else(|| "Uuid must be 16 bytes or their usual text".to_string())?);
        }
        (_, Plain::Text(text)) => {
            let text = m.messages().store(text);
            m.set_text_header(header, text);
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn fields(table: &Plain, at: usize, messages: &mut Messages) -> Result<(), String> {
    let Plain::Table(entries) = table else { return Err(format!("Fields cannot be a {}", table.type_name())) };
    // Named ones are added in order of their names, as inject_message does.
    let mut named: Vec<(&[u8], &Plain)> = Vec::new();
    for (key, value) in entries {
        match (key, value.get("name")) {
            (Plain::Text(name), _) => named.push((name, value)),
            (_, Some(Plain::Text(_))) => {}
            _ => return Err("a field of the array form has no name".to_string()),
        }
    }
    named.sort_by_key(|(name, _)| *name);
    for item in table.items() {
        if let Some(Plain::Text(name)) = item.get("name") {
            named.push((name, item));
        }
    }
    named.into_iter().try_for_each(|(name, value)| field(name, value, at, messages))
}

fn field(name: &[u8], value: &Plain, at: usize, messages: &mut Messages) -> Result<(), String> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let inner = value.get("value").unwrap_or(value);
    let list = if matches!(inner, Plain::Table(_)) { inner.items() } else { vec![inner] };
    let wanted = match value.get("value_type") {
        None => None,
        Some(n) => {
            let type_ = n.as_integer().and_then(|n| u64::try_from(n).ok()).and_then(ValueType::from_number);
            Some(type_.ok_or_else(|| format!("Fields.{shown}: value_type must be 0 to 4"))?)
        }
    };
    let is_mixed = list.iter().any(|v| matches!(v, Plain::Number(_)));
    let data = list.into_iter().map(|v| datum(v, wanted, is_mixed, messages));
    let data = data.collect::<Option<Vec<Datum>>>().filter(|d| d.windows(2).all(|w| w[0].type_() == w[1].type_()));
    let data = data.ok_or_else(|| format!("Fields.{shown} must be strings, numbers or booleans, all of one type"))?;
    let representation = match value.get("representation") {
        Some(Plain::Text(text)) => messages.store(text),
        _ => Text::NONE,
    };
    let type_ = data.first().ok_or_else(|| format!("Fields.{shown} is empty"))?.type_();
    let name = messages.store(name);
    messages.message(at).add_field(name, representation, type_, &data);
    Ok(())
}

/// A value of a field; integers beside fractions become such.
fn datum(value: &Plain, wanted: Option<ValueType>, is_mixed: bool, messages: &mut Messages) -> Option<Datum> {
    Some(match (value, wanted) {
        (Plain::Text(text), Some(ValueType::Bytes)) => Datum::Bytes(messages.store(text)),
        (Plain::Text(text), None | Some(ValueType::String)) => Datum::String(messages.store(text)),
        (Plain::Integer(n), None) if !is_mixed => Datum::Integer(*n),
        (Plain::Integer(n), None | Some(ValueType::Double)) => Datum::Double(*n as f64),
        (Plain::Number(n), None | Some(ValueType::Double)) => Datum::Double(*n),
        (Plain::Integer(_) | Plain::Number(_), Some(ValueType::Integer)) => Datum::Integer(value.as_integer()?),
        (Plain::Bool(b), None | Some(ValueType::Bool)) => Datum::Bool(*b),
        _ => return None,
    })
}

/// A message as a table in the form that `inject_message` takes, without its Uuid. Units of fields are in `Representations`.
pub fn table_of(m: MessageRef<'_>) -> Plain {
    let mut table = vec![(Plain::text("Timestamp"), Plain::Integer(m.timestamp()))];
    for header in Header::ALL.into_iter().filter(|h| m.has(*h)) {
        let value = match header {
            Header::Uuid | Header::Timestamp => continue,
            Header::Severity => Plain::Integer(m.severity().into()),
            Header::Pid => Plain::Integer(m.pid().into()),
            _ => Plain::text(m.text_header(header)),
        };
        table.push((Plain::text(header.name()), value));
    }
    let mut fields: Vec<(Plain, Vec<Plain>)> = Vec::new();
    let mut representations: Vec<(Plain, Plain)> = Vec::new();
    for field in m.fields() {
        let name = Plain::text(field.name());
        let values = field.values().map(plain);
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(values),
            None => fields.push((name.clone(), values.collect())),
        }
        if !field.representation().is_empty() {
            representations.push((name, Plain::text(field.representation())));
        }
    }
    let one = |mut values: Vec<Plain>| if values.len() == 1 { values.remove(0) } else { Plain::list(values) };
    table.push((Plain::text("Fields"), Plain::Table(fields.into_iter().map(|(name, values)| (name, one(values))).collect())));
    table.push((Plain::text("Representations"), Plain::Table(representations)));
    Plain::Table(table)
}

fn plain(value: Field<'_>) -> Plain {
    match value {
        Field::String(text) | Field::Bytes(text) => Plain::text(text),
        Field::Integer(n) => Plain::Integer(n),
        Field::Double(n) => Plain::Number(n),
        Field::Bool(b) => Plain::Bool(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use message::BatchBuilder;

    fn table<const N: usize>(entries: [(&str, Plain); N]) -> Plain {
        Plain::Table(entries.into_iter().map(|(key, value)| (Plain::text(key), value)).collect())
    }

    fn added(message: &Plain) -> Result<Plain, String> {
        let mut builder = BatchBuilder::default();
        add_message(message, builder.messages())?;
        Ok(table_of(builder.get(0)))
    }

    #[test]
    fn what_goes_in_comes_out() {
        let fields = table([
            ("status", Plain::Integer(503)),
            ("time", table([("value", Plain::Number(0.5)), ("representation", Plain::text("s"))])),
            ("mixed", Plain::list([Plain::Integer(1), Plain::Number(2.5)])),
            ("on", Plain::Bool(true)),
        ]);
        let message =
            table([("Type", Plain::text("t")), ("Timestamp", Plain::Number(1e18)), ("Severity", Plain::Integer(3)), ("Fields", fields)]);
        let out = added(&message).unwrap();
        assert_eq!(out.get("Timestamp"), Some(&Plain::Integer(1_000_000_000_000_000_000)));
        assert_eq!((out.get("Type"), out.get("Pid")), (Some(&Plain::text("t")), None));
        let fields = out.get("Fields").unwrap();
        assert_eq!(fields.get("status"), Some(&Plain::Integer(503)));
        assert_eq!(fields.get("mixed"), Some(&Plain::list([Plain::Number(1.0), Plain::Number(2.5)])));
        assert_eq!(out.get("Representations").unwrap().get("time"), Some(&Plain::text("s")));
    }

    #[test]
    fn fields_of_one_name_become_a_list() {
        let item = |n| table([("name", Plain::text("a")), ("value", Plain::list([Plain::Integer(n)]))]);
        let out = added(&table([("Fields", Plain::list([item(1), item(2)]))])).unwrap();
        assert_eq!(out.get("Fields").unwrap().get("a"), Some(&Plain::list([Plain::Integer(1), Plain::Integer(2)])));
    }

    #[test]
    fn what_is_no_message_is_told() {
        assert_eq!(added(&table([("Typ", Plain::Nil)])).unwrap_err(), "a message has no `Typ`: did you mean `Type`?");
        assert_eq!(added(&table([("Severity", Plain::text("x"))])).unwrap_err(), "Severity cannot be a string");
        let mixed = Plain::list([Plain::Integer(1), Plain::text("x")]);
        assert!(added(&table([("Fields", table([("a", mixed)]))])).unwrap_err().starts_with("Fields.a must be"));
        assert!(added(&Plain::Nil).is_err() && added(&table([("Fields", Plain::Integer(1))])).is_err());
    }
}
