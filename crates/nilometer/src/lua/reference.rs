//! What scripts can call, from the tables by which they can call it: for language servers, and as a page.

use std::fmt::Write;

use sandbox::native::{Body, Function, ObjectType};
use sandbox::{Family, HOST, HostFunction, OBJECTS};

use super::signature::Signature;
use super::{forbidden, stage};

/// Types that signatures name and nobody declares.
const HEADER: &str = "\
---@meta
-- What scripts of Nilometer can call, for the Lua language server. Written by `nilo lua init`: changes are lost.
";

/// Globals of test scripts that are written in Lua.
const CHECKS: &[(&str, &str, &str)] = &[
    ("test", "(name: string, f: fun())", "A test: the script is loaded anew for it."),
    ("equal", "(got: any, wanted: any, why?: string)", "Compares, tables entry by entry, and says where they differ."),
    ("expect", "(value: any, why?: string)", "Fails unless the value is true."),
    ("matches", "(text: string, pattern: string, why?: string)", "Fails unless the text matches the Lua pattern."),
    ("fails", "(f: fun(), pattern?: string) -> string", "The failure that the function ends with; fails if it does not fail."),
];

/// The functions of test scripts.
fn test_functions() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let native = stage::FUNCTIONS.iter().filter(|f| !["begin", "finish"].contains(&f.name));
    CHECKS.iter().copied().chain(native.map(|f| (f.name, f.signature, f.doc)))
}

/// Host functions by name, with the rows of each.
fn host() -> Vec<(&'static str, Vec<&'static HostFunction>)> {
    let mut all: Vec<(&str, Vec<&HostFunction>)> = Vec::new();
    for row in HOST {
        match all.iter_mut().find(|(name, _)| *name == row.name) {
            Some((_, rows)) => rows.push(row),
            None => all.push((row.name, vec![row])),
        }
    }
    all
}

fn objects() -> impl Iterator<Item = &'static ObjectType> {
    let of_modules = modules::ALL.iter().flat_map(|m| match m.body {
        Body::Native(_, objects) => objects,
        Body::Text(_) => &[],
    });
    OBJECTS.iter().chain(of_modules).copied()
}

/// `nilometer.d.lua`.
pub fn definitions() -> String {
    let mut out = HEADER.to_string();
    for table in tables() {
        let _ = write!(out, "\n{table} = {table} or {{}}\n");
    }
    for (name, rows) in host() {
        let [first, more @ ..] = &rows[..] else { continue };
        out.push('\n');
        comment(&mut out, first.doc);
        if let Some(note) = restriction(first) {
            comment(&mut out, &note);
        }
        for row in more {
            let _ = writeln!(out, "---@overload {}", as_type(row.signature));
        }
        declare(&mut out, name, first.signature);
    }
    for object in objects() {
        let _ = write!(out, "\n---@class {}\nlocal {} = {{}}\n", object.name, local_name(object.name));
        methods(&mut out, object);
    }
    out.push_str("\n-- Modules: require(\"name\") returns these, and makes the global.\n");
    for module in modules::ALL {
        if let Body::Native(functions, _) = module.body {
            native_module(&mut out, module.name, module.doc, functions);
        }
    }
    out.push_str("\n-- Test scripts, x_test.lua beside x.lua, run by `nilo lua test`.\n");
    for (name, signature, doc) in test_functions() {
        out.push('\n');
        comment(&mut out, doc);
        declare(&mut out, name, signature);
    }
    out.push_str("\n-- What a sandbox does not have.\n");
    for row in forbidden::ALL.iter().filter(|f| !f.name().contains('.')) {
        let _ = write!(out, "\n---@deprecated\n--- Not in a sandbox: {}. {}.\n{} = nil\n", row.why, row.fix, row.name());
    }
    out
}

/// Tables that host functions are in: `log` of `log.info`.
fn tables() -> Vec<&'static str> {
    let mut tables: Vec<&str> = HOST.iter().filter_map(|f| f.name.split_once('.')).map(|(table, _)| table).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn comment(out: &mut String, text: &str) {
    text.lines().for_each(|line| {
        let _ = writeln!(out, "--- {line}");
    });
}

