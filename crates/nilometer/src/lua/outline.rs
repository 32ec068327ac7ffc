//! What a script does with names, found out without running it: globals it reads and assigns,
//! functions it calls with literal arguments. The text is one that Lua has compiled, so nothing here
//! checks the grammar; it walks along it, and knows the scopes of locals.

mod expression;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::lexer::{Kind, Token};

/// A place in the text where a name is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub name: String,
    pub at: Range<usize>,
}

/// `root.member`, where the root is a library or what `require` returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub root: Meaning,
    pub member: String,
    pub at: Range<usize>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A local variable of whatever value.
    Local,
    Global(String),
    /// What `require` of a literal name returned.
    Module(String),
}

/// A call of a global function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub function: String,
    /// The first argument, when it is a literal string.
    pub literal: Option<String>,
    pub at: Range<usize>,
}

#[derive(Debug, Default)]
pub struct Outline {
    pub reads: Vec<Use>,
    pub writes: BTreeMap<String, Range<usize>>,
    pub members: Vec<Member>,
    pub calls: Vec<Called>,
    /// Names assigned in any table: `t.x = …`, `function t.x`, `{x = …}`.
    pub fields: BTreeSet<String>,
    /// The environment is changed: `setfenv`, `module`.
    pub has_own_environment: bool,
    /// Globals are made in ways that cannot be followed.
    pub is_dynamic: bool,
    /// The result of `/` or `^` becomes text here.
    pub fractions: Vec<Range<usize>>,
    /// It ends with `return` at its top level.
    pub returns: bool,
}

