//! Patterns with names in them become regular expressions.

use std::ops::Range;

use options::{Location, Options, Problem, nearest};
use regex::bytes::RegexBuilder;

use super::super::shape::Expression;
use super::super::types::FieldType;
use super::library::LIBRARY;

/// Patterns within patterns.
const MAX_DEPTH: usize = 16;
/// Length of an expression with all patterns in their places. Bytes.
const MAX_EXPANDED: usize = 256 << 10;
/// Memory that a compiled expression may take. Bytes.
const MAX_COMPILED: usize = 8 << 20;
/// Groups of the expression that are fields are called this and a number: names of fields may be more than names of
/// groups, and may come twice.
const GROUP: &str = "__grok_";

/// The expression that `pattern`, which the option `pattern` gives, is short for. `own` patterns go before the
/// library's.
///
/// # Errors
/// What is wrong, pointing into the pattern.
pub(super) fn compile(o: &Options, pattern: &str, own: &[(&str, String)]) -> Result<Expression, Problem> {
    let mut expansion = Expansion { o, own, text: String::new(), fields: Vec::new(), stack: Vec::new(), pieces: Vec::new() };
    expansion.add(pattern, o.location("pattern"))?;
    let regex = RegexBuilder::new(&expansion.text).size_limit(MAX_COMPILED).unicode(false).build();
    let regex = regex.map_err(|e| expansion.wrong(pattern, &e))?;
    let mut groups = Vec::new();
    for (number, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        let field = name.strip_prefix(GROUP).and_then(|n| expansion.fields.get(n.parse::<usize>().ok()?));
        let (name, type_) = field.cloned().unwrap_or_else(|| (name.to_string(), FieldType::String));
        groups.push((number, name, type_));
    }
    if groups.is_empty() {
        return Err(o.problem("pattern", "`pattern` has no field", "expected %{NAME:field} for what becomes a field"));
    }
    Ok(Expression { regex, groups })
}

struct Expansion<'a> {
    o: &'a Options,
    own: &'a [(&'a str, String)],
    text: String,
    fields: Vec<(String, FieldType)>,
    /// Names of the patterns around the place that is expanded.
    stack: Vec<String>,
    /// Where pieces of the outermost pattern are in `text`.
    pieces: Vec<(usize, Range<usize>)>,
}

/// `%{NAME:field:type}` without what is around it.
struct Reference<'p> {
    name: &'p str,
    field: Option<&'p str>,
    type_: Option<&'p str>,
}