/// Which families and APIs have it, unless all do.
fn restriction(f: &HostFunction) -> Option<String> {
    let mut parts = Vec::new();
    if !f.families.is_empty() {
        parts.push(format!("only in: {}", f.families.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ")));
    }
    if !f.apis.is_empty() {
        let apis: Vec<String> = f.apis.iter().map(|api| format!("{api:?}").to_lowercase()).collect();
        parts.push(format!("only with api = \"{}\"", apis.join("\" or \"")));
    }
    (!parts.is_empty()).then(|| format!("({})", parts.join("; ")))
}

fn declare(out: &mut String, name: &str, signature: &str) {
    let Some(s) = Signature::parse(signature) else {
        // A value, not a function: its signature is its type.
        let _ = writeln!(out, "---@type {signature}\n{name} = nil");
        return;
    };
    for p in &s.parameters {
        let _ = writeln!(out, "---@param {}{} {}", p.name, if p.is_optional { "?" } else { "" }, p.type_);
    }
    for r in &s.returns {
        let _ = writeln!(out, "---@return {r}");
    }
    let names: Vec<String> = s.parameters.iter().map(|p| parameter_name(p.name)).collect();
    let _ = writeln!(out, "function {name}({}) end", names.join(", "));
}

/// `cjson_null` of the type `cjson.null`.
fn local_name(name: &str) -> String {
    name.replace('.', "_")
}

/// A keyword is no name.
fn parameter_name(name: &str) -> String {
    if ["end", "function", "repeat", "in", "not"].contains(&name) { format!("{name}_") } else { name.to_string() }
}

/// `fun(name: string): any`.
fn as_type(signature: &str) -> String {
    let Some(s) = Signature::parse(signature) else { return "fun()".to_string() };
    let parameters = s.parameters.iter().map(|p| format!("{}{}: {}", p.name, if p.is_optional { "?" } else { "" }, p.type_));
    let returns = if s.returns.is_empty() { String::new() } else { format!(": {}", s.returns.join(", ")) };
    format!("fun({}){returns}", parameters.collect::<Vec<_>>().join(", "))
}

fn methods(out: &mut String, object: &ObjectType) {
    for method in object.methods.iter().filter(|m| !m.name.starts_with("__")) {
        out.push('\n');
        comment(out, method.doc);
        declare(out, &format!("{}:{}", local_name(object.name), method.name), method.signature);
    }
}

fn native_module(out: &mut String, name: &str, doc: &str, functions: &[Function]) {
    let _ = write!(out, "\n--- {doc}\n{name} = {{}}\n");
    for f in functions {
        out.push('\n');
        comment(out, f.doc);
        declare(out, &format!("{name}.{}", f.name), f.signature);
    }
}

const PAGE: &str = "\
# What Lua scripts can call

Written by `nilo lua docs` from the tables by which scripts call these: changes here are lost. [Lua](lua.md) says what scripts are;
`nilo lua init` writes the same for editors.

Types are those of the Lua language server: `name?` may be left out, `...` may be any number, behind the arrow is what comes back.
";

/// `docs/reference/lua-api.md`.
pub fn page() -> String {
    let mut out = PAGE.to_string();
    out.push_str("\n## Functions of the host\n\n| Function | | Where |\n| --- | --- | --- |\n");
    for (name, rows) in host() {
        for row in rows {
            let _ = writeln!(out, "| `{name}{}` | {} | {} |", cell(row.signature), cell(row.doc), cell(&place(row)));
        }
    }
    out.push_str("\n## Objects they return\n");
    OBJECTS.iter().for_each(|object| object_section(&mut out, object));
    out.push_str("\n## Modules\n\n`require \"name\"` returns a module. Native ones become a global of that name, too.\n");
    for module in modules::ALL {
        let _ = write!(out, "\n### {}\n\n{}\n", module.name, module.doc);
        match module.body {
            Body::Native(functions, objects) => {
                table(&mut out, functions.iter().map(|f| (called(module.name, f), f.doc.to_string())));
                objects.iter().for_each(|object| object_section(&mut out, object));
            }
            Body::Text(text) => table(&mut out, exported(module.name, text).into_iter()),
        }
    }
    out.push_str("\n## Test scripts\n\n`x_test.lua` beside `x.lua`, run by `nilo lua test`.\n");
    table(&mut out, test_functions().map(|(name, signature, doc)| (format!("{name}{signature}"), doc.to_string())));
    out.push_str("\n## What a sandbox does not have\n\n| Name | Why | Instead |\n| --- | --- | --- |\n");
    for row in forbidden::ALL {
        let _ = writeln!(out, "| `{}` | {} | {} |", row.name(), cell(row.why), cell(row.fix));
    }
    out
}

fn place(row: &HostFunction) -> String {
    let families = match row.families {
        [] => "everywhere".to_string(),
        families if families.len() + 1 == Family::ALL.len() => {
            let without = Family::ALL.iter().find(|f| !families.contains(f)).map_or("", |f| f.name());
            format!("all but {without}")
        }
        families => families.iter().map(|f| f.name()).collect::<Vec<_>>().join(", "),
    };
    match row.apis {
        [] => families,
        apis => {
            format!("{families}; `api = \"{}\"`", apis.iter().map(|a| format!("{a:?}").to_lowercase()).collect::<Vec<_>>().join("` or `"))
        }
    }
}

fn called(module: &str, f: &Function) -> String {
    let signature = if f.signature.starts_with('(') { f.signature } else { "" };
    format!("{module}.{}{signature}", f.name)
}

/// A bar would end the cell.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn table(out: &mut String, rows: impl Iterator<Item = (String, String)>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("\n| Function | |\n| --- | --- |\n");
    for (function, doc) in rows {
        let _ = writeln!(out, "| `{}` | {} |", cell(&function), cell(&doc));
    }
}

fn object_section(out: &mut String, object: &ObjectType) {
    let _ = write!(out, "\n#### {}\n", object.name);
    table(out, object.methods.iter().map(|m| (format!("{}:{}{}", object.name, m.name, m.signature), m.doc.to_string())));
}

/// The functions a module written in Lua defines, with the comment above each.
fn exported(module: &str, text: &str) -> Vec<(String, String)> {
    let (mut found, mut doc) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("---").filter(|c| !c.starts_with('-')) {
            doc.extend(Some(comment.trim()).filter(|c| !c.starts_with('@')));
            continue;
        }
        let definition = line.strip_prefix("function M.").or_else(|| line.strip_prefix("function ").filter(|_| text.contains("setfenv(1")));
        if let Some(signature) = definition.filter(|d| !d.contains([':', '.']) || d.contains("...")) {
            let end = signature.find(')').map_or(signature.len(), |n| n + 1);
            found.push((format!("{module}.{}", &signature[..end]), doc.join(" ")));
        }
        doc.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::Script;

    #[test]
    fn every_function_is_defined_and_all_of_it_compiles() {
        let text = definitions();
        for f in HOST {
            assert!(Signature::parse(f.signature).is_some(), "{}{}", f.name, f.signature);
            assert!(text.contains(&format!("\nfunction {}(", f.name)), "{} is missing", f.name);
        }
        for module in modules::ALL {
            let Body::Native(functions, objects) = module.body else { continue };
            for f in functions {
                let name = format!("{}.{}", module.name, f.name);
                let declared = match f.signature.starts_with('(') {
                    true => Signature::parse(f.signature).is_some() && text.contains(&format!("\nfunction {name}(")),
                    false => text.contains(&format!("\n{name} = nil\n")),
                };
                assert!(declared, "{name}{} is missing or malformed", f.signature);
            }
            for (object, m) in objects.iter().flat_map(|o| o.methods.iter().map(move |m| (o, m))).filter(|(_, m)| !m.name.starts_with("__"))
            {
                assert!(
                    text.contains(&format!("\nfunction {}:{}(", local_name(object.name), m.name)),
                    "{}:{} is missing",
                    object.name,
                    m.name
                );
            }
        }
        Script::new("nilometer.d.lua", text).check().unwrap();
    }

    /// `UPDATE_GOLDEN=1 cargo test -p nilometer reference` writes it anew.
    #[test]
    fn the_page_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/lua-api.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "docs/reference/lua-api.md is out of date: UPDATE_GOLDEN=1 writes it anew");
    }

    #[test]
    fn functions_of_lua_modules_are_listed_with_their_comment() {
        let text =
            "local M = {}\n--- Adds\n--- things.\n---@param a integer\nfunction M.add(a, b) end\n\nlocal function hidden() end\nreturn M\n";
        assert_eq!(exported("m", text), [("m.add(a, b)".to_string(), "Adds things.".to_string())]);
    }
}
