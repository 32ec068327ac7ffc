use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, in the order in which they were put in or last used. Whoever owns it decides when the oldest goes.
pub(super) struct Recent<K, V> {
    index: HashMap<K, usize>,
    nodes: Vec<Node<K, V>>,
    /// Places in `nodes` that nothing is in.
    free: Vec<usize>,
    oldest: usize,
    newest: usize,
}

struct Node<K, V> {
    /// `None` in a free place.
    entry: Option<(K, V)>,
    older: usize,
    newer: usize,
}

/// No place.
const NONE: usize = usize::MAX;

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub fn new() -> Recent<K, V> {
        Recent { index: HashMap::new(), nodes: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.index.contains_key(key)
    }

    /// The value, which is the newest from now on.
    pub fn using<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        self.unlink(at);
        self.append(at);
        self.nodes[at].entry.as_mut().map(|(_, value)| value)
    }

    /// Adds a key that is not there yet, as the newest.
    pub fn push(&mut self, key: K, value: V) -> &mut V {
        let node = Node { entry: Some((key.clone(), value)), older: NONE, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.index.insert(key, at);
        self.append(at);
        let Some((_, value)) = &mut self.nodes[at].entry else { unreachable!("it was put there") };
        value
    }

    pub fn oldest(&self) -> Option<&(K, V)> {
        self.nodes.get(self.oldest)?.entry.as_ref()
    }

    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let at = self.oldest;
        let entry = self.nodes.get_mut(at)?.entry.take()?;
        self.unlink(at);
        self.free.push(at);
        self.index.remove(&entry.0);
        Some(entry)
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at)?;
            at = node.newer;
            node.entry.as_ref()
        })
    }

    fn unlink(&mut self, at: usize) {
        let (older, newer) = (self.nodes[at].older, self.nodes[at].newer);
        match self.nodes.get_mut(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
    }

    fn append(&mut self, at: usize) {
        (self.nodes[at].older, self.nodes[at].newer) = (self.newest, NONE);
        match self.nodes.get_mut(self.newest) {
            Some(node) => node.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_follows_a_list(ops in proptest::collection::vec((0_u8..3, 0_u8..8), 0..100)) {
            let (mut recent, mut list) = (Recent::new(), Vec::<(u8, usize)>::new());
            for (nth, (op, key)) in ops.into_iter().enumerate() {
                let known = list.iter().position(|(k, _)| *k == key);
                match (op, known) {
                    (0, _) => prop_assert_eq!(recent.pop_oldest(), (!list.is_empty()).then(|| list.remove(0))),
                    (_, Some(at)) => {
                        let entry = list.remove(at);
                        prop_assert_eq!(recent.using(&key).copied(), Some(entry.1));
                        list.push(entry);
                    }
                    (_, None) => {
                        prop_assert!(!recent.contains(&key));
                        recent.push(key, nth);
                        list.push((key, nth));
                    }
                }
                prop_assert_eq!(recent.iter().copied().collect::<Vec<_>>(), list.clone());
                prop_assert_eq!((recent.len(), recent.oldest()), (list.len(), list.first()));
            }
        }
    }
}
