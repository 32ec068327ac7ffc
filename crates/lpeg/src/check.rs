//! Checks of a grammar: every rule called is there, none calls itself before something was read, no loop runs over nothing.

use std::collections::HashMap;

use crate::tree::{Kind, Node, Tree};
use crate::{Error, Key, MAX_RULES};

/// Checks the rules of a grammar. Tells which may match nothing.
pub(crate) fn grammar(rules: &[(Key, Tree)]) -> Result<Box<[bool]>, Error> {
    if rules.is_empty() {
        return Err(Error::NoInitialRule);
    }
    if rules.len() > MAX_RULES {
        return Err(Error::TooManyRules);
    }
    let mut check = Check { index: index(rules), nullable: vec![false; rules.len()] };
    for (_, rule) in rules {
        check.defined(rule)?;
    }
    check.find_nullable(rules);
    check.left_recursion(rules)?;
    for (name, rule) in rules {
        check.loops(rule).map_err(|_| Error::EmptyLoopInRule(name.to_string()))?;
    }
    Ok(check.nullable.into())
}

/// Where every rule is in the list.
pub(crate) fn index(rules: &[(Key, Tree)]) -> HashMap<&Key, usize> {
    rules.iter().enumerate().map(|(i, (name, _))| (name, i)).collect()
}

struct Check<'g> {
    index: HashMap<&'g Key, usize>,
    nullable: Vec<bool>,
}

impl Check<'_> {
    fn defined(&self, node: &Node) -> Result<(), Error> {
        match &node.kind {
            Kind::Call(name) if !self.index.contains_key(name) => Err(Error::UndefinedRule(name.to_string())),
            _ if !node.facts.open => Ok(()),
            _ => node.children().iter().try_for_each(|child| self.defined(child)),
        }
    }

    /// The least solution: nothing is assumed to match the empty string until it is known to.
    fn find_nullable(&mut self, rules: &[(Key, Tree)]) {
        loop {
            let before = self.nullable.clone();
            for (i, (_, rule)) in rules.iter().enumerate() {
                self.nullable[i] = self.nullable[i] || self.is_nullable(rule);
            }
            if before == self.nullable {
                return;
            }
        }
    }

    fn is_nullable(&self, node: &Node) -> bool {
        match &node.kind {
            _ if node.facts.nullable || !node.facts.open => node.facts.nullable,
            Kind::Call(name) => self.nullable[self.index[name]],
            Kind::Choice(list) => list.iter().any(|child| self.is_nullable(child)),
            _ => node.children().iter().all(|child| self.is_nullable(child)),
        }
    }

    /// Follows the calls that a rule may make before it has read anything, and looks for a circle.
    fn left_recursion(&self, rules: &[(Key, Tree)]) -> Result<(), Error> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; rules.len()];
        for start in 0..rules.len() {
            // Rules on the way, each with the calls that are still to be followed.
            let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
            let mut enter = Some(start).filter(|i| states[*i] == State::New);
            loop {
                if let Some(rule) = enter.take() {
                    states[rule] = State::Open;
                    let mut calls = Vec::new();
                    self.left_calls(&rules[rule].1, &mut calls);
                    calls.sort_unstable();
                    calls.dedup();
                    path.push((rule, calls));
                }
                let Some((rule, calls)) = path.last_mut() else { break };
                match calls.pop() {
                    Some(next) if states[next] == State::Open => return Err(Error::LeftRecursive(rules[next].0.to_string())),
                    Some(next) => enter = Some(next).filter(|i| states[*i] == State::New),
                    None => {
                        states[*rule] = State::Done;
                        path.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Collects the rules that are called before anything is read. True: all of the node may match nothing.
    fn left_calls(&self, node: &Node, calls: &mut Vec<usize>) -> bool {
        if !node.facts.open {
            return node.facts.nullable;
        }
        match &node.kind {
            Kind::Call(name) => {
                let rule = self.index[name];
                calls.push(rule);
                self.nullable[rule]
            }
            Kind::Choice(list) => list.iter().fold(false, |any, child| self.left_calls(child, calls) | any),
            _ => node.children().iter().all(|child| self.left_calls(child, calls)) || node.facts.nullable,
        }
    }

    /// Looks for loops whose body may match nothing. Tells whether the node may.
    fn loops(&self, node: &Node) -> Result<bool, Error> {
        if !node.facts.open {
            return Ok(node.facts.nullable);
        }
        let mut all = true;
        let mut any = false;
        for child in node.children() {
            let nullable = self.loops(child)?;
            all &= nullable;
            any |= nullable;
        }
        Ok(match &node.kind {
            Kind::Call(name) => self.nullable[self.index[name]],
            Kind::Repeat(..) if any => return Err(Error::EmptyLoop),
            Kind::Choice(_) => any,
            _ => all || node.facts.nullable,
        })
    }
}

impl Node {
    /// The nodes inside; those of a grammar are its own business.
    pub(crate) fn children(&self) -> &[Tree] {
        match &self.kind {
            Kind::Sequence(list) | Kind::Choice(list) => list,
            Kind::Repeat(tree, _) | Kind::Optional(tree, _) | Kind::Capture(_, tree) => std::slice::from_ref(tree),
            Kind::Not(tree) | Kind::And(tree) | Kind::Behind(tree) => std::slice::from_ref(tree),
            _ => &[],
        }
    }
}
