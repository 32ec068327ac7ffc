//! `[sandboxes]`: scripts that run because they lie in a directory. What a section would say of one
//! stands in comments at its top.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use options::{Key, Location, Node, Opt, Options, Problem, Raw, Source, Tree, unit};
use plugin::{Family, Kind, Registry};

use crate::config::Section;

/// Options of `[sandboxes]`.
pub const SANDBOX_OPTIONS: &[Opt] = &[
    Opt::paths("watch")
        .sample("\"filters.d\"")
        .doc("Directories of which every `*.lua` runs as a filter, as long as it is there; files named `*_test.lua` do not."),
    Opt::integer("max_count").default("100").doc("Most scripts that run, in the order of their names."),
    Opt::size("memory_limit").default("8MiB").doc("Most memory a script may ask for, and what it gets if it does not."),
    Opt::duration("cpu_limit").default("100ms").doc("Most CPU time a call may take."),
    Opt::size("output_limit").default("63KiB").doc("Most bytes of one injected payload or message."),
    Opt::size("state_limit").default("1MiB").doc("Most bytes of globals that are saved."),
    Opt::integer("max_process_inject").default("1").doc("Most messages one call of process_message may inject."),
    Opt::integer("max_timer_inject").default("10").doc("Most messages one call of timer_event may inject."),
];

/// The limits a script may lower.
const LIMITS: [&str; 6] = ["memory_limit", "cpu_limit", "output_limit", "state_limit", "max_process_inject", "max_timer_inject"];

/// The largest script, in bytes; the sandbox takes no longer one.
const MAX_SCRIPT: u64 = 256 << 10;

/// A script in a watched directory that does not run, and why.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Such as `filter.errors`.
    pub id: String,
    pub kind: &'static str,
    pub problem: Problem,
}

/// The watched directories, and what was in them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Watched {
    pub directories: Vec<PathBuf>,
    fingerprint: u64,
}

impl Watched {
    /// Whether scripts came, went or changed since.
    pub fn changed(&self) -> bool {
        !self.directories.is_empty() && scan(&self.directories).1 != self.fingerprint
    }
}

/// What the scripts in the watched directories ask for.
pub(crate) struct Dropped {
    pub watched: Watched,
    pub sections: Vec<Section>,
    pub troubles: Vec<Trouble>,
}

/// Reads the directories. `taken` are the names of configured filters.
pub(crate) fn dropped(o: &Options, registry: &Registry, taken: &BTreeSet<&str>) -> Dropped {
    let directories = o.paths("watch").to_vec();
    let (scripts, fingerprint) = scan(&directories);
    let mut dropped = Dropped { watched: Watched { directories, fingerprint }, sections: Vec::new(), troubles: Vec::new() };
    // The filter that is made of a script, whatever it is called.
    let Some(kind) =
        registry.constants().iter().find(|k| k.family() == Family::Filter && k.options.iter().any(|o| o.name == "script" && o.required))
    else {
        return dropped;
    };
    let most = usize::try_from(o.integer("max_count")).unwrap_or(0);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (path, text) in scripts {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let source = Source::new(path.clone(), text.as_deref().unwrap_or_default());
        let clash = taken.contains(name.as_str()) || names.contains(&name);
        let section = match text {
            Err(why) => Err(Problem::new(format!("cannot read {}: {why}", path.display()))),
            Ok(_) if clash => {
                let label = format!("a filter `{name}` is there already");
                Err(Problem::new("the name of the script is taken").at(&first_line(&source), label).help("rename the file"))
            }
            Ok(_) if names.len() >= most => {
                let label = format!("{most} scripts run already (`max_count` in [sandboxes])");
                Err(Problem::new("there are too many scripts").at(&first_line(&source), label))
            }
            Ok(_) => section(o, kind, &name, &source),
        };
        match section {
            Ok(section) => {
                names.insert(name);
                dropped.sections.push(section);
            }
            Err(problem) => dropped.troubles.push(Trouble { id: format!("{}.{name}", Family::Filter), kind: kind.name, problem }),
        }
    }
    dropped
}

