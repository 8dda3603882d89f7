//! Content-defined chunking: `FastCDC` 2020 with a table of its own for every repository.
//! Spec: format-spec/14-chunking.md. Source: Xia and others, "The Design of Fast Content-Defined
//! Chunking for Data Deduplication Based Storage Systems", 2020.

use crate::units::to_usize32;

/// Where content may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkParams {
    /// Shortest chunk in bytes, but for the last.
    pub min_bytes: u32,
    /// Where the mask changes.
    pub average_bytes: u32,
    /// Longest chunk.
    pub max_bytes: u32,
    /// Mask below the average.
    pub mask_small: u64,
    /// Mask above the average.
    pub mask_large: u64,
}

/// Finds the ends of chunks.
#[derive(Clone)]
pub(crate) struct Chunker {
    params: ChunkParams,
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl Chunker {
    /// A chunker with a table of 256 numbers, little-endian in `table`.
    pub(crate) fn new(params: ChunkParams, table: &[u8; GEAR_TABLE_BYTES]) -> Self {
        let mut gear = Box::new([0; 256]);
        for (entry, bytes) in gear.iter_mut().zip(table.as_chunks::<8>().0) {
            *entry = u64::from_le_bytes(*bytes);
        }
        let gear_shifted = Box::new(gear.map(|entry| entry << 1));
        Self { params, gear, gear_shifted }
    }

    /// Length of the chunk at the front of `bytes`, which must hold [`Self::max_bytes`] bytes or
    /// everything up to the end of the content.
    pub(crate) fn next_length(&self, bytes: &[u8]) -> usize {
        let ChunkParams { min_bytes, average_bytes, max_bytes, mask_small, mask_large } =
            self.params;
        let (_hash, length) = fastcdc::v2020::cut_gear(
            bytes,
            to_usize32(min_bytes),
            to_usize32(average_bytes),
            to_usize32(max_bytes),
            mask_small,
            mask_large,
            mask_small << 1,
            mask_large << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        length
    }

    /// Shortest chunk: shorter content is one chunk.
    pub(crate) fn min_bytes(&self) -> usize {
        to_usize32(self.params.min_bytes)
    }

    /// Longest chunk.
    pub(crate) fn max_bytes(&self) -> usize {
        to_usize32(self.params.max_bytes)
    }
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The table is secret.
        formatter.debug_struct("Chunker").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Parameters of a profile with this average, a power of two from 1 KiB to 2 MiB: shortest a
/// quarter, longest four times, masks of one bit more and one bit less than the average asks for.
pub(crate) fn params_for_average(average_bytes: u32) -> ChunkParams {
    let bits = average_bytes.ilog2();
    ChunkParams {
        min_bytes: average_bytes / 4,
        average_bytes,
        max_bytes: average_bytes * 4,
        mask_small: spread_mask(bits + 1),
        mask_large: spread_mask(bits - 1),
    }
}

/// A mask of `ones` bits spread over the upper 48 bits below the top one: the gear hash moves a
/// byte's influence upwards, so high bits depend on many bytes.
fn spread_mask(ones: u32) -> u64 {
    (0..ones).fold(0, |mask, index| mask | 1 << (62 - index * 47 / ones.max(1)))
}

/// Length of a table in bytes.
pub(crate) const GEAR_TABLE_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn chunker() -> Chunker {
        let mut table = [0; GEAR_TABLE_BYTES];
        let mut state = 1_u64;
        for byte in &mut table {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = state.to_le_bytes()[7];
        }
        Chunker::new(params_for_average(4096), &table)
    }

    fn lengths(chunker: &Chunker, mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = chunker.next_length(bytes);
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    /// The definition of the page, a byte at a time.
    fn reference(chunker: &Chunker, bytes: &[u8]) -> usize {
        let params = chunker.params;
        let end = bytes.len().min(chunker.max_bytes());
        let center = to_usize32(params.average_bytes).min(end);
        let mut hash = 0_u64;
        for (index, byte) in bytes.iter().enumerate().take(end & !1).skip(chunker.min_bytes()) {
            hash = (hash << 1).wrapping_add(chunker.gear[usize::from(*byte)]);
            let mask = if index < center & !1 { params.mask_small } else { params.mask_large };
            if hash & mask == 0 {
                return index;
            }
        }
        end
    }

    #[test]
    fn masks_have_their_number_of_bits() {
        for bits in 9..22 {
            assert_eq!(spread_mask(bits).count_ones(), bits);
            assert!(spread_mask(bits) < 1 << 63);
        }
    }

    #[test]
    fn cuts_are_those_of_the_definition() {
        let chunker = chunker();
        let mut state = 7_u64;
        let bytes: Vec<u8> = (0..200_001)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
                state.to_le_bytes()[6]
            })
            .collect();
        let mut rest = bytes.as_slice();
        for length in lengths(&chunker, &bytes) {
            assert_eq!(length, reference(&chunker, rest));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let chunker = chunker();
        let mut state = 9_u64;
        let bytes: Vec<u8> = (0..400_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(5);
                state.to_le_bytes()[6]
            })
            .collect();
        let before = lengths(&chunker, &bytes);
        let mut changed = bytes;
        changed.insert(1000, 1);
        let after = lengths(&chunker, &changed);
        let same_end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b);
        assert!(same_end.count() + 10 > before.len(), "{} chunks", before.len());
    }
}