impl Expansion<'_> {
    /// Appends `pattern`, which is written at `at`, with what it refers to in its place.
    fn add(&mut self, pattern: &str, at: &Location) -> Result<(), Problem> {
        let mut from = 0;
        while let Some(n) = pattern[from..].find("%{") {
            let start = from + n;
            self.piece(pattern, from..start);
            let place = |range: Range<usize>| at.within(range, pattern);
            let Some(length) = pattern[start..].find('}') else {
                let problem = Problem::new("`%{` has no end").at(&place(start..start + 2), "expected `}` behind a pattern's name");
                return Err(problem.help("write `%\\{` if these two characters are meant"));
            };
            let end = start + length + 1;
            self.refer(&pattern[start + 2..end - 1], &place(start + 2..end - 1), start..end)?;
            from = end;
        }
        self.piece(pattern, from..pattern.len());
        Ok(())
    }

    /// Appends a piece that stays as it is.
    fn piece(&mut self, pattern: &str, range: Range<usize>) {
        if self.stack.is_empty() {
            self.pieces.push((self.text.len(), range.clone()));
        }
        self.text.push_str(&pattern[range]);
    }

    /// Appends the pattern that is referred to at `at`.
    fn refer(&mut self, text: &str, at: &Location, range: Range<usize>) -> Result<(), Problem> {
        let mut parts = text.splitn(3, ':');
        let reference = Reference { name: parts.next().unwrap_or_default(), field: parts.next(), type_: parts.next() };
        let (definition, written) = self.definition(reference.name, at)?;
        if self.stack.iter().any(|name| name == reference.name) {
            let chain = self.stack.join(" → ");
            return Err(Problem::new(format!("pattern `{}` contains itself", reference.name)).at(at, format!("it is within {chain}")));
        }
        if self.stack.len() == MAX_DEPTH || self.text.len() + definition.len() > MAX_EXPANDED {
            let label = format!("expected at most {MAX_DEPTH} patterns within each other, and 256 KiB with all of them in their places");
            return Err(Problem::new("these patterns are too much").at(at, label));
        }
        if self.stack.is_empty() {
            self.pieces.push((self.text.len(), range));
        }
        match reference.field {
            Some(_) => self.field(&reference, at)?,
            None => self.text.push_str("(?:"),
        }
        self.stack.push(reference.name.to_string());
        self.add(&definition, &written)?;
        self.stack.pop();
        self.text.push(')');
        Ok(())
    }

    /// The pattern of this name and where it is written.
    fn definition(&self, name: &str, at: &Location) -> Result<(String, Location), Problem> {
        if let Some((_, text)) = self.own.iter().find(|(known, _)| *known == name) {
            return Ok((text.clone(), self.o.location("patterns").clone()));
        }
        if let Some((_, text)) = LIBRARY.iter().find(|(known, _)| *known == name) {
            return Ok((text.to_string(), at.clone()));
        }
        let names = || self.own.iter().map(|(name, _)| *name).chain(LIBRARY.iter().map(|(name, _)| *name));
        let problem = Problem::new(format!("there is no pattern `{name}`")).at(at, "expected the name of a pattern");
        Err(match nearest(name, names()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("define it: patterns = {{ {name} = '…' }}")),
        })
    }

    /// Begins the group of a field.
    fn field(&mut self, reference: &Reference<'_>, at: &Location) -> Result<(), Problem> {
        let name = reference.field.unwrap_or_default().trim_start_matches('[').trim_end_matches(']').replace("][", ".");
        if name.is_empty() {
            return Err(Problem::new(format!("`%{{{}:}}` names no field", reference.name)).at(at, "expected %{NAME:field}"));
        }
        let type_ = match reference.type_ {
            None => Some(FieldType::String),
            Some("int" | "long") => Some(FieldType::Integer),
            Some("float") => Some(FieldType::Double),
            Some("boolean") => Some(FieldType::Bool),
            Some(type_) => FieldType::from_name(type_),
        };
        let Some(type_) = type_ else {
            let label = "expected integer, double, bool, string or bytes behind the second colon";
            return Err(Problem::new(format!("`{}` is not a type", reference.type_.unwrap_or_default())).at(at, label));
        };
        self.text.push_str(&format!("(?<{GROUP}{}>", self.fields.len()));
        self.fields.push((name, type_));
        Ok(())
    }

    /// Why the whole is not an expression, at the place in the outermost pattern.
    fn wrong(&self, pattern: &str, error: &regex::Error) -> Problem {
        let at = self.o.location("pattern");
        let title = "`pattern` is not a regular expression";
        let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(&self.text);
        let (span, kind) = match &parsed {
            Err(regex_syntax::Error::Parse(e)) => (e.span(), e.kind().to_string()),
            Err(regex_syntax::Error::Translate(e)) => (e.span(), e.kind().to_string()),
            _ => return Problem::new(title).at(at, error.to_string()),
        };
        let offset = span.start.offset;
        let Some((begins, range)) = self.pieces.iter().rev().find(|(begins, _)| *begins <= offset) else {
            return Problem::new(title).at(at, kind);
        };
        let place = match pattern[range.clone()].starts_with("%{") {
            true => range.clone(),
            false => range.start + (offset - begins)..range.start + (span.end.offset - begins).max(offset - begins + 1),
        };
        let help = "expected the syntax of docs.rs/regex around %{NAME:field}; a backslash takes a character's special meaning away";
        Problem::new(title).at(&at.within(place, pattern), kind).help(help)
    }
}
