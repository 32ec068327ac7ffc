use crate::class::set_has;
use crate::fault::Fault;
use crate::item::{self, Item};

pub const MAX_CAPTURES: usize = 32;
/// How deep matching may nest.
pub(crate) const MAX_DEPTH: u32 = 200;
/// Steps between two questions whether to stop: some 10 µs.
pub const PATIENCE: usize = 4096;

/// What a capture holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Captured<'a> {
    Text(&'a [u8]),
    /// Of a byte, from 1.
    Position(usize),
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    len: usize,
}

/// Lengths that are none: of a capture not yet closed, and of a position.
const OPEN: usize = usize::MAX;
const POSITION: usize = usize::MAX - 1;

/// The end of a match.
type Outcome = Result<Option<usize>, Fault>;

/// A pattern on its way through a subject. `stop` is asked from time to time.
pub struct Matcher<'a, S> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; MAX_CAPTURES],
    level: usize,
    depth: u32,
    steps: usize,
    stop: S,
}

impl<'a, S: FnMut() -> bool> Matcher<'a, S> {
    /// The pattern is without the anchor at its beginning: that is the caller's affair.
    pub fn new(subject: &'a [u8], pattern: &'a [u8], stop: S) -> Self {
        Matcher { subject, pattern, captures: [Capture { start: 0, len: OPEN }; MAX_CAPTURES], level: 0, depth: 0, steps: 0, stop }
    }

    /// The first match that begins at or after `from` and does not end at `last`.
    pub fn search(&mut self, from: usize, last: Option<usize>) -> Result<Option<(usize, usize)>, Fault> {
        let first = self.first_byte();
        let mut start = from;
        while start <= self.subject.len() {
            if let Some(first) = first {
                let rest = &self.subject[start..];
                let skipped = memchr::memchr(first, rest);
                self.spend(skipped.unwrap_or(rest.len()) / 32)?;
                let Some(skipped) = skipped else { return Ok(None) };
                start += skipped;
            }
            match self.match_at(start)? {
                Some(end) if Some(end) != last => return Ok(Some((start, end))),
                _ => start += 1,
            }
        }
        Ok(None)
    }

    /// The end of the match that begins here.
    pub fn match_at(&mut self, start: usize) -> Outcome {
        (self.level, self.depth) = (0, 0);
        self.nested(start, 0)
    }

    /// How many captures the last match has; the whole match counts if there is no other.
    pub fn count(&self) -> usize {
        self.level.max(1)
    }

    /// How many captures the pattern has.
    pub fn level(&self) -> usize {
        self.level
    }

