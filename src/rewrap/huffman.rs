//! Codes of deflate blocks.

use crate::rewrap::bits::BitReader;
use crate::rewrap::bits::BitWriter;
use crate::rewrap::inflate::BlockError;

/// A code for symbols: reads and writes them.
#[derive(Debug)]
pub(crate) struct Code {
    /// By the next 15 bits: symbol and length; length 0 for what is no code.
    table: Vec<(u16, u8)>,
    /// By symbol: bits as they are written, and length.
    symbols: Vec<(u32, u8)>,
}

impl Code {
    /// The canonical code of these lengths; nothing if they contradict each other.
    pub(crate) fn new(lengths: &[u8]) -> Option<Self> {
        let mut table = vec![(0, 0); 1 << BITS_MAX];
        let mut symbols = vec![(0, 0); lengths.len()];
        let mut next = 0_u32;
        for length in 1..=BITS_MAX {
            for (symbol, _) in
                lengths.iter().enumerate().filter(|(_, has)| u32::from(**has) == length)
            {
                if next >= 1 << length {
                    return None;
                }
                let bits = next.reverse_bits() >> (32 - length);
                let short = u8::try_from(length).ok()?;
                symbols[symbol] = (bits, short);
                let entry = (u16::try_from(symbol).ok()?, short);
                let step = 1_usize << length;
                let first = usize::try_from(bits).ok()?;
                table.iter_mut().skip(first).step_by(step).for_each(|slot| *slot = entry);
                next += 1;
            }
            next <<= 1;
        }
        Some(Self { table, symbols })
    }

    /// Reads a symbol.
    #[inline]
    pub(crate) fn read(&self, bits: &mut BitReader<'_>) -> Option<Result<u16, ()>> {
        let index = usize::try_from(bits.peek() & ((1 << BITS_MAX) - 1)).ok()?;
        let (symbol, length) = self.table[index];
        bits.pass(u32::from(length.max(1)))?;
        Some(if length == 0 { Err(()) } else { Ok(symbol) })
    }

    /// Writes a symbol; nothing if it has no code.
    #[inline]
    pub(crate) fn write(&self, bits: &mut BitWriter, symbol: usize) -> Option<()> {
        let (code, length) = *self.symbols.get(symbol)?;
        bits.put(code, u32::from(length));
        (length > 0).then_some(())
    }
}

/// Codes of a block.
#[derive(Debug)]
pub(crate) struct Codes {
    /// Of literals and lengths.
    pub(crate) literals: Code,
    /// Of distances.
    pub(crate) distances: Code,
}

impl Codes {
    /// The codes of blocks that bring none along.
    pub(crate) fn fixed() -> Option<Self> {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Some(Self { literals: Code::new(&lengths)?, distances: Code::new(&[5; 30])? })
    }

    /// Reads the codes of a block that brings them along.
    pub(crate) fn read(bits: &mut BitReader<'_>) -> Result<Self, BlockError> {
        let (short, broken) = (BlockError::Short, BlockError::Broken);
        let mut count = |width, least: u32| {
            let count = bits.take(width).ok_or(short)? + least;
            Ok(usize::try_from(count).unwrap_or_default())
        };
        let (literals, distances, orders) = (count(5, 257)?, count(5, 1)?, count(4, 4)?);
        let mut lengths = [0; 19];
        for place in &ORDER[..orders] {
            lengths[*place] = u8::try_from(bits.take(3).ok_or(short)?).unwrap_or_default();
        }
        let code = Code::new(&lengths).ok_or(broken)?;
        let mut lengths: Vec<u8> = Vec::with_capacity(320);
        while lengths.len() < literals + distances {
            let symbol = code.read(bits).ok_or(short)?.map_err(|()| broken)?;
            let last = lengths.last().copied();
            let (value, shortest, width) = match symbol {
                16 => (last, 3, 2),
                17 => (Some(0), 3, 3),
                18 => (Some(0), 11, 7),
                length => (u8::try_from(length).ok(), 1, 0),
            };
            let times = shortest + bits.take(width).ok_or(short)?;
            let value = value.ok_or(broken)?;
            lengths.extend((0..times).map(|_| value));
        }
        if lengths.len() > literals + distances {
            return Err(broken);
        }
        let (one, two) = lengths.split_at(literals);
        let codes = Code::new(one).zip(Code::new(two)).ok_or(broken)?;
        Ok(Self { literals: codes.0, distances: codes.1 })
    }
}

const BITS_MAX: u32 = 15;
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// First length of the symbols from 257 on, and how many bits follow.
pub(crate) const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// First distance of each symbol, and how many bits follow.
pub(crate) const DISTANCES: [(u16, u8); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];
