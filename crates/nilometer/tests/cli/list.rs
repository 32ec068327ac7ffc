//! `nilo list`, `nilo new` and `nilo completions`.

use std::collections::BTreeSet;

use crate::nilo::Dir;

/// All plugins by their full names.
fn kinds(dir: &Dir) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(&dir.nilo(["list", "--json"]).ok()).unwrap();
    let name = |k: &serde_json::Value| format!("{}.{}", k["family"].as_str().unwrap(), k["name"].as_str().unwrap());
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn the_overview_names_every_family_and_kind() {
    let dir = Dir::with(&[]);
    let list = dir.nilo(["list"]).ok();
    for word in ["input\n", "  tail ", "filter\n", "  lua ", "  nginx ", "output\n"] {
        assert!(list.contains(word), "{word:?} is missing: {list}");
    }
    let inputs = dir.nilo(["list", "input"]).ok();
    assert!(inputs.contains("  tail ") && !inputs.contains("stdout"), "{inputs}");
    let families: BTreeSet<String> = kinds(&dir).iter().map(|k| k.split('.').next().unwrap().to_string()).collect();
    assert_eq!(families.len(), 7);
}

#[test]
fn a_plugin_is_described_with_its_options() {
    let dir = Dir::with(&[]);
    let tail = dir.nilo(["list", "input.tail"]).ok();
    for word in ["Follows files", "paths (list of paths, required)", "from (start | end, default \"start\")", "decoder (string", "Example:"]
    {
        assert!(tail.contains(word), "{word:?} is missing: {tail}");
    }
    assert!(dir.nilo(["list", "decoder.log_format"]).ok().contains("Well-known as \"nginx\""));
    assert!(dir.nilo(["list", "nilo"]).ok().contains("max_hops (integer, default 4)"));
    assert!(dir.nilo(["list", "input.tial"]).failed(2).contains("input.tail"), "the nearest name is offered");
}

#[test]
fn a_script_of_the_library_is_described_like_a_plugin() {
    let dir = Dir::with(&[]);
    let script = dir.nilo(["list", "filter.http_status"]).ok();
    for word in
        ["Graphs the responses", "rows (integer, default 1440)", "alert_throttle (duration, default \"1h\")", "Sample\n\n  [filter."]
    {
        assert!(script.contains(word), "{word:?} is missing: {script}");
    }
    assert!(dir.nilo(["list", "decoder"]).ok().contains("  nginx_error            Reads the error log of nginx. (in Lua)\n"));
    let json: serde_json::Value = serde_json::from_str(&dir.nilo(["list", "http_status", "--json"]).ok()).unwrap();
    assert!(json["sample"].as_str().unwrap().contains("type = \"http_status\""), "{json}");
}

#[test]
fn what_new_writes_is_accepted_by_check() {
    let table = "host,owner,team\na,b,c\n";
    let dir = Dir::with(&[("filters/errors.lua", "function process_message() return 0 end\n"), ("hosts.csv", table)]);
    dir.write("events.desc", testkit::descriptors::descriptor_set());
    dir.write("GeoLite2-City.mmdb", testkit::mmdb::database(&[]));
    for kind in kinds(&dir) {
        // A script that does for both.
        if kind == "transform.lua" {
            dir.write("filters/errors.lua", "function process_message() return 0 end\nfunction transform() end\n");
        }
        let skeleton = dir.nilo(["new", &kind, "mine"]).ok();
        assert!(skeleton.contains(&format!("[{}.mine]", kind.split('.').next().unwrap())), "{skeleton}");
        dir.write("nilo.toml", &skeleton);
        let outcome = dir.nilo(["check", "nilo.toml"]);
        assert_eq!(outcome.code, Some(0), "{kind}: {}\n{skeleton}", outcome.stderr);
    }
}

#[test]
fn what_is_commented_out_is_accepted_too() {
    let dir = Dir::with(&[]);
    dir.write("nilo.toml", dir.nilo(["new", "nilo"]).ok().replace("# state", "state").replace("# workers", "workers"));
    dir.nilo(["check", "nilo.toml"]).ok();
    let tail: String = dir.nilo(["new", "input.tail"]).ok();
    let options = tail.lines().map(|l| l.strip_prefix("# ").filter(|l| l.contains(" = ") && !l.ends_with(')')).unwrap_or(l));
    let all: String = options.filter(|l| !l.starts_with("decoder") && !l.starts_with("transform")).map(|l| format!("{l}\n")).collect();
    assert!(all.contains("\nonce = false\n"), "{all}");
    dir.write("nilo.toml", &all);
    dir.nilo(["check", "nilo.toml"]).ok();
}

#[test]
fn shells_complete_commands_and_plugins() {
    let dir = Dir::with(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.nilo(["completions", shell]).ok();
        // Fish's generator leaves values of arguments without a dash to the shell.
        assert!(script.contains("once") && (shell == "fish" || script.contains("input.tail")), "{shell}: {script}");
    }
    assert!(dir.nilo(["completions", "csh"]).failed(2).contains("possible values"));
}

#[test]
fn exit_codes_are_documented() {
    let help = Dir::with(&[]).nilo(["--help"]).ok();
    for code in ["0 ", "1 ", "2 ", "3 ", "130 "] {
        assert!(help.contains(&format!("\n  {code}")), "{code} is missing: {help}");
    }
}
