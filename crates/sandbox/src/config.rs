//! What a sandbox is made from.

use std::path::PathBuf;

use crate::Limits;

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
    pub family: Family,
    /// `Hostname` of what is injected.
    pub hostname: String,
    /// `Pid` of injected messages that set none; 0 leaves it unset.
    pub pid: i32,
    /// The time while the script loads, in nanoseconds since the UNIX epoch; calls bring their own.
    pub now_ns: i64,
}
