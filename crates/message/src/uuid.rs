use std::fmt;

/// A message's identity: 16 bytes, RFC 4122 version 4.
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
        let mix = |x: u64| {
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let step = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let high = mix((seed >> 64) as u64 ^ step);
        let low = mix((seed as u64).wrapping_add(step));
        Uuid::from_random(u128::from(high) << 64 | u128::from(low))
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
}
