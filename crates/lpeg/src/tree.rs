//! Patterns: an immutable graph of shared nodes, and the operations that make new ones.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::ledger::Cost;
use crate::{Capture, Charset, Error, Key, MAX_BEHIND, MAX_DEPTH, MAX_SIZE, Program, ValueId};

/// Bytes up to which texts that follow each other become one: a text counts as one part, however long.
const MAX_JOINED: usize = 4096;

/// A pattern. Clones share everything, the compiled program too.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub(crate) tree: Tree,
    program: OnceCell<Rc<Program>>,
}

pub(crate) type Tree = Rc<Node>;

#[derive(Debug)]
pub(crate) struct Node {
    pub kind: Kind,
    pub facts: Facts,
    cost: Cost,
}

#[derive(Debug)]
pub(crate) enum Kind {
    True,
    False,
    /// So many bytes.
    Any(u32),
    /// At least one byte.
    Literal(Box<[u8]>),
    /// At least two bytes, and not all.
    Set(Box<Charset>),
    /// One code point of a range, in UTF-8.
    Utf8(u32, u32),
    Sequence(Box<[Tree]>),
    Choice(Box<[Tree]>),
    /// At least so many times.
    Repeat(Tree, u32),
    /// At most so many times.
    Optional(Tree, u32),
    Not(Tree),
    And(Tree),
    Behind(Tree),
    Call(Key),
    Grammar(Box<Grammar>),
    Capture(Box<Capture>, Tree),
}

/// The first rule is the initial one.
#[derive(Debug)]
pub(crate) struct Grammar {
    pub rules: Box<[(Key, Tree)]>,
    /// Which rules may match nothing.
    pub nullable: Box<[bool]>,
}

/// What is known of a node. Of calls of rules that are not known yet nothing is assumed that allows more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Nodes of the pattern written out as a tree; at most [`MAX_SIZE`].
    pub size: u32,
    pub depth: u16,
    /// May match the empty string. A call alone is not; see `check` for grammars.
    pub nullable: bool,
    /// Never fails.
    pub nofail: bool,
    pub captures: bool,
    /// Calls rules that are not inside.
    pub open: bool,
    /// Bytes it matches, when that is always the same.
    pub fixed: Option<u32>,
}

impl Facts {
    /// A pattern of one byte or more.
    fn leaf(fixed: Option<u32>) -> Facts {
        Facts { size: 1, depth: 1, nullable: fixed == Some(0), nofail: false, captures: false, open: false, fixed }
    }

    /// Those of a pattern with these inside, `times` written out.
    fn around<'t>(trees: impl IntoIterator<Item = &'t Tree>, times: u32) -> Result<Facts, Error> {
        let mut all = Facts::leaf(Some(0));
        let (mut size, mut depth) = (1_u64, 0);
        for tree in trees {
            let facts = &tree.facts;
            size += u64::from(facts.size) * u64::from(times.max(1));
            depth = depth.max(facts.depth);
            all.captures |= facts.captures;
            all.open |= facts.open;
        }
        if size > MAX_SIZE as u64 {
            return Err(Error::TooBig);
        }
        if usize::from(depth) >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        Ok(Facts { size: size as u32, depth: depth + 1, ..all })
    }
}

impl Pattern {
    pub(crate) fn new(kind: Kind, facts: Facts) -> Pattern {
        let heap = match &kind {
            Kind::Literal(text) => text.len(),
            Kind::Set(_) => size_of::<Charset>(),
            Kind::Sequence(list) | Kind::Choice(list) => size_of_val(&**list),
            Kind::Grammar(grammar) => size_of::<Grammar>() + grammar.rules.len() * (size_of::<(Key, Tree)>() + 1),
            Kind::Capture(capture, _) => size_of::<Capture>() + capture.heap_bytes(),
            _ => 0,
        };
        let cost = Cost::of(heap + size_of::<Node>() + 2 * size_of::<usize>());
        Pattern::of(Rc::new(Node { kind, facts, cost }))
    }

    pub(crate) fn of(tree: Tree) -> Pattern {
        Pattern { tree, program: OnceCell::new() }
    }

