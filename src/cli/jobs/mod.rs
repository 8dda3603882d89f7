//! Jobs of the configuration file: what a run does, step by step, and what is remembered of it.
//!
//! A run is a series of commands of this program, each in a process of its own: it does what somebody would who
//! types them, is recorded as they are, and outlives each of them, so that it can tell of one that was killed.

pub(crate) mod child;
pub(crate) mod execute;
pub(crate) mod memory;
pub(crate) mod plan;
pub(crate) mod planned;
pub(crate) mod stated;
pub(crate) mod told;
