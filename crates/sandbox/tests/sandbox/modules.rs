use std::fs;

use sandbox::SandboxConfig;

use crate::support::*;

fn modules(files: &[(&str, &str)]) -> (tempfile::TempDir, SandboxConfig) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let config = SandboxConfig { module_path: Some(dir.path().join("m")), ..config() };
    (dir, config)
}

#[test]
fn modules_are_found_below_the_module_path() {
    let (_dir, config) = modules(&[
        ("m/a.lua", "local M = {} function M.f() return 'a' end return M"),
        ("m/sub/b.lua", "local a = require 'a' return {g = function() return a.f() .. 'b' end}"),
        ("m/none.lua", "x = ..."),
    ]);
    let mut sandbox = load_with(
        &config,
        "local b = require 'sub.b' assert(require 'sub.b' == b and require 'none' == true and x == 'none')
        assert(require 'math' == math and require 'string' == string and require 'table'.concat and require 'os'.time)
        function process_message() assert(b.g() == 'ab') return 0 end",
    );
    call(&mut sandbox).unwrap();
    let files = sandbox.files();
    assert_eq!(files.iter().map(|f| f.path.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), ["b.lua", "a.lua", "none.lua"]);
    let again = load_with(&config, "require 'a' function process_message() return 0 end");
    assert_eq!(again.files()[0].hash, files[1].hash);
    assert_ne!(files[0].hash, files[1].hash);
}

#[test]
fn modules_of_5_1_work() {
    let (_dir, config) = modules(&[
        (
            "m/old.lua",
            "local assert = assert module(...) count = 0 function inc() count = count + 1 return count end assert(_NAME == 'old')",
        ),
        ("m/seen.lua", "module('seen', package.seeall) function f() return tostring(1) end"),
        ("m/env.lua", "local M = {} local type = type setfenv(1, M) function kind(x) return type(x) end return M"),
        ("m/p/q.lua", "module(...) name = _NAME package = _PACKAGE"),
    ]);
    let mut sandbox = load_with(
        &config,
        "local old = require 'old' require 'seen' local env = require 'env' require 'p.q'
        assert(inc == nil and kind == nil and _G.old == old and package.loaded.old == old)
        function process_message() assert(old.inc() == 1 and old.count == 1 and seen.f() == '1' and env.kind(1) == 'number' and p.q.name == 'p.q' and p.q.package == 'p.') return 0 end",
    );
    call(&mut sandbox).unwrap();
}

#[test]
fn nothing_else_is_found() {
    let (_dir, config) = modules(&[
        ("secret.lua", "return 1"),
        ("m/code.lua", "\x1bLua"),
        ("m/bad.lua", "\nx = = 1"),
        ("m/close.lua", "\nlocal x <close> = 1"),
        ("m/loop.lua", "require 'loop'"),
        ("m/fails.lua", "\nerror 'no'"),
    ]);
    let big = "-".repeat(300_000);
    fs::write(config.module_path.as_ref().unwrap().join("big.lua"), big).unwrap();
    let error = |name: &str| fails(&mut load_with(&config, &body(&format!("require({name})")))).message;
    for name in ["'../secret'", "'..secret'", "'/etc/passwd'", "'a/b'", "'a\\0b'", "''", "'.'", "'x.'", "('x'):rep(300)"] {
        assert!(error(name).contains("a module name is made of"), "{name}: {}", error(name));
    }
    assert!(error("'nowhere'").contains("module 'nowhere' not found:\n\tno file '"));
    assert!(error("'code'").contains("bytecode"));
    assert!(error("'big'").contains("at most 262144"));
    assert!(error("'bad'").starts_with("bad.lua:2: unexpected symbol"));
    assert!(error("'close'").starts_with("close.lua:2: <close>"));
    assert!(error("'loop'").contains("loop or previous error loading module 'loop'"));
    assert!(error("'fails'").starts_with("fails.lua:2: no"));
    assert!(error("nil").contains("bad argument #1 to 'require'"));
    assert!(error_of("require 'x'").contains("this sandbox has no module_path"));
}
