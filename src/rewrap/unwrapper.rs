//! The way in: a compressed stream becomes plain bytes and a recipe, each piece verified at once.

use crate::rewrap::inflate::BlockError;
use crate::rewrap::inflate::Cut;
use crate::rewrap::member::Member;
use crate::rewrap::recipe::PART_LITERAL;
use crate::rewrap::recipe::RECIPE_MAGIC;
use crate::rewrap::recipe::put_part;
use crate::units::to_u64;
use crate::units::to_usize;
use std::io;
use std::io::Read;

/// Why a stream is not unwrapped to its end.
#[derive(Debug)]
pub(crate) enum UnwrapError {
    /// It cannot be read.
    Read(io::Error),
    /// The recipe would not give it back: a fault of this host, or a mistake of this program.
    Unlike,
}

/// How a stream begins.
pub(crate) enum Begun<R> {
    /// It can be unwrapped.
    Wrapped(Box<Unwrapper<R>>),
    /// It is stored as it is.
    AsItIs {
        /// What was read of it.
        kept: Vec<u8>,
        /// The rest.
        input: R,
        /// What is wrong with it, as far as that is known.
        damage: Option<&'static str>,
    },
}

/// A stream of gzip on its way.
///
/// Keeps at most a block, what its part of the recipe looks at, and what nobody took yet.
#[derive(Debug)]
pub(crate) struct Unwrapper<R> {
    input: R,
    raw: Vec<u8>,
    bit: u64,
    is_ended: bool,
    taken: u64,
    /// Everything that was read, until it is sure that the stream is unwrapped.
    kept: Option<Vec<u8>>,
    member: Option<Box<Member>>,
    has_member: bool,
    course: Course,
    damage: Option<&'static str>,
    recipe: Vec<u8>,
    out: Vec<u8>,
    given: usize,
}

/// What becomes of the bytes at the current place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// They are unwrapped.
    Unwraps,
    /// They stand in the recipe as they are.
    Keeps,
    /// There are none.
    Done,
}

