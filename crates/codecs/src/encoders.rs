use plugin::Kind;

pub const KINDS: &[&Kind] = &[];
