//! What the path of a file says: which stream it is part of, and which files of that stream are older.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;

use options::{Location, Options, Problem, Raw};
use regex::Regex;

/// Tells files that belong together by their paths.
#[derive(Debug, Default)]
pub struct Naming {
    groups: Option<Regex>,
    /// None: the path is what messages say.
    differentiator: Option<Vec<Piece>>,
    priority: Vec<Priority>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Group(String),
}

#[derive(Debug)]
struct Priority {
    group: String,
    descending: bool,
    /// Numbers that stand for names.
    names: HashMap<String, i64>,
}

/// Where a file belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Files of one stream are read one after the other.
    pub stream: String,
    /// What messages say where they come from; None: the path.
    pub logger: Option<String>,
    /// Lower is older, within a stream.
    pub rank: Vec<Rank>,
}

impl Place {
    /// Of a file whose name says nothing.
    pub fn alone(path: &Path) -> Place {
        Place { stream: path.display().to_string(), logger: None, rank: Vec::new() }
    }
}

/// What a group says of a file's age.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    Number(i64),
    Text(String),
    /// A group without a match: the file that is written has no number yet.
    Missing,
}

/// Stands for a group without a match, in `translation`.
const MISSING: &str = "missing";

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

impl Naming {
    /// # Errors
    /// What is wrong with `groups`, `differentiator`, `priority` or `translation`.
    pub fn new(o: &Options) -> Result<Naming, Problem> {
        let Some(text) = o.get_str("groups") else {
            let lonely = ["differentiator", "priority", "translation"].into_iter().find(|name| o.given(name));
            return match lonely {
                None => Ok(Naming::default()),
                Some(name) => Err(o
                    .problem(name, format!("`{name}` needs `groups`"), "there are no groups to take it from")
                    .help(r"add a regular expression with named groups, such as `groups = '/(?<site>\w+)\.log(\.(?<n>\d+))?$'`")),
            };
        };
        let groups = Regex::new(text).map_err(|e| o.problem("groups", "`groups` is not a valid regular expression", e.to_string()))?;
        let known: Vec<&str> = groups.capture_names().flatten().collect();
        let check = |option: &str, group: &str| match known.contains(&group) {
            true => Ok(()),
            false => {
                let named = if known.is_empty() { "it names none; write (?<name>…)".to_string() } else { known.join(", ") };
                Err(o.problem(option, format!("`groups` has no group `{group}`"), format!("its groups: {named}")))
            }
        };
        let differentiator = o.get_str("differentiator").map(|text| pieces(o, text)).transpose()?;
        for piece in differentiator.iter().flatten() {
            if let Piece::Group(group) = piece {
                check("differentiator", group)?;
            }
        }
        let mut names = translation(o)?;
        for group in names.keys() {
            check("translation", group)?;
        }
        let mut priority = Vec::new();
        for text in o.strings("priority") {
            let (group, descending) = match text.split_once(' ') {
                None => (text.as_str(), false),
                Some((group, "ascending")) => (group, false),
                Some((group, "descending")) => (group, true),
                Some((_, other)) => {
                    return Err(o.problem("priority", format!("`{other}` is no order"), "expected `ascending` or `descending`"));
                }
            };
            check("priority", group)?;
            priority.push(Priority { group: group.to_string(), descending, names: names.remove(group).unwrap_or_default() });
        }
        if let Some(group) = names.into_keys().next() {
            let title = format!("`translation.{group}` is of no use");
            return Err(o.problem("translation", title, "`priority` does not name this group"));
        }
        Ok(Naming { groups: Some(groups), differentiator, priority })
    }

    /// Whether files are put in order by their names.
    pub fn ranks(&self) -> bool {
        !self.priority.is_empty()
    }

