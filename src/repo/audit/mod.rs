//! The audit log: one chain a client, kept on this host while the store does not take it.
//! Spec: format-spec/10-record.md, "Audit log".

pub(crate) mod chain;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod heads;
pub(crate) mod read;
pub(crate) mod spool;
