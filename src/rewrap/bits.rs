//! Bits of deflate streams, the lowest of a byte first.

use crate::units::to_u64;
use crate::units::to_usize;

/// Reads bits of a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    at: u64,
}

impl<'a> BitReader<'a> {
    /// Reads from this bit on.
    pub(crate) const fn new(data: &'a [u8], at: u64) -> Self {
        Self { data, at }
    }

    /// The next bit's number.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The next bits, at least 48, with zeros behind the end.
    pub(crate) fn peek(&self) -> u64 {
        let rest = self.data.get(to_usize(self.at / 8)..).unwrap_or_default();
        let word = if let Some(bytes) = rest.first_chunk() {
            u64::from_le_bytes(*bytes)
        } else {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(bytes)
        };
        word >> (self.at % 8)
    }

    /// Passes bits; nothing if they are not there.
    pub(crate) fn pass(&mut self, count: u32) -> Option<()> {
        self.at = self.at.checked_add(u64::from(count))?;
        (self.at <= to_u64(self.data.len()).checked_mul(8)?).then_some(())
    }

    /// Takes at most 32 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let bits = self.peek() & ((1_u64 << count) - 1);
        self.pass(count)?;
        u32::try_from(bits).ok()
    }

    /// Takes what is left of the byte.
    pub(crate) fn padding(&mut self) -> Option<u8> {
        let count = u32::try_from((8 - self.at % 8) % 8).ok()?;
        u8::try_from(self.take(count)?).ok()
    }

    /// Takes whole bytes; the reader must stand at one.
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let start = to_usize(self.at / 8);
        let bytes = self.data.get(start..start.checked_add(count)?)?;
        self.at += to_u64(count) * 8;
        Some(bytes)
    }
}

/// Bits by themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    /// Packed, the lowest first.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) count: u64,
}

impl Bits {
    /// The bits from where a reader stands up to `end`, which it has passed before.
    pub(crate) fn copy(mut from: BitReader<'_>, end: u64) -> Self {
        let count = end.saturating_sub(from.at());
        let length = to_usize(count.div_ceil(8));
        let mut bytes = Vec::with_capacity(length + 4);
        let mut left = count;
        while left > 0 {
            let width = u32::try_from(left).unwrap_or(32).min(32);
            bytes.extend_from_slice(&from.take(width).unwrap_or_default().to_le_bytes());
            left -= u64::from(width);
        }
        bytes.truncate(length);
        Self { bytes, count }
    }
}

/// Writes bits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BitWriter {
    /// Whole bytes that nobody took yet.
    pub(crate) out: Vec<u8>,
    word: u64,
    count: u32,
}

impl BitWriter {
    /// Writes at most 32 bits.
    pub(crate) fn put(&mut self, bits: u32, count: u32) {
        self.word |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.word.to_le_bytes()[0]);
            self.word >>= 8;
            self.count -= 8;
        }
    }

    /// Writes so many of these bits; nothing if they are not there.
    pub(crate) fn put_bits(&mut self, bytes: &[u8], count: u64) -> Option<()> {
        let mut reader = BitReader::new(bytes, 0);
        let mut left = count;
        while left > 0 {
            let width = u32::try_from(left).unwrap_or(32).min(32);
            self.put(reader.take(width)?, width);
            left -= u64::from(width);
        }
        Some(())
    }

    /// Whether the last byte is whole.
    pub(crate) const fn is_at_byte(&self) -> bool {
        self.count == 0
    }

    /// The bits of another one behind its last whole byte.
    pub(crate) fn tail_of(other: &Self) -> Self {
        Self { out: Vec::new(), word: other.word, count: other.count }
    }

    /// Goes on with the bits behind the last whole byte of another one.
    pub(crate) fn follow(&mut self, other: &Self) {
        self.out.clear();
        (self.word, self.count) = (other.word, other.count);
    }

    /// Fills the byte up with these bits.
    pub(crate) fn pad(&mut self, bits: u8) {
        let count = (8 - self.count) % 8;
        self.put(u32::from(bits) & ((1 << count) - 1), count);
    }
}
