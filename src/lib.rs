//! A content-addressed, deduplicating, encrypted backup repository.
//!
//! The binary `sbf-repo` is a thin layer over this library. ARCHITECTURE.md draws the layers;
//! `format-spec/` defines every stored byte.

mod chunk;
mod command;
mod compress;
mod crypto;
pub mod format;
pub mod id;
pub mod key;
mod localfs;
pub mod ops;
mod repo;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;