    /// Memory of the pattern, with what it shares with others, and of its program. It is counted anew; see
    /// [`crate::Ledger`] for a running account.
    pub fn bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let mut sum = 0;
        let mut open = vec![&self.tree];
        while let Some(tree) = open.pop() {
            if seen.insert(Rc::as_ptr(tree)) {
                sum += tree.cost.bytes();
                open.extend(tree.children());
                if let Kind::Grammar(grammar) = &tree.kind {
                    open.extend(grammar.rules.iter().map(|(_, rule)| rule));
                }
            }
        }
        sum + self.program_bytes()
    }

    /// Memory of the program once there is one.
    pub fn program_bytes(&self) -> usize {
        self.program.get().map_or(0, |program| program.bytes())
    }

    /// Size of the pattern written out as a tree.
    pub fn size(&self) -> usize {
        self.tree.facts.size as usize
    }

    /// Whether [`Pattern::program`] has been asked for.
    pub fn is_compiled(&self) -> bool {
        self.program.get().is_some()
    }

    /// The compiled pattern: at first use it is compiled.
    ///
    /// # Errors
    /// A rule is called outside a grammar; the program would be too big.
    pub fn program(&self) -> Result<Rc<Program>, Error> {
        if let Some(program) = self.program.get() {
            return Ok(program.clone());
        }
        let program = Rc::new(crate::compile::compile(&self.tree)?);
        Ok(self.program.get_or_init(|| program).clone())
    }

    /// Matches the empty string (`P(true)`).
    pub fn empty() -> Pattern {
        Pattern::new(Kind::True, Facts { nofail: true, ..Facts::leaf(Some(0)) })
    }

    /// Never matches (`P(false)`).
    pub fn never() -> Pattern {
        Pattern::new(Kind::False, Facts { nullable: false, ..Facts::leaf(Some(0)) })
    }

    /// So many bytes (`P(n)`); for negative `n`: not so many left.
    pub fn any(n: i64) -> Result<Pattern, Error> {
        let count = u32::try_from(n.unsigned_abs()).map_err(|_| Error::TooBig)?;
        Ok(match n {
            0 => Pattern::empty(),
            1.. => Pattern::new(Kind::Any(count), Facts::leaf(Some(count))),
            _ => Pattern::any(-n)?.not()?,
        })
    }

    /// The text itself (`P("text")`).
    pub fn literal(text: &[u8]) -> Pattern {
        if text.is_empty() {
            return Pattern::empty();
        }
        Pattern::new(Kind::Literal(text.into()), Facts::leaf(u32::try_from(text.len()).ok()))
    }

    /// One byte of the set (`S`, `R`).
    pub fn set(set: &Charset) -> Pattern {
        match (set.single(), set.is_empty(), set.is_full()) {
            (Some(byte), ..) => Pattern::literal(&[byte]),
            (_, true, _) => Pattern::never(),
            (_, _, true) => Pattern::new(Kind::Any(1), Facts::leaf(Some(1))),
            _ => Pattern::new(Kind::Set(Box::new(*set)), Facts::leaf(Some(1))),
        }
    }

    /// One code point from `from` to `to`, in UTF-8 (`utfR`).
    pub fn utf8(from: u32, to: u32) -> Result<Pattern, Error> {
        if from > to || to > 0x10_FFFF {
            return Err(Error::CodePoints);
        }
        let length = |code| 1 + u32::from(code > 0x7f) + u32::from(code > 0x7ff) + u32::from(code > 0xffff);
        let fixed = (length(from) == length(to)).then(|| length(to));
        Ok(Pattern::new(Kind::Utf8(from, to), Facts { nullable: false, ..Facts::leaf(fixed) }))
    }

    /// Calls a rule of the grammar around it (`V`).
    pub fn rule(name: Key) -> Pattern {
        Pattern::new(Kind::Call(name), Facts { open: true, captures: true, ..Facts::leaf(None) })
    }

    /// This pattern, then the other (`p1 * p2`).
    pub fn then(&self, other: &Pattern) -> Result<Pattern, Error> {
        match (&self.tree.kind, &other.tree.kind) {
            (Kind::False, _) | (_, Kind::True) => return Ok(self.clone()),
            (Kind::True, _) => return Ok(other.clone()),
            _ => {}
        }
        let (left, right) = (parts(&self.tree), parts(&other.tree));
        let mut list = Vec::with_capacity(left.len() + right.len());
        list.extend_from_slice(left);
        let mut rest = right;
        if let (Some(last), Some(first)) = (left.last(), right.first())
            && let Some(joined) = last.joined(first)
        {
            *list.last_mut().expect("the left side has a last part") = joined;
            rest = &right[1..];
        }
        list.extend_from_slice(rest);
        if let [only] = &list[..] {
            return Ok(Pattern::of(only.clone()));
        }
        let facts = Facts::around(&list, 1)?;
        let all = |f: fn(&Facts) -> bool| list.iter().all(|tree| f(&tree.facts));
        let fixed = list.iter().try_fold(0_u32, |sum, tree| sum.checked_add(tree.facts.fixed?));
        let facts = Facts { nullable: all(|f| f.nullable), nofail: all(|f| f.nofail), fixed, ..facts };
        Ok(Pattern::new(Kind::Sequence(list.into()), facts))
    }

    /// This pattern, or else the other (`p1 + p2`).
    pub fn or(&self, other: &Pattern) -> Result<Pattern, Error> {
        match (&self.tree.kind, &other.tree.kind) {
            _ if self.tree.facts.nofail => return Ok(self.clone()),
            (_, Kind::False) => return Ok(self.clone()),
            (Kind::False, _) => return Ok(other.clone()),
            _ => {}
        }
        let (left, right) = (alternatives(&self.tree), alternatives(&other.tree));
        let mut list = left.to_vec();
        let mut rest = right;
        if let (Some(last), Some(first)) = (left.last(), right.first())
            && let (Some(a), Some(b)) = (last.charset(), first.charset())
        {
            *list.last_mut().expect("the left side has a last part") = Pattern::set(&a.union(&b)).tree;
            rest = &right[1..];
        }
        list.extend_from_slice(rest);
        if let [only] = &list[..] {
            return Ok(Pattern::of(only.clone()));
        }
        let facts = Facts::around(&list, 1)?;
        let some = |f: fn(&Facts) -> bool| list.iter().any(|tree| f(&tree.facts));
        let fixed = list[0].facts.fixed.filter(|n| list.iter().all(|tree| tree.facts.fixed == Some(*n)));
        let facts = Facts { nullable: some(|f| f.nullable), nofail: some(|f| f.nofail), fixed, ..facts };
        Ok(Pattern::new(Kind::Choice(list.into()), facts))
    }

    /// This pattern where the other does not match (`p1 - p2`).
    pub fn except(&self, other: &Pattern) -> Result<Pattern, Error> {
        match (self.tree.charset(), other.tree.charset()) {
            (Some(a), Some(b)) => Ok(Pattern::set(&a.difference(&b))),
            _ => other.not()?.then(self),
        }
    }

    /// Matches nothing, where this pattern does not match (`-p`).
    pub fn not(&self) -> Result<Pattern, Error> {
        let facts = Facts::around([&self.tree], 1)?;
        Ok(Pattern::new(Kind::Not(self.tree.clone()), Facts { nullable: true, captures: false, fixed: Some(0), ..facts }))
    }

    /// Matches nothing, where this pattern matches (`#p`).
    pub fn and(&self) -> Result<Pattern, Error> {
        let facts = Facts::around([&self.tree], 1)?;
        Ok(Pattern::new(Kind::And(self.tree.clone()), Facts { nullable: true, nofail: self.tree.facts.nofail, fixed: Some(0), ..facts }))
    }

    /// Matches nothing, where this pattern matches what comes just before (`B`).
    pub fn behind(&self) -> Result<Pattern, Error> {
        match self.tree.facts.fixed {
            None => return Err(Error::BehindNotFixed),
            Some(_) if self.tree.facts.captures => return Err(Error::BehindCaptures),
            Some(n) if n > MAX_BEHIND => return Err(Error::BehindTooLong),
            Some(_) => {}
        }
        let facts = Facts::around([&self.tree], 1)?;
        Ok(Pattern::new(Kind::Behind(self.tree.clone()), Facts { nullable: true, fixed: Some(0), ..facts }))
    }

    /// At least `n` times, as often as it can (`p^n`); for negative `n`: at most that often.
    pub fn repeat(&self, n: i64) -> Result<Pattern, Error> {
        let times = u32::try_from(n.unsigned_abs()).map_err(|_| Error::TooBig)?;
        let facts = Facts::around([&self.tree], times.saturating_add(u32::from(n >= 0)))?;
        let inner = &self.tree.facts;
        if n >= 0 {
            if inner.nullable {
                return Err(Error::EmptyLoop);
            }
            // `False^0` is what is left of loops over impossible bytes.
            let facts = Facts { nullable: n == 0, nofail: n == 0, fixed: None, ..facts };
            return Ok(Pattern::new(Kind::Repeat(self.tree.clone(), times), facts));
        }
        if inner.nofail && times == 1 {
            return Ok(self.clone());
        }
        let facts = Facts { nullable: true, nofail: true, fixed: inner.fixed.filter(|n| *n == 0), ..facts };
        Ok(Pattern::new(Kind::Optional(self.tree.clone(), times), facts))
    }

    /// Captures what the pattern matches.
    pub fn capture(&self, capture: Capture) -> Result<Pattern, Error> {
        let inner = self.tree.facts;
        let facts = Facts::around([&self.tree], 1)?;
        let nofail = inner.nofail && !matches!(capture, Capture::Runtime(_));
        // A match-time capture goes where its function says.
        let fixed = inner.fixed.filter(|_| !matches!(capture, Capture::Runtime(_)));
        let facts = Facts { captures: true, nullable: inner.nullable, nofail, fixed, ..facts };
        Ok(Pattern::new(Kind::Capture(Box::new(capture), self.tree.clone()), facts))
    }

    /// The constants, matching nothing (`Cc`).
    pub fn constants(list: Vec<crate::Constant>) -> Result<Pattern, Error> {
        if list.is_empty() {
            return Ok(Pattern::empty());
        }
        Pattern::empty().capture(Capture::Constants(list.into()))
    }

    /// Calls the function while matching (`P(function)`).
    pub fn function(function: ValueId) -> Result<Pattern, Error> {
        Pattern::empty().capture(Capture::Runtime(function))
    }

    /// A grammar; the first rule is the initial one (`P{…}`).
    ///
    /// # Errors
    /// A rule is called that is not there, calls itself before anything was read, or loops over nothing.
    pub fn grammar(rules: Vec<(Key, Pattern)>) -> Result<Pattern, Error> {
        let rules: Box<[(Key, Tree)]> = rules.into_iter().map(|(name, pattern)| (name, pattern.tree)).collect();
        let facts = Facts::around(rules.iter().map(|rule| &rule.1), 1)?;
        let nullable = crate::check::grammar(&rules)?;
        let first = rules[0].1.facts;
        let nofail = first.nofail;
        let facts = Facts { open: false, nullable: nullable[0], nofail, fixed: first.fixed, ..facts };
        Ok(Pattern::new(Kind::Grammar(Box::new(Grammar { rules, nullable })), facts))
    }
}

