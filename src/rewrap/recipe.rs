//! Recipes: what gives a compressed file back from its plain bytes. Spec: format-spec/18-recipe.md.

use crate::rewrap::bits::BitReader;
use crate::rewrap::bits::BitWriter;
use crate::rewrap::huffman::Codes;
use crate::rewrap::huffman::DISTANCES;
use crate::rewrap::huffman::LENGTHS;
use crate::rewrap::inflate::Block;
use crate::rewrap::inflate::BlockKind;
use crate::rewrap::predict::Predictor;
use crate::rewrap::predict::Token;
use crate::rewrap::predict::View;
use crate::units::to_u64;
use crate::units::to_usize;

/// What a recipe begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the compressed file.
    pub(crate) length: u64,
    /// BLAKE3 of it.
    pub(crate) digest: [u8; 32],
    /// Length of the plain bytes.
    pub(crate) plain_length: u64,
}

impl Header {
    /// The recipe of these parts.
    pub(crate) fn with_parts(&self, parts: &[u8]) -> Vec<u8> {
        let Self { length, digest, plain_length } = self;
        [RECIPE_MAGIC, &length.to_le_bytes(), digest, &plain_length.to_le_bytes(), parts].concat()
    }

    /// Takes a recipe apart; nothing if it is none.
    pub(crate) fn split(recipe: &[u8]) -> Option<(Self, &[u8])> {
        let rest = recipe.strip_prefix(RECIPE_MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (plain_length, parts) = rest.split_first_chunk::<8>()?;
        let length = u64::from_le_bytes(*length);
        let plain_length = u64::from_le_bytes(*plain_length);
        Some((Self { length, digest: *digest, plain_length }, parts))
    }
}

/// Reads numbers and bytes of a recipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next number: seven bits a byte, the lowest first.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(to_usize(count))?;
        self.0 = rest;
        Some(bytes)
    }
}

