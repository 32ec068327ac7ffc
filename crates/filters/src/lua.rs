//! Lua scripts as plugins: what the families share. The sandbox itself is in the crate of that
//! name; here are its options, and the loading of a script with errors that point into the
//! configuration.

pub mod decoder;
pub mod encoder;
pub mod filter;
pub mod input;
pub mod output;
mod settings;
pub mod transform;

use std::borrow::Cow;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use modules::library::{LibraryScript, SCHEME, SCRIPTS, name_in};
use options::{Opt, Options, Problem, nearest};
use plugin::{BuildCx, Carried, Gauge, Refusal, Scripted};
use sandbox::{Api, Declaration, Family, Grants, Level, Limits, LogLine, Sandbox, SandboxConfig, Script};

/// Largest script file read, in bytes; the sandbox takes no longer text.
const MAX_SCRIPT: u64 = 256 << 10;

pub(crate) const SCRIPT: Opt = Opt::script("script")
    .required()
    .sample("\"filters/errors.lua\"")
    .doc("The Lua file. It is reloaded the moment it is saved; when the new version fails, the old one runs on. `nilo:filters/http_status.lua` and the like are built in.");
pub(crate) const CONFIG: Opt = Opt::tree("config").sample("{ threshold = 500 }").doc(
    "Values that the script reads with read_config(name), lists and tables among them. A script that declares its options takes only those.",
);
pub(crate) const MODULES: Opt = Opt::path("modules").doc("Directory in which require() finds modules. Default: `modules` of [nilo].");
pub(crate) const API: Opt = Opt::choice("api", &["heka", "hindsight"])
    .default("heka")
    .doc("Whose rules hold where the two differ: unset headers, Uuid as text or bytes, the Type of what is injected.");
pub(crate) const MEMORY: Opt = Opt::size("memory_limit").default("8MiB").doc("Bytes of memory the script may use.");
pub(crate) const CPU: Opt = Opt::duration("cpu_limit").default("100ms").doc("CPU time one call of the script may take.");
pub(crate) const INSTRUCTIONS: Opt = Opt::integer("instruction_limit")
    .doc("Lua instructions one call may take: exact and repeatable, but it slows every call down. Default: no such limit.");
pub(crate) const OUTPUT: Opt =
    Opt::size("output_limit").doc("Bytes of one payload or injected message. Default: 63KiB, or 64KiB with `api = \"hindsight\"`.");
pub(crate) const STATE: Opt = Opt::size("state_limit").default("1MiB").doc("Bytes of globals that are saved and carried over a reload.");
pub(crate) const ALLOW: Opt = Opt::strings("allow")
    .default("")
    .sample("[\"io\"]")
    .doc("What the script may reach outside of its sandbox: `io` for files, with the rights of nilo; `exec` for other programs.");

/// What the options say, for a script of this family; `config` is the script's own affair.
fn sandbox_config(o: &Options, cx: &BuildCx, family: Family, process_inject: usize, timer_inject: usize) -> SandboxConfig {
    let api = if o.str("api") == "hindsight" { Api::Hindsight } else { Api::Heka };
    SandboxConfig {
        name: cx.name.clone(),
        limits: Limits {
            memory: o.size("memory_limit"),
            cpu: o.get_duration("cpu_limit").unwrap_or(Limits::ENDLESS),
            instructions: o.get_integer("instruction_limit").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
            output: if o.has("output_limit") { o.size("output_limit") } else { Limits::of(api).output },
            process_inject,
            timer_inject,
            state: o.size("state_limit"),
        },
        module_path: o.get_path("modules").map(PathBuf::from).or_else(|| cx.module_path.clone()),
        modules: modules::ALL,
        family,
        api,
        hostname: cx.hostname.clone(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        now_ns: cx.clock.now(),
        ..SandboxConfig::default()
    }
}

/// What `allow` grants.
fn grants(o: &Options) -> Result<Grants, Problem> {
    let mut grants = Grants::default();
    for name in o.strings("allow") {
        match name.as_str() {
            "io" => grants.io = true,
            "exec" => grants.exec = true,
            _ => return Err(o.problem("allow", format!("there is no `{name}` to allow"), "expected \"io\" or \"exec\"")),
        }
    }
    Ok(grants)
}

/// A number of messages that may be injected.
fn count(o: &Options, name: &str) -> Result<usize, Problem> {
    match usize::try_from(o.integer(name)) {
        Ok(n) if n <= 100_000 => Ok(n),
        _ => Err(o.problem(name, format!("`{name}` is out of range"), "expected 0 to 100000")),
    }
}

/// A script that was read, compiled and run once.
struct Loaded {
    sandbox: Sandbox,
    script: PathBuf,
    /// What the script says of `every`.
    every: Option<Duration>,
    /// What the last Reject meant.
    refusal: Refusal,
}

/// The text of the script, which is built in or read.
fn text(o: &Options) -> Result<Cow<'static, [u8]>, Problem> {
    let path = o.path("script");
    if let Some(name) = name_in(path) {
        return match modules::library::find(name) {
            Some(script) => Ok(Cow::Borrowed(script.text.as_bytes())),
            None => Err(unknown(o, name)),
        };
    }
    let unreadable = |e: std::io::Error| {
        o.problem("script", format!("cannot read {}", path.display()), e.to_string())
            .help("`script` is a path beside the configuration file")
    };
    let mut source = Vec::new();
    // A device may say that it is empty and never end.
    std::fs::File::open(path).and_then(|file| file.take(MAX_SCRIPT + 1).read_to_end(&mut source)).map_err(unreadable)?;
    if source.len() as u64 > MAX_SCRIPT {
        return Err(o.problem("script", format!("{} is too long", path.display()), "a script has at most 256 KiB"));
    }
    Ok(Cow::Owned(source))
}

