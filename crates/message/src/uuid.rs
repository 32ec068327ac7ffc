use std::fmt;

/// 2^64 divided by the golden ratio, as SplitMix64 steps.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What SplitMix64 makes of its state: each bit depends on all.
#[inline]
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A message's identity: 16 bytes, RFC 9562. Random (version 4), unless a sender or a filter made it otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A version 4 identity made of 128 bits that are already random.
    pub fn from_random(bits: u128) -> Uuid {
        let mut b = bits.to_be_bytes();
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        Uuid(b)
    }

    /// The identity of message `index` in a batch with this seed: a SplitMix64 step of each half,
    /// so that the messages of a batch differ in every byte.
    pub(crate) fn derived(seed: u128, index: usize) -> Uuid {
        let step = (index as u64 + 1).wrapping_mul(GOLDEN);
        let high = mix((seed >> 64) as u64 ^ step);
        let low = mix((seed as u64).wrapping_add(step));
        Uuid::from_random(u128::from(high) << 64 | u128::from(low))
    }

    /// The identity of a message that a filter injected and might inject once more after a restart: it is the same then.
    /// Version 8; of the arguments only the lowest bits count.
    ///
    /// | bits | |
    /// |---|---|
    /// | 0–47 | `instance`: random, of a state directory |
    /// | 48–51 | 8, the version |
    /// | 52–63 | `number`, the upper 12 of 40 bits |
    /// | 64–65 | 2, the variant |
    /// | 66–93 | `number`, the lower 28 bits |
    /// | 94–127 | `hash`, 34 bits: of the filter's name and of the message's content ([`crate::ContentHash`]) |
    pub fn injected(instance: u64, number: u64, hash: u64) -> Uuid {
        let low = |n: u64, bits: u32| u128::from(n & ((1 << bits) - 1));
        let fixed = 8 << 76 | 2 << 62;
        Uuid((low(instance, 48) << 80 | low(number >> 28, 12) << 64 | low(number, 28) << 34 | low(hash, 34) | fixed).to_be_bytes())
    }

    /// Parses the canonical text form `8-4-4-4-12` in hexadecimal.
    pub fn parse(text: &[u8]) -> Option<Uuid> {
        if text.len() != 36 {
            return None;
        }
        let mut digits = 0;
        let mut out = [0u8; 16];
        for (i, &c) in text.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return None;
                }
                continue;
            }
            let nibble = (c as char).to_digit(16)? as u8;
            out[digits / 2] |= nibble << (4 * (1 - digits % 2));
            digits += 1;
        }
        Some(Uuid(out))
    }

    /// The canonical lower-case text form.
    pub fn text(self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut out = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            out[at] = HEX[usize::from(byte >> 4)];
            out[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        out
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let uuid = Uuid::derived(7, 3);
        assert_eq!(Uuid::parse(uuid.to_string().as_bytes()), Some(uuid));
        assert_eq!(uuid.0[6] >> 4, 4);
        assert_eq!(uuid.0[8] >> 6, 2);
        assert_eq!(Uuid::parse(b"not a uuid"), None);
    }

    #[test]
    fn what_is_injected_says_by_whom_and_the_how_manieth_it_is() {
        let text = |instance, number, hash| Uuid::injected(instance, number, hash).to_string();
        assert_eq!(text(0xffff_1234_5678_9abc, 0, 0), "12345678-9abc-8000-8000-000000000000");
        assert_eq!(text(0, 0xffff_ff00_0000_0000 | 0xabc << 28, 0), "00000000-0000-8abc-8000-000000000000");
        assert_eq!(text(0, (1 << 28) - 1, 0), "00000000-0000-8000-bfff-fffc00000000");
        assert_eq!(text(0, 0, u64::MAX), "00000000-0000-8000-8000-0003ffffffff");
    }
}
