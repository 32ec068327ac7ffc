use options::{Node, Options, Problem, Raw};
use sandbox::{ConfigValue, Declaration};

/// The values of `config` as `read_config` finds them, held against what the script declares.
pub(super) fn read(o: &Options, declaration: &Declaration) -> Result<Vec<(String, ConfigValue)>, Problem> {
    let entries = o.tree("config").map(|tree| tree.entries.as_slice()).unwrap_or_default();
    let given: Vec<(String, ConfigValue)> = entries.iter().map(|(key, node)| (key.name.clone(), value(node))).collect();
    declaration.resolve(&given).map_err(|problems| {
        let Some(first) = problems.first() else { return o.problem("config", "`config` does not fit the script", "") };
        let entry = entries.iter().find(|(key, _)| key.name == first.key);
        // A key nobody knows is pointed at itself; of the others, the value.
        let known = declaration.options.iter().any(|option| option.name == first.key);
        let at = entry.map_or_else(|| o.location("config"), |(key, node)| if known { &node.at } else { &key.at });
        let others: Vec<&str> = problems[1..].iter().map(|p| p.message.as_str()).collect();
        let label = if others.is_empty() { String::new() } else { format!("also: {}", others.join("; ")) };
        let problem = Problem::new(first.message.clone()).at(at, label);
        match &first.help {
            Some(help) => problem.help(help.clone()),
            None => problem,
        }
    })
}

fn value(node: &Node) -> ConfigValue {
    match &node.raw {
        Raw::String(s) => ConfigValue::String(s.clone()),
        Raw::Integer(n) => ConfigValue::Integer(*n),
        Raw::Float(n) => ConfigValue::Number(*n),
        Raw::Bool(b) => ConfigValue::Bool(*b),
        // Refused where the options are checked.
        Raw::Date => ConfigValue::String(String::new()),
        Raw::List(items) => ConfigValue::List(items.iter().map(value).collect()),
        Raw::Table(tree) => ConfigValue::Table(tree.entries.iter().map(|(key, node)| (key.name.clone(), value(node))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use crate::lua::filter::KIND;

    fn filter(source: &str, options: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.lua");
        std::fs::write(&path, source).unwrap();
        testkit::plugins::filter(&KIND, &format!("script = {path:?}\n{options}")).map(drop)
    }

    const DECLARED: &str = "--@family filter\n--@option threshold integer 500 From here on.\n--@option rows integer required Rows.\n\
        assert(read_config('threshold') == 400 and read_config('rows') == 3)\nfunction process_message() return 0 end";

    #[test]
    fn a_declaration_is_held_against_config() {
        filter(DECLARED, "config = { threshold = 400, rows = 3 }").unwrap();
        let wrong = |options: &str| filter(DECLARED, options).unwrap_err();
        let unknown = wrong("config = { rows = 3, treshold = 400 }");
        assert!(unknown.starts_with("test.toml:2:22: the script has no option `treshold`"), "{unknown}");
        assert!(unknown.contains("did you mean `threshold`?"), "{unknown}");
        assert!(
            wrong("config = { rows = 'x' }").starts_with("test.toml:2:19: `rows` must be a whole number"),
            "{}",
            wrong("config = { rows = 'x' }")
        );
        assert!(wrong("").contains("the script needs the option `rows`"));
        assert!(filter("--@family encoder\nfunction process_message() return 0 end", "").unwrap_err().contains("is not a filter"));
        assert!(filter("--@familly encoder\n", "").unwrap_err().contains("f.lua:1: unknown --@familly"));
    }

    #[test]
    fn lists_and_tables_arrive() {
        let source = "local t = read_config('t')\nassert(t.list[2] == 'b' and t.deep.x == 1.5 and t.on == true and read_config('n') == 7)\n\
            function process_message() return 0 end";
        filter(source, "config = { n = 7, t = { list = ['a', 'b'], deep.x = 1.5, on = true } }").unwrap();
    }
}
