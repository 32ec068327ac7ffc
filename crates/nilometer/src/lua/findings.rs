//! What `nilo lua check` looks for.
//!
//! Whether a name exists is asked of real sandboxes, one of each family, so that no list has to be
//! kept true. Scripts written for Heka must pass: what cannot be decided is no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use message::BatchBuilder;
use options::{Problem, Source, nearest};
use sandbox::native::Body;
use sandbox::{Api, Declaration, Evaluated, Family, Grants, HOST, Inject, Sandbox, SandboxConfig, Script};

use super::lexer::{Kind, Token, tokens};
use super::outline::{Meaning, Outline, Use, outline};
use super::{forbidden, stage, subject};

/// What was found in one file.
pub struct Findings<'s> {
    source: &'s Source,
    all: Vec<Problem>,
}

impl<'s> Findings<'s> {
    pub fn new(source: &'s Source) -> Findings<'s> {
        Findings { source, all: Vec::new() }
    }

    fn add(&mut self, at: Range<usize>, problem: Problem, why: impl Into<String>) {
        self.all.push(problem.at(&self.source.at(at), why));
    }

    /// In the order of the file.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.all.sort_by_key(|p| p.at.as_ref().map(|at| at.span.start));
        self.all
    }
}

/// Names that a script of any kind may ask for, for those that are misspelt.
const BASE: [&str; 24] = [
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "os",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "utf8",
    "_G",
];

/// Modules every sandbox has.
const LIBRARIES: [&str; 6] = ["coroutine", "math", "os", "string", "table", "utf8"];

pub struct Checker {
    /// One a family and API, to be asked what there is.
    sandboxes: Vec<(Family, std::cell::RefCell<Sandbox>)>,
}

/// What is known of the file at hand.
struct Case<'a> {
    outline: &'a Outline,
    declaration: &'a Declaration,
    modules: Option<&'a Path>,
    /// Globals that modules it requires make.
    made: BTreeSet<String>,
    is_test: bool,
}

impl Checker {
    /// # Errors
    /// No sandbox can be made.
    pub fn new() -> Result<Checker, String> {
        let script = Script::new("check.lua", "function process_message() return 0 end");
        let grants = Grants { io: true, exec: true };
        let mut sandboxes = Vec::new();
        for family in Family::ALL {
            for api in [Api::Heka, Api::Hindsight] {
                let config = SandboxConfig { family, api, grants, modules: modules::ALL, ..SandboxConfig::default() };
                let sandbox = Sandbox::new(&script, &config).map_err(|e| e.message)?;
                sandboxes.push((family, std::cell::RefCell::new(sandbox)));
            }
        }
        Ok(Checker { sandboxes })
    }

    pub fn check(&self, source: &Source, modules: Option<&Path>, found: &mut Findings<'_>) {
        let text = source.text();
        let lexed = tokens(text);
        for at in &lexed.bad_escapes {
            let escape = &text[at.clone()];
            let problem = Problem::new(format!("`{escape}` is no escape of Lua 5.4"));
            let help =
                format!("Lua 5.1 read it as `{0}`: write that. In a pattern, `%{0}` is a class; a backslash is `\\\\`", &escape[1..]);
            found.add(at.clone(), problem.help(help), "it does not compile");
        }
        let script = Script::new(source.path(), text);
        if let Err(e) = script.check() {
            if lexed.bad_escapes.is_empty() {
                let at = e.line.map_or(0..0, |line| place_of(text, line, &e.message, &lexed.tokens));
                found.add(at, Problem::new("it does not compile"), without_place(&e.message));
            }
            return;
        }
        let declaration = match Declaration::parse(text.as_bytes()) {
            Ok(declaration) => declaration,
            Err(e) => {
                found.add(line_range(text, e.line), Problem::new("the declaration is malformed"), e.message);
                return;
            }
        };
        let outline = outline(&lexed.tokens);
        let is_test = source.path().to_string_lossy().ends_with("_test.lua");
        let mut case = Case { outline: &outline, declaration: &declaration, modules, made: BTreeSet::new(), is_test };
        let required = self.required(&mut case, found);
        self.names(&case, found);
        self.members(&case, found);
        entry_points(&case, text, found);
        options(&case, &required, text, found);
        for at in &outline.fractions {
            let problem = Problem::warning("a fraction becomes text").help("use // for whole numbers, or string.format(\"%d\", …)");
            found.add(at.clone(), problem, "`/` and `^` always give a fraction: 10/2 .. \"\" is \"5.0\", where Lua 5.1 wrote \"5\"");
        }
    }

