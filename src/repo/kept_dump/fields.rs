//! Fields of fixed length, from the front of bytes.

/// What is left of some bytes.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field; `None` if there are not that many bytes.
    pub(crate) fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    /// The next rows of a length, as many as a count before them says.
    pub(crate) fn rows(&mut self, row_length: usize) -> Option<std::slice::ChunksExact<'a, u8>> {
        let count = usize::try_from(u64::from_le_bytes(self.take()?)).ok()?;
        let (rows, rest) = self.0.split_at_checked(count.checked_mul(row_length)?)?;
        self.0 = rest;
        Some(rows.chunks_exact(row_length))
    }
}