    pub fn text(&self, (start, end): (usize, usize)) -> &'a [u8] {
        &self.subject[start..end]
    }

    /// Capture `n`, from 0, of the last match, which spans these bytes.
    pub fn capture(&self, n: usize, span: (usize, usize)) -> Result<Captured<'a>, Fault> {
        if n >= self.level {
            return if n == 0 { Ok(Captured::Text(self.text(span))) } else { Err(Fault::NoCapture(n + 1)) };
        }
        let Capture { start, len } = self.captures[n];
        match len {
            OPEN => Err(Fault::OpenCapture),
            POSITION => Ok(Captured::Position(start + 1)),
            len => Ok(Captured::Text(self.text((start, start + len)))),
        }
    }

    /// Counts steps, each a few nanoseconds, and stops when that is asked for.
    #[inline]
    pub fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        self.steps += steps;
        if self.steps < PATIENCE { Ok(()) } else { self.ask() }
    }

    #[cold]
    fn ask(&mut self) -> Result<(), Fault> {
        self.steps = 0;
        if (self.stop)() { Err(Fault::Stopped) } else { Ok(()) }
    }

    /// The byte every match begins with, if the pattern says so plainly.
    fn first_byte(&self) -> Option<u8> {
        match self.pattern {
            [b'(' | b')' | b'.' | b'%' | b'[' | b'$', ..] | [] | [_, b'*' | b'?' | b'-', ..] => None,
            [first, ..] => Some(*first),
        }
    }

    /// Matches the rest of the pattern from `p` on at `s`.
    fn nested(&mut self, s: usize, p: usize) -> Outcome {
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooComplex);
        }
        self.spend(1)?;
        self.depth += 1;
        let outcome = self.walk(s, p);
        self.depth -= 1;
        outcome
    }

    fn walk(&mut self, mut s: usize, mut p: usize) -> Outcome {
        let pattern = self.pattern;
        while let Some(&head) = pattern.get(p) {
            match head {
                b'(' => return self.open(s, p + 1),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == pattern.len() => return Ok((s == self.subject.len()).then_some(s)),
                b'%' if matches!(pattern.get(p + 1), Some(b'b' | b'f' | b'0'..=b'9')) => {
                    self.spend(1)?;
                    let Some(next) = self.special(s, p + 1)? else { return Ok(None) };
                    (s, p) = next;
                    continue;
                }
                _ => {}
            }
            let end = item::end(self.pattern, p)?;
            self.spend(1 + (end - p) / 8)?;
            let item = Item::new(pattern, p, end);
            let suffix = pattern.get(end);
            if !self.subject.get(s).is_some_and(|&b| item.has(b)) {
                match suffix {
                    Some(b'*' | b'?' | b'-') => p = end + 1,
                    _ => return Ok(None),
                }
                continue;
            }
            match suffix {
                Some(b'?') => {
                    if let Some(found) = self.nested(s + 1, end + 1)? {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.longest(s, item, end + 1),
                Some(b'+') => return self.longest(s + 1, item, end + 1),
                Some(b'-') => return self.shortest(s, item, end + 1),
                _ => (s, p) = (s + 1, end),
            }
        }
        Ok(Some(s))
    }

    /// `x*`: as many as there are, then fewer.
    fn longest(&mut self, s: usize, item: Item<'a>, p: usize) -> Outcome {
        let mut n = item.ready().run(&self.subject[s..]);
        self.spend(n / 8)?;
        loop {
            if let Some(end) = self.nested(s + n, p)? {
                return Ok(Some(end));
            }
            if n == 0 {
                return Ok(None);
            }
            n -= 1;
        }
    }

    /// `x-`: none, then more.
    fn shortest(&mut self, mut s: usize, item: Item<'a>, p: usize) -> Outcome {
        let item = item.ready();
        loop {
            if let Some(end) = self.nested(s, p)? {
                return Ok(Some(end));
            }
            if !self.subject.get(s).is_some_and(|&b| item.has(b)) {
                return Ok(None);
            }
            s += 1;
        }
    }

    /// `(`, with the pattern at `p` behind it.
    fn open(&mut self, s: usize, p: usize) -> Outcome {
        if self.level == MAX_CAPTURES {
            return Err(Fault::TooManyCaptures);
        }
        let position = self.pattern.get(p) == Some(&b')');
        self.captures[self.level] = Capture { start: s, len: if position { POSITION } else { OPEN } };
        self.level += 1;
        let outcome = self.nested(s, if position { p + 1 } else { p })?;
        if outcome.is_none() {
            self.level -= 1;
        }
        Ok(outcome)
    }

    /// `)`, with the pattern at `p` behind it.
    fn close(&mut self, s: usize, p: usize) -> Outcome {
        let open = self.captures[..self.level].iter().rposition(|c| c.len == OPEN).ok_or(Fault::NothingToClose)?;
        self.captures[open].len = s - self.captures[open].start;
        let outcome = self.nested(s, p)?;
        if outcome.is_none() {
            self.captures[open].len = OPEN;
        }
        Ok(outcome)
    }

    /// `%b`, `%f` or `%1`, with `p` at what follows the `%`: where to go on, in subject and pattern.
    fn special(&mut self, s: usize, p: usize) -> Result<Option<(usize, usize)>, Fault> {
        let next = match self.pattern[p] {
            b'b' => self.balance(s, p + 1)?.map(|s| (s, p + 3)),
            b'f' => self.frontier(s, p + 1)?.map(|p| (s, p)),
            digit => self.repeat(s, usize::from(digit - b'0'))?.map(|s| (s, p + 1)),
        };
        Ok(next)
    }

    /// `%bxy`: the end of what begins with x, ends with y, and has as many of both.
    fn balance(&mut self, s: usize, p: usize) -> Outcome {
        let Some(&[open, close]) = self.pattern.get(p..p + 2) else { return Err(Fault::NoBalance) };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (n, &b) in self.subject[s + 1..].iter().enumerate() {
            if b == close {
                depth -= 1;
                if depth == 0 {
                    self.spend(n)?;
                    return Ok(Some(s + n + 2));
                }
            } else if b == open {
                depth += 1;
            }
        }
        self.spend(self.subject.len() - s)?;
        Ok(None)
    }

    /// `%f[set]`: the pattern behind it, if the byte here is in the set and the one before is not.
    fn frontier(&mut self, s: usize, p: usize) -> Outcome {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(Fault::NoFrontier);
        }
        let end = item::end(self.pattern, p)?;
        self.spend((end - p) / 4)?;
        let set = &self.pattern[p + 1..end - 1];
        // Both ends of the subject count as a byte 0.
        let before = if s == 0 { 0 } else { self.subject[s - 1] };
        let here = self.subject.get(s).copied().unwrap_or(0);
        Ok((!set_has(set, before) && set_has(set, here)).then_some(end))
    }

    /// `%1`: the end of what capture `n`, from 1, holds, if that is here.
    fn repeat(&mut self, s: usize, n: usize) -> Outcome {
        let capture = self.captures[..self.level].get(n.wrapping_sub(1)).filter(|c| c.len != OPEN).ok_or(Fault::NoCapture(n))?;
        let Capture { start, len } = *capture;
        if len > self.subject.len() - s {
            return Ok(None); // a position never matches
        }
        self.spend(len / 8)?;
        let same = self.subject[start..start + len] == self.subject[s..s + len];
        Ok(same.then_some(s + len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn find(subject: &str, pattern: &str) -> Result<Option<(usize, usize)>, Fault> {
        Matcher::new(subject.as_bytes(), pattern.as_bytes(), || false).search(0, None)
    }

    #[test]
    fn items_and_suffixes() {
        assert_eq!(find("hello world", "o w"), Ok(Some((4, 7))));
        assert_eq!(find("hello", "l+"), Ok(Some((2, 4))));
        assert_eq!(find("hello", "l-o"), Ok(Some((2, 5))));
        assert_eq!(find("key = value", "%s*=%s*"), Ok(Some((3, 6))));
        assert_eq!(find("a.b", "[^%w]"), Ok(Some((1, 2))));
        assert_eq!(find("x(a(b)c)y", "%b()"), Ok(Some((1, 8))));
        assert_eq!(find("THE (quick) fox", "%f[%a]%a+%f[%A]"), Ok(Some((0, 3))));
        assert_eq!(find("abab", "(ab)%1$"), Ok(Some((0, 4))));
        assert_eq!(find("abc", "x"), Ok(None));
    }

    #[test]
    fn captures() {
        let mut m = Matcher::new(b"k=v", b"()(%a)=(%a)()", || false);
        let span = m.search(0, None).unwrap().unwrap();
        let all: Vec<_> = (0..m.level()).map(|n| m.capture(n, span).unwrap()).collect();
        assert_eq!(all, [Captured::Position(1), Captured::Text(b"k"), Captured::Text(b"v"), Captured::Position(4)]);
        assert_eq!(m.capture(4, span), Err(Fault::NoCapture(5)));
    }

    #[test]
    fn faults_show_where_matching_gets_to_them() {
        for (pattern, fault) in [
            ("a%", Fault::EndsWithPercent),
            ("a[b", Fault::OpenSet),
            ("a[%", Fault::OpenSet),
            ("a%b(", Fault::NoBalance),
            ("a%fx", Fault::NoFrontier),
            ("a)", Fault::NothingToClose),
            ("(a)%2", Fault::NoCapture(2)),
            ("(a%1)", Fault::NoCapture(1)),
            ("%0", Fault::NoCapture(0)),
        ] {
            assert_eq!(find("aa", pattern), Err(fault), "{pattern}");
            assert_eq!(find("aa", &format!("b{pattern}")), Ok(None), "{pattern}");
        }
        assert_eq!(find("", &"(".repeat(33)), Err(Fault::TooManyCaptures));
        let optional = "a?".repeat(300);
        assert_eq!(find(&"a".repeat(300), &optional), Err(Fault::TooComplex));
    }

    #[test]
    fn stopping_is_asked_for_in_proportion_to_the_work() {
        let work = |subject: &[u8], pattern: &[u8], most: usize| {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > most
            };
            let outcome = Matcher::new(subject, pattern, stop).search(0, None);
            (outcome, asked.get())
        };
        let many = vec![b'a'; 1 << 20];
        for pattern in [".-.-.-.-b", "(.*)%1b", "%bab", "a*a*a*b", "[ab]-[ab]-b", "%f[b]x", "a?a?a?a?b", "()()()b", "(a*)(a*)%2%1b"] {
            assert_eq!(work(&many, pattern.as_bytes(), 100), (Err(Fault::Stopped), 101), "{pattern}");
        }
        let long_set = [b"[".as_slice(), &vec![b'b'; 1 << 20], b"]"].concat();
        assert!(work(b"aaaa", &long_set, usize::MAX).1 >= 4);
        assert_eq!(work(b"short", b"(%a+)", 0), (Ok(Some((0, 5))), 0));
    }
}
