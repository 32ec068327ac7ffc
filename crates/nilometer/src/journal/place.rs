use std::path::{Path, PathBuf};

use engine::stored::Stopped;
use engine::{Config, Plan};

use crate::Failure;
use crate::registry::registry;

/// Which state directory is meant.
#[derive(clap::Args)]
pub struct Place {
    /// The configuration; its `state` in [nilo] tells where the journal is.
    #[arg(required_unless_present = "state")]
    path: Option<PathBuf>,
    /// The state directory.
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    state: Option<PathBuf>,
}

/// A state directory with a journal in it.
pub struct Found {
    pub state: PathBuf,
    pub journal: PathBuf,
    /// Plugins by name, if there is a sound configuration at hand.
    configured: Option<Vec<String>>,
}

impl Place {
    /// # Errors
    /// When the configuration names no state directory, or there is no journal in it.
    pub fn find(&self) -> Result<Found, Failure> {
        let (state, configured) = match (&self.state, &self.path) {
            (Some(state), _) => (state.clone(), None),
            (None, path) => configured(path.as_deref().unwrap_or(Path::new("")))?,
        };
        let journal = state.join("journal");
        match journal.is_dir() {
            true => Ok(Found { state, journal, configured }),
            false => Err(Failure::Failed(format!(
                "{} has no journal in it: expected the directory that is `state` in [nilo], or --state of `nilo run`",
                state.display()
            ))),
        }
    }
}

fn configured(path: &Path) -> Result<(PathBuf, Option<Vec<String>>), Failure> {
    let config = Config::load(path)?;
    let state = config.globals.get_path("state");
    let state = state.ok_or_else(|| format!("{} sets no `state` in [nilo]: say --state DIR as for `nilo run`", path.display()))?;
    // The journal can be looked at with a configuration that is broken.
    let plan = Plan::new(&config, &registry()).ok();
    Ok((state.to_path_buf(), plan.map(|plan| plan.plugins().map(|(name, _)| name.to_string()).collect())))
}

impl Found {
    /// Whether the configuration has this plugin; not known without one.
    pub fn has(&self, name: &str) -> Option<bool> {
        self.configured.as_ref().map(|names| names.iter().any(|n| n == name))
    }

    /// Holds the state directory, so that nothing moves.
    ///
    /// # Errors
    /// When an instance runs.
    pub fn stopped(&self) -> Result<Stopped, Failure> {
        Ok(Stopped::open(&self.state)?)
    }
}
