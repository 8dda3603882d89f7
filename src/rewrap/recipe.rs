//! Recipes: what gives a compressed file back from its plain bytes. Spec: format-spec/18-recipe.md.

use crate::rewrap::bits::BitReader;
use crate::rewrap::bits::BitWriter;
use crate::rewrap::huffman::Codes;
use crate::rewrap::huffman::DISTANCES;
use crate::rewrap::huffman::LENGTHS;
use crate::rewrap::inflate::Block;
use crate::rewrap::inflate::BlockKind;
use crate::rewrap::inflate::Piece;
use crate::rewrap::predict::Predictor;
use crate::rewrap::predict::Token;
use crate::rewrap::predict::View;
use crate::units::to_u64;
use crate::units::to_usize;

/// What a recipe ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stated {
    /// Length of the compressed file.
    pub(crate) length: u64,
    /// BLAKE3 of it.
    pub(crate) digest: [u8; 32],
    /// Length of the plain bytes.
    pub(crate) plain_length: u64,
}

impl Stated {
    /// The last part of a recipe.
    pub(crate) fn part(&self) -> Vec<u8> {
        let Self { length, digest, plain_length } = self;
        let body = [&length.to_le_bytes(), digest.as_slice(), &plain_length.to_le_bytes()].concat();
        let mut part = Vec::new();
        put_part(&mut part, PART_END, &body);
        part
    }

    /// Takes its body apart.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let (length, rest) = body.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (plain_length, rest) = rest.split_first_chunk::<8>()?;
        let length = u64::from_le_bytes(*length);
        let plain_length = u64::from_le_bytes(*plain_length);
        rest.is_empty().then_some(Self { length, digest: *digest, plain_length })
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

    /// The next number: seven bits a byte, the lowest first, in as few bytes as it needs.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return (byte > 0 || shift == 0).then_some(value);
            }
        }
        None
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
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

/// Writes a part.
pub(crate) fn put_part(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    put_number(out, to_u64(body.len()));
    out.extend_from_slice(body);
}

