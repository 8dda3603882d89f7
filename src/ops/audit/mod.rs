//! The audit log: what a run records of itself, and what can be read of all of them.

pub mod accept;
pub mod export;
pub mod list;
pub mod run;
pub mod verify;
