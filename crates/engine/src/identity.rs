use message::{BatchBuilder, ContentHash, Uuid};

/// Gives what a filter injects its identities: the same to the same message when, after a crash, the filter is given
/// again what is behind its snapshot.
///
/// How many it gave is part of the snapshot. Ticks of the clock fall elsewhere then, and what cannot be read again is not
/// given again: what is injected on such occasions would count the rest wrongly, and be taken for a repetition if it said
/// the same. It keeps its random identity.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of the state directory. Without one nothing is remembered, and all identities are random.
    instance: Option<u64>,
    content: ContentHash,
    /// Numbers begin somewhere else for each filter, so that those of two hardly ever meet.
    first: u64,
    /// How many messages have a number.
    pub given: u64,
}

impl Identity {
    pub fn new(filter: &str, instance: Option<u64>, given: u64) -> Identity {
        let content = ContentHash::new(filter.as_bytes());
        Identity { instance, first: content.maker(), content, given }
    }

    /// Numbers the messages, but for those that the filter itself gave an identity.
    pub fn stamp(&mut self, out: &mut BatchBuilder) {
        let Some(instance) = self.instance else { return };
        // Envelopes are the batch's.
        let mut content = self.content.clone();
        for i in 0..out.len() {
            if out.message(i).has_uuid() {
                continue;
            }
            let hash = content.of(out.get(i));
            out.message(i).set_uuid(Uuid::injected(instance, self.first.wrapping_add(self.given), hash));
            self.given += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn stamped(identity: &mut Identity, payloads: &[&str]) -> Vec<Uuid> {
        let mut out = BatchBuilder::default();
        for payload in payloads {
            let mut m = out.add();
            m.set_payload(payload.as_bytes());
            m.set_timestamp(identity.given as i64 + 1);
        }
        identity.stamp(&mut out);
        out.finish().iter().map(|m| m.uuid()).collect()
    }

    #[test]
    fn from_the_same_place_the_same_messages_have_the_same_identities() {
        let mut identity = Identity::new("filter.a", Some(7), 0);
        let all = [stamped(&mut identity, &["a", "a"]), stamped(&mut identity, &["b", "a"])].concat();
        assert_eq!((identity.given, all.iter().collect::<HashSet<_>>().len()), (4, 4));
        let mut again = Identity::new("filter.a", Some(7), 2);
        assert_eq!(stamped(&mut again, &["b", "a"]), all[2..]);
        // Whatever is another: what it says, which it is, whose it is, where.
        let other = |filter, instance, given, payload| stamped(&mut Identity::new(filter, Some(instance), given), &[payload])[0];
        let different =
            [other("filter.a", 7, 2, "c"), other("filter.a", 7, 9, "b"), other("filter.b", 7, 2, "b"), other("filter.a", 8, 2, "b")];
        assert!(!different.iter().any(|d| all.contains(d)));
    }

    #[test]
    fn what_has_an_identity_keeps_it_and_without_an_instance_it_is_random() {
        let mut out = BatchBuilder::default();
        out.add().set_uuid(Uuid([3; 16]));
        let mut identity = Identity::new("filter.a", Some(7), 0);
        identity.stamp(&mut out);
        assert_eq!((out.get(0).uuid(), identity.given), (Uuid([3; 16]), 0));
        let mut random = Identity::new("filter.a", None, 0);
        assert_ne!(stamped(&mut random, &["a"]), stamped(&mut Identity::new("filter.a", None, 0), &["a"]));
    }
}
