//! What a sandbox is made from.

use std::path::PathBuf;

use crate::{Api, Limits};

/// A script's text and where it came from.
#[derive(Clone, Debug)]
pub struct Script {
    /// For messages: they show the file's name.
    pub path: PathBuf,
    /// Lua text of at most 256 KiB.
    pub source: Vec<u8>,
}

impl Script {
    pub fn new(path: impl Into<PathBuf>, source: impl Into<Vec<u8>>) -> Script {
        Script { path: path.into(), source: source.into() }
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A value that `read_config` returns.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    String(String),
    Integer(i64),
    Number(f64),
    Bool(bool),
    /// An array of a table of its own: counted from 1 by the script.
    List(Vec<ConfigValue>),
    Table(Vec<(String, ConfigValue)>),
}

/// What a script may reach outside of its sandbox. Only inputs and outputs are granted anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grants {
    /// The `io` library but for `io.popen`, and `os.getenv`, `os.remove`, `os.rename` and `os.tmpname` (`allow = ["io"]`).
    pub io: bool,
    /// `os.execute` and `io.popen` (`allow = ["exec"]`).
    pub exec: bool,
}

/// The plugin family a script serves as; some functions exist for some families only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Family {
    Input,
    Decoder,
    Transform,
    #[default]
    Filter,
    Encoder,
    Output,
}

#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    /// The plugin's name: `Logger` of what a filter injects.
    pub name: String,
    pub limits: Limits,
    /// What `read_config` finds.
    pub config: Vec<(String, ConfigValue)>,
    /// Directory of the text modules that `require` finds.
    pub module_path: Option<PathBuf>,
    /// Modules that `require` finds besides.
    pub modules: &'static [&'static crate::native::Module],
    pub family: Family,
    /// Whose rules hold where Heka and Hindsight differ.
    pub api: Api,
    pub grants: Grants,
    /// Whether `Logger` and `Hostname` of what is injected, and with Hindsight's API `Pid`, are forced rather than filled in where unset.
    /// Not given: for filters.
    pub restricted_headers: Option<bool>,
    /// How many filters a message's ancestry may go through; 0: whoever calls sees to it.
    pub max_hops: u8,
    /// `Hostname` of what is injected.
    pub hostname: String,
    /// `Pid` of injected messages that set none; 0 leaves it unset.
    pub pid: i32,
    /// Whether the lines that run are recorded, for [`Sandbox::coverage`](crate::Sandbox::coverage): calls take twice as long.
    pub coverage: bool,
    /// The time while the script loads, in nanoseconds since the UNIX epoch; calls bring their own.
    pub now_ns: i64,
}
