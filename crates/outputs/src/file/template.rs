use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use message::{Header, MessageRef, Value};

/// Longest text a message puts into a name, in bytes.
const LONGEST: usize = 100;

/// Stands for a character a name cannot have, and for a value that is missing.
const PLACEHOLDER: char = '_';

/// A relative path with places for parts of a message: `{Type}-%Y%m%d.log`.
///
/// `{Header}` and `{field}` are values of the message, `%Y %m %d %H %M %S` its time in UTC, `%%` a
/// percent sign. A message can decide what a file is called but not where it is: of its values no `/`
/// and no leading `.` gets into the path, and control characters neither.
pub struct Template {
    parts: Vec<Part>,
}

#[derive(PartialEq, Debug)]
enum Part {
    Literal(String),
    Header(Header),
    Field(String),
    /// One of `YmdHMS`.
    Time(char),
}

impl Template {
    /// # Errors
    /// Says what is wrong with the template and what was expected.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '{' => {
                    let (name, after) = rest.split_once('}').ok_or("found `{` without `}`, expected {Header} or {field}")?;
                    if name.is_empty() {
                        return Err("found `{}`, expected {Header} or {field}".to_string());
                    }
                    parts.push(Header::from_name(name.as_bytes()).map_or_else(|| Part::Field(name.to_string()), Part::Header));
                    rest = after;
                }
                '%' => {
                    match rest.chars().next() {
                        Some('%') => literal(&mut parts, '%'),
                        Some(unit @ ('Y' | 'm' | 'd' | 'H' | 'M' | 'S')) => parts.push(Part::Time(unit)),
                        other => {
                            let found = other.map(String::from).unwrap_or_default();
                            return Err(format!("found `%{found}`, expected %Y %m %d %H %M %S or %%"));
                        }
                    }
                    rest = &rest[1..];
                }
                c if c.is_control() => return Err("found a control character".to_string()),
                c => literal(&mut parts, c),
            }
        }
        let template = Template { parts };
        template.check_path()?;
        Ok(template)
    }

    /// The path when no message changes it.
    pub fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Literal(path)] => Some(path),
            _ => None,
        }
    }

    /// Whether messages' values decide the path, and not just their time.
    pub fn takes_values(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Header(_) | Part::Field(_)))
    }

    /// Replaces `path` by the path of a message.
    pub fn render(&self, m: MessageRef<'_>, path: &mut String) {
        path.clear();
        let mut time = None;
        for part in &self.parts {
            match part {
                Part::Literal(text) => path.push_str(text),
                Part::Header(header) => push_header(path, m, *header),
                Part::Field(name) => match m.value(name.as_bytes(), 0, 0) {
                    Some(value) => push_value(path, value),
                    None => path.push(PLACEHOLDER),
                },
                Part::Time(unit) => push_time(path, *unit, *time.get_or_insert_with(|| utc(m.timestamp()))),
            }
        }
    }

    /// Literal text must not leave the directory; whatever stands for a value counts as a letter,
    /// which is what values are made to be.
    fn check_path(&self) -> Result<(), String> {
        let shape: String = self.parts.iter().map(|p| if let Part::Literal(text) = p { text } else { "v" }).collect();
        if shape.starts_with('/') {
            return Err("expected a path relative to `dir`, without a leading `/`".to_string());
        }
        match shape.split('/').find(|name| matches!(*name, "" | "." | "..")) {
            Some("") => Err("expected a file name, found an empty part".to_string()),
            Some(dots) => Err(format!("found `{dots}` as a part of the path, expected names only")),
            None => Ok(()),
        }
    }
}

fn literal(parts: &mut Vec<Part>, c: char) {
    match parts.last_mut() {
        Some(Part::Literal(text)) => text.push(c),
        _ => parts.push(Part::Literal(c.to_string())),
    }
}

fn push_header(path: &mut String, m: MessageRef<'_>, header: Header) {
    match header {
        Header::Uuid => push_text(path, m.uuid().to_string().as_bytes()),
        Header::Timestamp => push_value(path, Value::Integer(m.timestamp())),
        Header::Severity => push_value(path, Value::Integer(m.severity().into())),
        Header::Pid => push_value(path, Value::Integer(m.pid().into())),
        _ => push_text(path, m.text_header(header)),
    }
}

