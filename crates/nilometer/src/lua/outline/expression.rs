//! Expressions: operands, operators, tables, calls.

use std::ops::Range;

use super::{Called, Meaning, Member, Walk};
use crate::lua::lexer::Kind;

/// What is known of an expression.
#[derive(Default)]
pub(super) struct Expression {
    /// It is a name, perhaps with members.
    pub(super) meaning: Option<Meaning>,
    /// Names after the root.
    pub(super) members: usize,
    pub(super) literal: Option<String>,
    /// A number that is always a fraction to Lua 5.4, `5.0`.
    pub(super) is_fraction: bool,
}

/// How tightly the operators bind whose operands may be fractions; `..` is above what follows.
fn is_arithmetic(operator: &str) -> bool {
    ["+", "-", "*", "/", "//", "%", "^"].contains(&operator)
}

impl<'a> Walk<'_, 'a> {
    pub(super) fn expressions(&mut self) -> Vec<Expression> {
        let mut all = vec![self.expression()];
        while self.skip(",") {
            all.push(self.expression());
        }
        all
    }

    /// Operands and operators in a row. Precedence matters only for what becomes text by `..`.
    pub(super) fn expression(&mut self) -> Expression {
        // One piece of arithmetic: where it begins, and whether it is a fraction.
        let (mut begin, mut is_fraction) = (self.token().at.start, false);
        let (mut is_alone, mut is_single, mut behind_concat) = (true, true, false);
        loop {
            while ["not", "-", "#", "~"].contains(&self.text()) {
                self.advance();
                is_alone = false;
            }
            let operand = self.simple();
            is_fraction |= operand.is_fraction;
            let end = self.tokens[self.at.saturating_sub(1)].at.end;
            let operator = self.operator();
            if let Some(arithmetic) = operator.filter(|op| is_arithmetic(op)) {
                is_fraction |= ["/", "^"].contains(&arithmetic);
                is_alone = false;
                self.advance();
                continue;
            }
            if is_fraction && (behind_concat || operator == Some("..")) {
                self.out.fractions.push(begin..end);
            }
            let Some(operator) = operator else {
                // The value of `and`, `or`, a comparison, a text or bits may be something else.
                let is_fraction = is_fraction && is_single;
                return if is_alone { operand } else { Expression { is_fraction, ..Expression::default() } };
            };
            self.advance();
            (begin, is_fraction) = (self.token().at.start, false);
            (is_alone, is_single, behind_concat) = (false, false, operator == "..");
        }
    }

    pub(super) fn operator(&self) -> Option<&'a str> {
        const OPERATORS: [&str; 21] =
            ["+", "-", "*", "/", "//", "%", "^", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or", "&", "|", "~", "<<", ">>"];
        let text = self.text();
        OPERATORS.contains(&text).then_some(text)
    }

    pub(super) fn simple(&mut self) -> Expression {
        match (self.token().kind, self.text()) {
            (Kind::Text, _) => {
                let literal = self.token().literal().map(str::to_string);
                self.advance();
                Expression { literal, ..Expression::default() }
            }
            (Kind::Number, _) | (_, "nil" | "true" | "false" | "...") => {
                self.advance();
                Expression::default()
            }
            (_, "{") => {
                self.table();
                Expression::default()
            }
            (_, "function") => {
                self.advance();
                self.function_body(false);
                Expression::default()
            }
            _ => self.suffixed(),
        }
    }

    pub(super) fn table(&mut self) {
        self.skip("{");
        while self.token().kind != Kind::End && !self.skip("}") {
            let next = self.tokens.get(self.at + 1).map_or("", |t| t.text);
            if self.token().kind == Kind::Name && next == "=" {
                let name = self.name();
                self.out.fields.insert(name.to_string());
                self.advance();
            } else if self.skip("[") {
                self.expression();
                self.skip("]");
                self.skip("=");
            }
            self.expression();
            if !self.skip(",") {
                self.skip(";");
            }
        }
    }

    /// A name or an expression in brackets, with everything that follows it: members, indices, calls.
    pub(super) fn suffixed(&mut self) -> Expression {
        let root_at = self.token().at.clone();
        let mut e = Expression::default();
        if self.skip("(") {
            let inner = self.expression();
            e.is_fraction = inner.is_fraction;
            self.skip(")");
        } else if self.token().kind == Kind::Name {
            let (meaning, plain) = (self.resolve(self.token().text), self.target_of(self.token().text));
            self.advance();
            // `_G.x` may well be nil.
            if !(meaning == Meaning::Global("_G".to_string()) && [".", "["].contains(&self.text())) {
                self.read(&plain, root_at.clone());
            }
            e.meaning = Some(meaning);
        } else {
            self.advance();
            return e;
        }
        loop {
            match self.text() {
                "." => {
                    self.advance();
                    self.member(&mut e);
                }
                "[" => {
                    self.advance();
                    self.expression();
                    self.skip("]");
                    e = Expression { members: e.members + 1, ..Expression::default() };
                }
                ":" => {
                    self.advance();
                    self.name();
                    self.arguments();
                    e = Expression::default();
                }
                "(" | "{" | "\"" => e = self.call(e, root_at.clone()),
                _ => return e,
            }
            e.is_fraction = false;
        }
    }

    pub(super) fn member(&mut self, e: &mut Expression) {
        let (member, at) = (self.token().text, self.token().at.clone());
        self.advance();
        match e.meaning.take() {
            Some(Meaning::Global(root)) if root == "_G" && e.members == 0 => e.meaning = Some(Meaning::Global(member.to_string())),
            Some(root @ (Meaning::Global(_) | Meaning::Module(_))) if e.members == 0 => {
                let assigned = self.text() == "=";
                if !assigned {
                    self.out.members.push(Member { root: root.clone(), member: member.to_string(), at });
                }
                e.members += 1;
                e.meaning = Some(root);
            }
            other => {
                e.members += 1;
                e.meaning = other;
            }
        }
    }

    pub(super) fn call(&mut self, callee: Expression, at: Range<usize>) -> Expression {
        let arguments = self.arguments();
        let call = Expression::default();
        let Some(Meaning::Global(function)) = callee.meaning else { return call };
        if callee.members > 0 {
            return call;
        }
        let first = arguments.first();
        let literal = first.and_then(|a| a.literal.clone());
        let is_globals = first.and_then(|a| a.meaning.as_ref()).is_some_and(|m| *m == Meaning::Global("_G".to_string()));
        match function.as_str() {
            "setfenv" | "module" => self.out.has_own_environment = true,
            "rawset" if is_globals => match arguments.get(1).and_then(|a| a.literal.clone()) {
                Some(name) => drop(self.out.writes.entry(name).or_insert(at.clone())),
                None => self.out.is_dynamic = true,
            },
            "setmetatable" if is_globals => self.out.is_dynamic = true,
            "tostring" if first.is_some_and(|a| a.is_fraction) => self.out.fractions.push(at.clone()),
            _ => {}
        }
        self.out.calls.push(Called { function: function.clone(), literal: literal.clone(), at });
        match (function.as_str(), literal) {
            ("require", Some(name)) => Expression { meaning: Some(Meaning::Module(name)), ..call },
            _ => call,
        }
    }

    pub(super) fn arguments(&mut self) -> Vec<Expression> {
        if self.token().kind == Kind::Text {
            let literal = self.token().literal().map(str::to_string);
            self.advance();
            return vec![Expression { literal, ..Expression::default() }];
        }
        if self.text() == "{" {
            self.table();
            return vec![Expression::default()];
        }
        self.skip("(");
        let arguments = if self.text() == ")" { Vec::new() } else { self.expressions() };
        self.skip(")");
        arguments
    }
}
