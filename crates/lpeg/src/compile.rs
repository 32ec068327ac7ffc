//! From a pattern to its program.

use std::collections::HashMap;
use std::rc::Rc;

use crate::first::{First, Scope, Without, fails_at_head};
use crate::program::Op;
use crate::tree::{Grammar, Kind, Node, Tree};
use crate::{Capture, Charset, Error, MAX_BEHIND, Program};

/// Compiles a pattern.
///
/// # Errors
/// A rule is called outside a grammar; there are more different sets than a program can hold.
pub(crate) fn compile(tree: &Tree) -> Result<Program, Error> {
    let mut compiler = Compiler::default();
    compiler.node(tree, false, None, &Charset::FULL)?;
    compiler.emit(Op::End);
    compiler.shorten_jumps();
    Ok(Program {
        ops: compiler.ops.into(),
        sets: compiler.sets.list.into(),
        literals: compiler.literals.list.into(),
        ranges: compiler.ranges.list.into(),
        captures: compiler.captures.into(),
    })
}

#[derive(Default)]
struct Compiler<'t> {
    ops: Vec<Op>,
    sets: Table<Charset>,
    literals: Table<Rc<[u8]>>,
    /// Nodes are shared, and their texts may be long: each is looked at once.
    literal_index: HashMap<*const [u8], u32>,
    ranges: Table<(u32, u32)>,
    captures: Vec<Capture>,
    capture_index: HashMap<*const Capture, u32>,
    scope: Scope<'t>,
    /// Calls in the scope that are to get the addresses of their rules.
    calls: Vec<(usize, usize)>,
}

/// A list without repetitions.
struct Table<T> {
    list: Vec<T>,
    index: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { list: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn add(&mut self, item: &T) -> u32 {
        *self.index.entry(item.clone()).or_insert_with(|| {
            self.list.push(item.clone());
            self.list.len() as u32 - 1
        })
    }
}

impl<'t> Compiler<'t> {
    fn literal(&mut self, text: &'t [u8]) -> u32 {
        let literals = &mut self.literals;
        *self.literal_index.entry(text).or_insert_with(|| literals.add(&text.into()))
    }

    fn emit(&mut self, op: Op) -> usize {
        self.ops.push(op);
        self.ops.len() - 1
    }

    fn here(&self) -> u32 {
        self.ops.len() as u32
    }

    /// Makes the instructions go on after the last one.
    fn land(&mut self, jumps: impl IntoIterator<Item = usize>) {
        let here = self.here();
        for jump in jumps {
            *self.ops[jump].target().expect("only instructions with a target are patched") = here;
        }
    }

    fn set(&mut self, set: &Charset) -> Result<u16, Error> {
        u16::try_from(self.sets.add(set)).map_err(|_| Error::TooBig)
    }

    /// A test of the next byte where failing at it decides; its index.
    fn test(&mut self, first: &First) -> Result<Option<usize>, Error> {
        if first.without != Without::Fails {
            return Ok(None);
        }
        let op = match first.set.single() {
            Some(byte) => Op::TestChar(byte, 0),
            None if first.set.is_empty() => Op::Jump(0),
            None if first.set.is_full() => Op::TestAny(0),
            None => Op::TestSet(self.set(&first.set)?, 0),
        };
        Ok(Some(self.emit(op)))
    }

