//! The user's files: walking them, capturing them, and applying what was captured elsewhere.
//! Invariant: every call on an entry is relative to a directory's descriptor and follows no link.

pub(crate) mod apply;
pub(crate) mod attributes;
pub(crate) mod capture;
mod descriptor;
mod error;
pub(crate) mod names;
mod stat;
pub(crate) mod walk;

pub(crate) use error::LocalError;
pub(crate) use stat::FileKind;
pub(crate) use stat::Stat;