    /// Follows `require`: modules that are not there are findings; of the others, the outlines.
    fn required(&self, case: &mut Case<'_>, found: &mut Findings<'_>) -> Vec<Outline> {
        let mut outlines = Vec::new();
        for call in case.outline.calls.iter().filter(|c| c.function == "require") {
            let Some(name) = &call.literal else { continue };
            case.made.insert(name.split('.').next().unwrap_or_default().to_string());
            match module_text(name, case.modules) {
                Module::Text(text) => {
                    let inner = outline(&tokens(&text).tokens);
                    case.made.extend(inner.writes.keys().cloned());
                    outlines.push(inner);
                }
                Module::Native => {}
                Module::None => found.add(call.at.clone(), no_module(name, case.modules), "require() does not find it"),
            }
        }
        outlines
    }

    /// Whether an expression is true in a sandbox of this family, or of any.
    fn holds(&self, family: Option<Family>, expression: &str) -> bool {
        let mut builder = BatchBuilder::default();
        self.sandboxes.iter().filter(|(f, _)| family.is_none_or(|family| family == *f)).any(|(_, sandbox)| {
            let mut inject = Inject { builder: &mut builder, now_ns: 0 };
            let outcome = sandbox.borrow_mut().evaluate(expression, None, &mut inject);
            matches!(outcome, Ok(Evaluated::Values(values)) if values == ["true"])
        })
    }

    fn exists(&self, family: Option<Family>, name: &str) -> bool {
        self.holds(family, &format!("{name} ~= nil"))
    }

    /// Globals that are read but nobody makes.
    fn names(&self, case: &Case<'_>, found: &mut Findings<'_>) {
        let mut told = BTreeSet::new();
        for Use { name, at } in &case.outline.reads {
            if is_made(case, name) || !told.insert(name.clone()) {
                continue;
            }
            if case.is_test && is_of_tests(name) || self.exists(case.declaration.family, name) {
                continue;
            }
            if let Some(known) = forbidden::find(name) {
                let problem = Problem::new(format!("`{name}` does not exist in a sandbox")).help(known.fix);
                found.add(at.clone(), problem, known.why);
            } else if let (Some(family), true) = (case.declaration.family, self.exists(None, name)) {
                let (problem, why) = misused(name, family);
                found.add(at.clone(), problem, why);
            } else if !case.outline.is_dynamic {
                found.add(at.clone(), self.undefined(case, name), "it is never assigned, and no function of the sandbox");
            }
        }
    }

    fn undefined(&self, case: &Case<'_>, name: &str) -> Problem {
        let problem = Problem::new(format!("undefined global `{name}`"));
        let is_module = modules::ALL.iter().any(|m| m.name == name);
        if is_module {
            return problem.help(format!("add `require \"{name}\"` at the top"));
        }
        let known = case.outline.writes.keys().map(String::as_str);
        let host = HOST.iter().map(|f| f.name).filter(|n| !n.contains('.')).filter(|n| self.exists(case.declaration.family, n));
        let tests = stage::FUNCTIONS.iter().map(|f| f.name).filter(|_| case.is_test);
        match nearest(name, known.chain(host).chain(BASE).chain(tests)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("assign it before it is read, or declare it with `local`"),
        }
    }

    /// Members of libraries and native modules that are not there.
    fn members(&self, case: &Case<'_>, found: &mut Findings<'_>) {
        let mut told = BTreeSet::new();
        for m in &case.outline.members {
            let (root, names): (&str, Option<Vec<&str>>) = match &m.root {
                Meaning::Global(root) => (root, native_names(root)),
                Meaning::Module(name) => (name, native_names(name)),
                Meaning::Local => continue,
            };
            let full = format!("{root}.{}", m.member);
            let is_library = LIBRARIES.contains(&root) || ["io", "log", "msg", "package"].contains(&root);
            let is_overshadowed = case.outline.writes.contains_key(root);
            if case.outline.fields.contains(&m.member) || !told.insert(full.clone()) {
                continue;
            }
            if let Some(names) = names.filter(|_| matches!(m.root, Meaning::Module(_)) || case.made.contains(root)) {
                if !names.contains(&m.member.as_str()) {
                    let problem = Problem::new(format!("`{full}` does not exist"));
                    let help = match nearest(&m.member, names.iter().copied()) {
                        Some(near) => format!("did you mean `{root}.{near}`?"),
                        None => format!("{root} has {}", names.join(", ")),
                    };
                    found.add(m.at.clone(), problem.help(help), format!("the module {root} has no such function"));
                }
                continue;
            }
            let family = case.declaration.family;
            if !is_library || is_overshadowed || !self.holds(family, &format!("type({root}) == \"table\"")) || self.exists(family, &full) {
                continue;
            }
            match forbidden::find(&full) {
                Some(known) => {
                    let problem = Problem::new(format!("`{full}` does not exist in a sandbox")).help(known.fix);
                    found.add(m.at.clone(), problem, known.why);
                }
                None => {
                    let names = self.names_in(root);
                    let problem = Problem::new(format!("`{full}` does not exist"));
                    let near = nearest(&m.member, names.iter().map(String::as_str));
                    let help =
                        near.map_or_else(|| format!("{root} has {}", names.join(", ")), |near| format!("did you mean `{root}.{near}`?"));
                    found.add(m.at.clone(), problem.help(help), format!("the library {root} has no such function"));
                }
            }
        }
    }