    /// Code of one node. `last`: a choice is pending whose other way is to go on right behind the node. `tested`: the next
    /// byte is known to be one of these. `follow`: what follows the node fails unless its next byte is one of these.
    fn node(&mut self, node: &'t Node, last: bool, tested: Option<&Charset>, follow: &Charset) -> Result<(), Error> {
        if let Some(set) = node.charset() {
            return self.one_of(&set, tested);
        }
        match &node.kind {
            Kind::Any(n) => {
                self.emit(Op::Any(*n));
            }
            Kind::Literal(text) => {
                let literal = self.literal(text);
                self.emit(Op::Literal(literal));
            }
            Kind::Utf8(from, to) => {
                let range = self.ranges.add(&(*from, *to));
                self.emit(Op::Utf8(range));
            }
            Kind::True | Kind::False | Kind::Set(_) => {}
            Kind::Sequence(list) => self.sequence(list, last, tested, follow)?,
            Kind::Choice(list) => self.choice(list, last, follow)?,
            Kind::Repeat(body, least) => self.repeat(body, *least, last, tested, follow)?,
            Kind::Optional(body, most) => self.optional(body, *most, last, follow)?,
            Kind::Not(body) => self.not(body)?,
            Kind::And(body) => self.and(body, tested)?,
            Kind::Behind(body) => {
                self.step_back(body.facts.fixed);
                self.node(body, false, None, &Charset::FULL)?;
            }
            Kind::Capture(capture, body) => self.capture(capture, body, tested, follow)?,
            Kind::Grammar(grammar) => self.grammar(grammar)?,
            Kind::Call(name) => {
                let Some(&rule) = self.scope.index.get(name) else { return Err(Error::RuleOutsideGrammar(name.to_string())) };
                let call = self.emit(Op::Call(0));
                self.calls.push((call, rule));
            }
        }
        Ok(())
    }

    fn one_of(&mut self, set: &Charset, tested: Option<&Charset>) -> Result<(), Error> {
        let op = match set.single() {
            _ if tested.is_some_and(|tested| tested.difference(set).is_empty()) || set.is_full() => Op::Any(1),
            Some(byte) => Op::Char(byte),
            None if set.is_empty() => Op::Fail,
            None => Op::Set(self.set(set)?),
        };
        self.emit(op);
        Ok(())
    }

    fn step_back(&mut self, bytes: Option<u32>) {
        if let Some(n) = bytes.filter(|n| *n > 0) {
            self.emit(Op::Behind(n));
        }
    }

    fn sequence(&mut self, list: &'t [Tree], last: bool, tested: Option<&Charset>, follow: &Charset) -> Result<(), Error> {
        // rest[i]: what can come after part i.
        let mut rest = vec![First { set: *follow, without: Without::Matches }; list.len()];
        for i in (1..list.len()).rev() {
            rest[i - 1] = self.scope.before(&list[i], &rest[i]);
        }
        for (i, part) in list.iter().enumerate() {
            self.node(part, last && i + 1 == list.len(), tested.filter(|_| i == 0), &rest[i].set)?;
        }
        Ok(())
    }

    fn choice(&mut self, list: &'t [Tree], last: bool, follow: &Charset) -> Result<(), Error> {
        // rest[i]: what alternatives after i can begin with.
        let mut rest = vec![Charset::EMPTY; list.len()];
        for i in (1..list.len()).rev() {
            rest[i - 1] = rest[i].union(&self.scope.first(&list[i], follow).set);
        }
        let mut ends = Vec::new();
        for (i, alternative) in list.iter().enumerate() {
            if i + 1 == list.len() {
                self.node(alternative, last, None, follow)?;
                break;
            }
            let nothing_else = i + 2 == list.len() && matches!(list[i + 1].kind, Kind::True);
            let first = self.scope.first(alternative, &Charset::FULL);
            if self.decides(&first, alternative, &rest[i]) {
                let test = self.test(&first)?;
                self.node(alternative, false, test.map(|_| &first.set), follow)?;
                if !nothing_else {
                    ends.push(self.emit(Op::Jump(0)));
                }
                self.land(test);
            } else if last && nothing_else {
                let next = self.here() + 1;
                self.emit(Op::PartialCommit(next));
                self.node(alternative, true, None, &Charset::FULL)?;
            } else {
                let test = self.test(&first)?;
                let choice = self.emit(Op::Choice(0));
                self.node(alternative, nothing_else, test.map(|_| &first.set), &Charset::FULL)?;
                ends.push(self.emit(Op::Commit(0)));
                self.land([choice].into_iter().chain(test));
            }
        }
        self.land(ends);
        Ok(())
    }

