//! From a path to a plan, and whether what it was made of changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::{Config, Plan};
use options::Problem;
use plugin::Registry;

/// Where a plan comes from.
pub struct Source {
    /// A file or a directory of files.
    pub path: PathBuf,
    /// What the command line says of `state` in `[nilo]`.
    pub state: Option<PathBuf>,
    pub registry: Registry,
}

/// More of a file is not looked at; the engine reads no more either.
const MAX_FILE: u64 = 4 << 20;

impl Source {
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn plan(&self) -> Result<Plan, Vec<Problem>> {
        let plan = Plan::new(&Config::load(&self.path)?, &self.registry)?;
        Ok(match &self.state {
            Some(dir) => plan.with_state(dir.clone()),
            None => plan,
        })
    }

    /// A number that is another one when the content of the configuration is.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in self.files() {
            let mut content = Vec::new();
            let read = std::fs::File::open(&file).and_then(|f| f.take(MAX_FILE).read_to_end(&mut content));
            (file, read.is_ok(), content).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return vec![self.path.clone()] };
        let toml = |p: &Path| p.extension().is_some_and(|x| x == "toml");
        let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| toml(p)).collect();
        files.sort();
        files
    }
}
