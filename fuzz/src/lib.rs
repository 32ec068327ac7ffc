//! Runs the fuzz targets of `testkit::fuzz` against the plugins the program is built with.

use std::sync::OnceLock;

use plugin::Registry;

/// Runs a target on one input.
///
/// # Panics
/// When the target finds something.
pub fn run(target: &str, data: &[u8]) {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| {
        let listed = [inputs::KINDS, filters::KINDS, outputs::KINDS].into_iter().flatten().copied();
        Registry::new(codecs::kinds().chain(listed), codecs::PRESETS.iter().copied())
    });
    testkit::fuzz::run(target, registry, data);
}
