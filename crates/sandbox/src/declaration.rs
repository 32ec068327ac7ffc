//! What a script says of itself, in comments at its top. It is read without running anything.
//!
//! ```text
//! --- Counts errors by status.
//! --- More about it. A blank `---` begins a paragraph.
//! --@family filter
//! --@every 60s
//! --@match Type == "nginx.access"
//! --@option threshold integer 500 Statuses from here on count as errors.
//! --@option title string "Errors" Title of the graph.
//! --@option rows integer required Rows of the buffer.
//! --@config threshold = 400
//! --@limit memory_limit 4MiB
//! --@sample
//! --  [filter.errors]
//! --  type = "lua"
//! ```
//!
//! Other comments may stand between; the first line of code ends it. `---@…` belongs to language servers.

mod resolve;

use std::fmt;
use std::time::Duration;

use matcher::Matcher;
use options::{nearest, unit};

pub use resolve::ConfigProblem;

use crate::{ConfigValue, Family};

/// What a script says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declaration {
    /// One sentence; empty when there is none.
    pub summary: String,
    /// The rest of the description: paragraphs with an empty line between them.
    pub doc: String,
    pub family: Option<Family>,
    /// How often a tick makes sense.
    pub every: Option<Duration>,
    /// A matcher expression for the messages it is made for.
    pub matcher: Option<String>,
    pub options: Vec<DeclaredOption>,
    /// A configuration, in TOML.
    pub sample: Option<String>,
}

/// A key of `config` that a script reads.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredOption {
    pub name: String,
    pub type_: OptionType,
    /// It must be given.
    pub required: bool,
    /// What `read_config` returns when it is not given, else nil.
    pub default: Option<ConfigValue>,
    pub doc: String,
    /// Line of the script, from 1.
    pub line: usize,
}

/// What a value of `config` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    String,
    Integer,
    Number,
    Boolean,
    /// `"10s"`, or a number of seconds. The script gets seconds.
    Duration,
}

impl OptionType {
    pub const ALL: [OptionType; 5] =
        [OptionType::String, OptionType::Integer, OptionType::Number, OptionType::Boolean, OptionType::Duration];

    pub fn name(self) -> &'static str {
        match self {
            OptionType::String => "string",
            OptionType::Integer => "integer",
            OptionType::Number => "number",
            OptionType::Boolean => "boolean",
            OptionType::Duration => "duration",
        }
    }
}

impl Family {
    pub const ALL: [Family; 6] = [Family::Input, Family::Decoder, Family::Transform, Family::Filter, Family::Encoder, Family::Output];

    pub fn name(self) -> &'static str {
        match self {
            Family::Input => "input",
            Family::Decoder => "decoder",
            Family::Transform => "transform",
            Family::Filter => "filter",
            Family::Encoder => "encoder",
            Family::Output => "output",
        }
    }

    pub fn from_name(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|f| f.name() == name)
    }
}

/// A declaration that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationError {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for DeclarationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for DeclarationError {}

const TAGS: [&str; 7] = ["family", "every", "match", "option", "sample", "config", "limit"];

impl Declaration {
    /// Reads the comments at the top of a script.
    ///
    /// # Errors
    /// The first `--@` line that says something unknown, malformed or twice; or options without a family.
    pub fn parse(source: &[u8]) -> Result<Declaration, DeclarationError> {
        let mut reading = Reading::default();
        for (line, text) in (1..).zip(header(&String::from_utf8_lossy(source))) {
            reading.line(line, text).map_err(|message| DeclarationError { line, message })?;
        }
        reading.finish()
    }

    /// Whether only declared keys of `config` are allowed.
    pub fn is_strict(&self) -> bool {
        self.family.is_some()
    }
}

/// The lines before the first line of code; those of a block comment are there as empty ones.
fn header(source: &str) -> impl Iterator<Item = &str> {
    let mut block: Option<String> = None;
    source.lines().enumerate().map_while(move |(n, line)| {
        let line = line.trim_start();
        if let Some(end) = &block {
            if line.contains(end.as_str()) {
                block = None;
            }
            return Some("");
        }
        let Some(comment) = line.strip_prefix("--") else {
            return (line.trim().is_empty() || (n == 0 && line.starts_with('#'))).then_some("");
        };
        let Some((level, rest)) = comment.strip_prefix('[').map(|c| (c.bytes().take_while(|b| *b == b'=').count(), c)) else {
            return Some(line);
        };
        if let Some(rest) = rest[level..].strip_prefix('[') {
            let end = format!("]{}]", "=".repeat(level));
            if !rest.contains(&end) {
                block = Some(end);
            }
            return Some("");
        }
        Some(line)
    })
}

