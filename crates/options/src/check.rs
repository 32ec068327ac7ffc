use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::tree::{Key, Node, Raw, Tree};
use crate::{Location, Opt, Problem, Type, nearest, unit};

/// The checked options of one plugin.
///
/// Getters take the name the plugin declared; asking for an undeclared one is a programming error
/// and panics, which the conformance tests of every plugin would show.
#[derive(Clone)]
pub struct Options {
    at: Location,
    /// What the configuration gives. Shared: a plan, a supervisor and a thread each keep the
    /// options of the same plugin.
    given: Arc<[Entry]>,
    /// Every option with its default: the same for all plugins of a kind.
    defaults: Arc<[Entry]>,
}

#[derive(Clone)]
struct Entry {
    opt: &'static Opt,
    /// Where the value was given; none for a default.
    at: Option<Location>,
    value: Option<Value>,
}

#[derive(Clone, PartialEq)]
enum Value {
    String(String),
    Path(PathBuf),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Duration(Duration),
    Size(u64),
    Strings(Vec<String>),
    Paths(Vec<PathBuf>),
    Table(Vec<(String, Scalar)>),
    Tree(Tree),
}

/// A value in a table option.
#[derive(Clone, PartialEq, Debug)]
pub enum Scalar {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::String(s) => f.write_str(s),
            Scalar::Integer(n) => write!(f, "{n}"),
            Scalar::Float(n) => write!(f, "{n}"),
            Scalar::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// The largest file a `{ file = "…" }` value may name.
const MAX_VALUE_FILE: u64 = 1 << 20;

impl Options {
    /// Holds a table against the lists of options a plugin takes (its own and its family's).
    /// Everything wrong is added to `problems`; the options come back in any case, with defaults
    /// in the place of what was wrong, so that later checks can go on.
    pub fn check(specs: &[&'static [Opt]], table: &Tree, problems: &mut Vec<Problem>) -> Options {
        let known = || specs.iter().flat_map(|s| s.iter());
        for (key, _) in &table.entries {
            if !known().any(|o| o.name == key.name) {
                problems.push(unknown(key, known().map(|o| o.name)));
            }
        }
        let mut given = Vec::new();
        for opt in known() {
            match table.get(opt.name) {
                Some(node) => {
                    let value = value(opt, node).map_err(|problem| problems.push(problem)).ok().or_else(|| default(opt));
                    given.push(Entry { opt, at: Some(node.at.clone()), value });
                }
                None if opt.required => {
                    let title = format!("option `{}` is missing", opt.name);
                    let help = format!("add `{} = {}`: {}", opt.name, opt.sample.unwrap_or(opt.type_.sample()), opt.doc);
                    problems.push(Problem::new(title).at(&table.at, "it is required here").help(help));
                }
                None => {}
            }
        }
        Options { at: table.at.clone(), given: given.into(), defaults: defaults(specs) }
    }

    /// Options with every default taken, for a plugin named without a section of its own.
    pub fn defaults(specs: &[&'static [Opt]], at: &Location, problems: &mut Vec<Problem>) -> Options {
        Options::check(specs, &Tree { at: at.clone(), entries: Vec::new() }, problems)
    }

    fn entry(&self, name: &str) -> &Entry {
        self.given.iter().chain(&*self.defaults).find(|e| e.opt.name == name).unwrap_or_else(|| panic!("option `{name}` is not declared"))
    }

    /// Whether the configuration gives the option, or it has a default.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).value.is_some()
    }

    /// Whether the configuration itself gives the option.
    pub fn given(&self, name: &str) -> bool {
        self.entry(name).at.is_some()
    }

    /// Text of a string, choice, address, matcher, regular expression or secret; `None` when not given.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        match &self.entry(name).value {
            Some(Value::String(s)) => Some(s),
            _ => None,
        }
    }

    /// As [`Options::get_str`]; empty when a required option was missing (which was reported).
    pub fn str(&self, name: &str) -> &str {
        self.get_str(name).unwrap_or_default()
    }

    pub fn get_path(&self, name: &str) -> Option<&Path> {
        match &self.entry(name).value {
            Some(Value::Path(p)) => Some(p),
            _ => None,
        }
    }

    pub fn path(&self, name: &str) -> &Path {
        self.get_path(name).unwrap_or(Path::new(""))
    }

    /// The path taken when the option is not given.
    pub fn default_path(&self, name: &str) -> Option<&Path> {
        match &self.defaults.iter().find(|e| e.opt.name == name)?.value {
            Some(Value::Path(p)) => Some(p),
            _ => None,
        }
    }

