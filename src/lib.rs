//! A content-addressed, deduplicating, encrypted backup repository.
//!
//! The binary `sbf-repo` is a thin layer over this library. ARCHITECTURE.md draws the layers;
//! `format-spec/` defines every stored byte.

pub mod format;
pub mod id;
pub mod key;
mod store;
pub mod units;
