use memchr::memchr;

use super::format::{FormatError, Piece, Var};

/// A format as it is run: literal bytes, then values that each end where the next literal begins.
#[derive(Debug)]
pub(super) struct Scanner {
    /// What every line begins with.
    pub lead: Box<[u8]>,
    pub steps: Vec<(Var, End)>,
}

/// Where a value ends.
#[derive(Debug)]
pub(super) enum End {
    /// With the record.
    Record,
    /// At the first place where these bytes stand.
    Before(Box<[u8]>),
    /// As `Before`, but not within the spaces of a list: `0.1, 0.2 : 0.3`.
    BehindList(Box<[u8]>),
    /// At the first quote without a backslash; these bytes, of which the quote is the first, must follow.
    Quote(Box<[u8]>),
}

impl Scanner {
    pub fn new(pieces: Vec<Piece>) -> Result<Scanner, FormatError> {
        let (mut lead, mut steps): (Box<[u8]>, Vec<(Var, End)>) = Default::default();
        let mut quoted = false;
        for piece in pieces {
            match (piece, steps.last_mut()) {
                (Piece::Literal(bytes), None) => {
                    quoted = bytes.ends_with(b"\"");
                    lead = bytes.into();
                }
                (Piece::Literal(bytes), Some((var, end))) => {
                    let opens = bytes.ends_with(b"\"");
                    *end = match bytes[0] {
                        b'"' if quoted => End::Quote(bytes.into()),
                        b' ' if var.value.is_list() => End::BehindList(bytes.into()),
                        _ => End::Before(bytes.into()),
                    };
                    quoted = opens;
                }
                (Piece::Var(var), Some((before, End::Record))) => {
                    let label =
                        format!("nothing stands between `{}` and `{}`, so that no one can tell where the one ends", before.name, var.name);
                    return Err(FormatError::new(before.at.start..var.at.end, label).help("the decoder `regex` can tell by their shape"));
                }
                (Piece::Var(var), _) => steps.push((var, End::Record)),
            }
        }
        if steps.is_empty() {
            let label = "it has no variable";
            return Err(FormatError::new(0..lead.len(), label).help("such as `$remote_addr` for nginx or `%h` for Apache"));
        }
        Ok(Scanner { lead, steps })
    }
}

impl End {
    /// Length of the value at the start of `rest`.
    #[inline(always)]
    pub fn find(&self, rest: &[u8]) -> Option<usize> {
        match self {
            End::Record => Some(rest.len()),
            End::Before(literal) => before(rest, literal),
            End::BehindList(literal) => behind_list(rest, literal),
            End::Quote(literal) => quote(rest).filter(|at| begins(&rest[*at..], literal)),
        }
    }

    /// Where the value ends, whatever follows.
    pub fn stop(&self, rest: &[u8]) -> Option<usize> {
        if let End::Quote(_) = self { quote(rest) } else { self.find(rest) }
    }

    /// What must follow the value.
    #[inline]
    pub fn literal(&self) -> &[u8] {
        match self {
            End::Record => b"",
            End::Before(literal) | End::BehindList(literal) | End::Quote(literal) => literal,
        }
    }
}

/// Where `byte` first stands in `text`. Most values are short: the first 16 bytes are looked at here,
/// eight at a time, which takes less than the call.
#[inline]
fn find(byte: u8, text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let Some(head) = text.first_chunk::<16>() else { return text.iter().position(|b| *b == byte) };
    for half in [0, 8] {
        let mut eight = [0; 8];
        eight.copy_from_slice(&head[half..half + 8]);
        // A byte that is equal becomes zero; the lowest zero byte is the lowest to borrow.
        let differ = u64::from_le_bytes(eight) ^ (ONES * u64::from(byte));
        let zeros = differ.wrapping_sub(ONES) & !differ & (ONES << 7);
        if zeros != 0 {
            return Some(half + zeros.trailing_zeros() as usize / 8);
        }
    }
    memchr(byte, &text[16..]).map(|at| at + 16)
}

/// Literals are a few bytes, for which comparing one by one is faster than a call.
#[inline]
fn begins(text: &[u8], literal: &[u8]) -> bool {
    text.len() >= literal.len() && literal.iter().zip(text).all(|(a, b)| a == b)
}

/// Where `literal`, which is not empty, first stands in `text`.
#[inline]
fn before(text: &[u8], literal: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += find(literal[0], &text[at..])?;
        if begins(&text[at..], literal) {
            return Some(at);
        }
        at += 1;
    }
}

/// As [`before`], for a literal that begins with a space and a value that is a list. nginx joins the
/// servers of one group with `, ` and groups with ` : `.
fn behind_list(text: &[u8], literal: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += before(&text[at..], literal)?;
        if !text[..at].ends_with(b",") && !text[..at].ends_with(b" :") && !text[at..].starts_with(b" : ") {
            return Some(at);
        }
        at += 1;
    }
}

/// The first quote that no backslash escapes. Both servers write `\"` or `\x22` for one in a value.
#[inline]
fn quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += find(b'"', &text[at..])?;
        let backslashes = text[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{before, behind_list, find, quote};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_byte_is_found_wherever_it_is(text in proptest::collection::vec(prop_oneof![Just(b'"'), any::<u8>()], 0..40), byte: u8) {
            prop_assert_eq!(find(b'"', &text), text.iter().position(|b| *b == b'"'));
            prop_assert_eq!(find(byte, &text), text.iter().position(|b| *b == byte));
        }
    }

    #[test]
    fn values_end_where_the_format_goes_on() {
        assert_eq!((before(b"a [b] [c", b"] ["), before(b"a ", b" [")), (Some(4), None));
        assert_eq!((behind_list(b"1, 2 : 3 x", b" "), behind_list(b"- x", b" "), behind_list(b"1,", b" ")), (Some(8), Some(1), None));
        assert_eq!((quote(br#"a\\\"b\\"c"#), quote(br#"\""#)), (Some(8), None));
    }
}
