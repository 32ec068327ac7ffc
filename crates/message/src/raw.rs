use std::ops::Deref;

/// Bytes as they were read. A `Vec<u8>` whose memory beyond its end may be lent to a reader
/// without clearing it for every read: what was used once stays initialised.
#[derive(Default, Debug)]
pub struct Raw {
    /// Initialised bytes, the first `len` of which count.
    bytes: Vec<u8>,
    len: usize,
}

impl Raw {
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.bytes.get_mut(self.len..end) {
            Some(used) => used.copy_from_slice(bytes),
            None => {
                self.bytes.truncate(self.len);
                self.bytes.extend_from_slice(bytes);
            }
        }
        self.len = end;
    }

    /// `n` bytes behind the end, of any content, to read into. [`Raw::advance`] makes them count.
    pub fn spare(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.len() < self.len + n {
            self.bytes.resize(self.len + n, 0);
        }
        &mut self.bytes[self.len..self.len + n]
    }

    /// Counts `n` bytes of [`Raw::spare`] in.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn advance(&mut self, n: usize) {
        assert!(self.len + n <= self.bytes.len(), "more bytes than there is room for");
        self.len += n;
    }

    /// Drops what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for Raw {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::Raw;

    #[test]
    fn what_was_lent_counts_when_it_is_told() {
        let mut raw = Raw::default();
        raw.extend_from_slice(b"ab");
        raw.spare(4).copy_from_slice(b"cdef");
        assert_eq!(&raw[..], b"ab");
        raw.advance(2);
        assert_eq!(&raw[..], b"abcd");
        raw.truncate(1);
        raw.extend_from_slice(b"xyz");
        assert_eq!(&raw[..], b"axyz");
        raw.truncate(9);
        assert_eq!(raw.len(), 4);
    }
}
