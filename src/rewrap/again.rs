//! The way back: plain bytes and a recipe become the compressed file.

use crate::format::FormatError;
use crate::format::Rule;
use crate::rewrap::predict::View;
use crate::rewrap::predict::WINDOW;
use crate::rewrap::recipe::AHEAD_BYTES;
use crate::rewrap::recipe::BLOCK_PLAIN_BYTES_MAX;
use crate::rewrap::recipe::Cursor;
use crate::rewrap::recipe::PART_BITS;
use crate::rewrap::recipe::PART_BLOCK;
use crate::rewrap::recipe::PART_BYTES_MAX;
use crate::rewrap::recipe::PART_END;
use crate::rewrap::recipe::PART_LEVEL;
use crate::rewrap::recipe::PART_LITERAL;
use crate::rewrap::recipe::RECIPE_MAGIC;
use crate::rewrap::recipe::Rebuilder;
use crate::rewrap::recipe::Stated;
use crate::units::to_u64;
use crate::units::to_usize;

/// What the next part needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// More of the recipe.
    Recipe,
    /// More plain bytes, or their end.
    Plain,
    /// Nothing: there was the last part.
    Nothing,
}

/// Takes a recipe and plain bytes, each in pieces, and gives compressed bytes.
///
/// Keeps at most a part of the recipe, the plain bytes of a block, and what was taken last. Every byte
/// of the recipe is hostile; whoever uses this compares length and digest in the end.
#[derive(Debug, Default)]
pub(crate) struct Rewrapper {
    recipe: Vec<u8>,
    /// How many bytes of the recipe were before those.
    recipe_at: u64,
    has_magic: bool,
    member: Option<Rebuilder>,
    plain: Vec<u8>,
    /// Position in the deflate stream of the first of `plain`.
    origin: u64,
    /// How many of `plain` are behind the last block.
    done: usize,
    /// How many plain bytes were taken in all.
    taken: u64,
    stated: Option<Stated>,
}

impl Rewrapper {
    /// Takes more of the recipe.
    pub(crate) fn take_recipe(&mut self, bytes: &[u8]) {
        self.recipe.extend_from_slice(bytes);
    }

    /// Takes more plain bytes.
    pub(crate) fn take_plain(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
        self.taken += to_u64(bytes.len());
    }

    /// Appends what the parts that are there give, until about [`STEP_BYTES`] are, and says what the next
    /// one needs, if that is anything.
    ///
    /// Errors: the recipe is none, or does not fit the plain bytes.
    pub(crate) fn make(&mut self, out: &mut Vec<u8>) -> Result<Option<Needs>, FormatError> {
        let mut at = 0;
        let recipe = std::mem::take(&mut self.recipe);
        let made = self.make_parts(&recipe, &mut at, out);
        self.recipe = recipe;
        self.recipe.drain(..at);
        self.recipe_at += to_u64(at);
        made
    }

    /// What the recipe states of the file, once all of both was taken and made.
    ///
    /// Errors: something is missing, or more than that was taken.
    pub(crate) fn finish(self) -> Result<Stated, FormatError> {
        let Some(stated) = self.stated else {
            // A whole part waits for plain bytes; otherwise the recipe ends too early.
            let waits = self.has_magic && part(&self.recipe, self.recipe_at)?.is_some();
            let rule = if waits { Rule::RecipeFits } else { Rule::RecipeForm };
            return Err(FormatError::new("recipe", rule, self.recipe_at));
        };
        let is_used = self.recipe.is_empty() && self.done == self.plain.len();
        if is_used && stated.plain_length == self.taken {
            return Ok(stated);
        }
        Err(does_not_fit(self.recipe_at))
    }

