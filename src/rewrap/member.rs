//! A deflate stream on its way in: pieces become parts of the recipe, each made again from it at once.

use crate::rewrap::bits::BitReader;
use crate::rewrap::bits::BitWriter;
use crate::rewrap::bits::Bits;
use crate::rewrap::inflate::Block;
use crate::rewrap::inflate::BlockError;
use crate::rewrap::inflate::Cut;
use crate::rewrap::inflate::OpenBlock;
use crate::rewrap::inflate::Piece;
use crate::rewrap::inflate::read_piece;
use crate::rewrap::predict::Predictor;
use crate::rewrap::predict::View;
use crate::rewrap::predict::WINDOW;
use crate::rewrap::recipe::AHEAD_BYTES;
use crate::rewrap::recipe::Cursor;
use crate::rewrap::recipe::PART_BITS;
use crate::rewrap::recipe::PART_BLOCK;
use crate::rewrap::recipe::PART_LEVEL;
use crate::rewrap::recipe::Rebuilder;
use crate::rewrap::recipe::bits_body;
use crate::rewrap::recipe::block_body;
use crate::rewrap::recipe::corrections;
use crate::rewrap::recipe::put_part;
use crate::units::to_u64;
use crate::units::to_usize;
use std::collections::VecDeque;

/// What is known of a deflate stream.
#[derive(Debug)]
pub(crate) struct Member {
    plain: Vec<u8>,
    origin: u64,
    /// How many of `plain` are behind the last piece that has its part.
    done: usize,
    pieces: VecDeque<Piece>,
    /// The block that the next piece goes on with.
    open: Option<OpenBlock>,
    is_ended: bool,
    predictor: Predictor,
    again: Rebuilder,
    /// The stream's own bits, to be compared with those that were made again.
    truth: BitWriter,
    /// Whether the level was chosen.
    has_level: bool,
    /// Bytes of the file that are not yet compared.
    original: Vec<u8>,
    checksum: crc32fast::Hasher,
    length: u64,
}

impl Member {
    /// Begins a stream; writes its first part.
    pub(crate) fn new(recipe: &mut Vec<u8>) -> Option<Self> {
        put_part(recipe, PART_LEVEL, &[LEVEL]);
        Some(Self {
            plain: Vec::new(),
            origin: 0,
            done: 0,
            pieces: VecDeque::new(),
            open: None,
            is_ended: false,
            predictor: Predictor::new(LEVEL)?,
            again: Rebuilder::new(LEVEL)?,
            truth: BitWriter::default(),
            has_level: false,
            original: Vec::new(),
            checksum: crc32fast::Hasher::new(),
            length: 0,
        })
    }

    /// Whether the next part needs bytes that are not read yet.
    pub(crate) fn needs_piece(&self) -> bool {
        let first = self.pieces.front().map_or(0, |piece| piece.plain_length);
        let is_short = self.plain.len() < self.done + first + AHEAD_BYTES;
        let may_wait = self.pieces.len() <= WAITING_COUNT_MAX;
        !self.is_ended && (self.pieces.is_empty() || is_short && may_wait)
    }

    /// Reads the next piece of `raw`, which begins at a bit; appends its plain bytes to `out`. Returns where
    /// the piece ends.
    pub(crate) fn read_piece(
        &mut self,
        raw: &[u8],
        bit: u64,
        cut: Cut,
        out: &mut Vec<u8>,
    ) -> Result<u64, BlockError> {
        let before = self.plain.len();
        let mut bits = BitReader::new(raw, bit);
        let piece = read_piece(&mut bits, &mut self.plain, &mut self.open, cut)?;
        let plain = &self.plain[before..];
        self.checksum.update(plain);
        self.length += to_u64(plain.len());
        out.extend_from_slice(plain);
        self.push(piece, raw, bit, bits.at());
        Ok(bits.at())
    }

    /// Ends a stream that cannot be read on with the bits up to the next byte; returns where that is.
    pub(crate) fn give_up(&mut self, raw: &[u8], bit: u64) -> u64 {
        let end = bit.next_multiple_of(8);
        let bits = Bits::copy(BitReader::new(raw, bit), end);
        let piece = Piece { is_last: true, block: None, bits, plain_length: 0 };
        self.push(piece, raw, bit, end);
        end
    }

    fn push(&mut self, piece: Piece, raw: &[u8], bit: u64, end: u64) {
        self.original.extend_from_slice(&raw[to_usize(bit / 8)..to_usize(end / 8)]);
        self.is_ended = piece.is_last;
        self.pieces.push_back(piece);
    }

