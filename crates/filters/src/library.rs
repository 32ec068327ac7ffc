//! The scripts of the library as plugins: a kind each, made of what the script declares. Its options stand in the
//! section itself, beside those every Lua script has.
//!
//! `script` has the script's own text as default, so that an edited copy can take its place.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use modules::library::{LibraryScript, SCHEME, SCRIPTS};
use options::{Node, Opt, Raw, Source, Tree};
use plugin::{Example, Family, Kind, Stability};
use sandbox::{ConfigValue, Declaration, DeclaredOption, OptionType};

use crate::lua;

/// A script, what it declares, and the kind made of it.
pub struct Library {
    pub script: &'static LibraryScript,
    pub declaration: Declaration,
    pub kind: Kind,
}

/// Their kinds, for the registry.
pub const KINDS: plugin::Library =
    plugin::Library { names: || SCRIPTS.iter().map(name_of).collect(), kind: |family, name| Some(&find(family, name)?.kind) };

/// All of them, in the order of their list.
pub fn all() -> impl Iterator<Item = &'static Library> {
    (0..SCRIPTS.len()).filter_map(made)
}

pub fn find(family: Family, name: &str) -> Option<&'static Library> {
    made(SCRIPTS.iter().position(|script| name_of(script) == (family, name))?)
}

/// What a kind was made of.
pub fn of(kind: &Kind) -> Option<&'static Library> {
    find(kind.family(), kind.name).filter(|library| std::ptr::eq(library.kind.options, kind.options))
}

/// The one whose script is here: `nilo:filters/http_status.lua`.
pub(crate) fn at(path: &Path) -> Option<&'static Library> {
    let name = modules::library::name_in(path)?;
    made(SCRIPTS.iter().position(|script| script.path() == name)?)
}

/// Made the first time it is asked for, and never freed: kinds are constants otherwise.
fn made(nth: usize) -> Option<&'static Library> {
    static MADE: [OnceLock<Option<Library>>; SCRIPTS.len()] = [const { OnceLock::new() }; SCRIPTS.len()];
    MADE[nth].get_or_init(|| library(&SCRIPTS[nth])).as_ref()
}

fn kind_of(script: &LibraryScript) -> Kind {
    match script.family {
        sandbox::Family::Decoder => lua::decoder::KIND,
        sandbox::Family::Transform => lua::transform::KIND,
        sandbox::Family::Filter => lua::filter::KIND,
        sandbox::Family::Encoder => lua::encoder::KIND,
        sandbox::Family::Input => lua::input::KIND,
        sandbox::Family::Output => lua::output::KIND,
    }
}

fn name_of(script: &LibraryScript) -> (Family, &'static str) {
    (kind_of(script).family(), script.name)
}

impl Library {
    /// `filter.http_status`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.script.family.name(), self.script.name)
    }

    /// Whether it is an option of the section. `type` is the kind there; the script's own is given in `config`.
    pub fn takes(&self, name: &str) -> bool {
        name != "type" && self.declaration.options.iter().any(|option| option.name == name)
    }

    /// Whether it is an option of every Lua script for which this one has a default of its own.
    pub fn sets(&self, name: &str) -> bool {
        name == "every" && self.declaration.every.is_some() || limit(self.script, name).is_some()
    }
}

fn library(script: &'static LibraryScript) -> Option<Library> {
    let declaration = Declaration::parse(script.text.as_bytes()).ok()?;
    let lua = kind_of(script);
    let family = script.family.name();
    let sample = section(declaration.sample.as_deref().unwrap_or_default(), family, script.name);
    let own = declaration.options.iter().filter(|option| option.name != "type").map(|option| own(option, sample.as_ref()));
    let common = lua.options.iter().map(|opt| common(*opt, script, &declaration));
    let doc = format!(
        "{}{}A Lua script. `nilo lua copy {family}.{}` writes it into a file, to be changed; `script` names that file.",
        declaration.doc,
        if declaration.doc.is_empty() { "" } else { "\n\n" },
        script.name,
    );
    let lines = sample.iter().flat_map(|tree| &tree.entries).filter(|(key, _)| key.name != "type");
    let toml = lines.map(|(key, node)| format!("{} = {}", key.name, text(node))).collect::<Vec<_>>().join("\n");
    let example = (!toml.is_empty()).then_some(Example { title: "In a configuration", toml: toml.leak() });
    let kind = Kind {
        name: script.name,
        stability: Stability::Stable,
        summary: declaration.summary.clone().leak(),
        doc: doc.leak(),
        options: own.chain(common).collect::<Vec<_>>().leak(),
        examples: example.into_iter().collect::<Vec<_>>().leak(),
        concurrent: false,
        nests: None,
        reads: None,
        build: lua.build,
    };
    Some(Library { script, declaration, kind })
}

