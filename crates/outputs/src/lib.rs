//! Where messages go: one file an output.
//!
//! An output gives a verdict on every message it is offered, and nothing else: it does not retry,
//! queue or count deliveries, because the engine does that for all of them. What it may do is
//! wait for the world, as long as its own timeout and, once a stop was asked for, only for a
//! short grace ([`patience`]).

use plugin::Kind;

mod connect;
pub mod file;
pub mod http;
pub mod null;
mod patience;
mod peer;
mod resolve;
pub mod stdout;
pub mod tcp;
pub mod udp;
pub mod unix;

pub const KINDS: &[&Kind] = &[&file::KIND, &http::KIND, &null::KIND, &stdout::KIND, &tcp::KIND, &udp::KIND, &unix::KIND];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_this_crate_that_declares_a_kind_is_listed() {
        let mut kinds = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") && std::fs::read_to_string(&path).unwrap().contains("\npub const KIND:") {
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(KINDS.iter().any(|k| k.name == name), "{name} is missing from KINDS");
                kinds += 1;
            }
        }
        assert_eq!(kinds, KINDS.len());
    }
}
