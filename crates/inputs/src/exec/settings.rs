use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use options::{Opt, Options, Problem, Raw};

pub const OPTIONS: &[Opt] = &[
    Opt::strings("command")
        .required()
        .sample("[\"df\", \"-k\"]")
        .doc("The program, which is looked for in PATH unless it is a path, and its arguments. They go to it as they are: no shell looks at them."),
    Opt::duration("every").default("15s").doc("Time from one start to the next, 10ms at least. The first is at once."),
    Opt::bool("restart").default("false").doc(
        "The command goes on, and is started again when it ends: after a second and then twice as long each time, up to a minute, until it has run for a minute. Instead of `every`.",
    ),
    Opt::duration("timeout").sample("\"10s\"").doc("How long a run may take. Default: as long as it takes; with `restart` it cannot be given."),
    Opt::bool("stdout").default("true").doc("Whether standard output is taken."),
    Opt::bool("stderr").default("true").doc("Whether standard error is taken. What is not taken goes nowhere."),
    Opt::bool("whole").default("false").doc(
        "All that a run writes to one of the two goes to the splitter in one piece when it ends; with the splitter `none` that is one record.",
    ),
    Opt::size("max_output").default("16MiB").doc("More than this in one run is not taken, and the run ended. With `restart` there is no such limit."),
    Opt::tree("environment")
        .sample("{ LC_ALL = \"C\" }")
        .doc("Environment variables of the command. Values are strings, or taken from the environment or a file."),
    Opt::bool("inherit_environment").default("true").doc("Whether the command has the environment of this program as well."),
    Opt::path("working_dir").sample("\"/tmp\"").doc("Directory the command runs in. Default: that of this program."),
];

/// How the command is run.
pub struct Settings {
    pub command: Vec<String>,
    pub every: Duration,
    pub restart: bool,
    pub timeout: Option<Duration>,
    pub stdout: bool,
    pub stderr: bool,
    pub whole: bool,
    /// Bytes of one run; none when it goes on.
    pub max_output: Option<usize>,
    environment: Vec<(String, String)>,
    inherit: bool,
    working_dir: Option<PathBuf>,
}

impl Settings {
    /// # Errors
    /// When options contradict one another or cannot be.
    pub fn read(o: &Options) -> Result<Settings, Problem> {
        let (command, restart) = (o.strings("command").to_vec(), o.bool("restart"));
        if command.first().is_none_or(String::is_empty) {
            return Err(o.problem("command", "`command` names no program", "expected something like [\"df\", \"-k\"]"));
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err(o.problem("command", "`command` has a zero byte", "no argument can have one"));
        }
        if let Some(name) = ["every", "timeout", "max_output", "whole"].into_iter().find(|name| restart && o.given(name)) {
            return Err(o.problem(name, format!("`{name}` with `restart`"), "the command goes on, and this is about its end"));
        }
        if o.duration("every") < Duration::from_millis(10) {
            return Err(o.problem("every", "`every` is too short", "expected 10ms at least"));
        }
        Ok(Settings {
            command,
            every: o.duration("every"),
            restart,
            timeout: o.get_duration("timeout"),
            stdout: o.bool("stdout"),
            stderr: o.bool("stderr"),
            whole: o.bool("whole"),
            max_output: (!restart).then(|| o.size("max_output")),
            environment: environment(o)?,
            inherit: o.bool("inherit_environment"),
            working_dir: o.get_path("working_dir").map(PathBuf::from),
        })
    }

    /// The command, not started yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null());
        command.stdout(if self.stdout { Stdio::piped() } else { Stdio::null() });
        command.stderr(if self.stderr { Stdio::piped() } else { Stdio::null() });
        if !self.inherit {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        command
    }
}

fn environment(o: &Options) -> Result<Vec<(String, String)>, Problem> {
    let Some(tree) = o.tree("environment") else { return Ok(Vec::new()) };
    let variable = |(key, node): &(options::Key, options::Node)| {
        let problem = |what: &str| Problem::new(format!("environment variable `{}` {what}", key.name)).at(&node.at, "expected a variable");
        if key.name.is_empty() || key.name.contains(['=', '\0']) {
            return Err(problem("has no valid name"));
        }
        match &node.raw {
            Raw::String(value) if !value.contains('\0') => Ok((key.name.clone(), value.clone())),
            _ => Err(problem("is not a string")),
        }
    };
    tree.entries.iter().map(variable).collect()
}
