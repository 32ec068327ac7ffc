//! Scripts that run because they lie in a directory.

use rustix::process::Signal;

use crate::nilo::{Dir, wait_until};

const CONFIG: &str = "\
[nilo]
state = 'state'

[sandboxes]
watch = 'filters.d'
memory_limit = '2MiB'

[input.in]
type = 'tail'
paths = 'in.log'

[filter.taken]
type = 'lua'
script = 'taken.lua'
match = 'FALSE'

[output.out]
type = 'file'
dir = 'out'
name = 'out.log'
match = 'Type == \"heka.sandbox.count\"'
encoder = 'payload'

[output.all]
type = 'file'
dir = 'out'
name = 'all.log'
match = 'Type == \"in\"'
encoder = 'payload'
";

fn script(text: &str) -> String {
    format!(
        "--- Counts.\n--@family filter\n--@match Type == 'in'\n--@option step integer 1 Step.\n--@config step = 2\n--@limit memory_limit 1MiB\n\
         n = 0\nfunction process_message()\nn = n + read_config('step')\ninject_message{{Type = 'count', Payload = '{text} ' .. n .. '\\n'}}\nreturn 0\nend\n"
    )
}

fn dir() -> Dir {
    Dir::with(&[("nilo.toml", CONFIG), ("taken.lua", "function process_message() return 0 end"), ("in.log", ""), ("filters.d/README", "")])
}

#[track_caller]
fn wait_for_output(dir: &Dir, text: &str) {
    let read = || std::fs::read_to_string(dir.path("out/out.log")).unwrap_or_default();
    wait_until(&format!("the output is {text:?}"), || read() == text);
}

#[test]
fn dropped_edited_broken_mended_removed_and_back_again() {
    let dir = dir();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    dir.write("filters.d/count.lua", script("a"));
    nilo.wait_for_stderr("filter.count: added");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\n");
    dir.write("filters.d/count.lua", script("b"));
    nilo.wait_for_stderr("filter.count: reloaded; carried over: n");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\nb 4\n");
    // Broken in its text, and in its header: the version that runs goes on.
    for broken in ["--@match TRUE\nfunction process_message(".to_string(), script("c").replace("Type == 'in'", "Type ==")] {
        let before = nilo.stderr().matches("the old version runs on").count();
        dir.write("filters.d/count.lua", broken);
        wait_until("it is told", || nilo.stderr().matches("the old version runs on").count() > before);
    }
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\nb 4\nb 6\n");
    dir.write("filters.d/count.lua", script("d"));
    wait_until("it is mended", || nilo.stderr().matches("filter.count: reloaded").count() == 2);
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\nb 4\nb 6\nd 8\n");
    std::fs::remove_file(dir.path("filters.d/count.lua")).unwrap();
    nilo.wait_for_stderr("filter.count: removed");
    dir.append("in.log", "nobody counts this\n");
    let all = || std::fs::read_to_string(dir.path("out/all.log")).unwrap_or_default();
    wait_until("it has passed", || all().contains("nobody counts this"));
    dir.write("filters.d/count.lua", script("e"));
    wait_until("it is back", || nilo.stderr().matches("filter.count: added").count() == 2);
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\nb 4\nb 6\nd 8\ne 10\n");
    nilo.signal(Signal::TERM);
    nilo.end().ok();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\nb 4\nb 6\nd 8\ne 10\ne 12\n");
}

#[test]
fn what_cannot_run_is_told_and_disturbs_nobody() {
    let dir = dir();
    dir.write("filters.d/count.lua", script("a"));
    dir.write("filters.d/broken.lua", "--@match TRUE\nfunction process_message(");
    dir.write("filters.d/encoder.lua", "--@family encoder\nfunction process_message() return 0 end");
    dir.write("filters.d/greedy.lua", script("x").replace("1MiB", "3MiB"));
    dir.write("filters.d/odd.lua", script("x").replace("step = 2", "stpe = 2"));
    dir.write("filters.d/silent.lua", "function process_message() return 0 end");
    dir.write("filters.d/taken.lua", script("x"));
    dir.write("filters.d/count_test.lua", "this is for tests");
    let troubles = [
        ("filter.broken", "broken.lua"),
        ("filter.encoder", "encoder.lua:1:11: only filters run by lying in a directory"),
        ("filter.greedy", "greedy.lua:6:23: `memory_limit` is higher than [sandboxes] allows"),
        ("filter.odd", "odd.lua:5:11: the script has no option `stpe`"),
        ("filter.silent", "silent.lua:1:1: the script does not say which messages it is for"),
        ("filter.taken", "a filter `taken` is there already"),
    ];
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    let said = nilo.stderr();
    for (_, text) in troubles {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("count_test"), "{said}");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\n");
    let status = dir.nilo(["status", "nilo.toml"]).ok();
    for (id, _) in troubles.iter().filter(|(id, _)| *id != "filter.taken") {
        assert!(status.lines().any(|l| l.starts_with(id) && l.contains("refused")), "{id}: {status}");
    }
    let checked = dir.nilo(["check", "nilo.toml"]).failed(3);
    assert!(checked.contains("6 errors") && checked.contains("did you mean `step`?"), "{checked}");
    // One that is mended begins; the others stay as they are.
    dir.write("filters.d/broken.lua", script("b"));
    nilo.wait_for_stderr("filter.broken: added");
}

#[test]
fn a_directory_may_come_later() {
    let dir = dir();
    std::fs::remove_dir_all(dir.path("filters.d")).unwrap();
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("a watched directory is missing");
    nilo.wait_for_stderr("running");
    dir.write("filters.d/count.lua", script("a"));
    nilo.wait_for_stderr("filter.count: added");
    dir.append("in.log", "x\n");
    wait_for_output(&dir, "a 2\n");
}