    fn make_parts(
        &mut self,
        recipe: &[u8],
        at: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<Needs>, FormatError> {
        if !self.has_magic {
            let Some(magic) = recipe.first_chunk::<8>() else { return Ok(Some(Needs::Recipe)) };
            if magic != RECIPE_MAGIC {
                return Err(FormatError::new("recipe", Rule::RecipeForm, 0));
            }
            self.has_magic = true;
            *at = magic.len();
        }
        while out.len() < STEP_BYTES {
            if self.stated.is_some() {
                return Ok(Some(Needs::Nothing));
            }
            let place = self.recipe_at + to_u64(*at);
            let Some(Part { kind, body, length }) = part(&recipe[*at..], place)? else {
                return Ok(Some(Needs::Recipe));
            };
            if !self.part(kind, body, place, out)? {
                return Ok(Some(Needs::Plain));
            }
            *at += length;
        }
        Ok(None)
    }

    /// Does one part; false if it needs more plain bytes.
    fn part(
        &mut self,
        kind: u8,
        body: &[u8],
        place: u64,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let wrong = || FormatError::new("recipe", Rule::RecipeForm, place);
        match kind {
            PART_LITERAL if self.member.is_none() => out.extend_from_slice(body),
            PART_LEVEL => {
                let &[level] = body else { return Err(wrong()) };
                if let Some(member) = &mut self.member {
                    member.set_level(level).ok_or_else(wrong)?;
                } else {
                    self.plain.drain(..self.done);
                    (self.origin, self.done) = (0, 0);
                    self.member = Some(Rebuilder::new(level).ok_or_else(wrong)?);
                }
            }
            PART_BLOCK | PART_BITS if self.member.is_some() => {
                let fits = self.block(kind, Cursor(body), out);
                return fits.ok_or_else(|| does_not_fit(place));
            }
            PART_END if self.member.is_none() => {
                self.stated = Some(Stated::decode(body).ok_or_else(wrong)?);
            }
            _ => return Err(wrong()),
        }
        Ok(true)
    }

    /// Writes a block or bits; false if that needs more plain bytes, nothing if it does not fit them.
    fn block(&mut self, kind: u8, mut body: Cursor<'_>, out: &mut Vec<u8>) -> Option<bool> {
        let length = body.number()?;
        let ahead = if kind == PART_BLOCK { body.number()? } else { 0 };
        if length > to_u64(BLOCK_PLAIN_BYTES_MAX) || ahead > to_u64(AHEAD_BYTES) {
            return None;
        }
        let end = self.done + to_usize(length);
        let Some(data) = self.plain.get(..end + to_usize(ahead)) else {
            return Some(false);
        };
        let member = self.member.as_mut()?;
        let view = View { data, origin: self.origin };
        let is_last = if kind == PART_BLOCK {
            member.block(&mut body, view, length)?
        } else {
            member.piece(&mut body, view, length)?
        };
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
        Some(true)
    }
}

struct Part<'a> {
    kind: u8,
    body: &'a [u8],
    /// Of the body and of what stands before it.
    length: usize,
}

/// The next part; nothing if it is not all there.
fn part(recipe: &[u8], place: u64) -> Result<Option<Part<'_>>, FormatError> {
    let mut cursor = Cursor(recipe);
    let header = cursor.byte().zip(cursor.number());
    let wrong = || FormatError::new("recipe", Rule::RecipeForm, place);
    let Some((kind, length)) = header else {
        // No part of an allowed length has so long a header.
        return if recipe.len() < HEADER_BYTES_MAX { Ok(None) } else { Err(wrong()) };
    };
    if length > to_u64(PART_BYTES_MAX) {
        return Err(wrong());
    }
    let body = cursor.bytes(length);
    Ok(body.map(|body| Part { kind, body, length: recipe.len() - cursor.0.len() }))
}

fn does_not_fit(place: u64) -> FormatError {
    FormatError::new("recipe", Rule::RecipeFits, place)
}

const HEADER_BYTES_MAX: usize = 10;
const STEP_BYTES: usize = 1_048_576;
const TRIM_BYTES: usize = 4 * 1_048_576;
