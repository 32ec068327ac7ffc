use plugin::Kind;

pub const KINDS: &[&Kind] = &[];
pub const PRESETS: &[&plugin::Preset] = &[];