/// Walks through the tokens of a text that compiles.
pub fn outline(tokens: &[Token<'_>]) -> Outline {
    let mut walk = Walk { tokens, at: 0, scopes: vec![Vec::new()], out: Outline::default(), depth: 0 };
    walk.block();
    walk.out
}

struct Walk<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    scopes: Vec<Vec<(&'a str, Meaning)>>,
    out: Outline,
    /// Functions and blocks around.
    depth: usize,
}

impl<'a> Walk<'_, 'a> {
    fn token(&self) -> &Token<'a> {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn text(&self) -> &'a str {
        // Strings are no symbols, whatever is in them.
        if self.token().kind == Kind::Text { "\"" } else { self.token().text }
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.text() == text;
        if found {
            self.advance();
        }
        found
    }

    fn name(&mut self) -> &'a str {
        let name = self.token().text;
        self.advance();
        name
    }

    fn declare(&mut self, name: &'a str, meaning: Meaning) {
        if name == "_ENV" {
            self.out.is_dynamic = true;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name, meaning));
        }
    }

    fn resolve(&self, name: &str) -> Meaning {
        let known = self.scopes.iter().rev().flat_map(|s| s.iter().rev()).find(|(n, _)| *n == name);
        known.map_or_else(|| Meaning::Global(name.to_string()), |(_, meaning)| meaning.clone())
    }

    fn is_local(&self, name: &str) -> bool {
        self.scopes.iter().flatten().any(|(known, _)| *known == name)
    }

    /// What a name stands for to those who assign it.
    fn target_of(&self, name: &str) -> Meaning {
        if self.is_local(name) { Meaning::Local } else { Meaning::Global(name.to_string()) }
    }

    fn block(&mut self) {
        self.scopes.push(Vec::new());
        self.statements();
        self.scopes.pop();
    }

    fn statements(&mut self) {
        self.depth += 1;
        while self.token().kind != Kind::End && !["end", "else", "elseif", "until"].contains(&self.text()) {
            if self.text() == "return" {
                self.out.returns |= self.depth == 1;
                self.advance();
                if self.token().kind != Kind::End && !["end", "else", "elseif", "until", ";"].contains(&self.text()) {
                    self.expressions();
                }
                self.skip(";");
                break;
            }
            let before = self.at;
            self.statement();
            if self.at == before {
                self.advance(); // it does not compile after all
            }
        }
        self.depth -= 1;
    }

    fn statement(&mut self) {
        match self.text() {
            ";" | "break" => self.advance(),
            "::" => {
                self.advance();
                self.name();
                self.skip("::");
            }
            "goto" if self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Name) => self.at += 2,
            "do" => {
                self.advance();
                self.block();
                self.skip("end");
            }
            "while" => {
                self.advance();
                self.expression();
                self.skip("do");
                self.block();
                self.skip("end");
            }
            "repeat" => {
                self.advance();
                self.scopes.push(Vec::new());
                self.statements();
                self.skip("until");
                self.expression(); // it sees the locals of the block
                self.scopes.pop();
            }
            "if" => self.conditional(),
            "for" => self.loop_over(),
            "function" => self.function_statement(),
            "local" => self.local(),
            _ => self.assignment_or_call(),
        }
    }

    fn conditional(&mut self) {
        self.advance();
        self.expression();
        self.skip("then");
        self.block();
        while self.skip("elseif") {
            self.expression();
            self.skip("then");
            self.block();
        }
        if self.skip("else") {
            self.block();
        }
        self.skip("end");
    }

    fn loop_over(&mut self) {
        self.advance();
        let mut names = vec![self.name()];
        while self.skip(",") {
            names.push(self.name());
        }
        if !self.skip("=") {
            self.skip("in");
        }
        self.expressions();
        self.skip("do");
        self.scopes.push(Vec::new());
        names.into_iter().for_each(|name| self.declare(name, Meaning::Local));
        self.block();
        self.scopes.pop();
        self.skip("end");
    }

    fn function_statement(&mut self) {
        self.advance();
        let (name, at) = (self.token().text, self.token().at.clone());
        self.advance();
        let meaning = self.resolve(name);
        let mut has_self = false;
        if [".", ":"].contains(&self.text()) {
            self.read(&self.target_of(name), at);
            while self.text() == "." || self.text() == ":" {
                has_self |= self.text() == ":";
                self.advance();
                let field = self.name();
                self.out.fields.insert(field.to_string());
                if meaning == Meaning::Global("_G".to_string()) {
                    self.out.writes.entry(field.to_string()).or_insert_with(|| 0..0);
                }
            }
        } else {
            self.write(&self.target_of(name), at);
        }
        self.function_body(has_self);
    }

    fn function_body(&mut self, has_self: bool) {
        self.scopes.push(Vec::new());
        if has_self {
            self.declare("self", Meaning::Local);
        }
        self.skip("(");
        while self.token().kind != Kind::End && !self.skip(")") {
            if self.token().kind == Kind::Name {
                let name = self.token().text;
                self.declare(name, Meaning::Local);
            }
            self.advance();
        }
        self.block();
        self.skip("end");
        self.scopes.pop();
    }

    fn local(&mut self) {
        self.advance();
        if self.skip("function") {
            let name = self.name();
            self.declare(name, Meaning::Local);
            return self.function_body(false);
        }
        let mut names = Vec::new();
        loop {
            names.push(self.name());
            if self.skip("<") {
                self.name();
                self.skip(">");
            }
            if !self.skip(",") {
                break;
            }
        }
        let values = if self.skip("=") { self.expressions() } else { Vec::new() };
        let mut values = values.into_iter();
        for name in names {
            // A local that stands for a function of the host is one, too: `local read = read_config`.
            let meaning = values.next().and_then(|v| v.meaning.filter(|_| v.members == 0)).unwrap_or(Meaning::Local);
            self.declare(name, meaning);
        }
    }

    fn assignment_or_call(&mut self) {
        let mut targets = vec![self.target()];
        while self.skip(",") {
            targets.push(self.target());
        }
        let assigned = self.skip("=");
        if assigned {
            self.expressions();
        }
        for (meaning, at, is_whole) in targets {
            match (is_whole, assigned) {
                (true, true) => self.write(&meaning, at),
                (true, false) => self.read(&meaning, at),
                _ => {}
            }
        }
    }

    /// The target of an assignment, or a call: what its root stands for, and whether it is the root alone.
    fn target(&mut self) -> (Meaning, Range<usize>, bool) {
        let at = self.token().at.clone();
        if self.token().kind != Kind::Name {
            self.suffixed();
            return (Meaning::Local, at, false);
        }
        let next = self.tokens.get(self.at + 1).map_or("", |t| if t.kind == Kind::Text { "\"" } else { t.text });
        let meaning = self.resolve(self.token().text);
        if ["=", ","].contains(&next) {
            let target = self.target_of(self.token().text);
            self.advance();
            return (target, at, true);
        }
        let began = self.at;
        self.suffixed();
        self.assigned_member(&meaning, began);
        (meaning, at, false)
    }

    /// Notes `… .x =` and `_G["x"] =`, after the target was read.
    fn assigned_member(&mut self, root: &Meaning, began: usize) {
        if !["=", ","].contains(&self.text()) || self.at < began + 3 {
            return;
        }
        let is_global_table = *root == Meaning::Global("_G".to_string());
        let last = &self.tokens[self.at - 1];
        let field = match (self.tokens[self.at - 2].text, last.text, last.kind) {
            (".", name, Kind::Name) => Some(name),
            (_, "]", Kind::Symbol) => self.tokens[self.at - 2].literal().filter(|_| self.tokens[self.at - 3].text == "["),
            _ => return,
        };
        let is_direct = self.at - began == 3 || self.at - began == 4;
        match field {
            Some(name) => {
                self.out.fields.insert(name.to_string());
                if is_global_table && is_direct {
                    let at = last.at.clone();
                    self.out.writes.entry(name.to_string()).or_insert(at);
                }
            }
            None if is_global_table => self.out.is_dynamic = true,
            None => {}
        }
    }

    fn read(&mut self, meaning: &Meaning, at: Range<usize>) {
        if let Meaning::Global(name) = meaning {
            if name == "_ENV" {
                self.out.is_dynamic = true;
            }
            self.out.reads.push(Use { name: name.clone(), at });
        }
    }

    fn write(&mut self, meaning: &Meaning, at: Range<usize>) {
        if let Meaning::Global(name) = meaning {
            if name == "_ENV" {
                self.out.is_dynamic = true;
            }
            self.out.writes.entry(name.clone()).or_insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lua::lexer::tokens;

    fn of(source: &str) -> Outline {
        outline(&tokens(source).tokens)
    }

    fn reads(source: &str) -> Vec<String> {
        of(source).reads.into_iter().map(|r| r.name).collect()
    }

    #[test]
    fn locals_are_no_globals_where_they_are_seen() {
        assert_eq!(reads("local a = b; print(a) do local c = 1 end print(c)"), ["b", "print", "print", "c"]);
        assert_eq!(reads("local function f(x, ...) return x, y end for i = 1, n do g(i) end"), ["y", "n", "g"]);
        assert_eq!(reads("for k, v in pairs(t) do u = k .. v end repeat local z = 1 until z > w"), ["pairs", "t", "w"]);
        assert_eq!(reads("local x = x"), ["x"], "a local begins behind its statement");
        assert_eq!(reads("if a then elseif b then else c() end while d do end goto e ::e:: return f"), ["a", "b", "c", "d", "f"]);
        assert_eq!(reads("local t <const> = { a = 1, [b] = 2, c; d() } t.e.f = 1 t:g 'x' { h }"), ["b", "c", "d", "h"]);
        assert_eq!(reads("function o:m() return self.x end"), ["o"]);
    }

    #[test]
    fn globals_are_made_in_many_ways() {
        let o = of("a = 1 b, c = 1, 2 function d() end _G.e = 1 _G['f'] = 1 rawset(_G, 'g', 1) function t.h() end x.i = 1");
        assert_eq!(o.writes.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f", "g"]);
        assert!(o.fields.contains("h") && o.fields.contains("i") && !o.is_dynamic);
        assert!(of("_G[n] = 1").is_dynamic && of("setmetatable(_G, {})").is_dynamic && of("local _ENV = {}").is_dynamic);
        assert!(of("module('x', package.seeall)").has_own_environment && of("setfenv(1, M)").has_own_environment);
        assert_eq!(reads("if _G.x then y = _G['z'] end"), [""; 0]);
    }

    #[test]
    fn calls_are_followed_through_locals() {
        let calls = |source: &str| of(source).calls.into_iter().map(|c| (c.function, c.literal)).collect::<Vec<_>>();
        let read = |name: &str| ("read_config".to_string(), Some(name.to_string()));
        assert_eq!(calls("local r = read_config x = r('a') or r \"b\" r [[c]]"), [read("a"), read("b"), read("c")]);
        assert_eq!(calls("_G.read_config('a') local r = not read_config r('b')"), [read("a")]);
        let o = of("local j = require 'cjson' j.decode(x) string.format('')");
        let members: Vec<_> = o.members.iter().map(|m| (m.root.clone(), m.member.as_str())).collect();
        assert_eq!(members, [(Meaning::Module("cjson".into()), "decode"), (Meaning::Global("string".into()), "format")]);
    }

    #[test]
    fn fractions_that_become_text_are_found() {
        let found = |source: &str| of(source).fractions.iter().map(|at| source[at.clone()].to_string()).collect::<Vec<_>>();
        assert_eq!(found("x = 'a' .. b / 2 * 3 .. 'c' .. (2 ^ n) .. tostring(a / b)"), ["b / 2 * 3", "(2 ^ n)", "tostring"]);
        for fine in ["x = f(a / b) .. c", "x = a // b .. c", "x = (a / b > 1) .. ''", "x = a / b", "x = a .. t[b / c]", "f('/' .. x)"] {
            assert_eq!(found(fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn returning_at_the_top_makes_a_module() {
        assert!(of("local M = {} return M").returns);
        assert!(!of("function f() return 1 end if x then return end").returns);
    }
}
