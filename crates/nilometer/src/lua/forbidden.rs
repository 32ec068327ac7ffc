//! Names that Lua has and a sandbox has not: why, and what to do instead.

pub struct Forbidden {
    name: &'static str,
    pub why: &'static str,
    pub fix: &'static str,
}

const COMPILES: &str = "it compiles code at run time, which no limit covers";
const COLLECTOR: &str = "it steers the collector, by which memory is kept within its limit";
const OUTSIDE: &str = "it reaches outside of the sandbox";
const DIALECT: &str = "Lua 5.1 had it, 5.4 has not";
const IO: &str = "inputs and outputs have it when their options say allow = [\"io\"]; others get data by messages and `config`";
const EXEC: &str = "inputs and outputs have it when their options say allow = [\"exec\"]";

const fn row(name: &'static str, why: &'static str, fix: &'static str) -> Forbidden {
    Forbidden { name, why, fix }
}

pub const ALL: &[Forbidden] = &[
    row("bit", DIALECT, "use the operators & | ~ << >>"),
    row("bit32", DIALECT, "use the operators & | ~ << >>"),
    row("collectgarbage", COLLECTOR, "leave it out; `nilo lua test` tells how much memory a script takes"),
    row("debug", "it sees and changes what limits rest on", "print() writes to the log; `nilo lua repl` looks inside a script"),
    row("dofile", COMPILES, "require() finds modules below the module path"),
    row("io", OUTSIDE, IO),
    row("load", COMPILES, "make a table of functions and choose by name"),
    row("loadfile", COMPILES, "require() finds modules below the module path"),
    row("loadstring", COMPILES, "make a table of functions and choose by name"),
    row("newproxy", DIALECT, "use a table with a metatable"),
    row("os.execute", OUTSIDE, EXEC),
    row("os.exit", "it would end the whole process", "return a positive number from process_message to end the script"),
    row("os.getenv", OUTSIDE, "read it with read_config() and set it in `config`"),
    row("os.remove", OUTSIDE, IO),
    row("os.rename", OUTSIDE, IO),
    row("os.setlocale", "it would change the locale of the whole process", "leave it out"),
    row("os.tmpname", OUTSIDE, IO),
    row("package.cpath", OUTSIDE, "the modules built in are found by require()"),
    row("package.loadlib", OUTSIDE, "the modules built in are found by require()"),
    row("package.path", OUTSIDE, "modules are found below `modules` of the plugin or of [nilo]"),
    row("package.preload", COMPILES, "put the module into a file of its own"),
    row("socket", OUTSIDE, "use an output such as output.tcp, and filter before it"),
    row("string.dump", "it makes bytecode, which is never loaded", "leave it out"),
    row("table.setn", DIALECT, "leave it out: # counts"),
    row("warn", OUTSIDE, "print() writes to the log"),
];

impl Forbidden {
    pub fn name(&self) -> &'static str {
        self.name
    }
}

pub fn find(name: &str) -> Option<&'static Forbidden> {
    ALL.iter().find(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_have_a_way_out() {
        assert!(ALL.is_sorted_by_key(|f| f.name));
        assert!(ALL.iter().all(|f| !f.why.is_empty() && !f.fix.is_empty() && !f.fix.ends_with('.')));
        assert!(find("io").is_some() && find("string.format").is_none());
    }
}
