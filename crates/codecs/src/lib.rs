//! What lies between bytes and messages: splitters cut streams into records, decoders make
//! messages of records, transforms change messages before they are routed, encoders make bytes of
//! messages again. All of it is pure: no file, no socket, no clock but the one handed in.

mod constants;
mod container;
pub mod decoders;
pub mod encoders;
mod json;
mod labels;
mod lanes;
mod number;
mod pattern;
pub mod severity;
pub mod splitters;
pub mod time;
pub mod transforms;

use plugin::{Kind, Preset};

/// Every kind of this crate.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    [splitters::KINDS, decoders::KINDS, transforms::KINDS, encoders::KINDS].into_iter().flatten().copied()
}

/// Well-known configurations of these kinds.
pub const PRESETS: &[&Preset] = decoders::PRESETS;

#[cfg(test)]
mod tests {
    #[test]
    fn every_example_is_a_valid_configuration() {
        for kind in super::kinds() {
            assert!(!kind.summary.is_empty() && !kind.doc.is_empty(), "{kind:?} is not described");
            for example in kind.examples {
                let built = testkit::plugins::options(kind, example.toml);
                assert!(built.is_ok(), "{kind:?}, {}: {}", example.title, built.err().unwrap_or_default());
            }
        }
    }
}