#[derive(Default)]
struct Reading {
    declaration: Declaration,
    paragraphs: Vec<String>,
    /// The next line of description begins a paragraph.
    begin: bool,
    in_sample: bool,
}

impl Reading {
    fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        if let Some(tag) = text.strip_prefix("--@") {
            self.in_sample = false;
            return self.tag(line, tag);
        }
        if let Some(text) = text.strip_prefix("---").filter(|t| !t.starts_with(['-', '@'])) {
            self.in_sample = false;
            self.describe(text.trim());
        } else if self.in_sample && !text.starts_with("---") && text.starts_with("--") {
            let sample = self.declaration.sample.get_or_insert_default();
            sample.push_str(text[2..].strip_prefix("  ").unwrap_or(text[2..].trim_start()).trim_end());
            sample.push('\n');
        } else {
            self.in_sample = false;
        }
        Ok(())
    }

    fn describe(&mut self, text: &str) {
        if text.is_empty() {
            self.begin = true;
        } else if self.declaration.summary.is_empty() {
            self.declaration.summary = text.to_string();
            self.begin = true;
        } else if std::mem::take(&mut self.begin) {
            self.paragraphs.push(text.to_string());
        } else if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.push(' ');
            paragraph.push_str(text);
        }
    }

    fn tag(&mut self, line: usize, text: &str) -> Result<(), String> {
        let (tag, value) = word(text);
        let d = &mut self.declaration;
        let once = |given: bool| if given { Err(format!("--@{tag} is given twice")) } else { Ok(()) };
        match tag {
            "family" => {
                once(d.family.is_some())?;
                d.family = Some(Family::from_name(value).ok_or_else(|| no_family(value))?);
            }
            "every" => {
                once(d.every.is_some())?;
                d.every = Some(unit::duration(value).map_err(|expected| format!("--@every: found `{value}`, {expected}"))?);
            }
            "match" => {
                once(d.matcher.is_some())?;
                Matcher::parse(value).map_err(|e| format!("--@match: found {}, expected {}", e.found, e.expected))?;
                d.matcher = Some(value.to_string());
            }
            "option" => {
                let option = option(value, line)?;
                if d.options.iter().any(|o| o.name == option.name) {
                    return Err(format!("option `{}` is declared twice", option.name));
                }
                d.options.push(option);
            }
            "sample" => {
                once(d.sample.is_some())?;
                self.in_sample = true;
            }
            // For whoever runs scripts that are dropped into a directory, without a section of their own.
            "config" | "limit" => {}
            unknown => return Err(format!("unknown --@{unknown}{}", meant(unknown, TAGS, &TAGS.join(", ")))),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Declaration, DeclarationError> {
        self.declaration.doc = self.paragraphs.join("\n\n");
        match (self.declaration.family, self.declaration.options.first()) {
            (None, Some(option)) => Err(DeclarationError {
                line: option.line,
                message: "options need a family: add a line such as `--@family filter`".to_string(),
            }),
            _ => Ok(self.declaration),
        }
    }
}

/// The first word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// `: did you mean …` or else what there is.
fn meant<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, all: &str) -> String {
    match nearest(name, candidates) {
        Some(near) => format!(": did you mean `{near}`?"),
        None => format!(": expected {all}"),
    }
}

fn no_family(value: &str) -> String {
    let names = Family::ALL.map(Family::name);
    format!("--@family: there is no family `{value}`{}", meant(value, names, &names.join(", ")))
}

/// `NAME TYPE [required | DEFAULT] DOC`
fn option(text: &str, line: usize) -> Result<DeclaredOption, String> {
    let (name, rest) = word(text);
    if name.is_empty() {
        return Err("--@option: expected NAME TYPE [required | DEFAULT] DESCRIPTION".to_string());
    }
    if !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        return Err(format!("--@option: `{name}` is no name: expected letters, digits and _"));
    }
    let (type_, rest) = word(rest);
    let names = OptionType::ALL.map(OptionType::name);
    let Some(kind) = OptionType::ALL.into_iter().find(|t| t.name() == type_) else {
        return Err(format!("option `{name}`: there is no type `{type_}`{}", meant(type_, names, &names.join(", "))));
    };
    let (first, after) = word(rest);
    let (required, default, doc) = match first {
        "required" => (true, None, after),
        _ => match default(kind, rest) {
            Some((value, rest)) => (false, Some(value), rest.trim_start()),
            None => (false, None, rest),
        },
    };
    Ok(DeclaredOption { name: name.to_string(), type_: kind, required, default, doc: doc.trim_end().to_string(), line })
}

