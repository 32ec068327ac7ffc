use std::path::PathBuf;

use crate::{Clock, Nested};

/// What a plugin may know while it is built. Building touches nothing outside: no socket is
/// opened and no file written before the plugin runs, so that `nilo check` can build everything.
#[derive(Clone, Debug)]
pub struct BuildCx {
    /// The plugin's name in the configuration, such as `access` of `[input.access]`.
    pub name: String,
    /// Name of this host, for messages that carry none.
    pub hostname: String,
    pub clock: Clock,
    /// Directory in which scripts' `require` finds modules, unless the plugin says otherwise.
    pub module_path: Option<PathBuf>,
    /// True when the plugin will be dropped unused: `nilo check`.
    pub check_only: bool,
    /// The plugins it names in its options, in their order, see [`crate::Kind::nests`].
    pub nested: Vec<Nested>,
}
