//! Rows of `COPY` data: their number, bytes, and a sum that their order does not change.

use crate::units::to_u64;
use memchr::memchr;
use twox_hash::xxhash3_128::Hasher;

/// Sums over rows. The sum is that of XXH3-128 of each row without its line feed, modulo 2^128.
///
/// A sum and not an exclusive or: two equal rows do not cancel out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowSum {
    pub(crate) rows: u64,
    /// With line feeds.
    pub(crate) bytes: u64,
    pub(crate) sum: u128,
}

impl RowSum {
    /// Adds the rows of another part of the same table.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { rows, bytes, sum } = other;
        self.rows = self.rows.saturating_add(*rows);
        self.bytes = self.bytes.saturating_add(*bytes);
        self.sum = self.sum.wrapping_add(*sum);
    }

    fn row(&mut self, length: u64, hash: u128) {
        self.add(&Self { rows: 1, bytes: length.saturating_add(1), sum: hash });
    }
}

/// Reads the data of one `COPY`.
#[derive(Debug, Default)]
pub(crate) struct RowReader {
    sum: RowSum,
    /// The beginning of a row whose end has not come yet.
    open: Option<OpenRow>,
}

struct OpenRow {
    /// Apart, because it is large.
    hasher: Box<Hasher>,
    length: u64,
    /// Its first bytes, to tell the end of the data.
    first: Vec<u8>,
}

impl RowReader {
    /// Takes the next bytes; returns how many of them were data if the data ended in them.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        if self.open.is_some() {
            let Some(end) = memchr(b'\n', rest) else {
                self.keep(rest);
                return None;
            };
            let (tail, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            self.keep(tail);
            if self.close() {
                return Some(bytes.len() - rest.len());
            }
        }
        while let Some(end) = memchr(b'\n', rest) {
            let (row, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if is_end(row) {
                return Some(bytes.len() - rest.len());
            }
            self.sum.row(to_u64(row.len()), Hasher::oneshot(row));
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
        None
    }

    /// The sums of the rows that ended.
    pub(crate) fn finish(self) -> RowSum {
        self.sum
    }

    fn keep(&mut self, part: &[u8]) {
        let fresh = || OpenRow { hasher: Box::new(Hasher::new()), length: 0, first: Vec::new() };
        let open = self.open.get_or_insert_with(fresh);
        open.hasher.write(part);
        open.length = open.length.saturating_add(to_u64(part.len()));
        let room = END_BYTES_MAX.saturating_sub(open.first.len());
        open.first.extend(part.iter().take(room));
    }

    /// Ends the open row; whether it was the end of the data.
    fn close(&mut self) -> bool {
        let Some(OpenRow { hasher, length, first }) = self.open.take() else { return false };
        if length <= to_u64(first.len()) && is_end(&first) {
            return true;
        }
        self.sum.row(length, hasher.finish_128());
        false
    }
}

/// Whether a line ends the data. In a row that begins so, the backslash is doubled.
fn is_end(row: &[u8]) -> bool {
    row.len() <= 3 && (row == b"\\." || row == b"\\.\r")
}

impl std::fmt::Debug for OpenRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OpenRow({})", self.length)
    }
}

/// One more than the longest line that ends data.
const END_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(text: &[u8], step: usize) -> (RowSum, Option<usize>) {
        let mut reader = RowReader::default();
        let mut done = 0;
        for part in text.chunks(step) {
            if let Some(used) = reader.update(part) {
                return (reader.finish(), Some(done + used));
            }
            done += part.len();
        }
        (reader.finish(), None)
    }

    #[test]
    fn sums_do_not_depend_on_how_the_bytes_arrive() {
        let text = b"1\tone\n\n\\\\.\n\\.x\n2\ttwo words\n\\.\nSELECT 1;\n";
        let (whole, end) = sum_of(text, text.len());
        assert_eq!((whole.rows, end), (5, Some(text.len() - 10)));
        for step in 1..text.len() {
            assert_eq!(sum_of(text, step), (whole, end), "steps of {step}");
        }
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_their_number_does() {
        let of = |text: &[u8]| sum_of(text, text.len()).0;
        assert_eq!(of(b"a\nb\nb\n"), of(b"b\na\nb\n"));
        assert_ne!(of(b"a\nb\nb\n").sum, of(b"a\n").sum);
        assert_ne!(of(b"ab\nc\n").sum, of(b"a\nbc\n").sum);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // XXH3-128 of nothing and of `a`, as `xxhsum -H2` prints them.
        assert_eq!(Hasher::oneshot(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
        assert_eq!(Hasher::oneshot(b"a"), 0xa96f_af70_5af1_6834_e6c6_32b6_1e96_4e1f);
    }
}
