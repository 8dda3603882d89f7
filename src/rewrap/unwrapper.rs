//! The way in: a compressed stream becomes plain bytes and a recipe, each block verified at once.

use crate::rewrap::bits::BitReader;
use crate::rewrap::inflate::Block;
use crate::rewrap::inflate::BlockError;
use crate::rewrap::inflate::bytes_before;
use crate::rewrap::inflate::read_block;
use crate::rewrap::predict::Predictor;
use crate::rewrap::predict::View;
use crate::rewrap::predict::WINDOW;
use crate::rewrap::recipe::AHEAD_BYTES;
use crate::rewrap::recipe::Cursor;
use crate::rewrap::recipe::PART_MEMBER;
use crate::rewrap::recipe::RECIPE_BYTES_MAX;
use crate::rewrap::recipe::Rebuilder;
use crate::rewrap::recipe::corrections;
use crate::rewrap::recipe::put_block;
use crate::rewrap::recipe::put_literal;
use crate::units::to_u64;
use std::collections::VecDeque;
use std::io;
use std::io::Read;

/// Why a stream is not unwrapped to its end.
#[derive(Debug)]
pub(crate) enum UnwrapError {
    /// It cannot be read.
    Read(io::Error),
    /// It is damaged or was cut off.
    Damaged(&'static str),
    /// No usual encoder wrote it, or the recipe would be too long.
    Unusual,
}

/// How a stream begins.
pub(crate) enum Begun<R> {
    /// It can be unwrapped.
    Wrapped(Box<Unwrapper<R>>),
    /// It is stored as it is: what was read of it, and the rest.
    AsItIs(Vec<u8>, R),
}

/// A stream of gzip on its way.
#[derive(Debug)]
pub(crate) struct Unwrapper<R> {
    input: R,
    raw: Vec<u8>,
    bit: u64,
    is_ended: bool,
    taken: u64,
    /// Everything that was read, until it is sure that the stream is unwrapped.
    kept: Option<Vec<u8>>,
    member: Option<Member>,
    has_member: bool,
    is_done: bool,
    recipe: Vec<u8>,
    out: Vec<u8>,
    given: usize,
}

#[derive(Debug)]
struct Member {
    plain: Vec<u8>,
    origin: u64,
    /// How many of `plain` are behind the last block that has its record.
    done: usize,
    blocks: VecDeque<Block>,
    padding: u8,
    is_ended: bool,
    finder: Option<(Predictor, Rebuilder)>,
    /// Original bytes that are not yet compared.
    original: Vec<u8>,
    checksum: crc32fast::Hasher,
    length: u64,
}

impl<R: Read> Unwrapper<R> {
    /// Reads the first part of a stream, to see whether unwrapping it pays.
    ///
    /// Errors: damage, and those of reading.
    pub(crate) fn begin(input: R) -> Result<Begun<R>, UnwrapError> {
        let mut this = Self {
            input,
            raw: Vec::new(),
            bit: 0,
            is_ended: false,
            taken: 0,
            kept: Some(Vec::new()),
            member: None,
            has_member: false,
            is_done: false,
            recipe: Vec::new(),
            out: Vec::new(),
            given: 0,
        };
        let mut pays = true;
        while pays
            && !this.is_done
            && this.taken < TRIAL_BYTES
            && this.out.len() < TRIAL_PLAIN_BYTES
        {
            match this.step() {
                Ok(()) => {}
                Err(UnwrapError::Unusual) => pays = false,
                Err(error) => return Err(error),
            }
        }
        let is_cheap = to_u64(this.recipe.len()) <= this.taken / 4 + SLACK_BYTES;
        let kept = this.kept.take().unwrap_or_default();
        if pays && is_cheap && this.has_member {
            return Ok(Begun::Wrapped(Box::new(this)));
        }
        Ok(Begun::AsItIs(kept, this.input))
    }

