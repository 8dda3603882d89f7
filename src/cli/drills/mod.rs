//! Drills of the configuration file: what each needs of this host, and what became of it.

pub(crate) mod execute;
pub(crate) mod junit;
pub(crate) mod kit;
pub(crate) mod machine;
pub(crate) mod scenario;
pub(crate) mod session;
