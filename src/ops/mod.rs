//! Commands as functions: each plans, then executes, and returns a report.

pub mod audit;
pub mod check;
pub(crate) mod commit;
pub mod copies;
pub mod copy;
pub mod doctor;
pub mod error;
pub mod evidence;
pub mod finding;
pub mod forget;
pub mod heal;
pub mod hold;
pub mod init;
pub mod key;
pub mod location;
pub mod look;
pub mod manifest;
pub mod mirror;
#[cfg(feature = "mount")]
pub mod mount;
pub(crate) mod moved;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod select;
#[cfg(feature = "serve")]
pub mod serve;
pub mod session;
pub mod snapshot;
pub mod stats;
pub mod status;
pub(crate) mod unreadable;
#[cfg(any(feature = "mount", feature = "serve"))]
pub mod view;
pub(crate) mod words;