    pub fn get_integer(&self, name: &str) -> Option<i64> {
        match self.entry(name).value {
            Some(Value::Integer(n)) => Some(n),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.get_integer(name).unwrap_or_default()
    }

    pub fn get_float(&self, name: &str) -> Option<f64> {
        match self.entry(name).value {
            Some(Value::Float(n)) => Some(n),
            _ => None,
        }
    }

    pub fn bool(&self, name: &str) -> bool {
        matches!(self.entry(name).value, Some(Value::Bool(true)))
    }

    pub fn get_duration(&self, name: &str) -> Option<Duration> {
        match self.entry(name).value {
            Some(Value::Duration(d)) => Some(d),
            _ => None,
        }
    }

    pub fn duration(&self, name: &str) -> Duration {
        self.get_duration(name).unwrap_or_default()
    }

    /// Bytes.
    pub fn get_size(&self, name: &str) -> Option<u64> {
        match self.entry(name).value {
            Some(Value::Size(n)) => Some(n),
            _ => None,
        }
    }

    /// Bytes.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.get_size(name).unwrap_or_default()).unwrap_or(usize::MAX)
    }

    pub fn strings(&self, name: &str) -> &[String] {
        match &self.entry(name).value {
            Some(Value::Strings(list)) => list,
            _ => &[],
        }
    }

    pub fn paths(&self, name: &str) -> &[PathBuf] {
        match &self.entry(name).value {
            Some(Value::Paths(list)) => list,
            _ => &[],
        }
    }

    /// Entries in the order they were written.
    pub fn table(&self, name: &str) -> &[(String, Scalar)] {
        match &self.entry(name).value {
            Some(Value::Table(entries)) => entries,
            _ => &[],
        }
    }

    /// A table of anything, with `{ env = … }` and `{ file = … }` resolved; `None` when not given.
    pub fn tree(&self, name: &str) -> Option<&Tree> {
        match &self.entry(name).value {
            Some(Value::Tree(tree)) => Some(tree),
            _ => None,
        }
    }

    /// Whether the plugin, or its family, takes an option of this name.
    pub fn declares(&self, name: &str) -> bool {
        self.defaults.iter().any(|e| e.opt.name == name)
    }

    /// Where the option was given, or the section when it was not.
    pub fn location(&self, name: &str) -> &Location {
        self.entry(name).at.as_ref().unwrap_or(&self.at)
    }

    /// Where the section is.
    pub fn at(&self) -> &Location {
        &self.at
    }

    /// A problem with the value of one option, for a plugin's own checks.
    pub fn problem(&self, name: &str, title: impl Into<String>, label: impl Into<String>) -> Problem {
        Problem::new(title).at(self.location(name), label)
    }

    /// Whether a plugin built from either would be the same, the options in `except` aside.
    pub fn same_as(&self, other: &Options, except: &[&str]) -> bool {
        let relevant = |o: &Options| -> Vec<(&'static str, Option<Value>)> {
            let names = o.defaults.iter().map(|e| e.opt.name).filter(|name| !except.contains(name));
            names.map(|name| (name, o.entry(name).value.clone())).collect()
        };
        relevant(self) == relevant(other)
    }
}

/// Secrets print as `(secret)`.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.defaults.iter().map(|e| (e.opt.name, if e.opt.type_ == Type::Secret { "(secret)" } else { "…" })))
            .finish()
    }
}

fn unknown<'a>(key: &crate::Key, known: impl Iterator<Item = &'a str> + Clone) -> Problem {
    let problem = Problem::new(format!("unknown option `{}`", key.name)).at(&key.at, "not an option of this plugin");
    match nearest(&key.name, known.clone()) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None => problem.help(format!("it takes: {}", known.collect::<Vec<_>>().join(", "))),
    }
}

