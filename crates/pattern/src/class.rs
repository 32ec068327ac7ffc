//! Sets of bytes: the character classes of patterns, and what stands between brackets.

/// A set of bytes, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bytes([u64; 4]);

impl Bytes {
    const NONE: Bytes = Bytes([0; 4]);

    #[inline]
    pub fn has(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] >> (b & 63) & 1 != 0
    }

    const fn with_range(mut self, from: u8, to: u8) -> Bytes {
        let mut b = from as u16;
        while b <= to as u16 {
            self.0[(b >> 6) as usize] |= 1 << (b & 63);
            b += 1;
        }
        self
    }

    const fn with(self, other: Bytes) -> Bytes {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Bytes([a | e, b | f, c | g, d | h])
    }

    const fn inverted(self) -> Bytes {
        let [a, b, c, d] = self.0;
        Bytes([!a, !b, !c, !d])
    }

    /// The set written between brackets, without these. It costs time in proportion to the text.
    pub fn of_set(set: &[u8]) -> Bytes {
        let mut bytes = Bytes::NONE;
        let inverted = each(set, |part| {
            bytes = match part {
                Part::Class(class) => bytes.with(*class),
                Part::Range(from, to) => bytes.with_range(from, to),
            };
            false
        })
        .inverted;
        if inverted { bytes.inverted() } else { bytes }
    }
}

const UPPER: Bytes = Bytes::NONE.with_range(b'A', b'Z');
const LOWER: Bytes = Bytes::NONE.with_range(b'a', b'z');
const DIGIT: Bytes = Bytes::NONE.with_range(b'0', b'9');
const ALPHA: Bytes = UPPER.with(LOWER);
const ALNUM: Bytes = ALPHA.with(DIGIT);
const GRAPH: Bytes = Bytes::NONE.with_range(0x21, 0x7e);
const PUNCT: Bytes = GRAPH.inverted().with(ALNUM).inverted();
const SPACE: Bytes = Bytes::NONE.with_range(9, 13).with_range(b' ', b' ');
const CONTROL: Bytes = Bytes::NONE.with_range(0, 0x1f).with_range(0x7f, 0x7f);
const HEX: Bytes = DIGIT.with_range(b'a', b'f').with_range(b'A', b'F');
const ZERO: Bytes = Bytes::NONE.with_range(0, 0);

/// The class of this letter, in the C locale; its complement for an upper-case letter.
#[inline]
pub(crate) fn class(letter: u8) -> Option<&'static Bytes> {
    macro_rules! classes {
        ($($lower:literal $upper:literal $class:ident)*) => {
            match letter {
                $($lower => &$class, $upper => const { &$class.inverted() },)*
                _ => return None,
            }
        };
    }
    Some(classes! {
        b'a' b'A' ALPHA  b'c' b'C' CONTROL  b'd' b'D' DIGIT  b'g' b'G' GRAPH  b'l' b'L' LOWER  b'p' b'P' PUNCT
        b's' b'S' SPACE  b'u' b'U' UPPER  b'w' b'W' ALNUM  b'x' b'X' HEX
        b'z' b'Z' ZERO // of 5.1, for the byte 0, and still understood by 5.4
    })
}

/// Whether the set written between brackets has this byte.
#[inline]
pub(crate) fn set_has(set: &[u8], b: u8) -> bool {
    let outcome = each(set, |part| match part {
        Part::Class(class) => class.has(b),
        Part::Range(from, to) => (from..=to).contains(&b),
    });
    outcome.found != outcome.inverted
}

/// A part of what stands between brackets; a single byte is a range of one.
enum Part {
    Class(&'static Bytes),
    Range(u8, u8),
}

struct Outcome {
    found: bool,
    inverted: bool,
}

/// Goes through the parts of a set until one is found.
#[inline]
fn each(set: &[u8], mut found: impl FnMut(Part) -> bool) -> Outcome {
    let (mut rest, inverted) = match set {
        [b'^', rest @ ..] => (rest, true),
        _ => (set, false),
    };
    while let [first, after @ ..] = rest {
        let part;
        (part, rest) = match (*first, after) {
            (b'%', [letter, after @ ..]) => (class(*letter).map_or(Part::Range(*letter, *letter), Part::Class), after),
            (from, [b'-', to, after @ ..]) => (Part::Range(from, *to), after),
            (b, after) => (Part::Range(b, b), after),
        };
        if found(part) {
            return Outcome { found: true, inverted };
        }
    }
    Outcome { found: false, inverted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readings_of_a_set_agree() {
        let sets: [&[u8]; 12] = [b"a", b"^a", b"a-f", b"f-a", b"%a_", b"^%w%-", b"-", b"a-", b"^-a", b"]x", b"%d-z", b"\x00-\xff"];
        for set in sets {
            let bytes = Bytes::of_set(set);
            for b in 0..=255 {
                assert_eq!(bytes.has(b), set_has(set, b), "{b} in [{}]", set.escape_ascii());
            }
        }
    }

    #[test]
    fn classes_are_those_of_the_c_locale() {
        for b in 0..=255_u8 {
            let c = char::from(b);
            let expected = [
                (b'a', b.is_ascii_alphabetic()),
                (b'c', b.is_ascii_control()),
                (b'd', b.is_ascii_digit()),
                (b'g', b.is_ascii_graphic()),
                (b'p', b.is_ascii_punctuation()),
                (b's', b.is_ascii() && c.is_whitespace()),
                (b'x', b.is_ascii_hexdigit()),
                (b'w', b.is_ascii_alphanumeric()),
            ];
            for (letter, has) in expected {
                assert_eq!(class(letter).map(|c| c.has(b)), Some(has), "{b}");
                assert_eq!(class(letter.to_ascii_uppercase()).map(|c| c.has(b)), Some(!has), "{b}");
            }
        }
        assert!(class(b'q').is_none() && class(b'%').is_none());
    }
}
