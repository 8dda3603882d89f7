//! Compressed files as plain bytes and a recipe that gives the same file back.
//!
//! The recipe holds what an encoder of zlib or gzip, which is followed step by step, would have done
//! otherwise: nothing or little if it was one of them. Spec: format-spec/18-recipe.md.

mod again;
mod bits;
mod huffman;
mod inflate;
mod member;
mod predict;
mod recipe;
#[cfg(test)]
mod tests;
mod unwrapper;

pub(crate) use again::Needs;
pub(crate) use again::Rewrapper;
#[cfg(feature = "testing")]
pub(crate) use recipe::RECIPE_MAGIC;
pub(crate) use recipe::Stated;
pub(crate) use unwrapper::Begun;
pub(crate) use unwrapper::UnwrapError;
pub(crate) use unwrapper::Unwrapper;