/// The section of a sample that configures this kind.
fn section(sample: &str, family: &str, name: &str) -> Option<Tree> {
    let sample = Tree::parse(Source::new(name, sample)).ok()?;
    let Raw::Table(sections) = &sample.get(family)?.raw else { return None };
    let tree = |node: &Node| if let Raw::Table(tree) = &node.raw { Some(tree.clone()) } else { None };
    let of_kind = |tree: &Tree| matches!(tree.get("type"), Some(Node { raw: Raw::String(kind), .. }) if kind == name);
    sections.entries.iter().filter_map(|(_, node)| tree(node)).find(of_kind)
}

/// As it is written.
fn text(node: &Node) -> &str {
    &node.at.source.text()[node.at.span.clone()]
}

fn own(option: &DeclaredOption, sample: Option<&Tree>) -> Opt {
    let name = option.name.clone().leak();
    let opt = match option.type_ {
        OptionType::String => Opt::string(name),
        OptionType::Integer => Opt::integer(name),
        OptionType::Number => Opt::float(name),
        OptionType::Boolean => Opt::bool(name),
        OptionType::Duration => Opt::duration(name),
    };
    let sample = sample.and_then(|tree| tree.get(name)).map(|node| &*text(node).to_string().leak());
    let default = option.default.as_ref().map(|value| &*written(option.type_, value).leak());
    Opt { required: option.required, default, sample, ..opt.doc(option.doc.clone().leak()) }
}

/// A default as [`Opt::default`] wants it.
fn written(type_: OptionType, value: &ConfigValue) -> String {
    match value {
        ConfigValue::Integer(n) if type_ == OptionType::Duration => duration(Duration::from_secs(n.unsigned_abs())),
        ConfigValue::Number(n) if type_ == OptionType::Duration => duration(Duration::try_from_secs_f64(*n).unwrap_or_default()),
        ConfigValue::Integer(n) => n.to_string(),
        ConfigValue::Number(n) => n.to_string(),
        ConfigValue::Bool(b) => b.to_string(),
        ConfigValue::String(s) => s.clone(),
        ConfigValue::List(_) | ConfigValue::Table(_) => String::new(),
    }
}

/// What a `--@limit NAME VALUE` line at the top says.
fn limit(script: &LibraryScript, name: &str) -> Option<&'static str> {
    let mut header = script.text.lines().take_while(|line| line.starts_with("--"));
    header.find_map(|line| line.strip_prefix("--@limit ")?.strip_prefix(name)?.strip_prefix(' '))
}

/// In the largest unit that it is a whole number of.
fn duration(d: Duration) -> String {
    let units = [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("ns", 1)];
    let (unit, n) = units.into_iter().find(|(_, n)| d.as_nanos().is_multiple_of(*n)).unwrap_or(("ns", 1));
    format!("{}{unit}", d.as_nanos() / n)
}

