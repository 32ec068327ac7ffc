//! A double of the engine that records what an input under test reads.
