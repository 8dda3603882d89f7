//! `session`: runs that have not ended, and how to end one from outside.

pub mod abort;
pub mod alive;
pub mod list;
