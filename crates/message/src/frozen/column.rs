//! A list of integers: its least one, and of each what lies above that, in as few bytes as the
//! greatest of them needs. A list of equal integers takes no bytes for each.
//!
//! | bytes | |
//! |---|---|
//! | 1 | width: 0, 1, 2, 4 or 8 as a power of two, counted from 1, in the low half; length of the least integer in the high one |
//! | 0 to 8 | the least integer, zigzag, without its zero bytes |
//! | width × n | what lies above it |

use super::FrozenError;

const WIDTHS: [usize; 5] = [0, 1, 2, 4, 8];

/// Appends `n` integers, each in at least `least` bytes.
///
/// Readers that allocate for a table rely on one of its columns having a width of at least one: a
/// count they were not given bytes for is refused.
pub(super) fn write(out: &mut Vec<u8>, least: usize, n: usize, values: impl Iterator<Item = i64> + Clone) {
    if n == 0 {
        return;
    }
    let (base, range) = if least == 8 { (0, u64::MAX) } else { extent(values.clone()) };
    let needed = |width: usize| width >= least && (width == 8 || range >> (8 * width) == 0);
    let code = WIDTHS.into_iter().position(needed).unwrap_or(WIDTHS.len() - 1);
    let zigzag = (base << 1 ^ base >> 63) as u64;
    let length = 8 - zigzag.leading_zeros() as usize / 8;
    out.push((length << 4 | code) as u8);
    out.extend_from_slice(&zigzag.to_le_bytes()[..length]);
    match WIDTHS[code] {
        0 => {}
        1 => fill::<1>(out, n, base, values),
        2 => fill::<2>(out, n, base, values),
        4 => fill::<4>(out, n, base, values),
        _ => fill::<8>(out, n, base, values),
    }
}

/// The least integer, and how far the greatest is above it.
fn extent(mut values: impl Iterator<Item = i64>) -> (i64, u64) {
    let first = values.next().unwrap_or_default();
    // Most columns are the same throughout, which is quicker to see.
    let Some(other) = values.find(|v| *v != first) else { return (first, 0) };
    let (min, max) = values.fold((first.min(other), first.max(other)), |(min, max), v| (min.min(v), max.max(v)));
    (min, max.wrapping_sub(min) as u64)
}

fn fill<const WIDTH: usize>(out: &mut Vec<u8>, n: usize, base: i64, values: impl Iterator<Item = i64>) {
    let start = out.len();
    out.resize(start + n * WIDTH, 0);
    let (places, _) = out[start..].as_chunks_mut::<WIDTH>();
    for (place, value) in places.iter_mut().zip(values) {
        place.copy_from_slice(&value.wrapping_sub(base).to_le_bytes()[..WIDTH]);
    }
}

/// A column that was written, still as bytes.
pub(super) struct Column<'a> {
    base: i64,
    width: usize,
    bytes: &'a [u8],
}

impl<'a> Column<'a> {
    /// Takes a column of `n` integers from the front of `from`.
    pub fn read(from: &mut &'a [u8], least: usize, n: usize) -> Result<Column<'a>, FrozenError> {
        if n == 0 {
            return Ok(Column { base: 0, width: 0, bytes: b"" });
        }
        let [head] = *take(from, 1)? else { return Err(FrozenError::Short) };
        let width = *WIDTHS.get(usize::from(head & 15)).ok_or(FrozenError::Damaged("width of a column"))?;
        let length = usize::from(head >> 4);
        if width < least || length > 8 {
            return Err(FrozenError::Damaged("width of a column"));
        }
        let mut zigzag = [0; 8];
        zigzag[..length].copy_from_slice(take(from, length)?);
        let zigzag = u64::from_le_bytes(zigzag);
        let base = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let bytes = take(from, n.checked_mul(width).ok_or(FrozenError::Short)?)?;
        Ok(Column { base, width, bytes })
    }

    /// Gives each of `to` its integer, if they are as many as were read; `set` says whether that is one it may have.
    /// True when all were.
    pub fn apply<T>(&self, to: &mut [T], set: impl FnMut(&mut T, i64) -> bool) -> bool {
        match self.width {
            0 => self.repeat(to, set),
            1 => self.spread::<1, T>(to, set),
            2 => self.spread::<2, T>(to, set),
            4 => self.spread::<4, T>(to, set),
            _ => self.spread::<8, T>(to, set),
        }
    }

    fn repeat<T>(&self, to: &mut [T], mut set: impl FnMut(&mut T, i64) -> bool) -> bool {
        to.iter_mut().fold(true, |good, to| good & set(to, self.base))
    }

    fn spread<const WIDTH: usize, T>(&self, to: &mut [T], mut set: impl FnMut(&mut T, i64) -> bool) -> bool {
        let (places, _) = self.bytes.as_chunks::<WIDTH>();
        to.iter_mut().zip(places).fold(true, |good, (to, place)| {
            let mut above = [0; 8];
            above[..WIDTH].copy_from_slice(place);
            good & set(to, self.base.wrapping_add(u64::from_le_bytes(above) as i64))
        })
    }
}

/// The first `n` bytes of `from`, which it then lacks.
pub(super) fn take<'a>(from: &mut &'a [u8], n: usize) -> Result<&'a [u8], FrozenError> {
    let (taken, rest) = from.split_at_checked(n).ok_or(FrozenError::Short)?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(least: usize, values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, least, values.len(), values.iter().copied());
        let mut bytes = &out[..];
        let mut back = vec![0; values.len()];
        let column = Column::read(&mut bytes, least, values.len()).expect("what was written");
        assert!(column.apply(&mut back, |to, v| {
            *to = v;
            true
        }));
        assert_eq!((&back[..], bytes), (values, &b""[..]));
        out
    }

    #[test]
    fn integers_are_as_wide_as_they_need_to_be() {
        for (values, bytes) in [
            (&[][..], 0),
            (&[0], 1),
            (&[-1; 9], 2),
            (&[5, 260], 2 + 2),
            (&[5, 261], 2 + 4),
            (&[-70_000, -70_001], 4 + 2),
            (&[1 << 40, (1 << 40) + (1 << 32) - 1], 7 + 8),
            (&[0, 1 << 32], 1 + 16),
            (&[i64::MIN, i64::MAX, 0], 9 + 24),
        ] {
            assert_eq!(written(0, values).len(), bytes, "{values:?}");
        }
        assert_eq!(written(1, &[7; 3]).len(), 2 + 3);
        assert_eq!(written(8, &[7; 3]).len(), 1 + 24);
    }

    #[test]
    fn columns_that_are_cut_or_too_narrow_are_refused() {
        let whole = written(0, &[3, 300, 500]);
        for cut in 0..whole.len() {
            assert_eq!(Column::read(&mut &whole[..cut], 0, 3).err(), Some(FrozenError::Short));
        }
        assert_eq!(Column::read(&mut &whole[..], 4, 3).err(), Some(FrozenError::Damaged("width of a column")));
        assert_eq!(Column::read(&mut &whole[..], 2, usize::MAX).err(), Some(FrozenError::Short));
    }
}
