//! Blocks of deflate streams: bits to tokens and plain bytes.

use crate::rewrap::bits::BitReader;
use crate::rewrap::huffman::Codes;
use crate::rewrap::huffman::DISTANCES;
use crate::rewrap::huffman::LENGTHS;
use crate::rewrap::predict::Token;
use crate::rewrap::recipe::BLOCK_PLAIN_BYTES_MAX;
use crate::units::to_usize;

/// A block that was read.
#[derive(Debug)]
pub(crate) struct Block {
    /// Whether it is the last of its member.
    pub(crate) is_last: bool,
    /// How it was written.
    pub(crate) kind: BlockKind,
    /// Its tokens; none if it was stored.
    pub(crate) tokens: Vec<Token>,
    /// How many plain bytes it has.
    pub(crate) plain_length: usize,
}

/// How a block was written.
#[derive(Debug)]
pub(crate) enum BlockKind {
    /// Plain bytes, with the bits that fill the byte before them.
    Stored(u8),
    /// With the codes that every reader knows.
    Fixed,
    /// With codes of its own: the bits that say which.
    Dynamic {
        /// Packed, the lowest first.
        bits: Vec<u8>,
        /// How many.
        count: u32,
    },
}

/// Why a block was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// Its bits are not all there.
    Short,
    /// It is no block.
    Broken,
    /// It is one that usual encoders do not write.
    Unusual,
}

/// Reads a block; appends its plain bytes to those before it in its member.
pub(crate) fn read_block(
    bits: &mut BitReader<'_>,
    plain: &mut Vec<u8>,
) -> Result<Block, BlockError> {
    let short = BlockError::Short;
    let is_last = bits.take(1).ok_or(short)? == 1;
    let start = plain.len();
    let (kind, codes) = match bits.take(2).ok_or(short)? {
        0 => {
            let padding = bits.padding().ok_or(short)?;
            let length = bits.take(16).ok_or(short)?;
            if bits.take(16).ok_or(short)? != length ^ 0xffff {
                return Err(BlockError::Broken);
            }
            let length = usize::try_from(length).unwrap_or_default();
            plain.extend_from_slice(bits.bytes(length).ok_or(short)?);
            (BlockKind::Stored(padding), None)
        }
        1 => (BlockKind::Fixed, Codes::fixed()),
        2 => {
            let from = *bits;
            let codes = Codes::read(bits)?;
            (copy_bits(from, bits.at()), Some(codes))
        }
        _ => return Err(BlockError::Broken),
    };
    let tokens = match codes {
        Some(codes) => read_tokens(bits, &codes, plain, start)?,
        None => Vec::new(),
    };
    Ok(Block { is_last, kind, tokens, plain_length: plain.len() - start })
}

fn copy_bits(mut from: BitReader<'_>, end: u64) -> BlockKind {
    let count = u32::try_from(end - from.at()).unwrap_or_default();
    let mut bits = Vec::new();
    let mut left = count;
    while left > 0 {
        let width = left.min(8);
        bits.push(u8::try_from(from.take(width).unwrap_or_default()).unwrap_or_default());
        left -= width;
    }
    BlockKind::Dynamic { bits, count }
}

fn read_tokens(
    bits: &mut BitReader<'_>,
    codes: &Codes,
    plain: &mut Vec<u8>,
    start: usize,
) -> Result<Vec<Token>, BlockError> {
    let short = BlockError::Short;
    let mut tokens = Vec::new();
    loop {
        let symbol = codes.literals.read(bits).ok_or(short)?.map_err(|()| BlockError::Broken)?;
        if let Ok(byte) = u8::try_from(symbol) {
            plain.push(byte);
            tokens.push(Token::Literal);
        } else if symbol == END_OF_BLOCK {
            return Ok(tokens);
        } else {
            let base = LENGTHS.get(usize::from(symbol - 257)).ok_or(BlockError::Broken)?;
            let length = extra(bits, *base)?;
            if length == 258 && base.1 > 0 {
                return Err(BlockError::Unusual);
            }
            let symbol =
                codes.distances.read(bits).ok_or(short)?.map_err(|()| BlockError::Broken)?;
            let base = DISTANCES.get(usize::from(symbol)).ok_or(BlockError::Broken)?;
            let distance = extra(bits, *base)?;
            copy(plain, length, distance)?;
            tokens.push(Token::Match { length, distance });
        }
        if plain.len() - start > BLOCK_PLAIN_BYTES_MAX {
            return Err(BlockError::Unusual);
        }
    }
}

fn extra(bits: &mut BitReader<'_>, (base, width): (u16, u8)) -> Result<u16, BlockError> {
    let more = bits.take(u32::from(width)).ok_or(BlockError::Short)?;
    Ok(base + u16::try_from(more).unwrap_or_default())
}

fn copy(plain: &mut Vec<u8>, length: u16, distance: u16) -> Result<(), BlockError> {
    let start = plain.len().checked_sub(usize::from(distance)).ok_or(BlockError::Broken)?;
    let mut left = usize::from(length);
    let mut from = start;
    while left > 0 {
        let run = left.min(plain.len() - from);
        plain.extend_from_within(from..from + run);
        from += run;
        left -= run;
    }
    Ok(())
}

/// Whole bytes before a bit.
pub(crate) fn bytes_before(bit: u64) -> usize {
    to_usize(bit / 8)
}

const END_OF_BLOCK: u16 = 256;
