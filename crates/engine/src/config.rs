use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use options::{Key, Node, Options, Problem, Raw, Source, Tree, nearest};
use plugin::Family;

use crate::globals::GLOBAL_OPTIONS;
use crate::sandboxes::SANDBOX_OPTIONS;

/// A configuration as written: its sections, not yet held against the registry.
#[derive(Clone, Debug)]
pub struct Config {
    pub sections: Vec<Section>,
    pub globals: Options,
    /// `[sandboxes]`
    pub sandboxes: Options,
    /// Files it was read from.
    pub files: Vec<PathBuf>,
    /// What is wrong with section names and `[nilo]`; [`crate::Plan::new`] tells, with all the rest.
    pub(crate) problems: Vec<Problem>,
}

/// `[input.access]` and what stands below it.
#[derive(Clone, Debug)]
pub struct Section {
    pub family: Family,
    pub name: String,
    pub key: Key,
    pub tree: Tree,
}

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

impl Config {
    /// Reads a file, or every `*.toml` of a directory in the order of their names.
    ///
    /// # Errors
    /// What cannot be read, and everything that is wrong with the files' syntax.
    pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
        let files = files(path).map_err(|e| vec![e])?;
        let mut sources = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match read(&file) {
                Ok(text) => sources.push(Source::new(file, text)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Config::parse(sources) } else { Err(problems) }
    }

    /// As [`Config::load`], from text at hand.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(sources: Vec<Source>) -> Result<Config, Vec<Problem>> {
        let (mut problems, mut unreadable) = (Vec::new(), false);
        let mut sections = Sections::default();
        let empty = || Tree { at: sources.first().map_or_else(|| Source::new("", "").at(0..0), |s| s.at(0..0)), entries: Vec::new() };
        let mut tables = [empty(), empty()];
        let files = sources.iter().map(|s| s.path().to_path_buf()).collect();
        for source in sources {
            match Tree::parse(source) {
                Ok(tree) => {
                    tree.entries.into_iter().for_each(|(key, node)| top_level(key, node, &mut sections, &mut tables, &mut problems))
                }
                Err(errors) => {
                    unreadable = true;
                    problems.extend(errors);
                }
            }
        }
        let [globals, sandboxes] = tables;
        let globals = Options::check(&[GLOBAL_OPTIONS], &globals, &mut problems);
        let sandboxes = Options::check(&[SANDBOX_OPTIONS], &sandboxes, &mut problems);
        if unreadable { Err(problems) } else { Ok(Config { sections: sections.list, globals, sandboxes, files, problems }) }
    }

    pub fn section(&self, family: Family, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.family == family && s.name == name)
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |e: std::io::Error| Problem::new(format!("cannot read {}: {e}", path.display()));
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).map_err(unreadable)?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "toml") && p.is_file()).collect();
    files.sort();
    match files.is_empty() {
        true => Err(Problem::new(format!("{} holds no configuration", path.display())).help("put at least one file named *.toml into it")),
        false => Ok(files),
    }
}

fn read(file: &Path) -> Result<String, Problem> {
    let unreadable = |e: std::io::Error| Problem::new(format!("cannot read {}: {e}", file.display()));
    let mut text = String::new();
    // Bounded while reading: a device says nothing of its length.
    File::open(file).and_then(|f| f.take(MAX_FILE + 1).read_to_string(&mut text)).map_err(unreadable)?;
    match text.len() as u64 {
        0..=MAX_FILE => Ok(text),
        _ => Err(Problem::new(format!("{} is larger than 4 MiB", file.display()))),
    }
}

/// The sections read so far, and where each is in the list.
#[derive(Default)]
struct Sections {
    list: Vec<Section>,
    places: HashMap<(Family, String), usize>,
}

/// The tables that are no plugins.
const TABLES: [&str; 2] = ["nilo", "sandboxes"];

fn top_level(key: Key, node: Node, sections: &mut Sections, tables: &mut [Tree; 2], problems: &mut Vec<Problem>) {
    let Raw::Table(tree) = node.raw else {
        let problem =
            Problem::new(format!("`{}` stands outside of any section", key.name)).at(&key.at, "expected a section such as [input.NAME]");
        return problems.push(problem);
    };
    if let Some(nth) = TABLES.iter().position(|name| *name == key.name) {
        tables[nth].at = key.at;
        return tables[nth].entries.extend(tree.entries);
    }
    let Some(family) = Family::from_name(&key.name) else {
        let names = || Family::ALL.into_iter().map(Family::name).chain(TABLES);
        let problem = Problem::new(format!("unknown section `{}`", key.name))
            .at(&key.at, format!("expected one of: {}", names().collect::<Vec<_>>().join(", ")));
        return problems.push(match nearest(&key.name, names()) {
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None => problem,
        });
    };
    for (name, node) in tree.entries {
        let Raw::Table(tree) = node.raw else {
            let help = format!("give the plugin a name: [{family}.NAME]");
            let problem = Problem::new(format!("option `{}` stands directly below [{family}]", name.name))
                .at(&name.at, "expected the name of a plugin and its section");
            problems.push(problem.help(help));
            continue;
        };
        if let Some(known) = sections.places.get(&(family, name.name.clone())) {
            let label = format!("already defined at {}", sections.list[*known].key.at);
            problems
                .push(Problem::new(format!("[{family}.{}] is defined twice", name.name)).at(&name.at, label).help("rename one of the two"));
            continue;
        }
        sections.places.insert((family, name.name.clone()), sections.list.len());
        sections.list.push(Section { family, name: name.name.clone(), key: name, tree });
    }
}
