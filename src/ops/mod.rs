//! Commands as functions: each plans, then executes, and returns a report.

pub mod check;
pub(crate) mod commit;
pub mod copies;
pub mod copy;
pub mod doctor;
pub mod error;
pub mod evidence;
pub mod finding;
pub mod forget;
pub mod hold;
pub mod init;
pub mod key;
pub mod location;
pub mod look;
pub mod manifest;
pub mod mirror;
pub(crate) mod moved;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod select;
pub mod session;
pub mod snapshot;
pub mod stats;
pub(crate) mod unreadable;
pub(crate) mod words;
