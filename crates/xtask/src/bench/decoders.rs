//! Decoders beside the decoder `regex` with an expression for the same values: lines in memory, one
//! process each. Which there are is said by the example `decoders` of their crate.

use anyhow::{Context, Result};

use super::Settings;
use super::contender::Contender;
use super::example;

/// The decoder that others of a line are compared with.
const FLOOR: &str = "regex";

/// One table for each kind of line.
pub fn lines(_: &Settings) -> Result<Vec<Contender>> {
    let program = example::build("codecs", "decoders")?;
    let row = |title: &str| {
        let (group, name) = title.split_once(": ").with_context(|| format!("no group in {title:?}"))?;
        let (program, argument) = (program.clone(), title.to_string());
        let contender = Contender::new(name, move || example::values(&program, &[&argument])).of(group);
        Ok(if name == FLOOR { contender.floor() } else { contender })
    };
    example::output(&program, &[])?.lines().map(row).collect()
}
