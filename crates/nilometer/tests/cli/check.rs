//! `nilo check` over broken configurations: `tests/golden/*.toml`, what it says in `*.stderr`
//! beside them. `UPDATE_GOLDEN=1 cargo test -p nilometer golden` writes those anew.

use std::path::{Path, PathBuf};

use crate::nilo::{Dir, nilo_in};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn goldens() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden_dir()).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|x| x == "toml")).collect();
    files.sort();
    files
}

#[test]
fn golden_texts() {
    let mut differ = Vec::new();
    for toml in goldens() {
        let said = nilo_in(&golden_dir(), ["check".as_ref(), toml.file_name().unwrap()]).stderr;
        let golden = toml.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            differ.push(format!("{}\n--- expected\n{expected}\n--- said\n{said}", toml.display()));
        }
    }
    assert!(differ.is_empty(), "UPDATE_GOLDEN=1 accepts these:\n{}", differ.join("\n"));
}

#[test]
fn every_error_names_its_place_and_the_fix() {
    assert!(goldens().len() > 20);
    for toml in goldens() {
        let name = toml.file_name().unwrap().to_str().unwrap();
        let outcome = nilo_in(&golden_dir(), ["check", name]);
        if name == "warnings.toml" {
            assert!(outcome.stderr.matches("warning: ").count() == 3 && outcome.code == Some(0), "{outcome:?}");
            continue;
        }
        assert_eq!((outcome.code, &*outcome.stdout), (Some(3), ""), "{name}");
        let errors: Vec<&str> = outcome.stderr.split("error: ").skip(1).collect();
        assert!(!errors.is_empty(), "{name}");
        for error in errors {
            let place = error.split_once("--> ").unwrap_or_else(|| panic!("{name}: no place: {error}")).1.lines().next().unwrap();
            let numbers = place.strip_prefix(&format!("{name}:")).unwrap_or_else(|| panic!("{name}: {place}"));
            assert!(numbers.split(':').count() == 2 && numbers.split(':').all(|n| n.parse::<u32>().is_ok()), "{place}");
            assert!(["expected", "help:", "must be"].iter().any(|fix| error.contains(fix)), "{name}: no fix: {error}");
        }
    }
}

#[test]
fn everything_is_said_at_once() {
    let said = nilo_in(&golden_dir(), ["check", "everything_at_once.toml"]).failed(3);
    for each in ["polll", "ngnix", "malformed matcher", "often", "stdot", "does not load", "6 errors"] {
        assert!(said.contains(each), "{each} is missing: {said}");
    }
}

#[test]
fn a_sound_configuration_is_ok_and_untouched() {
    let config = "[nilo]\nstate = 'state'\n[input.in]\ntype = 'tcp'\nlisten = '127.0.0.1:1'\n\
                  [output.out]\ntype = 'file'\ndir = 'logs'\nmatch = 'TRUE'\n";
    let dir = Dir::with(&[("nilo.toml", config)]);
    assert_eq!(dir.nilo(["check", "nilo.toml"]).ok(), "ok: 1 input, 0 filters, 1 output\n");
    assert!(!dir.path("state").exists() && !dir.path("logs").exists(), "checking has no side effects");
}

#[test]
fn a_directory_is_one_configuration() {
    let dir = Dir::with(&[
        ("conf/10-in.toml", "[input.in]\ntype = 'stdin'\n"),
        ("conf/20-out.toml", "[output.out]\ntype = 'stdout'\nfrom = 'input.in'\n"),
        ("conf/notes.txt", "not read"),
    ]);
    assert_eq!(dir.nilo(["check", "conf"]).ok(), "ok: 1 input, 0 filters, 1 output\n");
    dir.write("conf/30-in.toml", "[input.in]\ntype = 'stdin'\n");
    let said = dir.nilo(["check", "conf"]).failed(3);
    assert!(said.contains("[input.in] is defined twice") && said.contains("conf/30-in.toml:1:8"), "{said}");
    assert!(dir.nilo(["check", "nowhere"]).failed(3).contains("cannot read nowhere"));
}