/// The body of a block's part, with what the predictor did not foresee. `view` ends `ahead` bytes behind it.
pub(crate) fn block_body(
    piece: &Piece,
    block: &Block,
    predictor: &mut Predictor,
    (view, ahead): (View<'_>, usize),
) -> Vec<u8> {
    let Block { kind, tokens, padding } = block;
    let mut out = Vec::new();
    put_number(&mut out, to_u64(piece.plain_length));
    put_number(&mut out, to_u64(ahead));
    let last = if piece.is_last { LAST_FLAG } else { 0 };
    match kind {
        BlockKind::Stored(filler) => {
            out.extend([KIND_STORED | last, *filler]);
            predictor.skip(view, to_u64(piece.plain_length));
        }
        BlockKind::Fixed => out.push(KIND_FIXED | last),
        BlockKind::Dynamic(bits) => {
            out.push(KIND_DYNAMIC | last);
            put_number(&mut out, bits.count);
            out.extend_from_slice(&bits.bytes);
        }
    }
    if !matches!(kind, BlockKind::Stored(_)) {
        let corrections = corrections(tokens, predictor, view);
        put_number(&mut out, to_u64(tokens.len()));
        put_number(&mut out, to_u64(corrections.len()));
        for (gap, token) in corrections {
            put_number(&mut out, gap);
            match token {
                Token::Literal => out.push(0),
                Token::Match { length, distance } => {
                    put_number(&mut out, u64::from(length) - 2);
                    put_number(&mut out, u64::from(distance));
                }
            }
        }
    }
    if piece.is_last {
        out.push(*padding);
    }
    out
}

/// The body of a part that has a piece's bits as they are.
pub(crate) fn bits_body(piece: &Piece) -> Vec<u8> {
    let mut out = Vec::with_capacity(piece.bits.bytes.len() + 16);
    put_number(&mut out, to_u64(piece.plain_length));
    put_number(&mut out, piece.bits.count);
    out.push(if piece.is_last { LAST_FLAG } else { 0 });
    out.extend_from_slice(&piece.bits.bytes);
    out
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

/// Writes the bits of a deflate stream again.
#[derive(Debug)]
pub(crate) struct Rebuilder {
    predictor: Predictor,
    /// What was written.
    pub(crate) bits: BitWriter,
}

impl Rebuilder {
    /// Begins a stream that was written at this level.
    pub(crate) fn new(level: u8) -> Option<Self> {
        Some(Self { predictor: Predictor::new(level)?, bits: BitWriter::default() })
    }

    /// Goes on at another level.
    pub(crate) fn set_level(&mut self, level: u8) -> Option<()> {
        self.predictor.set_level(level)
    }

    /// Goes on from elsewhere.
    pub(crate) fn restart(&mut self, predictor: Predictor, bits: &BitWriter) {
        self.predictor = predictor;
        self.bits.follow(bits);
    }

    /// Where the next block begins.
    pub(crate) const fn at(&self) -> u64 {
        self.predictor.at()
    }

    /// Writes a block whose plain bytes and those ahead end the view, from the body of its part behind
    /// their lengths; returns whether it was the last. Nothing if the body does not fit them.
    pub(crate) fn block(
        &mut self,
        body: &mut Cursor<'_>,
        view: View<'_>,
        plain_length: u64,
    ) -> Option<bool> {
        let kind = body.byte()?;
        let is_last = kind & LAST_FLAG != 0;
        self.bits.put(u32::from(is_last), 1);
        let kind = kind & !LAST_FLAG;
        if kind > KIND_DYNAMIC {
            return None;
        }
        self.bits.put(u32::from(kind), 2);
        let end = self.at().checked_add(plain_length)?;
        if kind == KIND_STORED {
            let length = u16::try_from(plain_length).ok()?;
            self.bits.pad(body.byte()?);
            self.bits.put(u32::from(length), 16);
            self.bits.put(u32::from(!length), 16);
            let start = to_usize(self.at().checked_sub(view.origin)?);
            let plain = view.data.get(start..)?.get(..usize::from(length))?;
            self.bits.out.extend_from_slice(plain);
            self.predictor.skip(view, plain_length);
        } else {
            let codes = if kind == KIND_FIXED { Codes::fixed()? } else { self.codes(body)? };
            self.tokens(body, view, (&codes, end))?;
        }
        if is_last {
            self.bits.pad(body.byte()?);
        }
        (self.at() == end && body.0.is_empty()).then_some(is_last)
    }

    /// Writes a piece's bits as they are; the same.
    pub(crate) fn piece(
        &mut self,
        body: &mut Cursor<'_>,
        view: View<'_>,
        plain_length: u64,
    ) -> Option<bool> {
        let count = body.number()?;
        let is_last = match body.byte()? {
            0 => false,
            LAST_FLAG => true,
            _ => return None,
        };
        let bytes = body.bytes(count.div_ceil(8))?;
        self.bits.put_bits(bytes, count)?;
        self.predictor.skip(view, plain_length);
        let is_whole = body.0.is_empty() && (!is_last || self.bits.is_at_byte());
        is_whole.then_some(is_last)
    }

    fn codes(&mut self, recipe: &mut Cursor<'_>) -> Option<Codes> {
        let count = recipe.number()?;
        let bytes = recipe.bytes(count.div_ceil(8))?;
        let mut reader = BitReader::new(bytes, 0);
        let codes = Codes::read(&mut reader).ok()?;
        if reader.at() != count {
            return None;
        }
        self.bits.put_bits(bytes, count)?;
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

/// What a recipe begins with.
pub(crate) const RECIPE_MAGIC: &[u8; 8] = b"SBFRECP1";
/// Bytes as they are.
pub(crate) const PART_LITERAL: u8 = 0;
/// The level of a deflate stream, which begins unless one is open.
pub(crate) const PART_LEVEL: u8 = 1;
/// A block of it.
pub(crate) const PART_BLOCK: u8 = 2;
/// Bits of it as they are.
pub(crate) const PART_BITS: u8 = 3;
/// The end.
pub(crate) const PART_END: u8 = 4;
const KIND_STORED: u8 = 0;
const KIND_FIXED: u8 = 1;
const KIND_DYNAMIC: u8 = 2;
const LAST_FLAG: u8 = 4;
const END_OF_BLOCK: usize = 256;
/// Most plain bytes of a part.
pub(crate) const BLOCK_PLAIN_BYTES_MAX: usize = 16_777_216;
/// How far the predictor looks beyond a block.
pub(crate) const AHEAD_BYTES: usize = 1024;
/// Longest body of a part.
pub(crate) const PART_BYTES_MAX: usize = 4_194_304;
