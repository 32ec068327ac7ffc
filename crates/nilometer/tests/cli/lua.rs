//! `nilo lua`: the tools of those who write scripts.

use std::path::{Path, PathBuf};

use crate::nilo::{Dir, nilo_in};

const COUNT: &str = "--- Counts errors.\n--@family filter\n--@every 60s\n--@option threshold integer 500 From here on.\n\
    local threshold = read_config('threshold')\ncount = 0\n\
    function process_message()\n    local status = read_message('Fields[status]')\n    if not status then\n        return -1, 'no status'\n    end\n    \
    if status >= threshold then\n        count = count + 1\n    end\n    if status == 999 then\n        error('boom')\n    end\n    print('seen', status)\n    return 0\nend\n\
    function timer_event(ns, last)\n    inject_message { Type = last and 'last' or 'tick', Fields = { n = count, size = { value = 5, representation = 'B' } } }\nend\n";

const COUNT_TEST: &str = r#"
test("counts by the threshold", function()
    script { config = { threshold = 400 } }
    equal(feed { Fields = { status = 404 } }, 0)
    feed { Fields = { status = 200 } }
    equal(printed(), { "seen\t404", "seen\t200" })
    advance("59s")
    equal(injected(), {})
    advance("1s")
    local out = injected()
    equal(#out, 1)
    equal(out[1].Type, "heka.sandbox.tick")
    equal(out[1].Fields, { n = 1, size = 5 })
    equal(out[1].Representations, { size = "B" })
    equal(now(), 1704067260000000000)
end)

test("each test begins anew, and a reload does not", function()
    equal({ feed {} }, { -1, "no status" })
    feed { Fields = { status = 500 } }
    reload()
    tick(5)
    shutdown()
    local out = injected()
    equal(out[1].Fields.n, 1)
    matches(out[2].Type, "last$")
end)

test("failures are told", function()
    equal(fails(function() feed { Fields = { status = 999 } } end), "count.lua:16: boom")
    fails(function() feed { Tipe = "x" } end, "a message has no `Tipe`")
    fails(function() script { memory = 1 } end, "no option `memory`")
    fails(function() script { config = { treshold = 1 } } end, "did you mean `threshold`")
    fails(function() feed {} end, "no script is loaded")
end)
"#;

#[test]
fn tests_run_and_tell_what_they_found() {
    let dir = Dir::with(&[("count.lua", COUNT), ("count_test.lua", COUNT_TEST)]);
    let said = dir.nilo(["lua", "test", "count.lua"]).ok();
    assert_eq!(said.matches("  ok      ").count(), 3, "{said}");
    assert!(said.contains("messages, ") && said.contains(" ns of CPU each, ") && said.ends_with("3 tests in 1 file, 0 failed\n"), "{said}");
    let covered = dir.nilo(["lua", "test", ".", "--coverage"]).ok();
    assert!(covered.contains("  100% of 14 lines covered\n"), "{covered}");
    let part = dir.nilo(["lua", "test", ".", "--coverage", "--only", "by the threshold"]).ok();
    assert!(part.contains("not covered: 10, 16\n") && part.contains("1 test in 1 file, 0 failed"), "{part}");
}

#[test]
fn failures_say_where_and_what_was_wanted() {
    let test = "test('tables', function() equal({ a = { 1, 2, 'x' } }, { a = { 1, 3, 'x' } }, 'just so') end)\n\
        test('truth', function() expect(nil, 'nothing there') end)\n\
        test('text', function() matches('abc', '^%d') end)\n\
        test('no failure', function() fails(function() end) end)\n\
        test('of the script', function() feed { Fields = { status = 999 } } end)\n\
        test('of the test', function() nope() end)\n\
        test('fine', function() equal(0/0, 0/0) equal({1}, {1.0}) end)\n";
    let dir = Dir::with(&[("count.lua", COUNT), ("count_test.lua", test)]);
    let outcome = dir.nilo(["lua", "test", "count_test.lua"]);
    for line in [
        "count_test.lua:1: at a[2]: got 2, wanted 3 (just so)",
        "count_test.lua:2: nothing there: got nil",
        "count_test.lua:3: got \"abc\", wanted a match of \"^%d\"",
        "count_test.lua:4: it did not fail",
        "count_test.lua:5: count.lua:16: boom",
        "count_test.lua:6: attempt to call a nil value (global 'nope')",
        "7 tests in 1 file, 6 failed",
    ] {
        assert!(outcome.stdout.contains(line), "{line} is missing: {outcome:?}");
    }
    assert_eq!(outcome.failed(1), "nilo: 6 tests failed\n");
}

#[test]
fn a_test_script_that_cannot_run_fails() {
    let broken = |test: &str| {
        let outcome = Dir::with(&[("x_test.lua", test)]).nilo(["lua", "test", "."]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        outcome.stdout
    };
    assert!(broken("test('a', function()").contains("x_test.lua:1: "));
    assert!(broken("local x = 1").contains("it has no test"));
    assert!(broken("test('a', function() feed {} end)").contains("cannot read ./x.lua"));
    let dir = Dir::with(&[("plain.lua", "")]);
    assert!(dir.nilo(["lua", "test", "."]).failed(1).contains("there is no file *_test.lua"));
    assert!(dir.nilo(["lua", "test", "plain.lua"]).failed(1).contains("plain_test.lua: there is no such file"));
}

#[test]
fn scripts_of_every_family_are_tested() {
    let decoder = "--@family decoder\nfunction process_message()\n local k, v = read_message('Payload'):match('(%w+)=(%d+)')\n\
        if not k then return -1 end\n if k == 'two' then inject_message { Type = 'a' } inject_message { Type = 'b' } else write_message('Fields[' .. k .. ']', tonumber(v)) end\n return 0 end";
    let decoder_test = "test('d', function() equal(feed 'x=5', 0) equal(injected()[1].Fields.x, 5) equal(feed 'nonsense', -1) equal(#injected(), 0)\n\
        feed { Payload = 'two=2', Hostname = 'h' } local out = injected() equal(#out, 2) equal(out[2].Type, 'b') equal(out[2].Hostname, 'h') end)";
    let encoder = "--@family encoder\nfunction process_message() if read_message('Type') == 'no' then return -2 end inject_payload('txt', '', read_message('Payload'), '!') return 0 end";
    let encoder_test =
        "test('e', function() feed { Payload = 'x' } equal(encoded(), 'x!') equal(feed { Type = 'no' }, -2) equal(encoded(), nil) end)";
    let output = "--@family output\nfunction process_message(n) if n == 2 then return -3, 'later' end if n == 3 then update_checkpoint(n) end return 0 end";
    let output_test =
        "test('o', function() equal(feed {}, 0) equal({ feed {} }, { -3, 'later' }) feed {} equal({ confirmed() }, { 3, 0 }) end)";
    let input = "--@family input\nfunction process_message(c) inject_message({ Payload = tostring(c) }, 7) return 0 end";
    let input_test = "test('i', function() feed() equal(injected()[1].Payload, 'nil') equal(checkpoint(), 7) feed(checkpoint()) equal(injected()[1].Payload, '7') end)";
    let dir = Dir::with(&[
        ("d.lua", decoder),
        ("d_test.lua", decoder_test),
        ("e.lua", encoder),
        ("e_test.lua", encoder_test),
        ("sub/o.lua", output),
        ("sub/o_test.lua", output_test),
        ("sub/i.lua", input),
        ("sub/i_test.lua", input_test),
    ]);
    let said = dir.nilo(["lua", "test", "."]).ok();
    assert!(said.ends_with("4 tests in 4 files, 0 failed\n"), "{said}");
}

#[test]
fn scripts_shipped_with_the_project_hold_what_their_tests_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let outcome = nilo_in(&root, ["lua", "test", "sandboxes"]);
    assert!(outcome.code == Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    nilo_in(&root, ["lua", "check", "sandboxes", "examples"]).ok();
}

#[test]
fn a_script_of_the_library_is_used_copied_and_changed() {
    let config = "[input.in]\ntype = 'tail'\npaths = 'error.log'\nonce = true\ndecoder = 'nginx_error'\n\
        [filter.new]\ntype = 'new_errors'\nmatch = 'Type == \"nginx.error\"'\nframes = 0\n\
        [output.out]\ntype = 'stdout'\nfrom = 'filter.new'\nencoder = 'payload'\n";
    let line = "2024/01/02 03:04:05 [error] 12#34: *56 upstream timed out, client: 192.0.2.1, server: a\n";
    let dir = Dir::with(&[("nilo.toml", config), ("error.log", line)]);
    dir.append("error.log", &line.replace("56", "78"));
    dir.append("error.log", &line.replace("timed out", "refused"));
    assert_eq!(dir.nilo(["run", "nilo.toml"]).ok(), "upstream timed out\nupstream refused\n");
    assert!(dir.nilo(["lua", "copy", "filter.new_errors", "mine"]).ok().contains("wrote mine/new_errors.lua"));
    assert!(dir.nilo(["lua", "copy", "filter.new_errors", "mine"]).failed(1).contains("is there already"));
    let text = std::fs::read_to_string(dir.path("mine/new_errors.lua")).unwrap();
    assert_eq!(dir.nilo(["lua", "copy", "filter.new_errors", "-"]).ok(), text);
    dir.write("mine/new_errors.lua", text.replace("Payload = text", "Payload = 'new: ' .. text"));
    dir.write("nilo.toml", config.replace("frames = 0", "frames = 0\nscript = 'mine/new_errors.lua'"));
    assert_eq!(dir.nilo(["run", "nilo.toml"]).ok(), "new: upstream timed out\nnew: upstream refused\n");
    assert!(dir.nilo(["lua", "copy", "filter.new_erors"]).failed(2).contains("filter.new_errors"));
}

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lua")
}

/// `UPDATE_GOLDEN=1 cargo test -p nilometer golden` accepts what is said.
#[test]
fn golden_findings() {
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(golden_dir()).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.retain(|p| p.extension().is_some_and(|x| x == "lua"));
    scripts.sort();
    assert!(scripts.len() > 5);
    let mut differ = Vec::new();
    for script in scripts {
        let outcome = nilo_in(&golden_dir(), ["lua".as_ref(), "check".as_ref(), script.file_name().unwrap()]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let golden = script.with_extension("stderr");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            differ.push(format!("{}\n--- expected\n{expected}\n--- said\n{said}", script.display()));
        }
    }
    assert!(differ.is_empty(), "UPDATE_GOLDEN=1 accepts these:\n{}", differ.join("\n"));
}

#[test]
fn findings_for_editors() {
    let dir = Dir::with(&[("x.lua", "function process_message()\n  é = totl\n  return 0\nend\ntotal = 1\n")]);
    let outcome = dir.nilo(["lua", "check", "--json", "x.lua"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let compile: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&compile[0]["line"], &compile[0]["severity"]), (&2.into(), &"error".into()));
    dir.write("x.lua", "function process_message()\n  x = 'é', totl\n  return 0\nend\ntotal = 1\n");
    let found: serde_json::Value = serde_json::from_str(&dir.nilo(["lua", "check", "--json", "x.lua"]).stdout).unwrap();
    let one = &found[0];
    assert_eq!((&one["file"], &one["line"], &one["column"], &one["end_column"]), (&"x.lua".into(), &2.into(), &12.into(), &16.into()));
    assert_eq!((&one["what"], &one["fix"]), (&"undefined global `totl`".into(), &"did you mean `total`?".into()));
    dir.write("x.lua", "function process_message() return 0 end\n");
    assert_eq!(dir.nilo(["lua", "check", "--json", "x.lua"]).ok(), "[]\n");
    assert!(dir.nilo(["lua", "check", "no.lua"]).failed(1).contains("cannot read no.lua"));
}

#[test]
fn a_directory_is_set_up_and_what_was_changed_stays() {
    let dir = Dir::with(&[]);
    for family in ["filter", "decoder", "transform", "encoder", "output", "input"] {
        dir.nilo(["lua", "init", ".", "--new", &format!("my_{family}"), "--family", family, "--force"]).ok();
    }
    dir.nilo(["lua", "check", "."]).ok();
    let said = dir.nilo(["lua", "test", "."]).ok();
    assert!(said.contains(" in 6 files, 0 failed"), "{said}");
    let settings: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.path(".luarc.json")).unwrap()).unwrap();
    assert_eq!(settings["runtime.version"], "Lua 5.4");
    assert!(std::fs::read_to_string(dir.path("nilometer.d.lua")).unwrap().contains("\nfunction read_message("));
    assert_eq!(dir.nilo(["lua", "init"]).ok(), "everything is there already\n");
    dir.write("my_filter.lua", "-- mine\n");
    let outcome = dir.nilo(["lua", "init", "--new", "my_filter"]);
    assert!(outcome.failed(1).contains("because it differs: my_filter.lua; --force"));
    assert_eq!(std::fs::read_to_string(dir.path("my_filter.lua")).unwrap(), "-- mine\n");
    assert!(dir.nilo(["lua", "init", "--new", "../x"]).failed(1).contains("has characters"));
}

