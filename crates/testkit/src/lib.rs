//! What the tests of every room share: doubles for the engine's side of the contract, and builders
//! of plugins from a few lines of TOML. A dev-dependency only.

pub mod deliver;
pub mod intake;
pub mod plugins;