    /// Gives plain bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnwrapError> {
        while self.given == self.out.len() && !self.is_done {
            self.out.clear();
            self.given = 0;
            self.step()?;
        }
        let length = buffer.len().min(self.out.len() - self.given);
        buffer[..length].copy_from_slice(&self.out[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }

    /// The parts of the recipe, once everything was read.
    pub(crate) fn into_parts(self) -> (Vec<u8>, R) {
        (self.recipe, self.input)
    }

    fn step(&mut self) -> Result<(), UnwrapError> {
        let allowed = self.taken / 3 + 4 * SLACK_BYTES;
        if self.recipe.len() > RECIPE_BYTES_MAX / 2 || to_u64(self.recipe.len()) > allowed {
            return Err(UnwrapError::Unusual);
        }
        self.drop_read();
        let Some(mut member) = self.member.take() else { return self.between() };
        if member.needs_block() {
            if member.blocks.len() > WAITING_COUNT_MAX {
                return Err(UnwrapError::Unusual);
            }
            self.read_block(&mut member)?;
        } else if let Some(block) = member.blocks.pop_front() {
            member.record(&block, &mut self.recipe)?;
        } else {
            return self.end_member(member);
        }
        self.member = Some(member);
        Ok(())
    }

    fn drop_read(&mut self) {
        let bytes = bytes_before(self.bit);
        if bytes > RAW_BYTES {
            self.raw.drain(..bytes);
            self.bit %= 8;
        }
    }

    /// Reads until so many bytes from the current place on are there, or the end is.
    fn want(&mut self, count: usize) -> Result<&[u8], UnwrapError> {
        let start = bytes_before(self.bit);
        while !self.is_ended && self.raw.len() < start + count {
            let before = self.raw.len();
            self.raw.resize(before + READ_BYTES, 0);
            let read = self.input.read(&mut self.raw[before..]);
            let length = match read {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.raw.truncate(before);
                    continue;
                }
                Err(error) => return Err(UnwrapError::Read(error)),
            };
            self.raw.truncate(before + length);
            self.is_ended = length == 0;
            self.taken += to_u64(length);
            if let Some(kept) = &mut self.kept {
                kept.extend_from_slice(&self.raw[before..]);
            }
        }
        Ok(&self.raw[start.min(self.raw.len())..])
    }

    /// Before the first member, between two, and behind the last.
    fn between(&mut self) -> Result<(), UnwrapError> {
        let has_member = self.has_member;
        let rest = self.want(HEADER_BYTES_MAX)?;
        if rest.is_empty() {
            self.is_done = true;
            return if has_member { Ok(()) } else { Err(UnwrapError::Unusual) };
        }
        let length = match header_length(rest) {
            Some(length) => length,
            // What stands behind the last member belongs to the file, too.
            None if has_member && !rest.starts_with(&MAGIC) => rest.len().min(READ_BYTES),
            None => return Err(UnwrapError::Unusual),
        };
        let is_member = header_length(rest).is_some();
        let bytes = rest[..length].to_vec();
        put_literal(&mut self.recipe, &bytes);
        self.bit += to_u64(length) * 8;
        if is_member {
            self.has_member = true;
            self.member = Some(Member::new());
        }
        Ok(())
    }

    fn read_block(&mut self, member: &mut Member) -> Result<(), UnwrapError> {
        let mut wanted = BLOCK_BYTES;
        loop {
            self.want(wanted)?;
            let before = member.plain.len();
            let mut bits = BitReader::new(&self.raw, self.bit);
            match read_block(&mut bits, &mut member.plain) {
                Ok(block) => {
                    if block.is_last {
                        member.is_ended = true;
                        member.padding = bits.padding().unwrap_or_default();
                    }
                    let range = bytes_before(self.bit)..bytes_before(bits.at());
                    member.original.extend_from_slice(&self.raw[range]);
                    let plain = &member.plain[before..];
                    member.checksum.update(plain);
                    member.length += to_u64(plain.len());
                    self.out.extend_from_slice(plain);
                    self.bit = bits.at();
                    member.blocks.push_back(block);
                    return Ok(());
                }
                Err(BlockError::Broken) => return Err(UnwrapError::Damaged("is damaged")),
                Err(BlockError::Short) if self.is_ended => {
                    return Err(UnwrapError::Damaged("was cut off"));
                }
                Err(BlockError::Short) if wanted < BLOCK_BYTES_MAX => wanted *= 4,
                Err(BlockError::Short | BlockError::Unusual) => return Err(UnwrapError::Unusual),
            }
            member.plain.truncate(before);
        }
    }

