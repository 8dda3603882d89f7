//! Blocks of deflate streams: bits to tokens and plain bytes.

use crate::rewrap::bits::BitReader;
use crate::rewrap::bits::Bits;
use crate::rewrap::huffman::Codes;
use crate::rewrap::huffman::DISTANCES;
use crate::rewrap::huffman::LENGTHS;
use crate::rewrap::predict::Token;
use crate::rewrap::recipe::BLOCK_PLAIN_BYTES_MAX;

/// A block that was read, or a part of one.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Whether it ends its deflate stream.
    pub(crate) is_last: bool,
    /// How it was written, if it is a whole block as usual encoders write them.
    pub(crate) block: Option<Block>,
    /// All its bits; those that fill the last byte of the stream are of its last piece.
    pub(crate) bits: Bits,
    /// How many plain bytes it has.
    pub(crate) plain_length: usize,
}

/// How a block was written.
#[derive(Debug)]
pub(crate) struct Block {
    /// In which of the three ways.
    pub(crate) kind: BlockKind,
    /// Its tokens; none if it was stored.
    pub(crate) tokens: Vec<Token>,
    /// Bits that fill the stream's last byte, if it is the last block.
    pub(crate) padding: u8,
}

/// In which way a block was written.
#[derive(Debug)]
pub(crate) enum BlockKind {
    /// Plain bytes, with the bits that fill the byte before them.
    Stored(u8),
    /// With the codes that every reader knows.
    Fixed,
    /// With codes of its own: the bits that say which.
    Dynamic(Bits),
}

/// A block of which the beginning was read.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    codes: Codes,
    is_last: bool,
}

/// Why a block was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// Its bits are not all there.
    Short,
    /// It is no block.
    Broken,
}

/// What to do with a block that cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Refuse it.
    Never,
    /// Give what comes before.
    Anywhere,
}

/// Reads a block, or goes on with one; appends its plain bytes to those before it in its stream.
///
/// A long block comes in parts. After an error, nothing was appended.
pub(crate) fn read_piece(
    bits: &mut BitReader<'_>,
    plain: &mut Vec<u8>,
    open: &mut Option<OpenBlock>,
    cut: Cut,
) -> Result<Piece, BlockError> {
    let (start, from) = (plain.len(), *bits);
    let (begun, mut kind) = match open.take() {
        Some(begun) => (begun, None),
        None => match begin(bits, plain)? {
            Begun::Stored { padding, is_last } => {
                let block =
                    Block { kind: BlockKind::Stored(padding), tokens: Vec::new(), padding: 0 };
                let plain_length = plain.len() - start;
                return Ok(Piece {
                    is_last,
                    block: Some(block),
                    bits: Bits::copy(from, bits.at()),
                    plain_length,
                });
            }
            Begun::Coded { open, kind } => (open, Some(kind)),
        },
    };
    let mut tokens = Vec::new();
    let mut is_usual = true;
    let has_ended = loop {
        if tokens.len() == TOKENS_COUNT_MAX || plain.len() - start > PIECE_PLAIN_BYTES {
            break false;
        }
        let before = *bits;
        match read_token(bits, &begun.codes, plain, &mut is_usual) {
            Ok(Some(token)) => tokens.push(token),
            Ok(None) => break true,
            // Nothing of it was appended.
            Err(_) if cut == Cut::Anywhere && before.at() > from.at() => {
                *bits = before;
                break false;
            }
            Err(error) => {
                *bits = from;
                plain.truncate(start);
                *open = kind.is_none().then_some(begun);
                return Err(error);
            }
        }
    };
    let is_last = has_ended && begun.is_last;
    let padding = if is_last { bits.padding().unwrap_or_default() } else { 0 };
    let kind = kind.take().filter(|_| has_ended && is_usual);
    if !has_ended {
        *open = Some(begun);
    }
    let block = kind.map(|kind| Block { kind, tokens, padding });
    let bits = Bits::copy(from, bits.at());
    Ok(Piece { is_last, block, bits, plain_length: plain.len() - start })
}

enum Begun {
    Stored { padding: u8, is_last: bool },
    Coded { open: OpenBlock, kind: BlockKind },
}

/// Reads what stands before the tokens, and all of a stored block.
fn begin(bits: &mut BitReader<'_>, plain: &mut Vec<u8>) -> Result<Begun, BlockError> {
    let short = BlockError::Short;
    let is_last = bits.take(1).ok_or(short)? == 1;
    match bits.take(2).ok_or(short)? {
        0 => {
            let padding = bits.padding().ok_or(short)?;
            let length = bits.take(16).ok_or(short)?;
            if bits.take(16).ok_or(short)? != length ^ 0xffff {
                return Err(BlockError::Broken);
            }
            let length = usize::try_from(length).unwrap_or_default();
            plain.extend_from_slice(bits.bytes(length).ok_or(short)?);
            Ok(Begun::Stored { padding, is_last })
        }
        1 => {
            let codes = Codes::fixed().ok_or(BlockError::Broken)?;
            Ok(Begun::Coded { open: OpenBlock { codes, is_last }, kind: BlockKind::Fixed })
        }
        2 => {
            let from = *bits;
            let codes = Codes::read(bits)?;
            let kind = BlockKind::Dynamic(Bits::copy(from, bits.at()));
            Ok(Begun::Coded { open: OpenBlock { codes, is_last }, kind })
        }
        _ => Err(BlockError::Broken),
    }
}

/// Reads a token; nothing at the end of the block.
#[inline]
fn read_token(
    bits: &mut BitReader<'_>,
    codes: &Codes,
    plain: &mut Vec<u8>,
    is_usual: &mut bool,
) -> Result<Option<Token>, BlockError> {
    let short = BlockError::Short;
    let symbol = codes.literals.read(bits).ok_or(short)?.map_err(|()| BlockError::Broken)?;
    if let Ok(byte) = u8::try_from(symbol) {
        plain.push(byte);
        return Ok(Some(Token::Literal));
    }
    if symbol == END_OF_BLOCK {
        return Ok(None);
    }
    let base = LENGTHS.get(usize::from(symbol - 257)).ok_or(BlockError::Broken)?;
    let length = extra(bits, *base)?;
    // Two codes say 258, of which encoders write the one without more bits.
    *is_usual &= length != 258 || base.1 == 0;
    let symbol = codes.distances.read(bits).ok_or(short)?.map_err(|()| BlockError::Broken)?;
    let base = DISTANCES.get(usize::from(symbol)).ok_or(BlockError::Broken)?;
    let distance = extra(bits, *base)?;
    copy(plain, length, distance)?;
    Ok(Some(Token::Match { length, distance }))
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

const END_OF_BLOCK: u16 = 256;
/// More than blocks of usual encoders have.
const TOKENS_COUNT_MAX: usize = 262_144;
/// With the longest match behind it, no more than a part of a recipe may have.
const PIECE_PLAIN_BYTES: usize = BLOCK_PLAIN_BYTES_MAX - 258;
