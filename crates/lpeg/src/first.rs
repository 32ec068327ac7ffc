//! The first byte: which bytes a pattern can begin with, so that one look decides between alternatives.

use std::collections::HashMap;

use crate::Charset;
use crate::tree::{Kind, Node, Tree};

/// How deep the question is followed; below that nothing is known.
const MAX_LOOK: u32 = 200;

/// The bytes one of which must come next for a pattern, and what follows it, to match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct First {
    pub set: Charset,
    pub without: Without,
}

/// What a pattern can do without reading any byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Without {
    /// It fails, so that it needs a byte of the set.
    Fails,
    /// It may match, so that the set says nothing at the end of the subject.
    Matches,
    /// It may call a function, which must be called.
    Calls,
}

impl First {
    /// Nothing is known.
    pub const ANY: First = First { set: Charset::FULL, without: Without::Matches };
}

/// The rules in scope.
#[derive(Default)]
pub(crate) struct Scope<'g> {
    pub index: HashMap<&'g crate::Key, usize>,
    pub rules: &'g [(crate::Key, Tree)],
    pub nullable: &'g [bool],
    /// What is known already of the rules, whatever follows them.
    pub known: Vec<Option<First>>,
    depth: u32,
}

impl<'g> Scope<'g> {
    pub fn new(grammar: &'g crate::tree::Grammar) -> Scope<'g> {
        let index = crate::check::index(&grammar.rules);
        Scope { index, rules: &grammar.rules, nullable: &grammar.nullable, known: vec![None; grammar.rules.len()], depth: 0 }
    }

    /// What `node` can begin with when `follow` comes after it.
    pub fn first(&mut self, node: &Node, follow: &Charset) -> First {
        if self.depth >= MAX_LOOK {
            return First::ANY;
        }
        self.depth += 1;
        let first = self.look(node, follow);
        self.depth -= 1;
        first
    }

    fn look(&mut self, node: &Node, follow: &Charset) -> First {
        let needs = |set| First { set, without: Without::Fails };
        let may = |set| First { set, without: Without::Matches };
        match &node.kind {
            Kind::Literal(text) => needs(Charset::of(&text[..1])),
            Kind::Set(set) => needs(**set),
            Kind::Any(_) => needs(Charset::FULL),
            Kind::Utf8(from, to) => needs(Charset::range(lead(*from)..=lead(*to))),
            Kind::False => needs(Charset::EMPTY),
            Kind::True => may(*follow),
            Kind::Sequence(list) => self.first_of_sequence(list, follow),
            Kind::Choice(list) => self.first_of_choice(list, follow),
            Kind::Repeat(body, 0) | Kind::Optional(body, _) => {
                let first = self.first(body, follow);
                First { set: first.set.union(follow), without: first.without.max(Without::Matches) }
            }
            Kind::Repeat(body, _) => self.first(body, &Charset::FULL),
            Kind::And(body) => {
                let first = self.first(body, &Charset::FULL);
                First { set: first.set.intersection(follow), ..first }
            }
            Kind::Not(body) => match body.charset() {
                Some(set) => may(set.complement().intersection(follow)),
                None => First { set: *follow, without: self.first(body, follow).without.max(Without::Matches) },
            },
            Kind::Behind(_) => may(*follow),
            Kind::Capture(capture, body) => {
                let first = self.first(body, follow);
                match **capture {
                    crate::Capture::Runtime(_) if first.without > Without::Fails => First { set: Charset::FULL, without: Without::Calls },
                    _ => first,
                }
            }
            Kind::Grammar(grammar) => Scope { depth: self.depth, ..Scope::new(grammar) }.first(&grammar.rules[0].1, follow),
            Kind::Call(name) => self.first_of_call(name),
        }
    }

    /// What comes first in the rest of a sequence.
    pub fn first_of_sequence(&mut self, list: &[Tree], follow: &Charset) -> First {
        let skipped = list.iter().take_while(|tree| self.may_be_empty(tree)).count();
        let mut rest = match list.get(skipped) {
            Some(tree) => self.first(tree, &Charset::FULL),
            None => First { set: *follow, without: Without::Matches },
        };
        for tree in list[..skipped].iter().rev() {
            rest = self.before(tree, &rest);
        }
        rest
    }

    /// What comes first in a node and what comes after it.
    pub fn before(&mut self, node: &Node, rest: &First) -> First {
        let first = self.first(node, &rest.set);
        let without = match first.without {
            Without::Matches => rest.without,
            other => other,
        };
        First { set: first.set, without }
    }

    pub fn first_of_choice(&mut self, list: &[Tree], follow: &Charset) -> First {
        let none = First { set: Charset::EMPTY, without: Without::Fails };
        list.iter().fold(none, |all, tree| {
            let first = self.first(tree, follow);
            First { set: all.set.union(&first.set), without: all.without.max(first.without) }
        })
    }

    fn first_of_call(&mut self, name: &crate::Key) -> First {
        let Some(&rule) = self.index.get(name) else { return First::ANY };
        if let Some(first) = self.known[rule] {
            return first;
        }
        let rules = self.rules;
        let first = self.first(&rules[rule].1, &Charset::FULL);
        self.known[rule] = Some(first);
        first
    }

    fn may_be_empty(&self, node: &Node) -> bool {
        match &node.kind {
            Kind::Call(name) => self.index.get(name).is_none_or(|rule| self.nullable[*rule]),
            Kind::Capture(_, body) | Kind::Repeat(body, 1..) => self.may_be_empty(body),
            // Of what is open only this is known: it may be.
            _ => node.facts.nullable || node.facts.open,
        }
    }
}

/// Whether a pattern that fails has failed at its first byte.
pub(crate) fn fails_at_head(node: &Node) -> bool {
    match &node.kind {
        Kind::Literal(text) => text.len() == 1,
        Kind::Set(_) | Kind::Any(1) | Kind::False => true,
        Kind::Sequence(list) => fails_at_head(&list[0]) && list[1..].iter().all(|tree| tree.facts.nofail),
        Kind::Choice(list) => list.iter().all(|tree| fails_at_head(tree)),
        Kind::Repeat(body, 1) | Kind::And(body) => fails_at_head(body),
        Kind::Capture(capture, body) => !matches!(**capture, crate::Capture::Runtime(_)) && fails_at_head(body),
        _ => false,
    }
}

/// The first byte of a code point in UTF-8.
fn lead(code: u32) -> u8 {
    match code {
        0..=0x7f => code as u8,
        0x80..=0x7ff => 0xc0 | (code >> 6) as u8,
        0x800..=0xffff => 0xe0 | (code >> 12) as u8,
        _ => 0xf0 | (code >> 18) as u8,
    }
}