/// Made once for each combination of lists: a thousand plugins of a kind share them.
fn defaults(specs: &[&'static [Opt]]) -> Arc<[Entry]> {
    /// Address and length of each list.
    type Lists = Vec<(usize, usize)>;
    static KNOWN: Mutex<BTreeMap<Lists, Arc<[Entry]>>> = Mutex::new(BTreeMap::new());
    let make = || specs.iter().flat_map(|list| list.iter()).map(|opt| Entry { opt, at: None, value: default(opt) }).collect();
    let key = specs.iter().map(|list| (list.as_ptr() as usize, list.len())).collect();
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert_with(make).clone()
}

fn default(opt: &Opt) -> Option<Value> {
    let text = opt.default?;
    let wrong = || -> ! { panic!("default of option `{}` is not a {}: {text}", opt.name, opt.type_.name()) };
    Some(match opt.type_ {
        Type::Integer => Value::Integer(text.parse().unwrap_or_else(|_| wrong())),
        Type::Float => Value::Float(text.parse().unwrap_or_else(|_| wrong())),
        Type::Bool => Value::Bool(text == "true"),
        Type::Strings if text.is_empty() => Value::Strings(Vec::new()),
        Type::Strings => Value::Strings(vec![text.to_string()]),
        Type::Paths => Value::Paths(vec![PathBuf::from(text)]),
        Type::Path | Type::Script => Value::Path(PathBuf::from(text)),
        Type::Table => Value::Table(Vec::new()),
        _ => match from_text(opt, text) {
            Ok(value) => value,
            Err(_) => wrong(),
        },
    })
}

fn value(opt: &Opt, node: &Node) -> Result<Value, Problem> {
    let mismatch = |expected: String| {
        let title = format!("`{}` must be a {}", opt.name, opt.type_.name());
        Problem::new(title).at(&node.at, format!("found {}, {expected}", node.raw.kind()))
    };
    let resolved;
    let raw = match &node.raw {
        Raw::Table(table) if !matches!(opt.type_, Type::Table | Type::Tree) => {
            resolved = Raw::String(indirect(opt, node, table)?);
            &resolved
        }
        raw => raw,
    };
    match (opt.type_, raw) {
        (Type::Integer, Raw::Integer(n)) => Ok(Value::Integer(*n)),
        (Type::Float, Raw::Integer(n)) => Ok(Value::Float(*n as f64)),
        (Type::Float, Raw::Float(n)) => Ok(Value::Float(*n)),
        (Type::Bool, Raw::Bool(b)) => Ok(Value::Bool(*b)),
        (Type::Strings | Type::Paths, Raw::String(s)) => Ok(list(opt, node, vec![s.clone()])),
        (Type::Strings | Type::Paths, Raw::List(items)) => {
            Ok(list(opt, node, items.iter().map(|i| text_of(opt, i)).collect::<Result<_, _>>()?))
        }
        (Type::Table, Raw::Table(table)) => Ok(Value::Table(scalars(opt, table)?)),
        (Type::Tree, Raw::Table(table)) => Ok(Value::Tree(without_references(opt, table)?)),
        (Type::Script, Raw::String(s)) if s.starts_with("nilo:") => Ok(Value::Path(PathBuf::from(s))),
        (Type::Path | Type::Script, Raw::String(s)) => Ok(Value::Path(beside(node, s))),
        (Type::Integer | Type::Float | Type::Bool | Type::Table | Type::Tree | Type::Strings | Type::Paths, _) => {
            Err(mismatch(format!("expected something like `{}`", opt.sample.unwrap_or(opt.type_.sample()))))
        }
        (_, Raw::String(s)) => from_text(opt, s).map_err(|expected| {
            let title = format!("`{}` is not a valid {}", opt.name, opt.type_.name());
            let problem = Problem::new(title).at(&node.at, expected);
            match opt.type_ {
                Type::Choice(words) => match nearest(s, words.iter().copied()) {
                    Some(word) => problem.help(format!("did you mean \"{word}\"?")),
                    None => problem,
                },
                _ => problem,
            }
        }),
        (Type::Duration | Type::Size, Raw::Integer(n)) => {
            let example = if opt.type_ == Type::Duration { format!("\"{n}s\"") } else { format!("\"{n}B\"") };
            Err(mismatch("expected a number with its unit".to_string())
                .help(format!("write the unit, for example {} = {example}", opt.name)))
        }
        _ => Err(mismatch(format!("expected something like `{}`", opt.sample.unwrap_or(opt.type_.sample())))),
    }
}

/// A value that is written as text, whether given or a default.
fn from_text(opt: &Opt, text: &str) -> Result<Value, String> {
    match opt.type_ {
        Type::Duration => unit::duration(text).map(Value::Duration),
        Type::Size => unit::size(text).map(Value::Size),
        Type::Address => match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Value::String(text.to_string())),
            _ => Err("expected host:port, such as \"127.0.0.1:5565\"".to_string()),
        },
        Type::Choice(words) if !words.contains(&text) => Err(format!("expected one of: {}", words.join(", "))),
        _ => Ok(Value::String(text.to_string())),
    }
}