    /// Writes the part of the next piece, and makes the piece again from it. False if there is none.
    ///
    /// Errors: what was made is not what was read, which is a fault of this host.
    pub(crate) fn record(&mut self, recipe: &mut Vec<u8>) -> Result<bool, ()> {
        let Some(piece) = self.pieces.pop_front() else { return Ok(false) };
        let end = self.done + piece.plain_length;
        let ahead = AHEAD_BYTES.min(self.plain.len() - end);
        let data = std::mem::take(&mut self.plain);
        let view = View { data: &data[..end + ahead], origin: self.origin };
        self.truth.put_bits(&piece.bits.bytes, piece.bits.count).ok_or(())?;
        let is_foreseen = match &piece.block {
            Some(block) => {
                self.choose_level(block, view, recipe);
                self.try_block(&piece, block, (view, ahead), recipe)
            }
            None => false,
        };
        if !is_foreseen {
            let body = bits_body(&piece);
            let length = to_u64(piece.plain_length);
            // A reader has the plain bytes of these bits, and none behind them.
            let view = View { data: &data[..end], origin: self.origin };
            let mut cursor = Cursor(&body);
            let found = cursor.number().filter(|found| *found == length).ok_or(())?;
            self.again.piece(&mut cursor, view, found).ok_or(())?;
            self.predictor.skip(view, length);
            put_part(recipe, PART_BITS, &body);
        }
        self.plain = data;
        self.settle()?;
        self.done = end;
        if self.done > TRIM_BYTES {
            let goes = self.done - WINDOW;
            self.plain.drain(..goes);
            self.origin += to_u64(goes);
            self.done = WINDOW;
        }
        Ok(true)
    }

    /// Writes a block as what was not foreseen, if that is shorter than its bits and gives them back.
    fn try_block(
        &mut self,
        piece: &Piece,
        block: &Block,
        (view, ahead): (View<'_>, usize),
        recipe: &mut Vec<u8>,
    ) -> bool {
        let before = self.predictor.clone();
        let bits_before = BitWriter::tail_of(&self.again.bits);
        let body = block_body(piece, block, &mut self.predictor, (view, ahead));
        if body.len() <= piece.bits.bytes.len() + PART_SLACK {
            let mut cursor = Cursor(&body);
            let lengths = (cursor.number(), cursor.number());
            let made = self.again.block(&mut cursor, view, to_u64(piece.plain_length));
            if lengths.1.is_some() && made == Some(piece.is_last) && self.again.bits == self.truth {
                put_part(recipe, PART_BLOCK, &body);
                return true;
            }
            self.again.restart(before.clone(), &bits_before);
        }
        self.predictor = before;
        false
    }

    /// Chooses the level that foresees most of the first block that has tokens.
    fn choose_level(&mut self, block: &Block, view: View<'_>, recipe: &mut Vec<u8>) {
        if self.has_level || block.tokens.is_empty() {
            return;
        }
        self.has_level = true;
        let wrong = |level: &u8| {
            let mut predictor = self.predictor.clone();
            predictor.set_level(*level)?;
            Some(corrections(&block.tokens, &mut predictor, view).len())
        };
        // The usual one first: of equal ones it is taken.
        let levels = [LEVEL, 9, 1, 5, 4, 7, 8, 2, 3];
        let level = levels.into_iter().min_by_key(wrong).unwrap_or(LEVEL);
        if level != LEVEL {
            let _known = self.predictor.set_level(level).and(self.again.set_level(level));
            put_part(recipe, PART_LEVEL, &[level]);
        }
    }

    /// Compares what was made again, to the last bit, before anything relies on the recipe.
    fn settle(&mut self) -> Result<(), ()> {
        let made = &mut self.again.bits;
        if *made != self.truth || !self.original.starts_with(&made.out) {
            return Err(());
        }
        self.original.drain(..made.out.len());
        made.out.clear();
        self.truth.out.clear();
        Ok(())
    }

    /// How many bytes are in memory.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        let token = size_of::<crate::rewrap::predict::Token>();
        let tokens =
            |piece: &Piece| piece.block.as_ref().map_or(0, |block| block.tokens.capacity());
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|piece| piece.bits.bytes.capacity() + tokens(piece) * token);
        self.plain.capacity() + self.original.capacity() + pieces.sum::<usize>()
    }

    /// The checksum and the length that stand behind the stream.
    ///
    /// Errors: not all bytes of the stream were made again.
    pub(crate) fn finish(self) -> Result<u64, ()> {
        if !self.original.is_empty() || !self.pieces.is_empty() {
            return Err(());
        }
        Ok((self.length << 32) | u64::from(self.checksum.finalize()))
    }
}

/// Until it is chosen.
const LEVEL: u8 = 6;
/// Usual encoders write few blocks that hold next to nothing.
const WAITING_COUNT_MAX: usize = 4096;
/// A block that is as long as its bits is written as one: it lets the next ones be foreseen.
const PART_SLACK: usize = 16;
const TRIM_BYTES: usize = 4 * 1_048_576;
