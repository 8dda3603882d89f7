//! The repository format: one file a record, one page of `format-spec/` a file.
//! Pure: no I/O, no clock, no randomness, no logging; every decoder treats its bytes as hostile.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod attest;
pub mod audit;
pub mod block;
pub(crate) mod codec;
pub mod config;
pub mod content;
pub mod coverage;
pub mod dump;
pub mod envelope;
pub mod error;
pub mod gc;
pub mod identity;
pub mod index;
pub mod inventory;
pub mod keyslot;
pub mod label;
pub mod layout;
pub mod manifest;
pub mod mark;
pub mod mirror;
pub mod outcome;
pub mod pack;
pub mod parity;
pub mod record;
pub mod redacted;
pub mod session;
pub mod sshsig;
pub mod tree;

pub(crate) use error::FormatError;
pub(crate) use error::Rule;