fn list(opt: &Opt, node: &Node, items: Vec<String>) -> Value {
    match opt.type_ {
        Type::Paths => Value::Paths(items.iter().map(|s| beside(node, s)).collect()),
        _ => Value::Strings(items),
    }
}

fn text_of(opt: &Opt, node: &Node) -> Result<String, Problem> {
    match &node.raw {
        Raw::String(s) => Ok(s.clone()),
        Raw::Table(table) => indirect(opt, node, table),
        other => Err(Problem::new(format!("`{}` must be a {}", opt.name, opt.type_.name()))
            .at(&node.at, format!("found {}, expected a string", other.kind()))),
    }
}

fn scalars(opt: &Opt, table: &Tree) -> Result<Vec<(String, Scalar)>, Problem> {
    let scalar = |node: &Node| match &node.raw {
        Raw::String(s) => Ok(Scalar::String(s.clone())),
        Raw::Integer(n) => Ok(Scalar::Integer(*n)),
        Raw::Float(n) => Ok(Scalar::Float(*n)),
        Raw::Bool(b) => Ok(Scalar::Bool(*b)),
        Raw::Table(table) => Ok(Scalar::String(indirect(opt, node, table)?)),
        other => {
            let title = format!("`{}` takes strings, numbers and booleans", opt.name);
            Err(Problem::new(title).at(&node.at, format!("found {}", other.kind())))
        }
    };
    table.entries.iter().map(|(key, node)| Ok((key.name.clone(), scalar(node)?))).collect()
}

/// A table of anything in which references are replaced by what they stand for.
fn without_references(opt: &Opt, table: &Tree) -> Result<Tree, Problem> {
    let reference =
        |t: &Tree| matches!(&t.entries[..], [(key, Node { raw: Raw::String(_), .. })] if matches!(key.name.as_str(), "env" | "file"));
    fn node(opt: &Opt, found: &Node, reference: &dyn Fn(&Tree) -> bool) -> Result<Node, Problem> {
        let raw = match &found.raw {
            Raw::Table(table) if reference(table) => Raw::String(indirect(opt, found, table)?),
            Raw::Table(table) => Raw::Table(entries(opt, table, reference)?),
            Raw::List(items) => Raw::List(items.iter().map(|item| node(opt, item, reference)).collect::<Result<_, _>>()?),
            Raw::Date => return Err(Problem::new(format!("`{}` takes no dates", opt.name)).at(&found.at, "write it as a string")),
            other => other.clone(),
        };
        Ok(Node { at: found.at.clone(), raw })
    }
    fn entries(opt: &Opt, table: &Tree, reference: &dyn Fn(&Tree) -> bool) -> Result<Tree, Problem> {
        let one = |(key, found): &(Key, Node)| Ok((key.clone(), node(opt, found, reference)?));
        Ok(Tree { at: table.at.clone(), entries: table.entries.iter().map(one).collect::<Result<_, Problem>>()? })
    }
    entries(opt, table, &reference)
}

/// Relative paths start at the configuration file, not at wherever the program was started.
fn beside(node: &Node, path: &str) -> PathBuf {
    match node.at.source.path().parent() {
        Some(dir) if Path::new(path).is_relative() => dir.join(path),
        _ => PathBuf::from(path),
    }
}