    /// Whether the first byte alone decides between a node and what could come instead.
    fn decides(&self, first: &First, node: &Node, instead: &Charset) -> bool {
        first.without == Without::Fails && (fails_at_head(node) || first.set.is_disjoint(instead))
    }

    fn repeat(&mut self, body: &'t Tree, least: u32, last: bool, tested: Option<&Charset>, follow: &Charset) -> Result<(), Error> {
        for i in 0..least {
            self.node(body, false, tested.filter(|_| i == 0), &Charset::FULL)?;
        }
        if let Some(set) = body.charset() {
            let op = match set.complement().single() {
                Some(byte) => Op::SpanTo(byte),
                None if set.is_full() => Op::Rest,
                None => Op::Span(self.set(&set)?),
            };
            self.emit(op);
            return Ok(());
        }
        if let Some(text) = searched(body) {
            let literal = self.literal(text);
            self.emit(Op::Until(literal));
            return Ok(());
        }
        let first = self.scope.first(body, &Charset::FULL);
        if self.decides(&first, body, follow) {
            let again = self.here();
            let test = self.test(&first)?;
            self.node(body, false, Some(&first.set), &Charset::FULL)?;
            self.emit(Op::Jump(again));
            self.land(test);
            return Ok(());
        }
        let test = self.test(&first)?;
        let choice = self.choice_or_update(last);
        let again = self.here();
        self.node(body, false, None, &Charset::FULL)?;
        self.emit(Op::PartialCommit(again));
        self.land(choice.into_iter().chain(test));
        Ok(())
    }

    /// Remembers the end of what follows as the other way, in the pending choice if there is one.
    fn choice_or_update(&mut self, last: bool) -> Option<usize> {
        if last {
            let next = self.here() + 1;
            self.emit(Op::PartialCommit(next));
            return None;
        }
        Some(self.emit(Op::Choice(0)))
    }

    fn optional(&mut self, body: &'t Tree, most: u32, last: bool, follow: &Charset) -> Result<(), Error> {
        let first = self.scope.first(body, &Charset::FULL);
        let mut ends = Vec::new();
        if self.decides(&first, body, follow) {
            for _ in 0..most {
                ends.extend(self.test(&first)?);
                self.node(body, false, Some(&first.set), &Charset::FULL)?;
            }
            self.land(ends);
            return Ok(());
        }
        ends.extend(self.test(&first)?);
        ends.extend(self.choice_or_update(last));
        for i in 1..=most {
            self.node(body, i == most, None, &Charset::FULL)?;
            let next = self.here() + 1;
            if i < most {
                self.emit(Op::PartialCommit(next));
            } else if !last {
                self.emit(Op::Commit(next));
            }
        }
        self.land(ends);
        Ok(())
    }

    fn not(&mut self, body: &'t Tree) -> Result<(), Error> {
        let first = self.scope.first(body, &Charset::FULL);
        let test = self.test(&first)?;
        if test.is_some() && fails_at_head(body) {
            self.emit(Op::Fail);
            self.land(test);
            return Ok(());
        }
        let choice = self.emit(Op::Choice(0));
        self.node(body, false, test.map(|_| &first.set), &Charset::FULL)?;
        self.emit(Op::FailTwice);
        self.land([choice].into_iter().chain(test));
        Ok(())
    }

    fn and(&mut self, body: &'t Tree, tested: Option<&Charset>) -> Result<(), Error> {
        if body.facts.fixed.is_some_and(|n| n <= MAX_BEHIND) && !body.facts.captures {
            self.node(body, false, tested, &Charset::FULL)?;
            self.step_back(body.facts.fixed);
            return Ok(());
        }
        let choice = self.emit(Op::Choice(0));
        self.node(body, false, tested, &Charset::FULL)?;
        let commit = self.emit(Op::BackCommit(0));
        self.land([choice]);
        self.emit(Op::Fail);
        self.land([commit]);
        Ok(())
    }

