//! The bytes of saved states: numbers little-endian, texts after their length as 32 bits. A state begins
//! with its meaning, the options that another one would not fit.

/// Appends to a state.
pub(crate) struct Saver(Vec<u8>);

impl Saver {
    pub fn new(meaning: &str) -> Saver {
        let mut new = Saver(Vec::new());
        new.text(meaning.as_bytes());
        new
    }

    pub fn u64(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }

    pub fn i64(&mut self, n: i64) {
        self.0.extend(n.to_le_bytes());
    }

    pub fn f64(&mut self, x: f64) {
        self.u64(x.to_bits());
    }

    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn text(&mut self, text: &[u8]) {
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text);
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a state; nothing where it ends too early.
pub(crate) struct Loader<'s>(&'s [u8]);

impl<'s> Loader<'s> {
    /// # Errors
    /// The state has another meaning.
    pub fn new(saved: &'s [u8], meaning: &str) -> Result<Loader<'s>, String> {
        let mut new = Loader(saved);
        let found = new.text().ok_or("the saved state is damaged")?;
        if found != meaning.as_bytes() {
            return Err("the saved state is of other options".to_string());
        }
        Ok(new)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn text(&mut self) -> Option<&'s [u8]> {
        let len = u32::from_le_bytes(self.take()?) as usize;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads all that is left, item by item.
    ///
    /// # Errors
    /// It ends within an item, or an item is not sound.
    pub fn all(mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Result<(), String> {
        while !self.is_at_end() {
            item(&mut self).ok_or("the saved state is damaged")?;
        }
        Ok(())
    }
}