fn push_value(path: &mut String, value: Value<'_>) {
    // Writing to a String does not fail.
    let _ = match value {
        Value::String(text) | Value::Bytes(text) => return push_text(path, text),
        Value::Integer(n) => write!(path, "{n}"),
        Value::Double(n) => return push_text(path, n.to_string().as_bytes()),
        Value::Bool(b) => write!(path, "{b}"),
    };
}

/// Text of a message, made harmless.
fn push_text(path: &mut String, text: &[u8]) {
    let text = &text[..text.len().min(LONGEST)];
    let start = path.len();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let harmless = !(c.is_control() || c == '/' || c == '\\' || c == '.' && path.len() == start);
            path.push(if harmless { c } else { PLACEHOLDER });
        }
        if !chunk.invalid().is_empty() {
            path.push(PLACEHOLDER);
        }
    }
    if path.len() == start {
        path.push(PLACEHOLDER);
    }
}

fn push_time(path: &mut String, unit: char, t: DateTime) {
    let _ = match unit {
        'Y' => write!(path, "{:04}", t.year()),
        'm' => write!(path, "{:02}", t.month()),
        'd' => write!(path, "{:02}", t.day()),
        'H' => write!(path, "{:02}", t.hour()),
        'M' => write!(path, "{:02}", t.minute()),
        _ => write!(path, "{:02}", t.second()),
    };
}

/// Every number of nanoseconds that 64 bits hold is a time jiff knows (the years 1677 to 2262).
fn utc(ns: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_nanosecond(ns.into()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use message::{BatchBuilder, MessageMut};

    use super::*;

    fn render(template: &str, make: impl FnOnce(&mut MessageMut<'_>)) -> String {
        let mut builder = BatchBuilder::default();
        make(&mut builder.add());
        let mut path = "left over".to_string();
        Template::parse(template).unwrap().render(builder.finish().get(0), &mut path);
        path
    }

    #[test]
    fn values_and_times_take_their_places() {
        let path = render("{Type}/{status}-{up}-{Severity}-%Y%m%d.%H:%M:%S%%.log", |m| {
            m.set_type(b"nginx.access");
            m.set_timestamp(1_720_000_000_123_456_789);
            m.set_severity(3);
            m.add_integer(b"status", 404);
            m.add_bool(b"up", true);
        });
        assert_eq!(path, "nginx.access/404-true-3-20240703.09:46:40%.log");
        assert_eq!(Template::parse("nilo.log").unwrap().constant(), Some("nilo.log"));
        assert!(Template::parse("%Y").unwrap().constant().is_none() && !Template::parse("%Y").unwrap().takes_values());
    }

    #[test]
    fn a_message_cannot_leave_its_place_in_the_path() {
        let of = |value: &[u8]| render("logs/{host}.log", |m| m.add_string(b"host", value));
        assert_eq!(of(b"../../../etc/shadow"), "logs/_._.._.._etc_shadow.log");
        assert_eq!(of(b"/etc/passwd"), "logs/_etc_passwd.log");
        assert_eq!(of(b".."), "logs/_..log");
        assert_eq!(of(b"a\0b\nc\xff\\"), "logs/a_b_c__.log");
        assert_eq!(of(b""), "logs/_.log");
        assert_eq!(of(&[b'x'; 5000]).len(), "logs/.log".len() + 100);
        assert_eq!(render("{missing}{Type}", |_| {}), "__");
        assert_eq!(render("{x}{x}", |m| m.add_string(b"x", b".")), "__");
    }

    #[test]
    fn a_template_that_leaves_the_directory_or_makes_no_sense_is_refused() {
        for (template, says) in [
            ("/var/log/x", "without a leading `/`"),
            ("../x", "found `..`"),
            ("a/./b", "found `.`"),
            ("a//b", "empty part"),
            ("", "empty part"),
            ("logs/", "empty part"),
            ("{Type", "`{` without `}`"),
            ("{}", "found `{}`"),
            ("%q", "found `%q`"),
            ("%é", "found `%é`"),
            ("x%", "found `%`"),
        ] {
            let problem = Template::parse(template).err().unwrap();
            assert!(problem.contains(says), "{template}: {problem}");
        }
    }
}
