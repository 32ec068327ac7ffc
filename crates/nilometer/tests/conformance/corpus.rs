//! What fuzzing found, and what it starts from, again. Fuzzing itself is run by hand: see
//! `fuzz/README.md`.

use std::fs;
use std::path::Path;

use testkit::fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let registry = super::registry();
    for (target, body) in TARGETS {
        let dir = corpus.join(target);
        let mut names: Vec<_> =
            fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())).map(|e| e.unwrap().path()).collect();
        names.sort();
        assert!(!names.is_empty(), "{target} has no corpus");
        for name in names {
            let data = fs::read(&name).unwrap();
            let outcome = std::panic::catch_unwind(|| body(&registry, &data));
            assert!(outcome.is_ok(), "{} is not survived", name.display());
        }
    }
}

#[test]
fn every_target_is_a_program() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (target, _) in TARGETS {
        let program = fs::read_to_string(fuzz.join("fuzz_targets").join(format!("{target}.rs"))).unwrap();
        assert!(program.contains(&format!("\"{target}\"")), "{target}.rs runs another target");
    }
}
