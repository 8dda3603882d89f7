//! Repositories: keys, sessions and outcomes, the index, writing and reading.

pub(crate) mod amendments;
pub(crate) mod audit_objects;
pub(crate) mod cache;
pub(crate) mod closure;
pub(crate) mod content_digest;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod first;
pub(crate) mod grant;
pub(crate) mod history;
pub(crate) mod identities;
pub(crate) mod index;
pub(crate) mod keyring;
pub(crate) mod objects;
pub(crate) mod packkey;
pub(crate) mod read;
pub(crate) mod register;
pub(crate) mod repository;
pub(crate) mod roster;
pub(crate) mod session;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod statement;
pub(crate) mod tree;
pub(crate) mod verify;
pub(crate) mod write;
