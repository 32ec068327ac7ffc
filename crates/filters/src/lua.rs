//! Lua scripts as plugins: what the families share. The sandbox itself is in the crate of that
//! name; here are its options, and the loading of a script with errors that point into the
//! configuration.

pub mod filter;
pub mod transform;

use std::io::Read;
use std::path::PathBuf;

use options::{Opt, Options, Problem, Scalar};
use plugin::{BuildCx, Gauge};
use sandbox::{ConfigValue, Family, Limits, Sandbox, SandboxConfig, Script};

/// Largest script file read, in bytes; the sandbox takes no longer text.
const MAX_SCRIPT: u64 = 256 << 10;

pub(crate) const SCRIPT: Opt = Opt::path("script")
    .required()
    .sample("\"filters/errors.lua\"")
    .doc("The Lua file. It is reloaded the moment it is saved; when the new version fails, the old one runs on.");
pub(crate) const CONFIG: Opt =
    Opt::table("config").sample("{ threshold = 500 }").doc("Values that the script reads with read_config(name).");
pub(crate) const MODULES: Opt = Opt::path("modules").doc("Directory in which require() finds modules. Default: `modules` of [nilo].");
pub(crate) const MEMORY: Opt = Opt::size("memory_limit").default("8MiB").doc("Bytes of memory the script may use.");
pub(crate) const CPU: Opt = Opt::duration("cpu_limit").default("100ms").doc("CPU time one call of the script may take.");
pub(crate) const INSTRUCTIONS: Opt = Opt::integer("instruction_limit")
    .doc("Lua instructions one call may take: exact and repeatable, but it slows every call down. Default: no such limit.");
pub(crate) const OUTPUT: Opt = Opt::size("output_limit").default("63KiB").doc("Bytes of one injected payload or message.");
pub(crate) const STATE: Opt = Opt::size("state_limit").default("1MiB").doc("Bytes of globals that are saved and carried over a reload.");

/// What the options say, for a script of this family.
fn sandbox_config(o: &Options, cx: &BuildCx, family: Family, process_inject: usize, timer_inject: usize) -> SandboxConfig {
    let value = |s: &Scalar| match s {
        Scalar::String(s) => ConfigValue::String(s.clone()),
        Scalar::Integer(n) => ConfigValue::Integer(*n),
        Scalar::Float(n) => ConfigValue::Number(*n),
        Scalar::Bool(b) => ConfigValue::Bool(*b),
    };
    SandboxConfig {
        name: cx.name.clone(),
        limits: Limits {
            memory: o.size("memory_limit"),
            cpu: o.duration("cpu_limit"),
            instructions: o.get_integer("instruction_limit").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
            output: o.size("output_limit"),
            process_inject,
            timer_inject,
            state: o.size("state_limit"),
        },
        config: o.table("config").iter().map(|(k, v)| (k.clone(), value(v))).collect(),
        module_path: o.get_path("modules").map(PathBuf::from).or_else(|| cx.module_path.clone()),
        family,
        hostname: cx.hostname.clone(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        now_ns: cx.clock.now(),
    }
}

/// A script that was read, compiled and run once.
struct Loaded {
    sandbox: Sandbox,
    script: PathBuf,
}

fn load(o: &Options, config: &SandboxConfig) -> Result<Loaded, Problem> {
    let path = o.path("script");
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
    match Sandbox::new(&Script::new(path, source), config) {
        Ok(sandbox) => Ok(Loaded { sandbox, script: path.to_path_buf() }),
        Err(e) => Err(o.problem("script", "the script does not load", e.message)),
    }
}

impl Loaded {
    /// The script and the modules it required.
    fn files(&self) -> Vec<PathBuf> {
        std::iter::once(self.script.clone()).chain(self.sandbox.files().into_iter().map(|m| m.path)).collect()
    }

    fn gauges(&self) -> Vec<Gauge> {
        let usage = self.sandbox.usage();
        let gauge = |name, unit, g: sandbox::Gauge| Gauge { name, unit, current: g.current, max: g.max, cap: g.cap };
        vec![
            gauge("memory_limit", "B", usage.memory),
            gauge("cpu_limit", "ns", usage.cpu),
            gauge("output_limit", "B", usage.output),
            gauge("max_process_inject", "count", usage.inject),
            gauge("state_limit", "B", usage.state),
        ]
    }

    /// What the script printed goes to our log.
    fn log_prints(&mut self, name: &str) {
        let (lines, dropped) = self.sandbox.take_log();
        for line in lines {
            log::info!(target: name, "{line}");
        }
        if dropped > 0 {
            log::info!(target: name, "({dropped} more printed lines)");
        }
    }
}
