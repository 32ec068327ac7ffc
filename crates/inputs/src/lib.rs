//! Where messages come from: one file an input.

use plugin::Kind;

pub const KINDS: &[&Kind] = &[];
