//! `nilo run` on a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::Process;

/// A directory with a configuration, and the program that runs it.
#[derive(Debug)]
pub struct Daemon {
    nilo: PathBuf,
    dir: PathBuf,
    process: Option<Process>,
    /// Removes the directory; dropped after the process.
    _temporary: Option<TempDir>,
}

impl Daemon {
    /// A fresh directory; nothing runs yet.
    ///
    /// # Errors
    /// When no directory can be made.
    pub fn new(nilo: &Path) -> Result<Daemon> {
        let dir = TempDir::with_prefix("nilo-")?;
        Ok(Daemon { nilo: nilo.to_path_buf(), dir: dir.path().to_path_buf(), process: None, _temporary: Some(dir) })
    }

    /// In a directory that is emptied first and stays; nothing runs yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn within(nilo: &Path, dir: &Path) -> Result<Daemon> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Daemon { nilo: nilo.to_path_buf(), dir: dir.to_path_buf(), process: None, _temporary: None })
    }

    /// A path below the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file in place, as an editor does that truncates and writes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// Writes a file beside it and renames it over, as a careful editor does.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        self.write(".new", text)?;
        fs::rename(self.path(".new"), self.path(name)).with_context(|| format!("cannot replace {name}"))
    }

    /// Writes the configuration; `{dir}` in it is the directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn configure(&self, toml: &str) -> Result<()> {
        self.replace("nilo.toml", &toml.replace("{dir}", &self.dir.display().to_string()))
    }

    /// Starts the program. What it says goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log = self.log()?;
        self.start_into(log)
    }

    /// As [`Daemon::start`], with its standard output elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn start_into(&mut self, stdout: impl Into<Stdio>) -> Result<()> {
        let mut command = Command::new(&self.nilo);
        command.arg("run").arg(self.path("nilo.toml")).stdout(stdout).stderr(self.log()?);
        self.process = Some(Process::spawn(&mut command)?);
        Ok(())
    }

    fn log(&self) -> Result<File> {
        Ok(File::options().create(true).append(true).open(self.path("log"))?)
    }

    /// The running program.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("nilo does not run")
    }

    /// Hands the running program over, to be waited for.
    ///
    /// # Errors
    /// When it does not run.
    pub fn take_process(&mut self) -> Result<Process> {
        self.process.take().context("nilo does not run")
    }

    /// Polls until `done` says something.
    ///
    /// # Errors
    /// When it says nothing within `limit` or the program ends; with the end of its log.
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = done() {
                return Ok(value);
            }
            if self.process.as_mut().is_some_and(Process::ended) {
                bail!("nilo ended while waiting for {what}\n{}", self.log_end());
            }
            if Instant::now() > deadline {
                bail!("no {what} within {limit:?}\n{}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not stop, or says it failed.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.take_process()?.stop(Duration::from_secs(30))?;
        if !status.success() {
            bail!("nilo ended with {status}\n{}", self.log_end());
        }
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.take_process()?.kill()
    }

    /// The last lines it said.
    pub fn log_end(&self) -> String {
        let text = fs::read(self.path("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
