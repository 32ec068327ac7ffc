//! What a sandbox costs, how soon one that goes on for ever is ended, and what parsing costs from Lua. The
//! figures are the examples `figures` of the sandbox and `parsing` of its modules, one process each; their
//! ratios are to something of the same run.

use anyhow::Result;

use super::Settings;
use super::contender::Contender;
use super::example;

/// Figures by argument, with the name of their row.
const ROWS: &[(&str, &str)] = &[
    ("pcall", "empty lua_pcall of a bare Lua"),
    ("call", "empty process_message"),
    ("read", "read_message"),
    ("load", "create and load, 200 lines"),
    ("idle", "idle, each of 1,000"),
];

/// Ways to parse a line, with the names of their rows.
const PARSERS: &[(&str, &str)] = &[
    ("native", "decoder `log_format`"),
    ("rust", "`regex` in Rust, positions only"),
    ("lpeg", "Lua: `lpeg`"),
    ("regex", "Lua: `regex`"),
    ("string.match", "Lua: `string.match`"),
    ("common_log_format", "Lua: `common_log_format`, times and units too"),
];

/// The table of ways to parse an access log.
pub fn parsing(_: &Settings) -> Result<Vec<Contender>> {
    let program = example::build("modules", "parsing")?;
    let row = |(argument, name): &(&'static str, &str)| {
        let (program, argument) = (program.clone(), *argument);
        Contender::new(*name, move || example::values(&program, &[argument]))
    };
    Ok(PARSERS.iter().map(row).collect())
}

/// The sandbox's table.
pub fn sandbox(_: &Settings) -> Result<Vec<Contender>> {
    let program = example::build("sandbox", "figures")?;
    let attacks = example::output(&program, &["attacks"])?;
    let row = |name: String, arguments: Vec<String>| {
        let program = program.clone();
        Contender::new(name, move || example::values(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let figures = ROWS.iter().map(|(argument, name)| row(name.to_string(), vec![argument.to_string()]));
    let attacks = attacks.lines().map(|name| row(format!("beyond 100 ms of CPU: {name}"), vec!["attack".into(), name.into()]));
    Ok(figures.chain(attacks).collect())
}
