use super::format::{FormatError, Piece, Var};
use crate::lanes::{Needle, word};

/// A format as it is run: literal bytes, then values that each end where the next literal begins.
#[derive(Debug)]
pub(super) struct Scanner {
    /// What every line begins with.
    pub lead: Box<[u8]>,
    pub steps: Vec<(Var, End)>,
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
                        b'"' if quoted => End::Quote(Literal::new(bytes)),
                        b' ' if var.value.is_list() => End::BehindList(Literal::new(bytes)),
                        _ => End::Before(Literal::new(bytes)),
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

/// Where a value ends.
#[derive(Debug)]
pub(super) enum End {
    /// With the record.
    Record,
    /// At the first place where these bytes stand.
    Before(Literal),
    /// As `Before`, but not within the spaces of a list: `0.1, 0.2 : 0.3`.
    BehindList(Literal),
    /// At the first quote without a backslash; these bytes, of which the quote is the first, must follow.
    Quote(Literal),
}

impl End {
    /// Where the value that begins at `at` ends.
    #[inline(always)]
    pub fn find(&self, line: &[u8], at: usize) -> Option<usize> {
        match self {
            End::Record => Some(line.len()),
            End::Before(literal) => literal.find(line, at),
            End::BehindList(literal) => behind_list(line, at, literal),
            End::Quote(literal) => quote(line, at).filter(|end| literal.follows(line, *end)),
        }
    }

    /// Where the value that begins at `at` ends, whatever follows.
    pub fn stop(&self, line: &[u8], at: usize) -> Option<usize> {
        if let End::Quote(_) = self { quote(line, at) } else { self.find(line, at) }
    }

    /// What must follow the value.
    pub fn literal(&self) -> &[u8] {
        match self {
            End::Record => b"",
            End::Before(literal) | End::BehindList(literal) | End::Quote(literal) => &literal.bytes,
        }
    }
}

/// Bytes of the format that follow a value, at least one.
#[derive(Debug)]
pub(super) struct Literal {
    first: Needle,
    /// Up to eight of them, the first one lowest, and which bits of a word that is.
    head: u64,
    mask: u64,
    bytes: Box<[u8]>,
}

impl Literal {
    fn new(bytes: Vec<u8>) -> Literal {
        let mut head = [0; 8];
        let length = bytes.len().min(head.len());
        head[..length].copy_from_slice(&bytes[..length]);
        Literal { first: Needle::new(bytes[0]), head: u64::from_le_bytes(head), mask: u64::MAX >> (64 - 8 * length), bytes: bytes.into() }
    }

    /// Where it first stands in `line` at or behind `from`.
    #[inline(always)]
    fn find(&self, line: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let at = self.first.find(line, from)?;
            if self.follows(line, at) {
                return Some(at);
            }
            from = at + 1;
        }
    }

    /// Whether it stands at `at`, where its first byte does.
    #[inline(always)]
    fn follows(&self, line: &[u8], at: usize) -> bool {
        match word(line, at) {
            _ if self.mask == 0xff => true,
            Some(word) if self.mask != u64::MAX => (word ^ self.head) & self.mask == 0,
            _ => line[at..].starts_with(&self.bytes),
        }
    }
}

/// Where `literal`, which begins with a space, follows the value at `from`, which is a list. nginx
/// joins the servers of one group with `, ` and groups with ` : `.
fn behind_list(line: &[u8], from: usize, literal: &Literal) -> Option<usize> {
    let mut at = from;
    loop {
        at = literal.find(line, at)?;
        let value = &line[from..at];
        if !value.ends_with(b",") && !value.ends_with(b" :") && !line[at..].starts_with(b" : ") {
            return Some(at);
        }
        at += 1;
    }
}

const QUOTE: Needle = Needle::new(b'"');

/// The first quote at or behind `from` that no backslash escapes. Both servers write `\"` or `\x22`
/// for one in a value.
#[inline(always)]
fn quote(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at = QUOTE.find(line, at)?;
        if at == from || line[at - 1] != b'\\' || !is_escaped(&line[from..at]) {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether the backslashes at the end of `text` escape what follows.
#[cold]
fn is_escaped(text: &[u8]) -> bool {
    text.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::{Literal, behind_list, quote};
    use proptest::prelude::*;

    fn before(text: &[u8], literal: &[u8]) -> Option<usize> {
        Literal::new(literal.to_vec()).find(text, 0)
    }

    proptest! {
        #[test]
        fn a_literal_is_found_where_it_first_stands(text in "[ab]{0,60}", literal in "a[ab]{0,11}", from in 0..20usize) {
            let expected = text.get(from..).and_then(|rest| rest.find(&literal)).map(|at| from + at);
            prop_assert_eq!(Literal::new(literal.into_bytes()).find(text.as_bytes(), from), expected);
        }
    }

    #[test]
    fn values_end_where_the_format_goes_on() {
        assert_eq!((before(b"a [b] [c", b"] ["), before(b"a ", b" [")), (Some(4), None));
        let list = |text: &[u8]| behind_list(text, 0, &Literal::new(b" ".to_vec()));
        assert_eq!((list(b"1, 2 : 3 x"), list(b"- x"), list(b"1,")), (Some(8), Some(1), None));
        assert_eq!((quote(br#"a\\\"b\\"c"#, 0), quote(br#"\""#, 0), quote(br#"\""#, 1)), (Some(8), None, Some(1)));
    }
}
