//! A host with a few kinds of values and Rust functions.

use lpeg::{Constant, Error, Host, Key, Limits, Pattern, ValueId, Verdict};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
    Table(Vec<(String, Value)>),
}

pub type Function = fn(&[Value]) -> Vec<Value>;

pub struct Toy<'t> {
    pub stack: Vec<Value>,
    pub functions: &'t [Function],
    pub subject: &'t str,
    pub arguments: &'t [Value],
    /// Ticks until the match is stopped.
    pub ticks: usize,
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

#[derive(Debug, PartialEq)]
pub enum Stop {
    Error(Error),
    Budget,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

impl Host for Toy<'_> {
    type Error = Stop;

    fn tick(&mut self) -> Result<(), Stop> {
        self.ticks = self.ticks.checked_sub(1).ok_or(Stop::Budget)?;
        Ok(())
    }

    fn room(&mut self, _bytes: usize) -> Result<(), Stop> {
        Ok(())
    }

    fn len(&self) -> usize {
        self.stack.len()
    }

    fn truncate(&mut self, len: usize) {
        self.stack.truncate(len);
    }

    fn remove(&mut self, from: usize, count: usize) {
        self.stack.drain(from..from + count);
    }

    fn copy(&mut self, index: usize) -> Result<(), Stop> {
        self.stack.push(self.stack[index].clone());
        Ok(())
    }

    fn replace(&mut self, index: usize) {
        self.stack.swap_remove(index);
    }

    fn push_text(&mut self, text: &[u8]) -> Result<(), Stop> {
        self.stack.push(Value::Text(String::from_utf8_lossy(text).into()));
        Ok(())
    }

    fn push_subject(&mut self) -> Result<(), Stop> {
        self.push_text(self.subject.as_bytes())
    }

    fn push_integer(&mut self, n: i64) -> Result<(), Stop> {
        self.stack.push(Value::Int(n));
        Ok(())
    }

    fn push_constant(&mut self, constant: &Constant) -> Result<(), Stop> {
        self.stack.push(match constant {
            Constant::Nil => Value::Nil,
            Constant::Boolean(b) => Value::Bool(*b),
            Constant::Integer(n) => Value::Int(*n),
            Constant::Number(x) => Value::Int(*x as i64),
            Constant::Text(text) => Value::Text(String::from_utf8_lossy(text).into()),
            Constant::Value(id) => Value::Int(id.0 as i64),
        });
        Ok(())
    }

    fn push_argument(&mut self, n: u32) -> Result<bool, Stop> {
        self.stack.extend(self.arguments.get(n as usize - 1).cloned());
        Ok(n as usize <= self.arguments.len())
    }

    fn call(&mut self, base: usize) -> Result<(), Stop> {
        let Value::Int(id) = self.stack[base] else { panic!("no function at {base}: {:?}", self.stack) };
        let results = self.functions[id as usize](&self.stack[base + 1..]);
        self.stack.truncate(base);
        self.stack.extend(results);
        Ok(())
    }

    /// The only table knows "a" and "b".
    fn query(&mut self, _table: ValueId) -> Result<bool, Stop> {
        let value = match self.stack.pop() {
            Some(Value::Text(key)) if key == "a" => "alpha",
            Some(Value::Text(key)) if key == "b" => "beta",
            _ => return Ok(false),
        };
        self.stack.push(Value::text(value));
        Ok(true)
    }

    fn push_table(&mut self) -> Result<(), Stop> {
        self.stack.push(Value::Table(Vec::new()));
        Ok(())
    }

    fn set_item(&mut self, table: usize, n: i64) -> Result<(), Stop> {
        self.set_field(table, &Key::Integer(n))
    }

    fn set_field(&mut self, table: usize, key: &Key) -> Result<(), Stop> {
        let value = self.stack.pop().expect("a value");
        let Value::Table(entries) = &mut self.stack[table] else { panic!("no table at {table}") };
        entries.push((key.to_string(), value));
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(())
    }

    fn append_text(&mut self, index: usize, text: &mut Vec<u8>) -> Result<(), &'static str> {
        match &self.stack[index] {
            Value::Text(more) => text.extend_from_slice(more.as_bytes()),
            Value::Int(n) => text.extend_from_slice(n.to_string().as_bytes()),
            Value::Nil => return Err("nil"),
            Value::Bool(_) => return Err("boolean"),
            Value::Table(_) => return Err("table"),
        }
        Ok(())
    }

    fn verdict(&mut self, index: usize) -> Verdict {
        match self.stack[index] {
            Value::Nil | Value::Bool(false) => Verdict::Fail,
            Value::Bool(true) => Verdict::Stay,
            Value::Int(n) => Verdict::Position(n),
            _ => Verdict::Position(0),
        }
    }
}

pub fn run(pattern: &Pattern, subject: &str, functions: &[Function]) -> Result<Option<Vec<Value>>, Stop> {
    run_within(pattern, subject, functions, &Limits::default(), 1000)
}

pub fn run_within(
    pattern: &Pattern,
    subject: &str,
    functions: &[Function],
    limits: &Limits,
    ticks: usize,
) -> Result<Option<Vec<Value>>, Stop> {
    let arguments = [Value::text("first"), Value::Int(2)];
    let mut host = Toy { stack: Vec::new(), functions, subject, arguments: &arguments, ticks };
    let matched = pattern.program()?.matches(subject.as_bytes(), 0, limits, &mut host)?;
    Ok(matched.then_some(host.stack))
}

/// The values of a match that must succeed.
#[track_caller]
pub fn values(pattern: &Pattern, subject: &str, functions: &[Function]) -> Vec<Value> {
    run(pattern, subject, functions).expect("no error").expect("a match")
}

/// The error of a match that must end with one.
#[track_caller]
pub fn error(pattern: &Pattern, subject: &str, functions: &[Function]) -> String {
    match run(pattern, subject, functions) {
        Err(Stop::Error(error)) => error.to_string(),
        other => panic!("an error was expected, got {other:?}"),
    }
}

pub fn p(text: &str) -> Pattern {
    Pattern::literal(text.as_bytes())
}

pub fn any(n: i64) -> Pattern {
    Pattern::any(n).expect("small")
}

pub fn set(bytes: &str) -> Pattern {
    Pattern::set(&lpeg::Charset::of(bytes.as_bytes()))
}

pub fn v(name: &str) -> Pattern {
    Pattern::rule(name.into())
}

pub fn grammar(rules: &[(&str, Pattern)]) -> Result<Pattern, Error> {
    Pattern::grammar(rules.iter().map(|(name, pattern)| (Key::from(*name), pattern.clone())).collect())
}

/// Patterns one after the other.
pub fn seq(list: &[Pattern]) -> Pattern {
    list.iter().skip(1).fold(list[0].clone(), |all, pattern| all.then(pattern).expect("small"))
}

/// The first pattern that matches.
pub fn alt(list: &[Pattern]) -> Pattern {
    list.iter().skip(1).fold(list[0].clone(), |all, pattern| all.or(pattern).expect("small"))
}