    /// The names a library has.
    fn names_in(&self, library: &str) -> Vec<String> {
        let list = format!(
            "(function() local n = {{}} for k in pairs({library}) do n[#n + 1] = k end table.sort(n) return table.concat(n, ' ') end)()"
        );
        let mut builder = BatchBuilder::default();
        let Some((_, sandbox)) = self.sandboxes.first() else { return Vec::new() };
        let mut inject = Inject { builder: &mut builder, now_ns: 0 };
        match sandbox.borrow_mut().evaluate(&list, None, &mut inject) {
            Ok(Evaluated::Values(values)) => values.iter().flat_map(|v| v.trim_matches('"').split(' ')).map(str::to_string).collect(),
            _ => Vec::new(),
        }
    }
}

fn is_made(case: &Case<'_>, name: &str) -> bool {
    let o = case.outline;
    o.writes.contains_key(name) || case.made.contains(name) || o.has_own_environment && (o.fields.contains(name) || name.starts_with("_"))
}

fn is_of_tests(name: &str) -> bool {
    ["test", "equal", "expect", "matches", "fails"].contains(&name) || stage::FUNCTIONS.iter().any(|f| f.name == name)
}

/// The functions of a native module.
fn native_names(name: &str) -> Option<Vec<&'static str>> {
    let module = modules::ALL.iter().find(|m| m.name == name)?;
    match module.body {
        Body::Native(functions, _) => Some(functions.iter().map(|f| f.name).collect()),
        Body::Text(_) => None,
    }
}

enum Module {
    Text(String),
    Native,
    None,
}

fn module_text(name: &str, dir: Option<&Path>) -> Module {
    if LIBRARIES.contains(&name) || ["io", "package", "_G"].contains(&name) {
        return Module::Native;
    }
    if let Some(module) = modules::ALL.iter().find(|m| m.name == name) {
        return match module.body {
            Body::Native(..) => Module::Native,
            Body::Text(text) => Module::Text(text.to_string()),
        };
    }
    let is_name = name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()));
    let path = dir.filter(|_| is_name).map(|dir| dir.join(format!("{}.lua", name.replace('.', "/"))));
    match path.map(|path| subject::read(&path)) {
        Some(Ok(text)) => Module::Text(String::from_utf8_lossy(&text).into_owned()),
        _ => Module::None,
    }
}

