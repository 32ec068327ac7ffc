//! Calls of everything that `require` finds, and of the methods of what that returns, with arguments
//! of any kind.

use std::fmt::Write;

use sandbox::native::Body;

use super::choices::Choices;
use super::host_calls::argument;

/// Finds a function of a module by number, whatever its module is written in; results are kept for later calls.
const BEFORE: &str = "\
local v, attempts = {}, 0
local function keep(slot, ok, ...)
    if ok and select('#', ...) > 0 then v[slot] = (...) end
end
local function called(slot, name, number, ...)
    local found, module = pcall(require, name)
    if not found then return end
    if type(module) ~= 'table' then keep(slot, pcall(module, ...)) return end
    local names = {}
    for key, value in pairs(module) do if type(value) == 'function' then names[#names + 1] = tostring(key) end end
    table.sort(names)
    if #names > 0 then keep(slot, pcall(module[names[number % #names + 1]], ...)) end
end
local function sent(slot, object, name, ...)
    local found, method = pcall(function() return object[name] end)
    if found then keep(slot, pcall(method, object, ...)) end
end
";

/// A script that makes these calls while it loads, on every message and on a tick.
pub fn script(choices: &mut Choices<'_>) -> String {
    let mut out = String::from(BEFORE);
    // Most scripts keep to one module; state of it goes from call to call.
    let favourite = choices.below(modules::ALL.len());
    calls(choices, favourite, 6, &mut out);
    out.push_str("kept = v\nfunction process_message()\n");
    calls(choices, favourite, 12, &mut out);
    out.push_str("  add_to_payload(v[0] or '', v[1] or '')\n  return 0\nend\nfunction timer_event(ns)\n");
    calls(choices, favourite, 4, &mut out);
    out.push_str("  inject_payload()\nend\n");
    out
}

fn calls(choices: &mut Choices<'_>, favourite: usize, most: usize, out: &mut String) {
    for _ in 0..1 + choices.below(most) {
        // Writing to memory does not fail.
        let slot = choices.below(3);
        let module = if choices.below(5) == 0 { choices.below(modules::ALL.len()) } else { favourite };
        let _ = match choices.below(2) {
            0 => write!(out, "  called({slot}, '{}', {}", modules::ALL[module].name, choices.byte()),
            _ => write!(out, "  sent({slot}, v[{}], '{}'", choices.below(3), method(choices, module)),
        };
        for _ in 0..choices.below(6) {
            out.push_str(", ");
            argument(choices, out, 0);
        }
        out.push_str(")\n");
    }
}

/// The name of a method of one of a module's objects.
fn method(choices: &mut Choices<'_>, module: usize) -> &'static str {
    let Body::Native(_, objects) = modules::ALL[module].body else { return "get" };
    let names: Vec<&'static str> = objects.iter().flat_map(|o| o.methods).map(|m| m.name).collect();
    if names.is_empty() { "match" } else { choices.of(&names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_choices_make_calls_that_run() {
        let config = sandbox::SandboxConfig { modules: modules::ALL, ..Default::default() };
        for seed in 0..100_u32 {
            let data: Vec<u8> = (0..300_u32).map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * i * 40_503) >> 11) as u8).collect();
            let text = script(&mut Choices::new(&data));
            if let Err(e) = sandbox::Sandbox::new(&sandbox::Script::new("m.lua", text.as_bytes()), &config) {
                assert!(e.message.contains("CPU budget") || e.message.contains("memory"), "{e} in\n{text}");
            }
        }
    }
}
