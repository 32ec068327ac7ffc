//! What continuous integration does, in its order.

use anyhow::{Context, Result};

use crate::workspace::cargo;

const STEPS: &[&[&str]] =
    &[&["fmt", "--check"], &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &["test", "--workspace"]];

/// Runs every step until one fails; returns the exit code.
///
/// # Errors
/// When cargo cannot be run.
pub fn validate() -> Result<i32> {
    for step in STEPS {
        eprintln!("cargo {}", step.join(" "));
        let status = cargo(step).status().context("cannot run cargo")?;
        if !status.success() {
            return Ok(status.code().unwrap_or(1));
        }
    }
    Ok(0)
}
