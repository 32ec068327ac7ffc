use crate::Refused;
use crate::hash::Keyed;
use crate::index::Index;
use crate::key::{MAX_KEY, canonical};

/// The series of one kind by name and tags.
///
/// The key of a series is [`canonical`]: clean name, tags in order. A sample that is spelled so is
/// found at once, with nothing looked at but whether the bytes are the same, since a canonical key is
/// its own canonical form. Other spellings are worked out once and remembered.
#[derive(Clone, Default, Debug)]
pub struct Names {
    series: Index,
    /// Spellings that are not canonical, and the series each means.
    spellings: Index,
    meant: Vec<u32>,
}

/// Spellings remembered beyond twice as many as there are series.
const SPELLINGS: usize = 1024;

/// Marks a candidate that is a spelling; numbers are smaller.
const SPELLING: u32 = 1 << 31;
const _: () = assert!(Index::MOST < SPELLING as usize);

impl Names {
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Name and tags of a series there is.
    pub fn parts(&self, number: usize) -> (&[u8], &[u8]) {
        self.series.parts(number)
    }

    /// What is most likely looked for, to be confirmed by [`Names::confirm`]: the first half of a
    /// search, apart from the second so that many can be under way.
    #[inline]
    pub fn candidate(&self, hash: u32) -> u32 {
        match self.series.candidate(hash) {
            Index::NONE => self.spellings.candidate(hash) | SPELLING,
            number => number,
        }
    }

    /// The series of a candidate if it is that of this name and these tags, else [`Index::NONE`].
    #[inline]
    pub fn confirm(&self, candidate: u32, name: &[u8], tags: &[u8]) -> u32 {
        let spelling = candidate & !SPELLING;
        if candidate == spelling && self.series.is(candidate, name, tags) {
            candidate
        } else if candidate != spelling && self.spellings.is(spelling, name, tags) {
            self.meant[spelling as usize]
        } else {
            Index::NONE
        }
    }

    /// The series of this name and these tags, as they were sent; made when there is room for one
    /// more, and then its number is the former `len`.
    pub fn number(
        &mut self,
        keyed: &Keyed,
        hash: u32,
        name: &[u8],
        tags: &[u8],
        room: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<u32, Refused> {
        if let Some(number) = self.series.find(hash, name, tags) {
            return Ok(number);
        }
        if let Some(spelling) = self.spellings.find(hash, name, tags) {
            return Ok(self.meant[spelling as usize]);
        }
        let key = canonical(name, tags, scratch)?;
        if key == (name, tags) {
            return self.add(hash, key, room);
        }
        let series_hash = keyed.of(key.0, key.1);
        let number = match self.series.find(series_hash, key.0, key.1) {
            Some(number) => number,
            None => self.add(series_hash, key, room)?,
        };
        self.remember(hash, name, tags, number);
        Ok(number)
    }

    /// Adds a series by its key unless it is there or is no key.
    pub fn restore(&mut self, keyed: &Keyed, (name, tags): (&[u8], &[u8])) -> Option<()> {
        let hash = keyed.of(name, tags);
        if name.len() + tags.len() > MAX_KEY || self.len() >= Index::MOST || self.series.find(hash, name, tags).is_some() {
            return None;
        }
        self.series.insert(hash, name, tags);
        Some(())
    }

    pub fn clear(&mut self) {
        self.series.clear();
        self.spellings.clear();
        self.meant.clear();
    }

    fn add(&mut self, hash: u32, (name, tags): (&[u8], &[u8]), room: usize) -> Result<u32, Refused> {
        if room == 0 || self.len() >= Index::MOST {
            return Err(Refused::TooManySeries);
        }
        Ok(self.series.insert(hash, name, tags))
    }

    fn remember(&mut self, hash: u32, name: &[u8], tags: &[u8], number: u32) {
        // Starting again is simpler than forgetting the oldest, and the ones in use are soon back.
        if self.meant.len() >= (2 * self.series.len() + SPELLINGS).min(Index::MOST) {
            self.spellings.clear();
            self.meant.clear();
        }
        self.spellings.insert(hash, name, tags);
        self.meant.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_finds_its_series_even_when_there_are_too_many_to_remember() {
        let (mut names, keyed, mut scratch) = (Names::default(), Keyed::default(), Vec::new());
        let mut number = |name: &str, tags: &str, room| {
            let (name, tags) = (name.as_bytes(), tags.as_bytes());
            let hash = keyed.of(name, tags);
            let confirmed = names.confirm(names.candidate(hash), name, tags);
            let found = names.number(&keyed, hash, name, tags, room, &mut scratch);
            assert!(confirmed == Index::NONE || found == Ok(confirmed));
            assert_eq!(found.ok(), Some(names.confirm(names.candidate(hash), name, tags)).filter(|n| *n != Index::NONE));
            (found, names.spellings.len() <= 2 * names.len() + SPELLINGS)
        };
        assert_eq!(number("a b", "y,x", 1), (Ok(0), true));
        assert_eq!(number("a_b", "x,y", 0), (Ok(0), true));
        assert_eq!(number("a_b", "xy", 1), (Ok(1), true));
        for commas in 2..1200 {
            assert_eq!(number("a b", &format!("y{}x", ",".repeat(commas)), 0), (Ok(0), true));
        }
        // What looks like a key's text, but is a name of its own, is not that series.
        assert_eq!(number("a_b\nx,y", "", 0), (Err(Refused::TooManySeries), true));
    }
}
