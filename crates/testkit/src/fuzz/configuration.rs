//! Configuration files.

use options::{Node, Options, Raw, Source, Style, Tree, render};
use plugin::Registry;

/// Any text is a table or has problems that can be shown, and so has any table as the options of a
/// plugin, which the first byte chooses.
pub fn config(registry: &Registry, data: &[u8]) {
    let [choice, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut problems = Vec::new();
    match Tree::parse(Source::new("fuzz.toml", text)) {
        Ok(tree) => {
            let kinds = registry.kinds();
            let kind = kinds[usize::from(*choice) % kinds.len()];
            if !tree.entries.iter().any(|(_, node)| reads_files(node)) {
                let _ = format!("{:?}", Options::check(&[kind.options], &tree, &mut problems));
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            problems = found;
        }
    }
    for problem in &problems {
        let at = problem.at.as_ref().unwrap_or_else(|| panic!("no place: {problem}"));
        assert!(at.span.start <= at.span.end && at.span.end <= text.len(), "{at:?} of {}", text.len());
        at.line_column();
    }
    render(&problems, Style::Plain);
}

/// What names a file is left alone: the machine has files that never end.
fn reads_files(node: &Node) -> bool {
    match &node.raw {
        Raw::Table(table) => table.entries.iter().any(|(key, node)| key.name == "file" || reads_files(node)),
        Raw::List(items) => items.iter().any(reads_files),
        _ => false,
    }
}
