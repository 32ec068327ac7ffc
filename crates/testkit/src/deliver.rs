//! A double of the engine that an output under test delivers for.