/// Resolves `{ env = "NAME" }` and `{ file = "path" }`.
fn indirect(opt: &Opt, node: &Node, table: &Tree) -> Result<String, Problem> {
    let malformed = || {
        Problem::new(format!("`{}` must be a {}", opt.name, opt.type_.name()))
            .at(&node.at, "expected a value, { env = \"NAME\" } or { file = \"path\" }")
    };
    let [(key, Node { raw: Raw::String(text), .. })] = &table.entries[..] else { return Err(malformed()) };
    match key.name.as_str() {
        "env" => std::env::var(text).map_err(|_| {
            Problem::new(format!("environment variable `{text}` is not set"))
                .at(&node.at, format!("`{}` takes its value from it", opt.name))
                .help("set it where nilo is started, or give a value or { file = \"path\" }")
        }),
        "file" => {
            let path = beside(node, text);
            let read = std::fs::File::open(&path).and_then(|file| {
                let mut text = String::new();
                // A device may say that it is empty and never end.
                file.take(MAX_VALUE_FILE + 1).read_to_string(&mut text)?;
                if text.len() as u64 > MAX_VALUE_FILE { Err(std::io::Error::other("larger than 1 MiB")) } else { Ok(text) }
            });
            match read {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_string()),
                Err(e) => Err(Problem::new(format!("cannot read {}", path.display())).at(&node.at, e.to_string())),
            }
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    const SPEC: &[Opt] = &[
        Opt::string("name").required().doc("A name."),
        Opt::duration("every").default("10s"),
        Opt::size("cap").default("64KiB"),
        Opt::choice("mode", &["fast", "safe"]).default("safe"),
        Opt::strings("tags"),
        Opt::path("dir"),
        Opt::table("config"),
    ];

    fn check(toml: &str) -> (Options, Vec<String>) {
        let mut problems = Vec::new();
        let options = Options::check(&[SPEC], &Tree::parse(Source::new("/etc/nilo.toml", toml)).unwrap(), &mut problems);
        (options, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_value_from_a_file_that_never_ends_is_refused() {
        let (_, problems) = check("name = { file = '/dev/zero' }");
        assert_eq!(problems, ["/etc/nilo.toml:1:8: cannot read /dev/zero: larger than 1 MiB"]);
    }

    #[test]
    fn good_values_are_typed_and_defaults_fill_in() {
        let (o, problems) = check("name = 'x'\ncap = '1KiB'\ntags = 'one'\ndir = 'd'\nconfig = { a = 1, b = 'two' }");
        assert_eq!(problems, [""; 0]);
        assert_eq!((o.str("name"), o.size("cap"), o.duration("every")), ("x", 1024, Duration::from_secs(10)));
        assert_eq!((o.str("mode"), o.strings("tags"), o.path("dir")), ("safe", &["one".to_string()][..], Path::new("/etc/d")));
        assert_eq!(o.table("config")[1], ("b".to_string(), Scalar::String("two".to_string())));
        assert!(o.same_as(&check("cap = '1024B'\nname = 'x'\ntags = ['one']\ndir = 'd'\nconfig = { a = 1, b = 'two' }").0, &[]));
    }

    #[test]
    fn a_tree_takes_anything_and_knows_its_places() {
        const TREE: &[Opt] = &[Opt::tree("config")];
        let check = |toml: &str| {
            let mut problems = Vec::new();
            let options = Options::check(&[TREE], &Tree::parse(Source::new("a.toml", toml)).unwrap(), &mut problems);
            (options, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (o, problems) = check("config = { a = [1, { b = true }], c.d = 'x' }");
        assert_eq!(problems, [""; 0]);
        let tree = o.tree("config").unwrap();
        assert!(matches!(&tree.get("a").unwrap().raw, Raw::List(items) if items.len() == 2));
        assert_eq!(tree.entries[1].0.at.line_column(), (1, 35));
        assert!(o.same_as(&check("config = {   a = [1, { b = true }],  c = { d = 'x' } }").0, &[]));
        assert!(!o.same_as(&check("config = { a = [1, { b = false }], c.d = 'x' }").0, &[]));
        assert!(check("config = { a = { env = 'NILO_TEST_SURELY_UNSET' } }").1[0].contains("is not set"));
        assert!(check("config = { a = [1979-05-27] }").1[0].contains("a.toml:1:17: `config` takes no dates"));
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_where() {
        let (_, problems) = check("nmae = 'x'\nevery = 5\ncap = '5 stones'\nmode = 'fats'");
        assert_eq!(
            problems,
            [
                "/etc/nilo.toml:1:1: unknown option `nmae`: not an option of this plugin (did you mean `name`?)",
                "/etc/nilo.toml:1:1: option `name` is missing: it is required here (add `name = \"text\"`: A name.)",
                "/etc/nilo.toml:2:9: `every` must be a duration: found an integer, expected a number with its unit (write the unit, for example every = \"5s\")",
                "/etc/nilo.toml:3:7: `cap` is not a valid size: expected a number and a unit (B, kB, MB, GB, KiB, MiB, GiB), such as \"64KiB\"",
                "/etc/nilo.toml:4:8: `mode` is not a valid choice: expected one of: fast, safe (did you mean \"fast\"?)",
            ]
        );
    }

    #[test]
    fn values_may_come_from_the_environment_by_name_only() {
        let (_, problems) = check("name = { env = 'NILO_TEST_SURELY_UNSET' }");
        assert_eq!(
            problems,
            ["/etc/nilo.toml:1:8: environment variable `NILO_TEST_SURELY_UNSET` is not set: `name` takes its value from it \
              (set it where nilo is started, or give a value or { file = \"path\" })"]
        );
        let (_, problems) = check("name = { evn = 'X' }");
        assert!(problems[0].contains("expected a value, { env = \"NAME\" } or { file = \"path\" }"));
    }
}
