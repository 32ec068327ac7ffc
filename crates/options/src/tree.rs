use toml::de::{DeTable, DeValue};

use crate::{Location, Problem, Source};

/// A TOML table in which every key and value knows its place.
#[derive(Clone, Debug)]
pub struct Tree {
    pub at: Location,
    pub entries: Vec<(Key, Node)>,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub at: Location,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub at: Location,
    pub raw: Raw,
}

/// A TOML value. Dates have no use here and are kept as their text's type name.
#[derive(Clone, PartialEq, Debug)]
pub enum Raw {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    Table(Tree),
}

/// Where it stands makes no difference.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.raw == other.raw
    }
}

/// Where they stand makes no difference.
impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        let pairs = || self.entries.iter().zip(&other.entries);
        self.entries.len() == other.entries.len() && pairs().all(|((a, x), (b, y))| a.name == b.name && x == y)
    }
}

impl Raw {
    /// For error texts: `a string`, `an integer`, ….
    pub fn kind(&self) -> &'static str {
        match self {
            Raw::String(_) => "a string",
            Raw::Integer(_) => "an integer",
            Raw::Float(_) => "a float",
            Raw::Bool(_) => "a boolean",
            Raw::Date => "a date",
            Raw::List(_) => "a list",
            Raw::Table(_) => "a table",
        }
    }
}

impl Tree {
    /// Parses a whole file.
    ///
    /// # Errors
    /// Every syntax error the parser could recover from.
    pub fn parse(source: Source) -> Result<Tree, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(source.text());
        if !errors.is_empty() {
            return Err(errors.into_iter().map(|e| syntax_problem(&source, &e)).collect());
        }
        let span = table.span();
        tree(&source, span, table.into_inner()).map_err(|p| vec![p])
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

fn syntax_problem(source: &Source, error: &toml::de::Error) -> Problem {
    let end = source.text().len();
    let span = error.span().unwrap_or(end..end);
    let problem = Problem::new("this is not valid TOML").at(&source.at(span), error.message());
    if error.message() == "duplicate key" { problem.help("it is there already: rename or remove one of the two") } else { problem }
}

fn tree(source: &Source, span: std::ops::Range<usize>, table: DeTable<'_>) -> Result<Tree, Problem> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let key = Key { at: source.at(key.span()), name: key.into_inner().into_owned() };
        entries.push((key, node(source, value)?));
    }
    // The parser sorts by name; people think in the order they wrote.
    entries.sort_by_key(|(key, _)| key.at.span.start);
    Ok(Tree { at: source.at(span), entries })
}

fn node(source: &Source, value: toml::Spanned<DeValue<'_>>) -> Result<Node, Problem> {
    let span = value.span();
    let at = source.at(span.clone());
    let raw = match value.into_inner() {
        DeValue::String(s) => Raw::String(s.into_owned()),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Raw::Integer(n),
            Err(_) => return Err(Problem::new("number out of range").at(&at, "expected an integer of 64 bits")),
        },
        DeValue::Float(f) => match f.as_str().parse() {
            Ok(n) => Raw::Float(n),
            Err(_) => return Err(Problem::new("malformed number").at(&at, "expected a number")),
        },
        DeValue::Boolean(b) => Raw::Bool(b),
        DeValue::Datetime(_) => Raw::Date,
        DeValue::Array(list) => Raw::List(list.into_iter().map(|v| node(source, v)).collect::<Result<_, _>>()?),
        DeValue::Table(table) => Raw::Table(tree(source, span, table)?),
    };
    Ok(Node { at, raw })
}
