//! Lua's patterns, by section 6.4.1 of the [Lua 5.4 reference manual](https://www.lua.org/manual/5.4/manual.html#6.4.1),
//! in time that somebody watches. It knows no Lua.
//!
//! Matching goes back where it was wrong, so a short pattern may take longer than anyone can wait.
//! A [`Matcher`] therefore counts its steps, each a few nanoseconds, and asks every [`PATIENCE`] of
//! them whether it is to stop. A [`Pattern`] has been checked as a whole beforehand; a `Matcher`
//! made from plain bytes reads its pattern while it matches, as Lua's own library does, so what is
//! wrong shows only when matching gets there.
//!
//! ```
//! use pattern::Pattern;
//!
//! let words = Pattern::new(*b"^(%a+)%s+(%d+)$").unwrap();
//! assert_eq!(words.find(b"status  502", 100_000), Ok(Some((0, 11))));
//!
//! let wrong = Pattern::new(*b"status [0-9").unwrap_err();
//! assert_eq!((wrong.at, wrong.to_string()), (7, "malformed pattern (missing ']')".to_owned()));
//! ```

mod check;
mod class;
mod fault;
mod item;
mod matcher;

pub use fault::{Fault, Invalid};
pub use matcher::{Captured, MAX_CAPTURES, Matcher, PATIENCE};

/// A pattern that is known to be well formed: matching it either ends or is stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    source: Box<[u8]>,
}

impl Pattern {
    /// # Errors
    /// What is wrong with it and at which byte. Patterns whose captures and repetitions nest deeper
    /// than matching may go are refused, too.
    pub fn new(source: impl Into<Box<[u8]>>) -> Result<Pattern, Invalid> {
        let source = source.into();
        check::check(&source)?;
        Ok(Pattern { source })
    }

    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The pattern on its way through a subject; `stop` is asked every [`PATIENCE`] steps.
    #[inline]
    pub fn matcher<'a, S: FnMut() -> bool>(&'a self, subject: &'a [u8], stop: S) -> Matcher<'a, S> {
        Matcher::new(subject, self.parts().0, stop)
    }

    /// The first match, start and end, found in at most so many steps, rounded up to [`PATIENCE`].
    ///
    /// # Errors
    /// [`Fault::Stopped`] and no other, when the steps are used up.
    #[inline]
    pub fn find(&self, subject: &[u8], steps: usize) -> Result<Option<(usize, usize)>, Fault> {
        let (pattern, anchored) = self.parts();
        let mut asks = steps / PATIENCE;
        let stop = || match asks.checked_sub(1) {
            Some(left) => {
                asks = left;
                false
            }
            None => true,
        };
        let mut matcher = Matcher::new(subject, pattern, stop);
        if anchored { Ok(matcher.match_at(0)?.map(|end| (0, end))) } else { matcher.search(0, None) }
    }

    /// The pattern without its anchor, and whether there is one.
    fn parts(&self) -> (&[u8], bool) {
        match self.source.strip_prefix(b"^") {
            Some(rest) => (rest, true),
            None => (&self.source, false),
        }
    }
}

/// Whether a pattern is plain text, to be found as it stands.
pub fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| matches!(b, b'^' | b'$' | b'*' | b'+' | b'?' | b'.' | b'(' | b'[' | b'%' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_anchor_ties_the_match_to_the_beginning() {
        let anchored = Pattern::new(*b"^b").unwrap();
        assert_eq!(anchored.find(b"ab", 1000), Ok(None));
        assert_eq!(anchored.find(b"ba", 1000), Ok(Some((0, 1))));
        assert_eq!(Pattern::new(*b"a^").unwrap().find(b"xa^", 1000), Ok(Some((1, 3))));
    }

    #[test]
    fn a_search_ends_when_its_steps_are_used_up() {
        let slow = Pattern::new([b"a?".repeat(24), b"a".repeat(24), b"b".to_vec()].concat()).unwrap();
        assert_eq!(slow.find(&b"a".repeat(24), 100_000), Err(Fault::Stopped));
        assert_eq!(slow.find(b"ab", 100_000), Ok(None));
    }

    proptest! {
        /// What is found well formed never faults; what is not faults or never gets matched that far.
        #[test]
        fn a_checked_pattern_has_no_faults(
            source in proptest::collection::vec(prop::sample::select(b"ab.%[]()^$*+-?b1f0".to_vec()), 0..12),
            subject in proptest::collection::vec(prop::sample::select(b"ab[(1".to_vec()), 0..12),
        ) {
            let outcome = Matcher::new(&subject, source.strip_prefix(b"^").unwrap_or(&source), || false).search(0, None);
            match Pattern::new(source) {
                Ok(pattern) => prop_assert!(pattern.find(&subject, usize::MAX).is_ok()),
                // Reported when a capture that was never closed is asked for.
                Err(Invalid { fault: Fault::OpenCapture, .. }) => {}
                Err(invalid) => prop_assert!(outcome.is_ok() || outcome == Err(invalid.fault), "{:?} {:?}", outcome, invalid),
            }
        }
    }
}
