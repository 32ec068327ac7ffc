use crate::MAX_DEPTH;
use crate::head::head;
use crate::reader::Wrong;

/// Finds where the first value of a stream ends. It remembers how far it has looked, so that a value
/// that arrives in many pieces costs no more than one that arrives at once.
#[derive(Default, Debug)]
pub struct Scan {
    /// Offset of what was not looked at; it may lie behind the bytes there are.
    at: usize,
    /// How many values are left on each level that is open.
    open: Vec<u64>,
    /// Only bytes of the value itself are missing.
    whole: bool,
}

impl Scan {
    /// The length of the value that `bytes` begin with, once it is there. `bytes` are those of the call before and more. After
    /// an answer it begins anew.
    ///
    /// # Errors
    /// What is not MessagePack, or nested deeper than [`MAX_DEPTH`].
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Wrong> {
        while !self.whole {
            let Some(head) = head(bytes.get(self.at..).unwrap_or_default()).map_err(|()| Wrong::Marker(self.at))? else { return Ok(None) };
            if head.children > 0 {
                if self.open.len() == MAX_DEPTH {
                    return Err(Wrong::Deep(self.at));
                }
                self.open.push(head.children);
            } else {
                self.one_done();
            }
            self.at = self.at.saturating_add(head.size).saturating_add(head.body);
        }
        if self.at > bytes.len() {
            return Ok(None);
        }
        let length = self.at;
        *self = Scan::default();
        Ok(Some(length))
    }

    fn one_done(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.whole = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|b| json!(b)),
            any::<i64>().prop_map(|n| json!(n)),
            any::<u64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
            "\\PC{0,300}".prop_map(|s| json!(s)),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
                prop::collection::vec(("[a-z]{0,40}", inner), 0..20).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_end_where_the_oracle_wrote_their_last_byte(value in value(), step in 1..50usize) {
            let mut bytes = rmp_serde::to_vec(&value).unwrap();
            let length = bytes.len();
            bytes.extend_from_slice(b"\x93\x01");
            let mut scan = Scan::default();
            let mut at = 0;
            let found = loop {
                if let Some(found) = scan.find(&bytes[..at]).unwrap() {
                    break found;
                }
                at = (at + step).min(bytes.len());
            };
            prop_assert_eq!(found, length);
            prop_assert_eq!(scan.find(&bytes[length..]), Ok(None));
        }

        #[test]
        fn any_bytes_are_a_value_or_not_and_it_is_the_same_in_pieces(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = Scan::default().find(&bytes);
            let mut scan = Scan::default();
            let pieces = (0..=bytes.len()).map(|n| scan.find(&bytes[..n])).find(|found| *found != Ok(None));
            prop_assert_eq!(pieces.unwrap_or(Ok(None)), whole);
        }
    }

    #[test]
    fn claimed_lengths_cost_nothing_and_depth_has_an_end() {
        for claim in [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xffx"] {
            assert_eq!(Scan::default().find(claim), Ok(None));
        }
        assert_eq!(Scan::default().find(&[0x91; 100]), Err(Wrong::Deep(64)));
        assert_eq!(Scan::default().find(&[[0x91; 64].as_slice(), &[1]].concat()), Ok(Some(65)));
        assert_eq!(Scan::default().find(b"\x92\x01\xc1"), Err(Wrong::Marker(2)));
    }
}
