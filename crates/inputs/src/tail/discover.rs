//! Which files the patterns name.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

/// As a shell does: `*` and `?` stay within a name and do not match its leading dot.
const RULES: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Text is expected, or what can be unpacked: gzip and Zstandard.
const PACKED: [&str; 5] = [".bz2", ".xz", ".lz4", ".Z", ".zip"];

/// More than that is a pattern gone wrong, such as `/**`.
const MAX_FILES: usize = 100_000;

/// Levels below a `**`.
const MAX_DEPTH: usize = 64;

/// The files that are wanted: patterns, less exclusions.
#[derive(Debug)]
pub struct Patterns {
    wanted: Vec<Wanted>,
    exclude: Vec<Exclude>,
}

#[derive(Debug)]
struct Wanted {
    whole: Pattern,
    parts: Vec<Part>,
}

/// What one level of a pattern asks for.
#[derive(Debug)]
enum Part {
    Name(OsString),
    Like(Pattern),
    /// `**`: any number of directories.
    Tree,
}

#[derive(Debug)]
enum Exclude {
    Name(Pattern),
    Path(Pattern),
}

impl Exclude {
    fn matches(&self, path: &Path) -> bool {
        match self {
            Exclude::Name(pattern) => pattern.matches(&path.file_name().unwrap_or_default().to_string_lossy()),
            Exclude::Path(pattern) => pattern.matches_path_with(path, RULES),
        }
    }
}

/// Why a pattern was refused.
#[derive(Debug)]
pub struct BadPattern {
    /// The option it stands in.
    pub option: &'static str,
    pub why: String,
}

impl Patterns {
    /// `paths` are absolute. An exclusion without a slash is about file names; others are about
    /// whole paths, relative ones from `dir`.
    pub fn new(paths: &[PathBuf], exclude: &[String], dir: &Path) -> Result<Patterns, BadPattern> {
        let wanted = paths.iter().map(|path| Wanted::new(path)).collect::<Result<_, _>>()?;
        let exclusion = |text: &String| match text.contains('/') {
            false => pattern("exclude", text).map(Exclude::Name),
            true => pattern("exclude", &dir.join(text).to_string_lossy()).map(Exclude::Path),
        };
        Ok(Patterns { wanted, exclude: exclude.iter().map(exclusion).collect::<Result<_, _>>()? })
    }

    /// Whether a file of this path would be wanted.
    pub fn matches(&self, path: &Path) -> bool {
        self.wanted.iter().any(|w| w.whole.matches_path_with(path, RULES)) && !self.excluded(path)
    }

    fn excluded(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        PACKED.iter().any(|end| name.ends_with(end)) || self.exclude.iter().any(|e| e.matches(path))
    }

    /// The files that exist, in the order of the patterns and by path within each. `visit` is told
    /// every directory before it is looked into, so that nothing is missed if it is watched from
    /// then on.
    pub fn find(&self, visit: &mut dyn FnMut(&Path)) -> Vec<(PathBuf, Metadata)> {
        let mut walk = Walk { patterns: self, visit, found: Vec::new(), seen: HashSet::new() };
        for wanted in &self.wanted {
            let from = walk.found.len();
            walk.enter(PathBuf::new(), &wanted.parts, 0);
            walk.found[from..].sort_by(|a, b| a.0.cmp(&b.0));
        }
        if walk.found.len() == MAX_FILES {
            log::warn!("tail: more than {MAX_FILES} files match, the rest is left out; narrow `paths` or `exclude`");
        }
        walk.found
    }
}

impl Wanted {
    fn new(path: &Path) -> Result<Wanted, BadPattern> {
        let Some(mut text) = path.to_str().map(str::to_string) else {
            return Err(BadPattern { option: "paths", why: format!("{} is not UTF-8", path.display()) });
        };
        if text.ends_with("**") {
            text.push_str("/*");
        }
        let part = |component: Component<'_>| {
            let text = component.as_os_str().to_string_lossy();
            Ok(match text.as_ref() {
                "**" => Part::Tree,
                text if text.contains(['*', '?', '[']) => Part::Like(pattern("paths", text)?),
                _ => Part::Name(component.as_os_str().to_owned()),
            })
        };
        let parts = Path::new(&text).components().map(part).collect::<Result<_, _>>()?;
        Ok(Wanted { whole: pattern("paths", &text)?, parts })
    }
}

fn pattern(option: &'static str, text: &str) -> Result<Pattern, BadPattern> {
    Pattern::new(text).map_err(|PatternError { pos, msg }| BadPattern { option, why: format!("`{text}`, character {}: {msg}", pos + 1) })
}