/// Writes a number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value.to_le_bytes()[0] | 128);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Writes a part of bytes as they are.
pub(crate) fn put_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(PART_LITERAL);
    put_number(out, to_u64(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Writes a block, with what the predictor did not foresee. `view` ends `ahead` bytes behind the block,
/// `padding` fills the last byte of the member's last block.
pub(crate) fn put_block(
    out: &mut Vec<u8>,
    block: &Block,
    predictor: &mut Predictor,
    (view, ahead): (View<'_>, usize),
    padding: u8,
) {
    let Block { is_last, kind, tokens, plain_length } = block;
    out.push(PART_BLOCK);
    put_number(out, to_u64(*plain_length));
    put_number(out, to_u64(ahead));
    let last = if *is_last { LAST_FLAG } else { 0 };
    match kind {
        BlockKind::Stored(filler) => {
            out.extend([KIND_STORED | last, *filler]);
            predictor.skip(view, to_u64(*plain_length));
        }
        BlockKind::Fixed => out.push(KIND_FIXED | last),
        BlockKind::Dynamic { bits, count } => {
            out.push(KIND_DYNAMIC | last);
            put_number(out, u64::from(*count));
            out.extend_from_slice(bits);
        }
    }
    if !matches!(kind, BlockKind::Stored(_)) {
        let corrections = corrections(tokens, predictor, view);
        put_number(out, to_u64(tokens.len()));
        put_number(out, to_u64(corrections.len()));
        for (gap, token) in corrections {
            put_number(out, gap);
            match token {
                Token::Literal => out.push(0),
                Token::Match { length, distance } => {
                    put_number(out, u64::from(length) - 2);
                    put_number(out, u64::from(distance));
                }
            }
        }
    }
    if *is_last {
        out.push(padding);
    }
}

/// The tokens that the predictor did not foresee, each with how many it did before it.
pub(crate) fn corrections(
    tokens: &[Token],
    predictor: &mut Predictor,
    view: View<'_>,
) -> Vec<(u64, Token)> {
    let mut corrections = Vec::new();
    let mut gap = 0;
    for token in tokens {
        if predictor.predict(view) == *token {
            gap += 1;
        } else {
            corrections.push((gap, *token));
            gap = 0;
        }
        predictor.accept(view, *token);
    }
    corrections
}

/// Writes the bits of a member's blocks again.
#[derive(Debug)]
pub(crate) struct Rebuilder {
    predictor: Predictor,
    /// What was written.
    pub(crate) bits: BitWriter,
}

impl Rebuilder {
    /// Begins a member that was written at this level.
    pub(crate) fn new(level: u8) -> Option<Self> {
        Some(Self { predictor: Predictor::new(level)?, bits: BitWriter::default() })
    }

    /// Where the next block begins.
    pub(crate) const fn at(&self) -> u64 {
        self.predictor.at()
    }

    /// Writes a block of the recipe whose plain bytes and those ahead end the view; returns whether
    /// it was the last. Nothing if the recipe does not fit them.
    pub(crate) fn block(
        &mut self,
        recipe: &mut Cursor<'_>,
        view: View<'_>,
        plain_length: u64,
    ) -> Option<bool> {
        let kind = recipe.byte()?;
        let is_last = kind & LAST_FLAG != 0;
        self.bits.put(u32::from(is_last), 1);
        let kind = kind & !LAST_FLAG;
        if kind > KIND_DYNAMIC {
            return None;
        }
        self.bits.put(u32::from(kind), 2);
        let end = self.at() + plain_length;
        if kind == KIND_STORED {
            let length = u16::try_from(plain_length).ok()?;
            self.bits.pad(recipe.byte()?);
            self.bits.put(u32::from(length), 16);
            self.bits.put(u32::from(!length), 16);
            let start = to_usize(self.at() - view.origin);
            let plain = view.data.get(start..start + usize::from(length))?;
            self.bits.out.extend_from_slice(plain);
            self.predictor.skip(view, plain_length);
        } else {
            let codes = if kind == KIND_FIXED { Codes::fixed()? } else { self.codes(recipe)? };
            self.tokens(recipe, view, (&codes, end))?;
        }
        if is_last {
            self.bits.pad(recipe.byte()?);
        }
        (self.at() == end).then_some(is_last)
    }

    fn codes(&mut self, recipe: &mut Cursor<'_>) -> Option<Codes> {
        let count = recipe.number()?;
        let bytes = recipe.bytes(count.div_ceil(8))?;
        let mut reader = BitReader::new(bytes, 0);
        let codes = Codes::read(&mut reader).ok()?;
        if reader.at() != count {
            return None;
        }
        let mut reader = BitReader::new(bytes, 0);
        let mut left = u32::try_from(count).ok()?;
        while left > 0 {
            let width = left.min(16);
            self.bits.put(reader.take(width)?, width);
            left -= width;
        }
        Some(codes)
    }

    fn tokens(
        &mut self,
        recipe: &mut Cursor<'_>,
        view: View<'_>,
        (codes, end): (&Codes, u64),
    ) -> Option<()> {
        let count = recipe.number()?;
        let mut corrections = recipe.number()?;
        let mut gap = if corrections > 0 { recipe.number()? } else { 0 };
        for _ in 0..count {
            if self.at() >= end {
                return None;
            }
            let mut token = self.predictor.predict(view);
            if corrections > 0 && gap == 0 {
                token = correction(recipe)?;
                corrections -= 1;
                gap = if corrections > 0 { recipe.number()? } else { 0 };
            } else {
                gap = gap.saturating_sub(1);
            }
            if let Token::Match { length, distance } = token
                && (self.at() + u64::from(length) > end || u64::from(distance) > self.at())
            {
                return None;
            }
            let byte = view.data.get(to_usize(self.at() - view.origin))?;
            write_token(&mut self.bits, codes, token, *byte)?;
            self.predictor.accept(view, token);
        }
        codes.literals.write(&mut self.bits, END_OF_BLOCK)?;
        (corrections == 0).then_some(())
    }
}

fn correction(recipe: &mut Cursor<'_>) -> Option<Token> {
    let code = recipe.number()?;
    if code == 0 {
        return Some(Token::Literal);
    }
    let length = u16::try_from(code.checked_add(2)?).ok()?;
    let distance = u16::try_from(recipe.number()?).ok()?;
    let fits = (3..=258).contains(&length) && (1..=32_768).contains(&distance);
    fits.then_some(Token::Match { length, distance })
}

fn write_token(bits: &mut BitWriter, codes: &Codes, token: Token, byte: u8) -> Option<()> {
    let Token::Match { length, distance } = token else {
        return codes.literals.write(bits, usize::from(byte));
    };
    let place = LENGTHS.partition_point(|(base, _)| *base <= length).checked_sub(1)?;
    let (base, width) = *LENGTHS.get(place)?;
    codes.literals.write(bits, 257 + place)?;
    bits.put(u32::from(length - base), u32::from(width));
    let place = DISTANCES.partition_point(|(base, _)| *base <= distance).checked_sub(1)?;
    let (base, width) = *DISTANCES.get(place)?;
    codes.distances.write(bits, place)?;
    bits.put(u32::from(distance - base), u32::from(width));
    Some(())
}

const RECIPE_MAGIC: &[u8] = b"SBFRECP1";
/// Bytes as they are.
pub(crate) const PART_LITERAL: u8 = 0;
/// The start of a deflate stream and its level.
pub(crate) const PART_MEMBER: u8 = 1;
/// A block of it.
pub(crate) const PART_BLOCK: u8 = 2;
const KIND_STORED: u8 = 0;
const KIND_FIXED: u8 = 1;
const KIND_DYNAMIC: u8 = 2;
const LAST_FLAG: u8 = 4;
const END_OF_BLOCK: usize = 256;
/// Most plain bytes of a block.
pub(crate) const BLOCK_PLAIN_BYTES_MAX: usize = 67_108_864;
/// How far the predictor looks beyond a block.
pub(crate) const AHEAD_BYTES: usize = 1024;
/// Longest recipe.
pub(crate) const RECIPE_BYTES_MAX: usize = 268_435_456;