/// A default at the beginning of the text, if there is one, and what follows it.
fn default(type_: OptionType, text: &str) -> Option<(ConfigValue, &str)> {
    let (first, rest) = word(text);
    let value = match type_ {
        OptionType::String => return quoted(text).map(|(s, rest)| (ConfigValue::String(s), rest)),
        OptionType::Integer => ConfigValue::Integer(first.parse().ok()?),
        OptionType::Number => match first.parse() {
            Ok(n) => ConfigValue::Integer(n),
            Err(_) => ConfigValue::Number(first.parse().ok().filter(|n: &f64| n.is_finite())?),
        },
        OptionType::Boolean => ConfigValue::Bool(first.parse().ok()?),
        OptionType::Duration => match unit::duration(first.trim_matches('"')) {
            Ok(d) => resolve::seconds(d),
            Err(_) => ConfigValue::Integer(first.parse().ok().filter(|n| *n >= 0)?),
        },
    };
    Some((value, rest))
}

/// `"…"` with `\"`, `\\`, `\n` and `\t`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c @ ('"' | '\\') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "#!/usr/bin/env nilo\n-- Licence of some kind.\n--[[ a block\n--@family output\n]]\n\n\
        --- Counts errors by status.\n---\n--- More\n--- of it.\n---\n--- Second paragraph.\n---@type any\n\
        --@family filter\n--@every 1m30s\n--@match Type == \"nginx.access\"\n\
        --@option threshold integer 500 Statuses from here on count as errors.\n--@option title string \"Er\\\"rors\" Title.\n\
        --@option rows integer required Rows.\n--@option ratio number 0.5 Part.\n--@option on boolean true Whether.\n\
        --@option window duration 1m Window.\n--@option note string Something.\n--@option plain integer\n\
        --@sample\n--  [filter.errors]\n--  config = {\n--    a = 1 }\n\nlocal x = 1\n--@family input\n";

    fn fails(source: &str) -> (usize, String) {
        let error = Declaration::parse(source.as_bytes()).unwrap_err();
        (error.line, error.message)
    }

    #[test]
    fn everything_is_read_up_to_the_code() {
        let d = Declaration::parse(FULL.as_bytes()).unwrap();
        assert_eq!((&*d.summary, &*d.doc), ("Counts errors by status.", "More of it.\n\nSecond paragraph."));
        assert_eq!((d.family, d.every), (Some(Family::Filter), Some(Duration::from_secs(90))));
        assert_eq!(d.matcher.as_deref(), Some("Type == \"nginx.access\""));
        assert_eq!(d.sample.as_deref(), Some("[filter.errors]\nconfig = {\n  a = 1 }\n"));
        let defaults: Vec<_> = d.options.iter().map(|o| (&*o.name, o.default.clone(), &*o.doc)).collect();
        assert_eq!(
            defaults,
            [
                ("threshold", Some(ConfigValue::Integer(500)), "Statuses from here on count as errors."),
                ("title", Some(ConfigValue::String("Er\"rors".into())), "Title."),
                ("rows", None, "Rows."),
                ("ratio", Some(ConfigValue::Number(0.5)), "Part."),
                ("on", Some(ConfigValue::Bool(true)), "Whether."),
                ("window", Some(ConfigValue::Integer(60)), "Window."),
                ("note", None, "Something."),
                ("plain", None, ""),
            ]
        );
        assert_eq!(d.options.iter().filter(|o| o.required).map(|o| (&*o.name, o.line)).collect::<Vec<_>>(), [("rows", 19)]);
    }

    #[test]
    fn a_script_may_say_nothing() {
        for source in ["", "local x = 1", "-- licence\nfunction process_message() return 0 end\n--@family nonsense"] {
            assert_eq!(Declaration::parse(source.as_bytes()), Ok(Declaration::default()), "{source}");
        }
        assert!(!Declaration::parse(b"--- Only text.\n").unwrap().is_strict());
        assert!(Declaration::parse(b"\xff\xfe").is_ok());
    }

    #[test]
    fn errors_name_line_and_nearest() {
        assert_eq!(fails("\n--@familly filter"), (2, "unknown --@familly: did you mean `family`?".into()));
        assert_eq!(fails("--@family fliter").1, "--@family: there is no family `fliter`: did you mean `filter`?");
        assert!(fails("--@family x").1.contains("expected input, decoder"));
        assert!(fails("--@every often").1.starts_with("--@every: found `often`"));
        assert!(fails("--@match Type =").1.starts_with("--@match: found"));
        assert_eq!(fails("--@family filter\n--@family filter"), (2, "--@family is given twice".into()));
        assert!(fails("--@family filter\n--@option a intger 5 x").1.contains("did you mean `integer`?"));
        assert!(fails("--@family filter\n--@option a integer\n--@option a integer").1.contains("declared twice"));
        assert!(fails("--@option a integer 5 x").1.contains("options need a family"));
        assert!(fails("--@family filter\n--@option").1.contains("expected NAME TYPE"));
    }
}
