//! A content-addressed, deduplicating, encrypted backup repository.
//!
//! The binary `sbf-repo` is a thin layer over this library. ARCHITECTURE.md draws the layers;
//! `format-spec/` defines every stored byte.

mod calendar;
pub mod chunk;
pub mod cli;
mod command;
mod compress;
mod crypto;
pub mod format;
pub mod id;
pub mod key;
mod localfs;
mod notify;
pub mod ops;
mod pgdump;
mod repo;
mod report;
mod rewrap;
mod settings;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;

pub use ops::location::Location;
#[cfg(feature = "cloud")]
pub use repo::bucket::CloudLocation;
#[cfg(feature = "cloud")]
pub use repo::bucket::CloudSettings;
#[cfg(feature = "cloud")]
pub use repo::bucket::Limits;
pub use repo::environment::Environment;
pub use repo::environment::ProcessName;
pub use repo::environment::SystemEnvironment;
pub use repo::error::BlockError;
pub use repo::error::RepoError;
pub use repo::first::InitOptions;
pub use repo::key_file::KeyFile;
pub use repo::mirror::error::MirrorError;
pub use repo::repository::Rates;
pub use repo::repository::Repository;
pub use repo::rights::Right;
pub use repo::signed_at::Lapse;
pub use repo::slots::Credential;
pub use repo::slots::Passphrase;
pub use store::StoreError;
pub use store::StoreErrorKind;