/// The parts of a sequence; anything else is its own only part.
fn parts(tree: &Tree) -> &[Tree] {
    if let Kind::Sequence(list) = &tree.kind { list } else { std::slice::from_ref(tree) }
}

fn alternatives(tree: &Tree) -> &[Tree] {
    if let Kind::Choice(list) = &tree.kind { list } else { std::slice::from_ref(tree) }
}

impl Node {
    /// Two neighbours in a sequence as one node.
    fn joined(&self, next: &Node) -> Option<Tree> {
        match (&self.kind, &next.kind) {
            (Kind::Literal(a), Kind::Literal(b)) if a.len() + b.len() <= MAX_JOINED => Some(Pattern::literal(&[&a[..], b].concat()).tree),
            (Kind::Any(a), Kind::Any(b)) => Some(Pattern::any(i64::from(a.checked_add(*b)?)).ok()?.tree),
            _ => None,
        }
    }

    /// The set of bytes the pattern is about, if it is one byte of a set and no more.
    pub fn charset(&self) -> Option<Charset> {
        match &self.kind {
            Kind::Literal(text) if text.len() == 1 => Some(Charset::of(text)),
            Kind::Set(set) => Some(**set),
            Kind::Any(1) => Some(Charset::FULL),
            Kind::False => Some(Charset::EMPTY),
            _ => None,
        }
    }
}
