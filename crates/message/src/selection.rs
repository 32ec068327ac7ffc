/// Which messages of a batch a consumer gets.
#[derive(Clone, Debug)]
pub enum Selection {
    /// The first `n`, that is, every message of the batch.
    All(u32),
    /// These indices, ascending.
    Some(Box<[u32]>),
    /// As `Some`, without memory of its own: most selections of a thousand consumers are of one message.
    Few([u32; Selection::FEW], u8),
}

impl Selection {
    /// The most messages of a [`Selection::Few`].
    pub const FEW: usize = 4;

    /// These indices, ascending.
    pub fn of(indices: &[u32]) -> Selection {
        if indices.len() > Selection::FEW {
            return Selection::Some(indices.into());
        }
        let mut few = [0; Selection::FEW];
        few[..indices.len()].copy_from_slice(indices);
        Selection::Few(few, indices.len() as u8)
    }

    pub fn len(&self) -> usize {
        match self {
            Selection::All(n) => *n as usize,
            Selection::Some(list) => list.len(),
            Selection::Few(_, n) => usize::from(*n),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index in the batch of the `nth` selected message.
    #[inline]
    pub fn index(&self, nth: usize) -> usize {
        match self {
            Selection::All(_) => nth,
            Selection::Some(list) => list[nth] as usize,
            Selection::Few(list, n) => list[..usize::from(*n)][nth] as usize,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.len()).map(|nth| self.index(nth))
    }

    /// Which of the selected messages the one at `index` in the batch is.
    pub fn position(&self, index: usize) -> Option<usize> {
        match self {
            Selection::All(n) => (index < *n as usize).then_some(index),
            Selection::Some(list) => list.binary_search(&u32::try_from(index).ok()?).ok(),
            Selection::Few(list, n) => list[..usize::from(*n)].iter().position(|i| *i as usize == index),
        }
    }

    /// How many messages a batch has at least that this is a selection of.
    pub fn end(&self) -> usize {
        self.len().checked_sub(1).map_or(0, |last| self.index(last) + 1)
    }

    /// What is left from the `nth` selected message on.
    pub fn from_nth(&self, nth: usize) -> Selection {
        self.iter().skip(nth).map(|i| i as u32).collect()
    }
}

impl FromIterator<u32> for Selection {
    fn from_iter<T: IntoIterator<Item = u32>>(indices: T) -> Selection {
        let list: Vec<u32> = indices.into_iter().collect();
        if list.len() > Selection::FEW { Selection::Some(list.into()) } else { Selection::of(&list) }
    }
}

/// Two are equal when they select the same messages.
impl PartialEq for Selection {
    fn eq(&self, other: &Selection) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Selection {}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn few_are_as_many() {
        for n in 0..8 {
            let list: Vec<u32> = (0..n).map(|i| i * 2 + 1).collect();
            let selection = Selection::of(&list);
            assert_eq!(selection, Selection::Some(list.clone().into()));
            assert_eq!(selection, list.iter().copied().collect());
            assert!(selection.iter().eq(list.iter().map(|i| *i as usize)));
            assert_eq!(selection.from_nth(2).len(), list.len().saturating_sub(2));
        }
        assert_eq!(Selection::of(&[0, 1]), Selection::All(2));
        assert_ne!(Selection::of(&[1]), Selection::All(1));
    }
}
