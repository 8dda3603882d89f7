//! Collections: the pruner's half of the protocol. Any process may take any step.
//! Spec: format-spec/09-session.md, "Write order", and format-spec/11-gc.md.
//!
//! START decides what is condemned, DRAIN waits until every session before the plan has an outcome,
//! VERDICT decides what goes, SWEEP deletes it. Registers decide between two processes.

pub(crate) mod audit;
pub(crate) mod census;
pub(crate) mod certify;
pub(crate) mod chain;
pub(crate) mod checkpoints;
pub(crate) mod choose;
pub(crate) mod collector;
pub(crate) mod drain;
pub(crate) mod give_up;
pub(crate) mod idle;
pub(crate) mod inventory;
pub(crate) mod live;
pub(crate) mod maintenance;
pub(crate) mod mark;
pub(crate) mod needs;
pub(crate) mod pulse;
pub(crate) mod repack;
pub(crate) mod segments;
pub(crate) mod session;
pub(crate) mod start;
pub(crate) mod sweep;
pub(crate) mod verdict;
pub(crate) mod view;
