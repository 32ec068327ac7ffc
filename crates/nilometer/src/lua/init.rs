//! `nilo lua init`: what an editor needs to know of scripts, and a script to start from.

use std::path::{Path, PathBuf};

use sandbox::Family;
use sandbox::native::Body;
use serde_json::json;

use super::{reference, subject};
use crate::{Failure, print};

/// Set a directory up for writing scripts: completion for editors, and with --new a script and its test.
#[derive(clap::Args)]
pub struct Args {
    /// The directory. It is made if it is not there.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write a script of this name, and its test.
    #[arg(long, value_name = "NAME")]
    new: Option<String>,
    /// What the new script serves as.
    #[arg(long, value_name = "FAMILY", default_value = "filter", requires = "new")]
    family: String,
    /// Overwrite files that were changed.
    #[arg(long)]
    force: bool,
}

/// Directory of the modules that are written in Lua, for editors to look into.
const MODULES: &str = "nilometer.modules";

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut files = vec![(".luarc.json".to_string(), settings()), ("nilometer.d.lua".to_string(), reference::definitions())];
    for module in modules::ALL {
        if let Body::Text(text) = module.body {
            files.push((format!("{MODULES}/{}.lua", module.name), text.to_string()));
        }
    }
    if let Some(name) = &args.new {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Failure::Failed(format!("the name {name:?} has characters other than letters, digits and _")));
        }
        let family = Family::from_name(&args.family).ok_or_else(|| format!("there is no family {}", args.family))?;
        files.push((format!("{name}.lua"), script(name, family)));
        files.push((format!("{name}_test.lua"), test(family).to_string()));
    }
    write(&args.dir, &files, args.force)
}

/// Writes what is not there yet, and says what stays because it was changed.
fn write(dir: &Path, files: &[(String, String)], force: bool) -> Result<(), Failure> {
    let mut changed = Vec::new();
    let mut written = 0;
    for (name, text) in files {
        let path = dir.join(name);
        match subject::read(&path) {
            Ok(there) if there == text.as_bytes() => continue,
            _ if path.exists() && !force => {
                changed.push(name.as_str());
                continue;
            }
            _ => {}
        }
        let parent = path.parent().unwrap_or(dir);
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(parent).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)?;
        written += 1;
        if !name.starts_with(MODULES) {
            print(&format!("wrote {}\n", path.display()))?;
        }
    }
    if written == 0 && changed.is_empty() {
        print("everything is there already\n")?;
    }
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(format!("left as it is, because it differs: {}; --force overwrites", changed.join(", ")))),
    }
}

/// `.luarc.json` of the Lua language server.
fn settings() -> String {
    let settings = json!({
        "$schema": "https://raw.githubusercontent.com/LuaLS/vscode-lua/master/setting/schema.json",
        "runtime.version": "Lua 5.4",
        "runtime.path": ["?.lua", "modules/?.lua", format!("{MODULES}/?.lua")],
        "runtime.builtin": { "debug": "disable", "package": "disable" },
        "workspace.library": ["nilometer.d.lua", MODULES],
        "workspace.checkThirdParty": false,
        "diagnostics.globals": ["process_message", "timer_event"],
        "diagnostics.disable": ["lowercase-global"],
    });
    format!("{settings:#}\n")
}

fn script(name: &str, family: Family) -> String {
    let declared = match family {
        Family::Filter => "--@every 60s\n--@option threshold integer 500 Statuses from here on count.\n",
        _ => "",
    };
    let summary = match family {
        Family::Filter => "Counts errors, and tells how many every minute.",
        Family::Decoder => "Reads lines of a name and a number.",
        Family::Transform => "Marks errors.",
        Family::Encoder => "Writes the payload on a line.",
        Family::Output => "Prints payloads.",
        Family::Input => "Sends one message.",
    };
    let placement = match family {
        Family::Filter => {
            format!("--  [filter.{name}]\n--  type = \"lua\"\n--  match = 'Type == \"nginx.access\"'\n--  script = \"{name}.lua\"\n")
        }
        _ => format!("--  [{family}.{name}]\n--  type = \"lua\"\n--  script = \"{name}.lua\"\n", family = family.name()),
    };
    format!("--- {summary}\n--@family {}\n{declared}--@sample\n{placement}\n{}", family.name(), body(family))
}

