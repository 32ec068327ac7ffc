//! Lua in every family, from one end to the other, and over a restart.

use rustix::process::Signal;

use crate::nilo::{Dir, wait_until};

const CONFIG: &str = "\
[nilo]
state = 'state'

[input.numbers]
type = 'lua'
script = 'input.lua'
every = '2ms'
decoder = 'split'
transform = 'mark'

[decoder.split]
type = 'lua'
script = 'decoder.lua'

[transform.mark]
type = 'lua'
script = 'transform.lua'

[filter.sum]
type = 'lua'
script = 'filter.lua'
match = \"Type == 'number'\"

[encoder.csv]
type = 'lua'
script = 'encoder.lua'

[output.file]
type = 'lua'
script = 'output.lua'
from = 'filter.sum'
encoder = 'csv'
allow = ['io']
config = { file = { name = 'FILE' } }
";

const INPUT: &str = "function process_message(at)
  for n = (at or 0) + 1, (at or 0) + 3 do inject_message({Payload = n .. ' ' .. n * n}, n) end
  return 0
end";

const DECODER: &str = "function process_message()
  local n, square = read_message('Payload'):match('(%d+) (%d+)')
  inject_message{Type = 'number', Fields = {n = tonumber(n), square = tonumber(square)}}
  return 0
end";

const TRANSFORM: &str = "function process_message() write_message('Fields[mark]', 'm') return 0 end";

const FILTER: &str = "sum = 0
function process_message()
  sum = sum + read_message('Fields[n]')
  inject_message{Type = 'sum', Fields = {n = read_message('Fields[n]'), sum = sum, mark = read_message('Fields[mark]')}}
  return 0
end";

const ENCODER: &str = "function process_message()
  inject_payload('csv', '', read_message('Fields[n]'), ',', read_message('Fields[sum]'), ',', read_message('Fields[mark]'))
  return 0
end";

const OUTPUT: &str = "local name = read_config('file').name
function process_message()
  local file = assert(io.open(name, 'a'))
  file:write(read_message('Payload'), '\\n')
  file:close()
  return 0
end";

#[test]
fn from_input_to_output_and_on_at_the_checkpoint() {
    let dir = Dir::with(&[
        ("input.lua", INPUT),
        ("decoder.lua", DECODER),
        ("transform.lua", TRANSFORM),
        ("filter.lua", FILTER),
        ("encoder.lua", ENCODER),
        ("output.lua", OUTPUT),
    ]);
    let out = dir.path("out.csv");
    dir.write("nilo.toml", CONFIG.replace("FILE", out.to_str().unwrap()));
    dir.nilo(["check", "nilo.toml"]).ok();
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().map(str::to_string).collect::<Vec<_>>();
    for run in 1..=3 {
        let (before, nilo) = (lines().len(), dir.spawn(["run", "nilo.toml"]));
        wait_until("more is written", || lines().len() > before + 10);
        if run == 2 {
            // Every family is replaced while it works.
            for (name, text) in [("encoder.lua", ENCODER), ("decoder.lua", DECODER), ("output.lua", OUTPUT), ("input.lua", INPUT)] {
                dir.write(name, format!("{text}\n-- changed\n"));
                nilo.wait_for_stderr(if ["encoder.lua", "output.lua"].contains(&name) {
                    "output.file: reloaded"
                } else {
                    "input.numbers: reloaded"
                });
                let now = lines().len();
                wait_until("it goes on", || lines().len() > now + 6);
            }
        }
        nilo.signal(Signal::TERM);
        nilo.end().ok();
    }
    let expected: Vec<String> = (1..=lines().len()).map(|n| format!("{n},{},m", n * (n + 1) / 2)).collect();
    assert_eq!(lines(), expected, "lost, doubled or forgotten");
}

#[test]
fn status_shows_the_limits_of_every_script() {
    let dir = Dir::with(&[
        ("input.lua", INPUT),
        ("decoder.lua", DECODER),
        ("transform.lua", TRANSFORM),
        ("filter.lua", FILTER),
        ("encoder.lua", ENCODER),
        ("output.lua", OUTPUT),
    ]);
    dir.write("nilo.toml", CONFIG.replace("FILE", dir.path("out.csv").to_str().unwrap()));
    let nilo = dir.spawn(["run", "nilo.toml"]);
    nilo.wait_for_stderr("running");
    let mut table = String::new();
    wait_until("all limits are there", || {
        table = dir.nilo(["status", "nilo.toml"]).stdout;
        let all = ["input.numbers (decoder.split)", "input.numbers (transform.mark)", "filter.sum ", "output.file (encoder.csv)"];
        all.iter().all(|name| table.contains(name)) && table.matches("memory_limit").count() == 6
    });
}