impl<R: Read> Unwrapper<R> {
    /// Reads the first part of a stream, to see whether unwrapping it pays.
    ///
    /// Errors: those of reading.
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
            course: Course::Unwraps,
            damage: None,
            recipe: RECIPE_MAGIC.to_vec(),
            out: Vec::new(),
            given: 0,
        };
        let mut pays = true;
        while pays
            && this.course != Course::Done
            && this.used() < TRIAL_BYTES
            && this.out.len() < TRIAL_PLAIN_BYTES
        {
            // A fault is told by whoever stores the rest.
            pays = match this.step() {
                Ok(()) => this.has_member || this.taken == 0,
                Err(UnwrapError::Unlike) => false,
                Err(error) => return Err(error),
            };
        }
        let is_cheap = to_u64(this.recipe.len()) <= this.used() / 4 + SLACK_BYTES;
        // Where it ends early, the recipe has what is behind that, and the plain bytes are looked at.
        let is_read = this.damage.is_some() && to_u64(this.out.len()) > this.used() / 2;
        let kept = this.kept.take().unwrap_or_default();
        if pays && this.has_member && (is_cheap || is_read) {
            return Ok(Begun::Wrapped(Box::new(this)));
        }
        Ok(Begun::AsItIs { kept, input: this.input, damage: this.damage })
    }

    /// Gives plain bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, UnwrapError> {
        while self.given == self.out.len() && self.course != Course::Done {
            self.out.clear();
            self.given = 0;
            self.step()?;
        }
        let length = buffer.len().min(self.out.len() - self.given);
        buffer[..length].copy_from_slice(&self.out[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }

    /// What there is of the recipe and nobody took yet; it lacks its last part.
    pub(crate) const fn recipe(&mut self) -> &mut Vec<u8> {
        &mut self.recipe
    }

    /// What is wrong with the stream, in words that follow its name, as far as that is known.
    pub(crate) const fn damage(&self) -> Option<&'static str> {
        self.damage
    }

    /// How many bytes are in memory.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        let member = self.member.as_ref().map_or(0, |member| member.held_bytes());
        self.raw.capacity() + self.out.capacity() + self.recipe.capacity() + member
    }

    /// The input, once everything was read.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    fn step(&mut self) -> Result<(), UnwrapError> {
        self.drop_read();
        let Some(mut member) = self.member.take() else { return self.between() };
        if member.needs_piece() {
            self.read_piece(&mut member)?;
        } else if !member.record(&mut self.recipe).map_err(|()| UnwrapError::Unlike)? {
            return self.end_member(*member);
        }
        self.member = Some(member);
        Ok(())
    }

    /// How many bytes of the stream are behind the current place.
    fn used(&self) -> u64 {
        self.taken - to_u64(self.raw.len()) + self.bit / 8
    }

    fn drop_read(&mut self) {
        let bytes = to_usize(self.bit / 8);
        if bytes > RAW_BYTES {
            self.raw.drain(..bytes);
            self.bit %= 8;
        }
    }

    /// Reads until so many bytes from the current place on are there, or the end is.
    fn want(&mut self, count: usize) -> Result<&[u8], UnwrapError> {
        let start = to_usize(self.bit / 8);
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
        let is_over = self.course == Course::Keeps;
        let rest = self.want(HEADER_BYTES_MAX)?;
        if rest.is_empty() {
            self.course = Course::Done;
            return Ok(());
        }
        let header = if is_over { None } else { header_length(rest) };
        // What stands behind the last member belongs to the file, too.
        let bytes = rest[..header.unwrap_or(rest.len().min(READ_BYTES))].to_vec();
        put_part(&mut self.recipe, PART_LITERAL, &bytes);
        self.bit += to_u64(bytes.len()) * 8;
        if header.is_some() {
            self.has_member = true;
            let member = Member::new(&mut self.recipe).ok_or(UnwrapError::Unlike)?;
            self.member = Some(Box::new(member));
        } else {
            if bytes.starts_with(&MAGIC) && !is_over {
                self.damage = self.damage.or(Some(CUT_OFF));
            }
            self.course = Course::Keeps;
        }
        Ok(())
    }

    fn read_piece(&mut self, member: &mut Member) -> Result<(), UnwrapError> {
        let (mut wanted, mut cut) = (BLOCK_BYTES, Cut::Never);
        loop {
            self.want(wanted)?;
            match member.read_piece(&self.raw, self.bit, cut, &mut self.out) {
                Ok(bit) => {
                    self.bit = bit;
                    return Ok(());
                }
                Err(BlockError::Short) if wanted < BLOCK_BYTES_MAX && !self.is_ended => wanted *= 2,
                // What comes before the damage, or of a long block what is there.
                Err(_) if cut == Cut::Never => cut = Cut::Anywhere,
                Err(error) => {
                    let is_short = error == BlockError::Short;
                    self.damage = Some(if is_short { CUT_OFF } else { DAMAGED });
                    self.course = Course::Keeps;
                    self.bit = member.give_up(&self.raw, self.bit);
                    return Ok(());
                }
            }
        }
    }

    fn end_member(&mut self, member: Member) -> Result<(), UnwrapError> {
        // Compared to the last bit before anything relies on the recipe.
        let found = member.finish().map_err(|()| UnwrapError::Unlike)?;
        if self.course == Course::Keeps {
            return Ok(());
        }
        let rest = self.want(TRAILER_BYTES)?;
        let trailer = rest[..rest.len().min(TRAILER_BYTES)].to_vec();
        if trailer.len() < TRAILER_BYTES {
            self.damage = self.damage.or(Some(CUT_OFF));
        } else if trailer != found.to_le_bytes() {
            self.damage = self.damage.or(Some(UNLIKE_CHECKSUM));
        }
        put_part(&mut self.recipe, PART_LITERAL, &trailer);
        self.bit += to_u64(trailer.len()) * 8;
        Ok(())
    }
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
const CUT_OFF: &str = "was cut off";
const DAMAGED: &str = "is damaged";
const UNLIKE_CHECKSUM: &str = "is damaged: its checksum does not fit";
const TRAILER_BYTES: usize = 8;
/// Headers with longer names and comments are nobody's.
const HEADER_BYTES_MAX: usize = 65_536;
const READ_BYTES: usize = 262_144;
const RAW_BYTES: usize = 1_048_576;
/// More than a block of usual encoders takes.
const BLOCK_BYTES: usize = 262_144;
/// Longer blocks come in parts.
const BLOCK_BYTES_MAX: usize = 1_048_576;
/// So much is looked at before it is decided.
const TRIAL_BYTES: u64 = 1_048_576;
const TRIAL_PLAIN_BYTES: usize = 33_554_432;
/// What a recipe of a short file may take.
const SLACK_BYTES: u64 = 512;