    fn capture(&mut self, capture: &'t Capture, body: &'t Tree, tested: Option<&Charset>, follow: &Charset) -> Result<(), Error> {
        let next = self.captures.len() as u32;
        let index = *self.capture_index.entry(std::ptr::from_ref(capture)).or_insert(next);
        if index == next {
            self.captures.push(capture.clone());
        }
        let runtime = matches!(capture, Capture::Runtime(_));
        let length = body.facts.fixed.and_then(|n| u16::try_from(n).ok()).filter(|_| !body.facts.captures && !runtime);
        if let Some(length) = length {
            self.node(body, false, tested, follow)?;
            self.emit(Op::Full(length, index));
            return Ok(());
        }
        self.emit(Op::Open(index));
        // What follows a match-time capture may begin anywhere: the function moves.
        self.node(body, false, tested, if runtime { &Charset::FULL } else { follow })?;
        self.emit(if runtime { Op::Runtime } else { Op::Close });
        Ok(())
    }

    fn grammar(&mut self, grammar: &'t Grammar) -> Result<(), Error> {
        let outer = std::mem::replace(&mut self.scope, Scope::new(grammar));
        let outer_calls = std::mem::take(&mut self.calls);
        let call = self.emit(Op::Call(0));
        self.calls.push((call, 0));
        let end = self.emit(Op::Jump(0));
        let mut addresses = Vec::with_capacity(grammar.rules.len());
        for (_, rule) in &grammar.rules {
            addresses.push(self.here());
            self.node(rule, false, None, &Charset::FULL)?;
            self.emit(Op::Return);
        }
        self.land([end]);
        self.scope = outer;
        for (call, rule) in std::mem::replace(&mut self.calls, outer_calls) {
            self.ops[call] = Op::Call(addresses[rule]);
        }
        Ok(())
    }

    /// Leads jumps to where they end up, and makes calls before a return jumps.
    fn shorten_jumps(&mut self) {
        for i in 0..self.ops.len() {
            if let Op::Call(rule) = self.ops[i]
                && self.ops[self.destination(i + 1)] == Op::Return
            {
                self.ops[i] = Op::Jump(rule);
            }
            if let Some(&mut target) = self.ops[i].target() {
                let end = self.destination(target as usize);
                self.land_at(i, end);
            }
        }
    }

    fn land_at(&mut self, i: usize, end: usize) {
        match (self.ops[i], self.ops[end]) {
            (Op::Jump(_), Op::Return | Op::Fail | Op::End | Op::Commit(_) | Op::PartialCommit(_)) => self.ops[i] = self.ops[end],
            _ => *self.ops[i].target().expect("asked for by the caller") = end as u32,
        }
    }

    /// Where one gets to from here by jumps alone.
    fn destination(&self, mut at: usize) -> usize {
        // Rules that only call each other are left recursive and refused; the bound is for safety.
        for _ in 0..100 {
            match self.ops[at] {
                Op::Jump(to) => at = to as usize,
                _ => break,
            }
        }
        at
    }
}

/// The literal that `(1 - literal)^0` looks for.
fn searched(body: &Node) -> Option<&[u8]> {
    let Kind::Sequence(list) = &body.kind else { return None };
    match &list[..] {
        [not, any] if matches!(any.kind, Kind::Any(1)) => match &not.kind {
            Kind::Not(text) => match &text.kind {
                Kind::Literal(text) => Some(text),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

impl Op {
    fn target(&mut self) -> Option<&mut u32> {
        match self {
            Op::TestChar(_, to) | Op::TestSet(_, to) | Op::TestAny(to) => Some(to),
            Op::Choice(to) | Op::Commit(to) | Op::PartialCommit(to) | Op::BackCommit(to) | Op::Jump(to) | Op::Call(to) => Some(to),
            _ => None,
        }
    }
}
