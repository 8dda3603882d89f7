//! The repository format: one file a record, one page of `format-spec/` a file.
//! Pure: no I/O, no clock, no randomness, no logging; every decoder treats its bytes as hostile.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub(crate) mod codec;
pub mod content;
pub mod error;
pub mod tree;

pub(crate) use error::FormatError;
pub(crate) use error::Rule;
