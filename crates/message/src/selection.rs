/// Which messages of a batch a consumer gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// The first `n`, that is, every message of the batch.
    All(u32),
    /// These indices, ascending.
    Some(Box<[u32]>),
}

impl Selection {
    pub fn len(&self) -> usize {
        match self {
            Selection::All(n) => *n as usize,
            Selection::Some(list) => list.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index in the batch of the `nth` selected message.
    pub fn index(&self, nth: usize) -> usize {
        match self {
            Selection::All(_) => nth,
            Selection::Some(list) => list[nth] as usize,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|nth| self.index(nth))
    }

    /// What is left from the `nth` selected message on.
    pub fn from_nth(&self, nth: usize) -> Selection {
        Selection::Some(self.iter().skip(nth).map(|i| i as u32).collect())
    }
}