#[test]
fn lines_are_evaluated_at_the_prompt() {
    let dir = Dir::with(&[("count.lua", COUNT)]);
    let typed = b"count, 10 / 2, { 1, a = 'x' }\nfor i = 1, 3 do\n  count = count + i\nend\ncount\nnope.x\nwhile true do end\nprint('hi')\n\
        :feed { Type = 'a', Fields = { status = 503 } }\nread_message('Type')\n:feed {}\n:advance 60s\n:injected\n:load\ncount\n:usage\n:nonsense\n:quit\nnever\n";
    let outcome = dir.nilo_with_input(["lua", "repl", "count.lua", "--config", "threshold=400"], typed);
    for line in [
        "0, 5.0, {1, a = \"x\"}\n6\nhi\n",
        "returned 0\n",
        "\"a\"\n",
        "returned -1, \"no status\"\n",
        "\"n\":7",
        "loaded count.lua",
        "memory_limit ",
    ] {
        assert!(outcome.stdout.contains(line), "{line} is missing: {outcome:?}");
    }
    for line in ["attempt to index a nil value (global 'nope')", "CPU budget used up", "there is no :nonsense"] {
        assert!(outcome.stderr.contains(line), "{line} is missing: {outcome:?}");
    }
    assert!(!outcome.ok().contains("never"));
    assert_eq!(dir.nilo_with_input(["lua", "repl"], b"1 + 1\n").ok(), "2\n");
    assert!(dir.nilo(["lua", "repl", "count.lua", "--config", "treshold=1"]).failed(1).contains("did you mean `threshold`"));
}