fn no_module(name: &str, dir: Option<&Path>) -> Problem {
    let problem = Problem::new(format!("there is no module `{name}`"));
    let known = modules::ALL.iter().map(|m| m.name).chain(LIBRARIES);
    match (nearest(name, known), dir) {
        (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
        (None, Some(dir)) => {
            problem.help(format!("it is none that is built in, and not in {}; --modules names another directory", dir.display()))
        }
        (None, None) => problem.help("it is none that is built in; --modules names the directory of others"),
    }
}

/// A function of the host that scripts of this family do not have.
fn misused(name: &str, family: Family) -> (Problem, String) {
    let has = |f: &Family| [Api::Heka, Api::Hindsight].iter().any(|api| HOST.iter().any(|h| h.name == name && h.exists_for(*f, *api)));
    let others: Vec<&str> = Family::ALL.into_iter().filter(has).map(Family::name).collect();
    let fix = match (name, family) {
        ("write_message", Family::Filter) => {
            "a filter never changes what others receive: inject a new message, or make it a transform".to_string()
        }
        ("inject_message" | "inject_payload", Family::Output) => {
            "an output sends nothing back: write to its target, and log with print()".to_string()
        }
        ("read_message", Family::Input) => "an input is given no message: it makes them with inject_message{…}".to_string(),
        _ => "remove it, or declare another family".to_string(),
    };
    let article = if family.name().starts_with(['i', 'e', 'o']) { "an" } else { "a" };
    let problem = Problem::new(format!("`{name}` does not exist in {article} {}", family.name())).help(fix);
    (problem, format!("these have it: {}", others.join(", ")))
}

fn entry_points(case: &Case<'_>, text: &str, found: &mut Findings<'_>) {
    let o = case.outline;
    let defines = |name: &str| o.writes.contains_key(name) || case.made.contains(name) || o.is_dynamic;
    let is_module = case.declaration.family.is_none() && (o.returns || o.has_own_environment || !defines("timer_event"));
    if case.is_test || is_module && !defines("process_message") && !looks_like_script(o) {
        return;
    }
    let top = line_range(text, 1);
    if !defines("process_message") {
        let problem =
            Problem::new("there is no process_message").help("define `function process_message() … return 0 end`, not as a local");
        found.add(top.clone(), problem, "every script has this global function: it is called for each message");
    }
    if case.declaration.every.is_some() && !defines("timer_event") && !o.calls.iter().any(|c| c.function == "every") {
        let at = text.find("--@every").map_or(top, |at| at..at + 8);
        let problem = Problem::new("there is no timer_event").help("define `function timer_event(ns) … end`, or remove this line");
        found.add(at, problem, "this says how often it is called");
    }
}

/// What only scripts do, and modules leave to them.
fn looks_like_script(o: &Outline) -> bool {
    o.calls.iter().any(|c| c.function == "read_config") && !o.returns && !o.has_own_environment
}

fn options(case: &Case<'_>, required: &[Outline], text: &str, found: &mut Findings<'_>) {
    if !case.declaration.is_strict() {
        return;
    }
    let outlines = || required.iter().chain([case.outline]);
    let calls = || outlines().flat_map(|o| &o.calls).filter(|c| c.function == "read_config");
    // What reads options by names that are made up meanwhile may read any.
    let reads = outlines().flat_map(|o| &o.reads).filter(|r| r.name == "read_config").count();
    let is_open = calls().any(|c| c.literal.is_none()) || reads > calls().count() + aliases(text);
    let names: Vec<&str> = case.declaration.options.iter().map(|o| o.name.as_str()).collect();
    let mut undeclared: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for call in case.outline.calls.iter().filter(|c| c.function == "read_config") {
        if let Some(name) = call.literal.as_deref().filter(|n| !names.contains(n) && !HOST_OPTIONS.contains(n)) {
            undeclared.entry(name).or_insert(call.at.clone());
        }
    }
    for (name, at) in undeclared {
        let problem = Problem::new(format!("option `{name}` is read but not declared"));
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it: `--@option {name} string What it is for.`"),
        };
        found.add(at, problem.help(help), "a configuration that gives it would be refused, so it is always nil");
    }
    for option in case.declaration.options.iter().filter(|_| !is_open) {
        if !calls().any(|c| c.literal.as_deref() == Some(&option.name)) {
            let problem = Problem::warning(format!("option `{}` is declared but never read", option.name));
            let help = format!("read it with `read_config(\"{}\")`, or remove the line", option.name);
            found.add(line_range(text, option.line), problem.help(help), "giving it has no effect");
        }
    }
}

/// What `read_config` knows besides, to Hindsight's scripts.
const HOST_OPTIONS: [&str; 3] = ["Logger", "Hostname", "Pid"];

/// How often `local x = read_config` is written: these reads are followed.
fn aliases(text: &str) -> usize {
    let lexed = tokens(text).tokens;
    lexed.windows(2).filter(|w| w[0].text == "=" && w[1].text == "read_config" && w[1].kind == Kind::Name).count()
}

/// Bytes of a line, from 1, without the space around.
fn line_range(text: &str, line: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let content = text[start..].lines().next().unwrap_or_default();
    let begin = start + content.len() - content.trim_start().len();
    begin..start + content.trim_end().len().max(content.len() - content.trim_start().len())
}

/// Where Lua's message says that something is wrong: `… near 'x'`.
fn place_of(text: &str, line: usize, message: &str, tokens: &[Token<'_>]) -> Range<usize> {
    let range = line_range(text, line);
    let near = message.rsplit_once("near '").and_then(|(_, rest)| rest.strip_suffix('\''));
    let token = tokens.iter().filter(|t| range.start <= t.at.start && t.at.end <= range.end).find(|t| Some(t.text) == near);
    token.map_or(range, |t| t.at.clone())
}

/// The message without `file:line: `.
fn without_place(message: &str) -> &str {
    message.splitn(3, ':').nth(2).map_or(message, str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_not_to_exist_does_not() {
        let checker = Checker::new().unwrap();
        for row in forbidden::ALL {
            let root = row.name().split('.').next().unwrap_or_default();
            let there = checker.holds(Some(Family::Filter), &format!("{root} ~= nil and {} ~= nil", row.name()));
            assert!(!there, "{} exists", row.name());
        }
        assert!(checker.exists(Some(Family::Filter), "string.format") && !checker.exists(Some(Family::Filter), "write_message"));
    }
}