fn body(family: Family) -> &'static str {
    match family {
        Family::Filter => {
            "local threshold = read_config(\"threshold\")\n\n-- Globals are kept over reloads and restarts.\nerrors = 0\n\n\
             function process_message()\n    local status = read_message(\"Fields[status]\")\n    if status and status >= threshold then\n        \
             errors = errors + 1\n    end\n    return 0\nend\n\n\
             function timer_event(ns)\n    inject_message { Type = \"errors\", Timestamp = ns, Fields = { count = errors } }\n    errors = 0\nend\n"
        }
        Family::Decoder => {
            "function process_message()\n    local name, n = string.match(read_message(\"Payload\"), \"^(%w+) (%d+)$\")\n    if not name then\n        \
             return -1, \"expected a name and a number\"\n    end\n    inject_message { Type = \"count\", Fields = { [name] = tonumber(n) } }\n    return 0\nend\n"
        }
        Family::Transform => {
            "function process_message()\n    local status = read_message(\"Fields[status]\")\n    if status and status >= 500 then\n        \
             write_message(\"Severity\", 3)\n    end\n    return 0\nend\n"
        }
        Family::Encoder => {
            "function process_message()\n    inject_payload(\"txt\", \"\", read_message(\"Payload\"), \"\\n\")\n    return 0\nend\n"
        }
        Family::Output => "function process_message()\n    print(read_message(\"Payload\"))\n    return 0\nend\n",
        Family::Input => "function process_message()\n    inject_message { Type = \"hello\", Payload = \"world\" }\n    return 0\nend\n",
    }
}

fn test(family: Family) -> &'static str {
    match family {
        Family::Filter => {
            "test(\"counts errors\", function()\n    script { config = { threshold = 400 } }\n    feed { Fields = { status = 200 } }\n    \
             feed { Fields = { status = 404 } }\n    feed { Fields = { status = 503 } }\n    advance(\"60s\")\n    local out = injected()\n    \
             equal(#out, 1)\n    equal(out[1].Fields.count, 2)\nend)\n\n\
             test(\"goes on counting after a reload\", function()\n    feed { Fields = { status = 500 } }\n    reload()\n    \
             feed { Fields = { status = 500 } }\n    advance(\"60s\")\n    equal(injected()[1].Fields.count, 2)\nend)\n"
        }
        Family::Decoder => {
            "test(\"reads a name and a number\", function()\n    feed(\"apples 3\")\n    equal(injected()[1].Fields, { apples = 3 })\nend)\n\n\
             test(\"refuses anything else\", function()\n    local status, why = feed(\"nonsense\")\n    equal(status, -1)\n    \
             equal(why, \"expected a name and a number\")\nend)\n"
        }
        Family::Transform => {
            "test(\"marks errors\", function()\n    feed { Severity = 7, Fields = { status = 503 } }\n    equal(injected()[1].Severity, 3)\n    \
             feed { Severity = 7, Fields = { status = 200 } }\n    equal(injected()[1].Severity, 7)\nend)\n"
        }
        Family::Encoder => "test(\"writes a line\", function()\n    feed { Payload = \"text\" }\n    equal(encoded(), \"text\\n\")\nend)\n",
        Family::Output => {
            "test(\"prints\", function()\n    equal(feed { Payload = \"text\" }, 0)\n    equal(printed(), { \"text\" })\nend)\n"
        }
        Family::Input => "test(\"sends\", function()\n    feed()\n    equal(injected()[1].Payload, \"world\")\nend)\n",
    }
}