const LOG: &str = "{\"timestamp\":\"2024-01-01T00:00:10Z\",\"type\":\"a\",\"status\":503}\n{\"timestamp\":\"2024-01-01T00:00:50Z\",\"type\":\"a\",\"status\":200}\n\
    {\"timestamp\":\"2024-01-01T00:01:10Z\",\"type\":\"b\",\"status\":500}\n{\"timestamp\":\"2024-01-01T00:01:20Z\",\"type\":\"a\",\"status\":500}\n";

#[test]
fn recorded_data_is_replayed_by_its_own_clock() {
    let dir = Dir::with(&[("count.lua", COUNT), ("a.json", LOG)]);
    let outcome = dir.nilo(["replay", "a.json", "--script", "count.lua", "--match", "Type == 'a'"]);
    assert!(outcome.stderr.contains("3 of 4 messages, 2 injected, 0 failures, "), "{outcome:?}");
    let out = outcome.ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("sandbox.tick") && lines[0].contains("\"n\":1"), "{out}");
    assert!(lines[1].contains("sandbox.last") && lines[1].contains("\"n\":2"), "{out}");
    let hourly = dir.nilo(["replay", "a.json", "-s", "count.lua", "--every", "1h", "--config", "threshold=200"]).ok();
    assert!(hourly.lines().count() == 1 && hourly.contains("\"n\":4"), "{hourly}");
}

