//! What lies between bytes and messages: splitters cut streams into records, decoders make
//! messages of records, transforms change messages before they are routed, encoders make bytes of
//! messages again. All of it is pure: no file, no socket, no clock but the one handed in.

pub mod decoders;
pub mod encoders;
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
