//! A selection as bytes, and how the indices of a batch map to those of what was frozen of it.

use super::FrozenError;
use super::column::{self, Column, take};
use crate::Selection;

const ALL: u8 = 0;
const LISTED: u8 = 1;

/// Appends a selection, to be read by [`thaw_selection`]: of every message in 5 bytes, of some mostly
/// in one byte a message.
pub fn freeze_selection(selection: &Selection, out: &mut Vec<u8>) {
    let n = selection.len();
    let all = selection.end() == n;
    out.push(if all { ALL } else { LISTED });
    out.extend_from_slice(&(n as u32).to_le_bytes());
    if !all {
        let mut next = 0;
        let gaps = selection.iter().map(move |index| {
            let gap = index as i64 - next;
            next = index as i64 + 1;
            gap
        });
        column::write(out, 1, n, gaps);
    }
}

/// Takes a selection from the front of `bytes`. Its indices ascend; whether a batch has them, [`Selection::end`] says.
///
/// # Errors
/// Bytes that [`freeze_selection`] did not write.
pub fn thaw_selection(bytes: &mut &[u8]) -> Result<Selection, FrozenError> {
    let head = take(bytes, 5)?;
    let n = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    match head[0] {
        ALL => return Ok(Selection::All(n)),
        LISTED => {}
        _ => return Err(FrozenError::Damaged("kind of a selection")),
    }
    let gaps = Column::read(bytes, 1, n as usize)?;
    let mut list = vec![0; n as usize];
    let mut next = 0;
    let ascending = gaps.apply(&mut list, |to, gap| {
        let index = u32::try_from(gap).ok().and_then(|gap| u32::checked_add(next, gap)).filter(|i| *i < u32::MAX);
        *to = index.unwrap_or_default();
        next = *to + 1;
        index.is_some()
    });
    if ascending { Ok(Selection::of(&list)) } else { Err(FrozenError::Damaged("index of a selection")) }
}

/// Where a message of the batch that was frozen is in the one that is thawed.
#[derive(Clone, Copy, Debug)]
pub enum Mapping<'a> {
    /// The whole batch was frozen, with messages nobody asked for: every index stays.
    Same,
    /// Only these were: the `nth` of them has index `nth`.
    Compact(&'a Selection),
}

impl Mapping<'_> {
    /// The index in the thawed batch; none for a message that was left out.
    pub fn index(&self, original: usize) -> Option<usize> {
        match self {
            Mapping::Same => Some(original),
            Mapping::Compact(frozen) => frozen.position(original),
        }
    }

    /// What selects in the thawed batch the messages that `original` selects in the one that was
    /// frozen. Messages that were left out are left out.
    pub fn selection(&self, original: &Selection) -> Selection {
        let Mapping::Compact(frozen) = self else { return original.clone() };
        if *frozen == original {
            return Selection::All(frozen.len() as u32);
        }
        original.iter().filter_map(|index| frozen.position(index)).map(|index| index as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen(selection: &Selection) -> Vec<u8> {
        let mut bytes = Vec::new();
        freeze_selection(selection, &mut bytes);
        bytes
    }

    #[test]
    fn selections_are_read_as_they_were_written() {
        let every_other: Vec<u32> = (0..1000).map(|i| i * 2).collect();
        for (selection, size) in [
            (Selection::All(0), 5),
            (Selection::All(7), 5),
            (Selection::of(&[]), 5),
            (Selection::of(&[0, 1, 2]), 5),
            (Selection::of(&[9]), 8),
            (Selection::of(&[0, 1, 5, u32::MAX - 1]), 5 + 1 + 16),
            (Selection::of(&every_other), 5 + 1 + 1000),
        ] {
            let mut bytes = frozen(&selection);
            assert!(bytes.len() <= size, "{} bytes", bytes.len());
            bytes.push(b'x');
            let mut rest = &bytes[..];
            assert_eq!(thaw_selection(&mut rest), Ok(selection));
            assert_eq!(rest, b"x");
        }
    }

    #[test]
    fn damaged_selections_ascend_or_are_refused() {
        let bytes = frozen(&Selection::of(&[3, 4, 70, 500, 501, 70_000]));
        for cut in 0..bytes.len() {
            assert_eq!(thaw_selection(&mut &bytes[..cut]), Err(FrozenError::Short));
        }
        for at in 0..bytes.len() {
            for change in 1..=255 {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                if let Ok(selection) = thaw_selection(&mut &damaged[..])
                    && !matches!(selection, Selection::All(_))
                {
                    let list: Vec<usize> = selection.iter().collect();
                    assert!(list.is_sorted_by(|a, b| a < b));
                    assert_eq!(selection.end(), list.last().map_or(0, |last| last + 1));
                }
            }
        }
    }

    #[test]
    fn indices_map_to_what_was_frozen() {
        let frozen = Selection::of(&[2, 3, 5, 8, 13, 21]);
        let mapping = Mapping::Compact(&frozen);
        assert_eq!([2, 3, 4, 21, 22].map(|i| mapping.index(i)), [Some(0), Some(1), None, Some(5), None]);
        assert_eq!(mapping.selection(&Selection::of(&[3, 21])), Selection::of(&[1, 5]));
        assert!(matches!(mapping.selection(&frozen), Selection::All(6)));
        assert_eq!(Mapping::Same.index(7), Some(7));
        assert_eq!(Mapping::Same.selection(&frozen), frozen);
    }
}