    /// None when the file is not wanted.
    pub fn place(&self, path: &Path) -> Option<Place> {
        let text = path.to_string_lossy();
        let Some(groups) = &self.groups else {
            return Some(Place { stream: family(&text).to_string(), logger: None, rank: Vec::new() });
        };
        let found = groups.captures(&text)?;
        let value = |group: &str| found.name(group).map(|m| m.as_str());
        let rank = self.priority.iter().map(|p| p.rank(value(&p.group))).collect();
        let logger = self.differentiator.as_ref().map(|pieces| {
            let piece = |p: &Piece| match p {
                Piece::Text(text) => text.clone(),
                Piece::Group(group) => value(group).unwrap_or_default().to_string(),
            };
            pieces.iter().map(piece).collect::<String>()
        });
        let stream = logger.clone().unwrap_or_else(|| {
            let telling = groups.capture_names().flatten().filter(|g| !self.priority.iter().any(|p| p.group == *g));
            telling.map(|g| value(g).unwrap_or_default()).collect::<Vec<_>>().join("\0")
        });
        Some(Place { stream, logger, rank })
    }

    /// Which of two files of a stream is older, as far as their names tell.
    pub fn compare(&self, a: &[Rank], b: &[Rank]) -> Ordering {
        let each = self.priority.iter().zip(a.iter().zip(b));
        each.map(|(p, (a, b))| p.compare(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Priority {
    fn rank(&self, value: Option<&str>) -> Rank {
        let named = |name: &str| self.names.get(name).map(|n| Rank::Number(*n));
        let Some(value) = value else { return named(MISSING).unwrap_or(Rank::Missing) };
        let month = || {
            let lower = value.to_ascii_lowercase();
            let at = MONTHS.iter().position(|m| lower == *m || lower == m[..3])?;
            Some(Rank::Number(at as i64 + 1))
        };
        let number = || value.parse().ok().map(Rank::Number);
        named(value).or_else(number).or_else(month).unwrap_or_else(|| Rank::Text(value.to_string()))
    }

    fn compare(&self, a: &Rank, b: &Rank) -> Ordering {
        match (a, b) {
            // The newest, whatever the order.
            (Rank::Missing, _) | (_, Rank::Missing) => a.cmp(b),
            _ if self.descending => b.cmp(a),
            _ => a.cmp(b),
        }
    }
}

/// Text with groups in braces.
fn pieces(o: &Options, text: &str) -> Result<Vec<Piece>, Problem> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((group, after)) = behind.split_once('}') else {
            return Err(o.problem("differentiator", "`differentiator` has a `{` without its `}`", "expected text with {group}"));
        };
        pieces.extend([Piece::Text(before.to_string()), Piece::Group(group.to_string())]);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_string()));
    Ok(pieces)
}

fn translation(o: &Options) -> Result<HashMap<String, HashMap<String, i64>>, Problem> {
    let mut all = HashMap::new();
    let wrong = |at: &Location| {
        Problem::new("`translation` is not understood").at(at, "expected numbers for names, as in `{ month = { Jan = 1, Feb = 2 } }`")
    };
    for (group, node) in o.tree("translation").map_or(&[][..], |tree| &tree.entries) {
        let Raw::Table(table) = &node.raw else { return Err(wrong(&node.at)) };
        let mut names = HashMap::new();
        for (name, node) in &table.entries {
            let Raw::Integer(n) = node.raw else { return Err(wrong(&node.at)) };
            names.insert(name.name.clone(), n);
        }
        all.insert(group.name.clone(), names);
    }
    Ok(all)
}

/// The path without what rotation puts behind it: a number or date, and the ending of what was compressed.
fn family(path: &str) -> &str {
    let base = path.strip_suffix(".gz").or_else(|| path.strip_suffix(".zst")).unwrap_or(path);
    let end = base.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_')).len();
    let suffix = &base[end..];
    let start = suffix.find(['.', '-', '_']).filter(|at| suffix[*at..].contains(|c: char| c.is_ascii_digit()));
    match start {
        Some(at) if !base[..end + at].ends_with('/') => &base[..end + at],
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(toml: &str) -> Result<Naming, String> {
        let options = testkit::plugins::options(&super::super::KIND, &format!("paths = '/a'\n{toml}"))?;
        Naming::new(&options).map_err(|p| p.to_string())
    }

    /// A file of a stream, and what it is ordered by.
    type Ranked<'a> = (&'a str, Vec<Rank>);

    /// The streams of some files, each with its files from the oldest to the newest.
    fn order(toml: &str, files: &[&str]) -> Vec<String> {
        let naming = naming(toml).unwrap();
        let mut streams: Vec<(String, Vec<Ranked<'_>>)> = Vec::new();
        for file in files {
            let Some(place) = naming.place(Path::new(file)) else { continue };
            match streams.iter_mut().find(|s| s.0 == place.stream) {
                Some(stream) => stream.1.push((file, place.rank)),
                None => streams.push((place.stream, vec![(file, place.rank)])),
            }
        }
        let show = |(stream, mut files): (String, Vec<Ranked<'_>>)| {
            files.sort_by(|a, b| naming.compare(&a.1, &b.1));
            format!("{stream}: {}", files.iter().map(|f| f.0).collect::<Vec<_>>().join(" "))
        };
        streams.into_iter().map(show).collect()
    }

    #[test]
    fn groups_tell_streams_apart_and_put_files_in_order() {
        let toml = r#"
            groups = '/(?<site>[^/]+)/access\.log(\.(?<n>\d+))?(\.gz)?$'
            differentiator = "nginx.{site}"
            priority = "n descending"
        "#;
        let files = ["/l/a/access.log", "/l/a/access.log.10.gz", "/l/a/access.log.9", "/l/b/access.log", "/l/b/error.log"];
        assert_eq!(order(toml, &files), ["nginx.a: /l/a/access.log.10.gz /l/a/access.log.9 /l/a/access.log", "nginx.b: /l/b/access.log"]);
    }

    #[test]
    fn names_stand_for_numbers() {
        let toml = r"
            groups = '/(?<app>\w+)-(?<year>\d{4})-(?<month>\w+)-(?<part>\w+)$'
            priority = ['year', 'month', 'part']
            translation = { part = { first = 1, second = 2, third = 3 } }
        ";
        let files = ["/x-2026-Feb-second", "/x-2026-Feb-first", "/x-2026-Jan-third", "/x-2025-December-first"];
        assert_eq!(order(toml, &files), ["x: /x-2025-December-first /x-2026-Jan-third /x-2026-Feb-first /x-2026-Feb-second"]);
        let toml = "groups = '/a(-(?<day>.+))?$'\npriority = 'day'\n";
        assert_eq!(order(toml, &["/a", "/a-2026-11-23", "/a-2026-11-04"]), [": /a-2026-11-04 /a-2026-11-23 /a"]);
        let toml = format!("{toml}translation.day.missing = -1");
        assert_eq!(order(&toml, &["/a-1", "/a"]), [": /a /a-1"]);
    }

    #[test]
    fn without_groups_rotated_names_belong_to_their_base() {
        for (path, base) in [
            ("/l/a.log", "/l/a.log"),
            ("/l/a.log.1", "/l/a.log"),
            ("/l/a.log.12.gz", "/l/a.log"),
            ("/l/a.log-20261123.zst", "/l/a.log"),
            ("/l/a.log.2026-11-23_07", "/l/a.log"),
            ("/l/a-1.log", "/l/a-1.log"),
            ("/l/a-1.log.gz", "/l/a-1.log"),
            ("/l/2026-11-23", "/l/2026"),
            ("/l/.1", "/l/.1"),
        ] {
            assert_eq!(family(path), base, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (toml, expected) in [
            ("groups = '('", "test.toml:2:10: `groups` is not a valid regular expression"),
            ("priority = 'n'", "`priority` needs `groups`"),
            ("groups = 'a'\npriority = 'n'", "`groups` has no group `n`: its groups: it names none"),
            ("groups = '(?<n>a)'\npriority = 'n down'", "`down` is no order"),
            ("groups = '(?<n>a)'\ndifferentiator = '{m}'", "`groups` has no group `m`: its groups: n"),
            ("groups = '(?<n>a)'\ndifferentiator = '{n'", "has a `{` without its `}`"),
            ("groups = '(?<n>a)'\ntranslation.n.x = 1", "`translation.n` is of no use"),
            ("groups = '(?<n>a)'\npriority = 'n'\ntranslation.n = 1", "`translation` is not understood"),
        ] {
            let refused = naming(toml).unwrap_err();
            assert!(refused.contains(expected), "{toml}: {refused}");
        }
    }
}
