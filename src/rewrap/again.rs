//! The way back: plain bytes and a recipe become the compressed file.

use crate::rewrap::predict::View;
use crate::rewrap::predict::WINDOW;
use crate::rewrap::recipe::AHEAD_BYTES;
use crate::rewrap::recipe::BLOCK_PLAIN_BYTES_MAX;
use crate::rewrap::recipe::Cursor;
use crate::rewrap::recipe::PART_BLOCK;
use crate::rewrap::recipe::PART_LITERAL;
use crate::rewrap::recipe::PART_MEMBER;
use crate::rewrap::recipe::Rebuilder;
use crate::units::to_u64;
use crate::units::to_usize;

/// The recipe does not fit the plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DoesNotFit;

/// Takes plain bytes and gives compressed ones.
///
/// Keeps at most the plain bytes of a block and what was pushed last.
#[derive(Debug)]
pub(crate) struct Rewrapper<'a> {
    parts: Cursor<'a>,
    member: Option<Rebuilder>,
    plain: Vec<u8>,
    /// Position in the member of the first of `plain`.
    origin: u64,
    /// How many of `plain` are behind the last block.
    done: usize,
}

impl<'a> Rewrapper<'a> {
    /// Follows the parts of a recipe.
    pub(crate) const fn new(parts: &'a [u8]) -> Self {
        Self { parts: Cursor(parts), member: None, plain: Vec::new(), origin: 0, done: 0 }
    }

    /// Takes plain bytes; appends what they give.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DoesNotFit> {
        self.plain.extend_from_slice(bytes);
        while self.part(out).ok_or(DoesNotFit)? {}
        Ok(())
    }

    /// Ends: every part and every plain byte must have been used.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), DoesNotFit> {
        while self.part(out).ok_or(DoesNotFit)? {}
        let is_whole = self.parts.0.is_empty() && self.done == self.plain.len();
        if is_whole && self.member.is_none() { Ok(()) } else { Err(DoesNotFit) }
    }

    /// Does one part; false if it needs more plain bytes, or if there is none.
    fn part(&mut self, out: &mut Vec<u8>) -> Option<bool> {
        let mut parts = self.parts;
        if parts.0.is_empty() {
            return Some(false);
        }
        match parts.byte()? {
            PART_LITERAL if self.member.is_none() => {
                let length = parts.number()?;
                out.extend_from_slice(parts.bytes(length)?);
            }
            PART_MEMBER if self.member.is_none() => {
                self.plain.drain(..self.done);
                (self.origin, self.done) = (0, 0);
                self.member = Some(Rebuilder::new(parts.byte()?)?);
            }
            PART_BLOCK => {
                let (length, ahead) = (parts.number()?, parts.number()?);
                if length > to_u64(BLOCK_PLAIN_BYTES_MAX) || ahead > to_u64(AHEAD_BYTES) {
                    return None;
                }
                let end = self.done + to_usize(length);
                let Some(data) = self.plain.get(..end + to_usize(ahead)) else {
                    return Some(false);
                };
                let member = self.member.as_mut()?;
                let view = View { data, origin: self.origin };
                let is_last = member.block(&mut parts, view, length)?;
                out.append(&mut member.bits.out);
                self.done = end;
                if is_last {
                    self.member = None;
                } else if self.done > TRIM_BYTES {
                    let goes = self.done - WINDOW;
                    self.plain.drain(..goes);
                    self.origin += to_u64(goes);
                    self.done = WINDOW;
                }
            }
            _ => return None,
        }
        self.parts = parts;
        Some(true)
    }
}

const TRIM_BYTES: usize = 4 * 1_048_576;