struct Walk<'a> {
    patterns: &'a Patterns,
    visit: &'a mut dyn FnMut(&Path),
    found: Vec<(PathBuf, Metadata)>,
    seen: HashSet<PathBuf>,
}

impl Walk<'_> {
    fn enter(&mut self, dir: PathBuf, parts: &[Part], depth: usize) {
        match parts {
            [] => {}
            [Part::Name(name)] => {
                (self.visit)(&dir);
                self.take(dir.join(name));
            }
            [Part::Name(name), rest @ ..] => self.enter(dir.join(name), rest, depth),
            [Part::Like(pattern), rest @ ..] => {
                for name in self.names(&dir) {
                    if !pattern.matches_with(&name.to_string_lossy(), RULES) {
                        continue;
                    }
                    let path = dir.join(name);
                    match rest {
                        [] => self.take(path),
                        _ if path.is_dir() => self.enter(path, rest, depth),
                        _ => {}
                    }
                }
            }
            [Part::Tree, rest @ ..] => {
                for name in self.names(&dir) {
                    let path = dir.join(&name);
                    let hidden = name.as_encoded_bytes().starts_with(b".");
                    // Links are not followed down: they may lead round in circles.
                    if !hidden && depth < MAX_DEPTH && fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                        self.enter(path, parts, depth + 1);
                    }
                }
                self.enter(dir, rest, depth);
            }
        }
    }

    fn names(&mut self, dir: &Path) -> Vec<OsString> {
        (self.visit)(dir);
        let entries = fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.file_name()).collect());
        entries.unwrap_or_default()
    }

    fn take(&mut self, path: PathBuf) {
        if self.found.len() >= MAX_FILES || self.patterns.excluded(&path) {
            return;
        }
        if let Ok(meta) = fs::metadata(&path)
            && !meta.is_dir()
            && self.seen.insert(path.clone())
        {
            self.found.push((path, meta));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pattern finds in a small tree, relative to its root.
    fn find(paths: &[&str], exclude: &[&str]) -> String {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "a.log",
            "b.log",
            "b.log.1",
            "b.log.2.gz",
            "b.log.3.xz",
            ".hidden.log",
            "sub/c.log",
            "sub/deep/d.log",
            "sub/.git/e.log",
            "x[1].log",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("..", root.path().join("sub/circle")).unwrap();
        let paths: Vec<_> = paths.iter().map(|p| root.path().join(p)).collect();
        let exclude: Vec<_> = exclude.iter().map(ToString::to_string).collect();
        let patterns = Patterns::new(&paths, &exclude, root.path()).unwrap();
        let mut visited = HashSet::new();
        let found = patterns.find(&mut |dir| {
            visited.insert(dir.to_path_buf());
        });
        for (path, _) in &found {
            assert!(visited.contains(path.parent().unwrap()), "{path:?} stands in a directory that was not visited");
            assert!(patterns.matches(path), "{path:?} is found and does not match");
        }
        let names: Vec<_> = found.iter().map(|(path, _)| path.strip_prefix(root.path()).unwrap().display().to_string()).collect();
        names.join(" ")
    }

    #[test]
    fn patterns_follow_the_rules_of_a_shell() {
        assert_eq!(find(&["b.log", "a.log", "missing.log"], &[]), "b.log a.log");
        assert_eq!(find(&["*.log", "a.*"], &[]), "a.log b.log x[1].log");
        assert_eq!(find(&["b.log*"], &[]), "b.log b.log.1 b.log.2.gz", "what cannot be unpacked is left out");
        assert_eq!(find(&["[a-b].lo?"], &[]), "a.log b.log");
        assert_eq!(find(&["x[[]1].log"], &[]), "x[1].log");
        assert_eq!(find(&["*/*.log"], &[]), "sub/c.log");
        assert_eq!(find(&["**/*.log"], &[]), "a.log b.log sub/c.log sub/deep/d.log x[1].log");
        assert_eq!(find(&["sub/**"], &[]), "sub/c.log sub/deep/d.log");
        assert_eq!(find(&["*"], &[]), "a.log b.log b.log.1 b.log.2.gz x[1].log", "directories are no files");
    }

    #[test]
    fn exclusions_are_about_names_or_about_paths() {
        assert_eq!(find(&["**/*.log"], &["[b-c]*"]), "a.log sub/deep/d.log x[1].log");
        assert_eq!(find(&["**/*.log"], &["sub/*.log"]), "a.log b.log sub/deep/d.log x[1].log");
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_place() {
        let bad = Patterns::new(&["/var/log/a[.log".into()], &[], Path::new("/")).unwrap_err();
        assert_eq!((bad.option, bad.why.contains("`a[.log`, character 2")), ("paths", true), "{}", bad.why);
    }
}