type Scripts = Vec<(PathBuf, Result<String, String>)>;

/// The scripts in these directories by name, and a number that is another one when any of it changes.
fn scan(directories: &[PathBuf]) -> (Scripts, u64) {
    let script = |p: &Path| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".lua") && !name.ends_with("_test.lua") && !name.starts_with('.') && p.is_file()
    };
    let entries = directories.iter().filter_map(|d| std::fs::read_dir(d).ok()).flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| script(p)).collect();
    files.sort();
    let scripts: Scripts = files.into_iter().map(|f| (f.clone(), read(&f).map_err(|e| e.to_string()))).collect();
    let mut hasher = DefaultHasher::new();
    scripts.hash(&mut hasher);
    (scripts, hasher.finish())
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(file)?.take(MAX_SCRIPT + 1).read_to_end(&mut text)?;
    match text.len() as u64 {
        0..=MAX_SCRIPT => Ok(String::from_utf8_lossy(&text).into_owned()),
        _ => Err(io::Error::other("a script has at most 256 KiB")),
    }
}

/// A `--@TAG VALUE` line at the top of a script.
struct Line<'s> {
    tag: &'s str,
    value: &'s str,
    /// Where the value is in the text.
    at: usize,
}

/// Those before the first line of code.
fn header(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map_while(move |line| {
        let at = start;
        start += line.len();
        let comment = line.trim_start().starts_with("--") || line.trim().is_empty() || (at == 0 && line.starts_with('#'));
        comment.then_some((at, line))
    });
    lines.filter_map(move |(at, line)| {
        let rest = line.trim_start().strip_prefix("--@")?;
        let (tag, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let value = value.trim();
        let offset = if value.is_empty() { line.trim_end().len() } else { value.as_ptr() as usize - line.as_ptr() as usize };
        Some(Line { tag: tag.trim(), value, at: at + offset })
    })
}

fn first_line(source: &Source) -> Location {
    source.at(0..source.text().find('\n').unwrap_or(source.text().len()))
}

/// The section that the script's header stands for.
fn section(o: &Options, kind: &'static Kind, name: &str, source: &Source) -> Result<Section, Problem> {
    let at = first_line(source);
    let lines: Vec<Line<'_>> = header(source.text()).collect();
    let place = |line: &Line<'_>| source.at(line.at..line.at + line.value.len());
    let find = |tag: &str| lines.iter().find(|l| l.tag == tag);
    if let Some(line) = find("family").filter(|l| l.value != Family::Filter.name()) {
        let problem = Problem::new("only filters run by lying in a directory").at(&place(line), "it serves as something else");
        return Err(problem.help(format!("take it away from here and name it in a section [{}.{name}]", line.value)));
    }
    let Some(matcher) = find("match") else {
        let problem = Problem::new("the script does not say which messages it is for").at(&at, "expected a line `--@match EXPRESSION`");
        return Err(problem.help("for example `--@match Type == \"nginx.access\"`, or `--@match TRUE` for all"));
    };
    let text = |line: &Line<'_>| Node { at: place(line), raw: Raw::String(line.value.to_string()) };
    let own = |raw: String| Node { at: at.clone(), raw: Raw::String(raw) };
    let file = source.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut nodes = vec![("type", own(kind.name.to_string())), ("script", own(file)), ("match", text(matcher))];
    nodes.extend(find("every").map(|line| ("every", text(line))));
    nodes.push(("config", Node { at: at.clone(), raw: Raw::Table(settings(source, &lines)?) }));
    for limit in LIMITS {
        nodes.push((limit, limited(o, limit, source, &lines)?));
    }
    if let Some(line) = lines.iter().find(|l| l.tag == "limit" && !LIMITS.iter().any(|limit| l.value.starts_with(limit))) {
        let problem = Problem::new("there is no such limit").at(&place(line), "expected a name and a value");
        return Err(problem.help(format!("there are: {}", LIMITS.join(", "))));
    }
    let key = |name: &str| Key { name: name.to_string(), at: at.clone() };
    let entries = nodes.into_iter().map(|(name, node)| (key(name), node)).collect();
    Ok(Section { family: Family::Filter, name: name.to_string(), key: key(name), tree: Tree { at: at.clone(), entries } })
}

/// What the `--@config KEY = VALUE` lines say, each TOML.
fn settings(source: &Source, lines: &[Line<'_>]) -> Result<Tree, Problem> {
    // All else is blanked, so that places stay what they are.
    let mut toml: Vec<u8> = source.text().bytes().map(|b| if b == b'\n' { b } else { b' ' }).collect();
    for line in lines.iter().filter(|l| l.tag == "config") {
        toml[line.at..line.at + line.value.len()].copy_from_slice(line.value.as_bytes());
    }
    let toml = String::from_utf8(toml).unwrap_or_default();
    let here = |problem: &Problem| Problem { at: problem.at.as_ref().map(|at| source.at(at.span.clone())), ..problem.clone() };
    let tree = Tree::parse(Source::new(source.path(), toml));
    tree.map(|tree| at_home(&tree, source)).map_err(|p| p.first().map_or_else(|| Problem::new("malformed --@config"), here))
}

/// The same with places in the script itself.
fn at_home(tree: &Tree, source: &Source) -> Tree {
    let place = |at: &Location| source.at(at.span.clone());
    fn node(found: &Node, source: &Source) -> Node {
        let raw = match &found.raw {
            Raw::List(items) => Raw::List(items.iter().map(|item| node(item, source)).collect()),
            Raw::Table(tree) => Raw::Table(at_home(tree, source)),
            other => other.clone(),
        };
        Node { at: source.at(found.at.span.clone()), raw }
    }
    let entry = |(key, found): &(Key, Node)| (Key { name: key.name.clone(), at: place(&key.at) }, node(found, source));
    Tree { at: place(&tree.at), entries: tree.entries.iter().map(entry).collect() }
}

/// The limit a script gets: its own, where it is lower than the cap.
fn limited(o: &Options, limit: &str, source: &Source, lines: &[Line<'_>]) -> Result<Node, Problem> {
    let cap = match (o.get_size(limit), o.get_duration(limit), o.get_integer(limit)) {
        (Some(bytes), ..) => (bytes, format!("{bytes}B")),
        (_, Some(time), _) => (u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), format!("{}ns", time.as_nanos())),
        (.., n) => (n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0), String::new()),
    };
    let raw = |n: u64, text: String| if text.is_empty() { Raw::Integer(i64::try_from(n).unwrap_or(i64::MAX)) } else { Raw::String(text) };
    let given = lines.iter().filter(|l| l.tag == "limit").find_map(|l| Some((l, l.value.strip_prefix(limit)?.trim_start())));
    let Some((line, value)) = given.filter(|(l, value)| value.len() < l.value.len() - limit.len()) else {
        return Ok(Node { at: o.location(limit).clone(), raw: raw(cap.0, cap.1) });
    };
    let start = line.at + line.value.len() - value.len();
    let at = source.at(start..start + value.len());
    let wanted = match (o.get_size(limit).is_some(), o.get_duration(limit).is_some()) {
        (true, _) => unit::size(value),
        (_, true) => unit::duration(value).map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        _ => value.parse().map_err(|_| "expected a number".to_string()),
    };
    match wanted {
        Ok(n) if n <= cap.0 => Ok(Node { at, raw: raw(n, if cap.1.is_empty() { String::new() } else { value.to_string() }) }),
        Ok(_) => {
            let most = if cap.1.is_empty() { cap.0.to_string() } else { cap.1 };
            let problem = Problem::new(format!("`{limit}` is higher than [sandboxes] allows")).at(&at, format!("expected at most {most}"));
            Err(problem.help(format!("lower it, or raise `{limit}` in [sandboxes]")))
        }
        Err(expected) => Err(Problem::new(format!("`{limit}` is malformed")).at(&at, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(toml: &str) -> Options {
        let mut problems = Vec::new();
        let tree = Tree::parse(Source::new("nilo.toml", toml)).unwrap();
        let options = Options::check(&[SANDBOX_OPTIONS], &tree, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        options
    }

    const LUA: Kind =
        Kind::filter("lua", plugin::Stability::Stable, |_, _| Err(Problem::new("not built"))).options(&[Opt::path("script").required()]);

    fn read(text: &str, toml: &str) -> Result<Section, String> {
        section(&options(toml), &LUA, "x", &Source::new("d/x.lua", text)).map_err(|p| p.to_string())
    }

    #[test]
    fn a_header_is_a_section() {
        let text = "#!x\n--- Counts.\n\n--@family filter\n--@match Type == 'a'\n--@every 10s\n--@config deep.list = [1, 'b']\n\
            --@config n = 7\n--@limit memory_limit 1MiB\n--@limit max_timer_inject 3\nlocal x\n--@match TRUE\n";
        let section = read(text, "cpu_limit = '50ms'").unwrap();
        let shown = |name: &str| match &section.tree.get(name).unwrap().raw {
            Raw::String(s) => s.clone(),
            Raw::Integer(n) => n.to_string(),
            other => other.kind().to_string(),
        };
        let all = ["type", "script", "match", "every", "memory_limit", "cpu_limit", "max_timer_inject", "max_process_inject"].map(shown);
        assert_eq!(all, ["lua", "x.lua", "Type == 'a'", "10s", "1MiB", "50000000ns", "3", "1"]);
        let Raw::Table(config) = &section.tree.get("config").unwrap().raw else { panic!("no table") };
        assert_eq!(config.get("n").unwrap().at.to_string(), "d/x.lua:8:15");
        assert_eq!(section.tree.get("match").unwrap().at.to_string(), "d/x.lua:5:10");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let wrong = |text: &str| read(text, "").unwrap_err();
        assert!(wrong("--- Says nothing.\n").starts_with("d/x.lua:1:1: the script does not say which messages"));
        assert!(wrong("--@family encoder\n--@match TRUE").starts_with("d/x.lua:1:11: only filters run"));
        let high = wrong("--@match TRUE\n--@limit memory_limit 9MiB\n");
        assert!(high.starts_with("d/x.lua:2:23: `memory_limit` is higher than [sandboxes] allows: expected at most 8388608B"), "{high}");
        assert!(wrong("--@match TRUE\n--@limit memory 1MiB\n").contains("there is no such limit"));
        assert!(wrong("--@match TRUE\n--@limit cpu_limit 5\n").contains("`cpu_limit` is malformed"));
        assert!(wrong("--@match TRUE\n--@config é = \n").starts_with("d/x.lua:2:"));
    }

    #[test]
    fn names_are_unique_and_their_number_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.lua", "b.lua", "c.lua", "a_test.lua", ".d.lua", "e.txt"] {
            std::fs::write(dir.path().join(name), "--@match TRUE\n").unwrap();
        }
        let o = options(&format!("watch = {:?}\nmax_count = 1", dir.path()));
        let registry = Registry::new([&LUA], []);
        let found = dropped(&o, &registry, &BTreeSet::from(["a"]));
        assert_eq!(found.sections.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["b"]);
        let troubles: Vec<String> = found.troubles.iter().map(|t| t.problem.to_string()).collect();
        assert!(troubles[0].contains("a filter `a` is there already") && troubles[1].contains("max_count"), "{troubles:?}");
        assert!(!found.watched.changed());
        std::fs::write(dir.path().join("b.lua"), "--@match FALSE\n").unwrap();
        assert!(found.watched.changed());
    }
}
