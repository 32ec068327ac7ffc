//! What the tests of every room share: doubles for the engine's side of the contract, builders of
//! plugins from a few lines of TOML, the contract itself as tests that run over any list of
//! plugins ([`conformance`]), and the bodies of the fuzz targets ([`fuzz`]). A dev-dependency only.

pub mod answering;
pub mod certificates;
pub mod conformance;
pub mod deliver;
pub mod descriptors;
pub mod fuzz;
pub mod garbage;
pub mod intake;
pub mod mmdb;
pub mod oracle;
pub mod plugins;
