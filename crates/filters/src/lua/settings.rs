use options::{Node, Options, Problem, Raw};
use sandbox::{ConfigValue, Declaration, DeclaredOption, OptionType};

use crate::library;

/// The values of `config` as `read_config` finds them, held against what the script declares.
pub(super) fn read(o: &Options, declaration: &Declaration) -> Result<Vec<(String, ConfigValue)>, Problem> {
    let entries = o.tree("config").map(|tree| tree.entries.as_slice()).unwrap_or_default();
    let mut given = in_section(o);
    if let Some((key, _)) = entries.iter().find(|(key, _)| given.iter().any(|(name, _)| *name == key.name)) {
        return Err(Problem::new(format!("`{}` is given twice", key.name)).at(&key.at, "it stands in the section, too").help("remove one"));
    }
    let section: Vec<String> = given.iter().map(|(name, _)| name.clone()).collect();
    given.extend(entries.iter().map(|(key, node)| (key.name.clone(), value(node))));
    declaration.resolve(&given).map_err(|problems| {
        let Some(first) = problems.first() else { return o.problem("config", "`config` does not fit the script", "") };
        let entry = entries.iter().find(|(key, _)| key.name == first.key);
        // A key nobody knows is pointed at itself; of the others, the value.
        let known = declaration.options.iter().any(|option| option.name == first.key);
        let elsewhere = if section.contains(&first.key) { &*first.key } else { "config" };
        let at = entry.map_or_else(|| o.location(elsewhere), |(key, node)| if known { &node.at } else { &key.at });
        let others: Vec<&str> = problems[1..].iter().map(|p| p.message.as_str()).collect();
        let label = if others.is_empty() { String::new() } else { format!("also: {}", others.join("; ")) };
        let problem = Problem::new(first.message.clone()).at(at, label);
        match &first.help {
            Some(help) => problem.help(help.clone()),
            None => problem,
        }
    })
}

/// The options of a library's script, which stand in its section.
fn in_section(o: &Options) -> Vec<(String, ConfigValue)> {
    let Some(library) = o.default_path("script").and_then(library::at) else { return Vec::new() };
    let given = library.declaration.options.iter().filter(|option| library.takes(&option.name) && o.given(&option.name));
    let value = |option: &DeclaredOption| match option.type_ {
        OptionType::String => ConfigValue::String(o.str(&option.name).to_string()),
        OptionType::Integer => ConfigValue::Integer(o.integer(&option.name)),
        OptionType::Number => number(o.get_float(&option.name).unwrap_or_default()),
        OptionType::Boolean => ConfigValue::Bool(o.bool(&option.name)),
        OptionType::Duration => number(o.duration(&option.name).as_secs_f64()),
    };
    given.map(|option| (option.name.clone(), value(option))).collect()
}

/// A whole number is an integer in Lua, as it is when the file says so.
fn number(n: f64) -> ConfigValue {
    if n.fract() == 0.0 && n.abs() < 9e15 { ConfigValue::Integer(n as i64) } else { ConfigValue::Number(n) }
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
