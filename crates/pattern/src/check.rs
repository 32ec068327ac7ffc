//! The check of a whole pattern before it is matched.

use crate::fault::{Fault, Invalid};
use crate::item;
use crate::matcher::{MAX_CAPTURES, MAX_DEPTH};

/// What has been read of a pattern so far.
#[derive(Default)]
struct Reading {
    /// Where each capture opens, and whether it has been closed.
    captures: Vec<(usize, bool)>,
    /// Captures and repetitions, each of which matching nests deeper for.
    depth: u32,
}

/// Finds what matching could stumble over. Captures are opened and closed in the order of the text
/// whatever the subject is, so one pass tells.
pub(crate) fn check(source: &[u8]) -> Result<(), Invalid> {
    let mut reading = Reading::default();
    let mut p = usize::from(source.first() == Some(&b'^'));
    while p < source.len() {
        let at = p;
        p = reading.part(source, p).map_err(|fault| Invalid { at, fault })?;
    }
    match reading.captures.iter().rfind(|(_, closed)| !closed) {
        Some(&(at, _)) => Err(Invalid { at, fault: Fault::OpenCapture }),
        None => Ok(()),
    }
}

impl Reading {
    /// Reads one part of the pattern; returns where the next begins.
    fn part(&mut self, source: &[u8], p: usize) -> Result<usize, Fault> {
        match source[p] {
            b'(' => {
                if self.captures.len() == MAX_CAPTURES {
                    return Err(Fault::TooManyCaptures);
                }
                let position = source.get(p + 1) == Some(&b')');
                self.captures.push((p, position));
                self.deeper(if position { p + 2 } else { p + 1 })
            }
            b')' => {
                let open = self.captures.iter_mut().rfind(|(_, closed)| !closed).ok_or(Fault::NothingToClose)?;
                open.1 = true;
                self.deeper(p + 1)
            }
            b'%' => match source.get(p + 1) {
                Some(b'b') if p + 4 > source.len() => Err(Fault::NoBalance),
                Some(b'b') => Ok(p + 4),
                Some(b'f') if source.get(p + 2) != Some(&b'[') => Err(Fault::NoFrontier),
                Some(b'f') => item::end(source, p + 2),
                Some(digit @ b'0'..=b'9') => {
                    let n = usize::from(digit - b'0');
                    let closed = self.captures.get(n.wrapping_sub(1)).is_some_and(|(_, closed)| *closed);
                    if closed { Ok(p + 2) } else { Err(Fault::NoCapture(n)) }
                }
                _ => self.item(source, p),
            },
            _ => self.item(source, p),
        }
    }

    fn item(&mut self, source: &[u8], p: usize) -> Result<usize, Fault> {
        let end = item::end(source, p)?;
        match source.get(end) {
            Some(b'*' | b'+' | b'?' | b'-') => self.deeper(end + 1),
            _ => Ok(end),
        }
    }

    fn deeper(&mut self, next: usize) -> Result<usize, Fault> {
        self.depth += 1;
        if self.depth < MAX_DEPTH { Ok(next) } else { Err(Fault::TooComplex) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_with_its_place() {
        for (source, at, fault) in [
            ("ab%", 2, Fault::EndsWithPercent),
            ("x[b", 1, Fault::OpenSet),
            ("x[]", 1, Fault::OpenSet),
            ("x[%", 1, Fault::OpenSet),
            ("^[%", 1, Fault::OpenSet),
            ("x%b(", 1, Fault::NoBalance),
            ("x%fx", 1, Fault::NoFrontier),
            ("x%f[x", 1, Fault::OpenSet),
            ("ab)", 2, Fault::NothingToClose),
            ("(a)(b", 3, Fault::OpenCapture),
            ("(a)%2", 3, Fault::NoCapture(2)),
            ("(a%1)", 2, Fault::NoCapture(1)),
            ("%0", 0, Fault::NoCapture(0)),
        ] {
            assert_eq!(check(source.as_bytes()), Err(Invalid { at, fault }), "{source}");
        }
        assert_eq!(check(&b"()".repeat(33)), Err(Invalid { at: 64, fault: Fault::TooManyCaptures }));
        assert_eq!(check(&b"a?".repeat(300)), Err(Invalid { at: 398, fault: Fault::TooComplex }));
    }

    #[test]
    fn what_looks_wrong_and_is_not() {
        for source in ["", "^", "$", "^$", "*a", "%%", "[]]", "[^]]", "a^b$c", "%b()*", "%f[%a]%a+", "(()a)%2%1", "]", "%]", "[%]]", "a?+"]
        {
            assert_eq!(check(source.as_bytes()), Ok(()), "{source}");
        }
    }
}