    fn end_member(&mut self, member: Member) -> Result<(), UnwrapError> {
        let rest = self.want(TRAILER_BYTES)?;
        let Some((trailer, _)) = rest.split_first_chunk::<TRAILER_BYTES>() else {
            return Err(UnwrapError::Damaged("was cut off"));
        };
        let trailer = *trailer;
        let stated = u64::from_le_bytes(trailer);
        let found = (member.length << 32) | u64::from(member.checksum.finalize());
        if stated != found {
            return Err(UnwrapError::Damaged("is damaged: its checksum does not fit"));
        }
        // Compared to the last bit before anything relies on the recipe.
        if !member.original.is_empty() {
            return Err(UnwrapError::Unusual);
        }
        put_literal(&mut self.recipe, &trailer);
        self.bit += to_u64(TRAILER_BYTES) * 8;
        Ok(())
    }
}

impl Member {
    fn new() -> Self {
        Self {
            plain: Vec::new(),
            origin: 0,
            done: 0,
            blocks: VecDeque::new(),
            padding: 0,
            is_ended: false,
            finder: None,
            original: Vec::new(),
            checksum: crc32fast::Hasher::new(),
            length: 0,
        }
    }

    /// Whether the next record needs bytes that are not read yet.
    fn needs_block(&self) -> bool {
        let first = self.blocks.front().map_or(0, |block| block.plain_length);
        let is_short = self.plain.len() < self.done + first + AHEAD_BYTES;
        !self.is_ended && (self.blocks.is_empty() || is_short)
    }

    /// Writes the record of a block, and makes the block again from it.
    fn record(&mut self, block: &Block, recipe: &mut Vec<u8>) -> Result<(), UnwrapError> {
        let end = self.done + block.plain_length;
        let ahead = AHEAD_BYTES.min(self.plain.len() - end);
        let view = View { data: &self.plain[..end + ahead], origin: self.origin };
        if self.finder.is_none() {
            let level = best_level(block, view);
            self.finder = Predictor::new(level).zip(Rebuilder::new(level));
            recipe.extend([PART_MEMBER, level]);
        }
        let Some((predictor, again)) = &mut self.finder else { return Err(UnwrapError::Unusual) };
        let start = recipe.len();
        put_block(recipe, block, predictor, (view, ahead), self.padding);
        let mut record = Cursor(&recipe[start + 1..]);
        let lengths = (record.number(), record.number());
        let fits = again.block(&mut record, view, to_u64(block.plain_length));
        let made = &mut again.bits.out;
        let agrees = self.original.starts_with(made) && record.0.is_empty();
        if lengths.0.is_none() || fits != Some(block.is_last) || !agrees {
            return Err(UnwrapError::Unusual);
        }
        self.original.drain(..made.len());
        made.clear();
        self.done = end;
        if self.done > TRIM_BYTES {
            let goes = self.done - WINDOW;
            self.plain.drain(..goes);
            self.origin += to_u64(goes);
            self.done = WINDOW;
        }
        Ok(())
    }
}

/// The level that foresees most of a member's first block.
fn best_level(block: &Block, view: View<'_>) -> u8 {
    let wrong = |level: &u8| {
        let predictor = Predictor::new(*level);
        predictor.map(|mut predictor| corrections(&block.tokens, &mut predictor, view).len())
    };
    // The usual one first: of equal ones it is taken.
    [6, 9, 1, 5, 4, 7, 8, 2, 3].into_iter().min_by_key(wrong).unwrap_or(6)
}

/// The length of a member's header, if one is here.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let (fixed, behind) = rest.split_first_chunk::<7>()?;
    rest = behind;
    let flags = fixed[0];
    if flags & 0xe0 != 0 {
        return None;
    }
    if flags & 4 != 0 {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            rest = rest.get(rest.iter().position(|byte| *byte == 0)? + 1..)?;
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(bytes.len() - rest.len())
}

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const TRAILER_BYTES: usize = 8;
/// Headers with longer names and comments are nobody's.
const HEADER_BYTES_MAX: usize = 65_536;
const READ_BYTES: usize = 262_144;
const RAW_BYTES: usize = 1_048_576;
/// More than a block of usual encoders takes.
const BLOCK_BYTES: usize = 262_144;
const BLOCK_BYTES_MAX: usize = 16_777_216;
/// So much is read before it is decided.
const TRIAL_BYTES: u64 = 1_048_576;
const TRIAL_PLAIN_BYTES: usize = 33_554_432;
/// Usual encoders write few blocks that hold next to nothing.
const WAITING_COUNT_MAX: usize = 4096;
/// What a recipe of a short file may take.
const SLACK_BYTES: u64 = 512;
const TRIM_BYTES: usize = 4 * 1_048_576;
