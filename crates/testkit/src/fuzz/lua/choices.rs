/// Bytes as a series of choices; every further one is 0.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(data: &'a [u8]) -> Choices<'a> {
        Choices(data)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of so many, at least one.
    pub fn below(&mut self, many: usize) -> usize {
        let wide = if many > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (wide | usize::from(self.byte())) % many
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Up to so many bytes.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = self.below(most + 1).min(self.0.len());
        let (some, rest) = self.0.split_at(len);
        self.0 = rest;
        some
    }

    pub fn integer(&mut self) -> i64 {
        let mut bytes = [0; 8];
        bytes.iter_mut().for_each(|b| *b = self.byte());
        i64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_end_in_zeros() {
        let mut choices = Choices::new(&[5, 3, b'a', b'b', b'c', b'd']);
        assert_eq!(choices.of(&[1, 2, 3]), 3);
        assert_eq!(choices.bytes(8), b"abc");
        assert_eq!((choices.byte(), choices.is_empty(), choices.byte(), choices.integer()), (b'd', true, 0, 0));
    }
}