#[test]
fn replay_takes_failures_as_they_come() {
    let dir = Dir::with(&[("count.lua", COUNT), ("x.log", "GET 503\nGET 999\nGET 500\nnonsense\n")]);
    let args = ["replay", "x.log", "-s", "count.lua", "--decoder", "$method $status", "-f", "json"];
    let outcome = dir.nilo(args);
    assert!(outcome.stderr.contains("nilo: message 2: count.lua:16: boom"), "{outcome:?}");
    assert!(outcome.stderr.contains(" 1 failures, ") && outcome.stdout.contains("\"n\":3"), "{outcome:?}");
    outcome.failed(1);
    assert!(dir.nilo(["replay", "x.log", "-s", "count.lua"]).failed(1).contains("name a --decoder"));
    assert!(dir.nilo(["replay", "x.log", "-s", "count.lua", "--decoder", "jsno"]).failed(1).contains("did you mean `json`?"));
    assert!(dir.nilo(["replay", "x.log", "-s", "no.lua"]).failed(1).contains("cannot read no.lua"));
}

#[test]
fn framed_messages_are_replayed() {
    let dir = Dir::with(&[("count.lua", COUNT), ("a.json", LOG)]);
    dir.write("a.heka", dir.nilo(["cat", "a.json", "-f", "heka"]).bytes);
    let outcome = dir.nilo(["replay", "a.heka", "-s", "count.lua"]);
    assert!(outcome.stderr.contains("4 of 4 messages"), "{outcome:?}");
    assert_eq!(outcome.ok().lines().count(), 2);
}