fn unknown(o: &Options, name: &str) -> Problem {
    let names: Vec<String> = SCRIPTS.iter().map(LibraryScript::path).collect();
    let problem = o.problem("script", format!("there is no built-in script `{SCHEME}{name}`"), "expected one that `nilo list` shows");
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("did you mean \"{SCHEME}{near}\"?")),
        None => problem.help(format!("a file of this name is \"./{SCHEME}{name}\"")),
    }
}

fn load(o: &Options, config: SandboxConfig) -> Result<Loaded, Problem> {
    let (path, source) = (o.path("script"), text(o)?);
    let declaration = Declaration::parse(&source).map_err(|e| {
        let file = path.file_name().unwrap_or_default().display();
        o.problem("script", "the script's declaration is malformed", format!("{file}:{}: {}", e.line, e.message))
    })?;
    let family = config.family;
    if let Some(declared) = declaration.family.filter(|declared| *declared != family) {
        let label = format!("it says that it serves as {}", article(declared));
        return Err(o
            .problem("script", format!("the script is not {}", article(family)), label)
            .help("use it in a section of that family"));
    }
    let config = SandboxConfig { config: settings::read(o, &declaration)?, ..config };
    match Sandbox::new(&Script::new(path, source), &config) {
        Ok(sandbox) => Ok(Loaded { sandbox, script: path.to_path_buf(), every: declaration.every, refusal: Refusal::Refused }),
        Err(e) => Err(o.problem("script", "the script does not load", e.message)),
    }
}

/// Loads a script to see what is wrong with it, without touching anything outside: nothing is granted.
/// `None` when it asks for more at once, and no more can be told.
fn try_load(o: &Options, config: SandboxConfig) -> Result<Option<Loaded>, Problem> {
    match load(o, SandboxConfig { grants: Grants::default(), ..config }) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(problem) if problem.label.contains("is not granted to this script") && !o.strings("allow").is_empty() => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn article(family: Family) -> String {
    let name = family.name();
    if name.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {name}") } else { format!("a {name}") }
}

impl Loaded {
    /// What the script printed and logged goes to our log.
    fn log_prints(&mut self, name: &str) {
        let (lines, dropped) = self.sandbox.take_log();
        tell(name, lines, dropped);
    }

    /// A failure of the script, as the reason why a record is refused.
    fn failed(&mut self, why: &sandbox::Failure) -> plugin::Reject {
        self.refusal = Refusal::Failed;
        plugin::Reject::new(why.to_string())
    }

    /// The script itself refuses the record.
    fn refused(&mut self, why: Option<String>) -> plugin::Reject {
        self.refusal = Refusal::Refused;
        plugin::Reject::new(why.unwrap_or_else(|| "process_message returned a negative number".to_string()))
    }
}

fn tell(name: &str, lines: Vec<LogLine>, dropped: u64) {
    for line in lines {
        let level = match line.level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::log!(target: name, level, "{line}");
    }
    if dropped > 0 {
        log::info!(target: name, "({dropped} more printed lines)");
    }
}

impl Scripted for Loaded {
    fn files(&self) -> Vec<PathBuf> {
        let script = name_in(&self.script).is_none().then(|| self.script.clone());
        script.into_iter().chain(self.sandbox.files().into_iter().map(|m| m.path)).collect()
    }

    fn gauges(&self) -> Vec<Gauge> {
        let usage = self.sandbox.usage();
        let gauge = |name, unit, g: sandbox::Gauge| Gauge { name, unit, current: g.current, max: g.max, cap: g.cap };
        let mut all = Vec::with_capacity(5);
        all.push(gauge("memory_limit", "B", usage.memory));
        // An input's may have none.
        if usage.cpu.cap < u64::MAX {
            all.push(gauge("cpu_limit", "ns", usage.cpu));
        }
        all.push(gauge("output_limit", "B", usage.output));
        if (1..u64::MAX).contains(&usage.inject.cap) && usage.inject.cap < usize::MAX as u64 {
            all.push(gauge("max_process_inject", "count", usage.inject));
        }
        all.push(gauge("state_limit", "B", usage.state));
        all
    }

    fn save(&mut self) -> Result<Vec<u8>, String> {
        self.sandbox.save().map_err(|e| e.to_string())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<Carried, String> {
        let carried = self.sandbox.restore(saved).map_err(|e| e.to_string())?;
        Ok(Carried { carried: carried.carried, reset: carried.reset, unsaved: carried.unsaved })
    }

    fn refusal(&self) -> Refusal {
        self.refusal
    }
}