/// An option of every Lua script, with the defaults of this one.
fn common(opt: Opt, script: &LibraryScript, declaration: &Declaration) -> Opt {
    if let Some(limit) = limit(script, opt.name) {
        return opt.default(limit);
    }
    match (opt.name, declaration.every, declaration.options.iter().find(|o| o.name == "type")) {
        ("script", ..) => Opt::script("script")
            .default(format!("{SCHEME}{}", script.path()).leak())
            .sample("\"filters/edited.lua\"")
            .doc("An edited copy of the script. It is reloaded the moment it is saved."),
        ("every", Some(every), _) => opt.default(duration(every).leak()).doc("How often timer_event(ns) is called."),
        ("config", _, Some(type_)) => {
            let default = type_.default.as_ref().map(|value| written(type_.type_, value)).unwrap_or_default();
            let doc = format!(
                "{} `type`, which means another thing in the section, is given here: {} Default: \"{default}\".",
                opt.doc, type_.doc
            );
            opt.doc(doc.leak())
        }
        _ => opt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_declares_itself() {
        for script in SCRIPTS {
            let declaration = Declaration::parse(script.text.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", script.path()));
            assert_eq!(declaration.family, Some(script.family), "{}", script.path());
            assert!(declaration.summary.ends_with('.'), "{}", script.path());
            let sample = declaration.sample.unwrap_or_default();
            assert!(sample.contains(&format!("\"{}\"", script.name)), "the sample of {} does not use it:\n{sample}", script.path());
        }
        assert_eq!(all().count(), SCRIPTS.len());
    }

    #[test]
    fn no_option_has_two_meanings() {
        for library in all() {
            let mut names: Vec<&str> = library.kind.options.iter().map(|opt| opt.name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(all, names.len(), "{}: {names:?}", library.full_name());
        }
    }

    fn kind(name: &str) -> &'static Kind {
        &all().find(|library| library.script.name == name).unwrap().kind
    }

    #[test]
    fn options_stand_in_the_section() {
        let build = |toml: &str| testkit::plugins::filter(kind("http_status"), toml).map(|f| f.every());
        assert_eq!(build("rows = 10\nanomaly_config = 'roc(\"HTTP Status\", 2, 15, 0, 1.5, true, false)'").unwrap().unwrap().as_secs(), 60);
        assert_eq!(build("config = { rows = 10 }\nevery = '5s'").unwrap().unwrap().as_secs(), 5);
        let wrong = |toml: &str| build(toml).unwrap_err();
        assert!(wrong("rosw = 10").contains("test.toml:1:1: unknown option `rosw`: not an option of this plugin (did you mean `rows`?)"));
        assert!(wrong("alert_throttle = 5").starts_with("test.toml:1:18: `alert_throttle` must be a duration"));
        assert!(wrong("config = { rosw = 10 }").starts_with("test.toml:1:12: the script has no option `rosw`"));
        assert!(wrong("rows = 1\nconfig = { rows = 10 }").starts_with("test.toml:2:12: `rows` is given twice"));
        // The script itself looks at values, too.
        assert!(wrong("rows = -1").contains("http_status.lua:"), "{}", wrong("rows = -1"));
    }

    #[test]
    fn values_arrive_and_an_edited_copy_may_take_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.lua");
        let source = "--@family transform\n--@option keep number 0.1 Share.\n--@option field string \"x\" Field.\n--@option more integer 1 More.\n\
            assert(math.type(read_config('keep')) == 'integer' and read_config('field') == 'x' and read_config('more') == 2)\n\
            function process_message() return 0 end";
        std::fs::write(&copy, source).unwrap();
        let build = |toml: &str| testkit::plugins::transform(kind("sample_by_trace"), &format!("script = {copy:?}\n{toml}")).map(drop);
        build("keep = 1.0\nconfig = { more = 2 }").unwrap();
        let gone = build("always_severity = 2\nconfig = { more = 2 }").unwrap_err();
        assert!(gone.starts_with("test.toml:2:19: the script has no option `always_severity`"), "{gone}");
    }

    #[test]
    fn a_script_is_named_by_its_scheme_and_not_watched() {
        let lua = |script: &str| testkit::plugins::filter(&lua::filter::KIND, &format!("script = '{script}'"));
        assert!(lua("nilo:filters/http_status.lua").unwrap().files().iter().all(|f| f.exists()));
        let unknown = lua("nilo:filters/http_statsu.lua").err().unwrap();
        assert!(unknown.starts_with("test.toml:1:10: there is no built-in script `nilo:filters/http_statsu.lua`"), "{unknown}");
        assert!(unknown.contains("did you mean \"nilo:filters/http_status.lua\"?"), "{unknown}");
        let family = lua("nilo:decoders/nginx_error.lua").err().unwrap();
        assert!(family.contains("the script is not a filter"), "{family}");
    }
}
