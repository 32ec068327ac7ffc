//! Where things are, and how the program is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's directory.
pub fn root() -> &'static Path {
    // Two above this crate.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."))
}

/// Cargo's directory for what is built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo` with arguments, in the workspace.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Builds the released program.
///
/// # Errors
/// When it does not build.
pub fn build_nilo() -> Result<PathBuf> {
    let status = cargo(&["build", "--release", "--package", "nilometer"]).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("nilo does not build");
    }
    Ok(target().join("release/nilo"))
}
