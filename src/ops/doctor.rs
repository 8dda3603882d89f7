//! `doctor`: whether the store does what the repository relies on.

use crate::format::config::StoreMode;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::location;
use crate::ops::location::Location;
use crate::ops::location::OpenOptions;
use crate::repo::mode::Effort;
use crate::repo::mode::mode_of;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use serde::Serialize;

pub use crate::repo::mode::ProbeReport;
pub use crate::repo::mode::StoreIdentity;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thoroughness {
    /// What `init` tries.
    Usual,
    /// Enough to find what happens rarely.
    Thorough,
}

/// What a store was found to be.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DoctorReport {
    /// Where it is.
    pub location: String,
    /// The client of the key in use, if the repository could be opened: what it writes lies in
    /// folders of this name.
    pub client: Option<String>,
    /// As whom it is used, if it asks.
    pub credentials: Option<StoreIdentity>,
    /// What it did.
    pub probe: ProbeReport,
    /// Whether exactly one of several writers wins, so that sessions of the dead can be given up.
    pub has_registers: bool,
    /// What the repository relies on, if it could be opened: whether it has registers.
    pub relies_on_registers: Option<bool>,
    /// Half-written things of ended processes that were removed.
    pub swept: u64,
}

impl DoctorReport {
    /// Whether the repository relies on what the store does not do.
    pub fn is_unsafe(&self) -> bool {
        !self.has_registers && self.relies_on_registers == Some(true)
    }
}

/// Tries the store of a repository out; the repository itself is needed for what it relies on.
///
/// Errors: what the store refuses, and that it shows what is gone or hides what is there.
pub fn doctor(
    options: &OpenOptions,
    repository: Option<&Repository>,
    thoroughness: Thoroughness,
) -> Result<DoctorReport, OpError> {
    let located = location::locate(options)?;
    let identity = located.store().identity().map_err(Into::into);
    let credentials = identity.during("cannot get credentials")?;
    let swept = located.store().sweep().map_err(Into::into).during("cannot tidy the store")?;
    let effort = match (thoroughness, &options.location) {
        (Thoroughness::Thorough, _) => Effort::LARGE,
        (Thoroughness::Usual, location) => usual_effort(location),
    };
    let probe = located.probe(effort).during("cannot try the store out")?;
    let relies_on_registers =
        repository.map(|repository| repository.store_mode() == StoreMode::Registers);
    Ok(DoctorReport {
        location: options.location.to_string(),
        client: repository.map(|repository| repository.client().to_string()),
        credentials,
        has_registers: probe.has_registers(),
        probe,
        relies_on_registers,
        swept,
    })
}

/// Has the repository rely on what was found, from the next command on; returns whether that is
/// something else than before.
///
/// Errors: a key without the authority over the repository.
pub fn accept(repository: &Repository, report: &DoctorReport) -> Result<bool, OpError> {
    let mode = mode_of(&report.probe);
    if repository.store_mode() == mode {
        return Ok(false);
    }
    repository.amend_store_mode(mode).during("cannot amend the repository")?;
    Ok(true)
}

/// Tries a place out that is to hold a repository.
pub(crate) fn probe_new(located: &Located, location: &Location) -> Result<ProbeReport, OpError> {
    located.probe(usual_effort(location)).during("cannot try the store out")
}

/// A directory is tried with every `init`, a bucket takes its time anyway.
const fn usual_effort(location: &Location) -> Effort {
    match location {
        Location::Local(_) => Effort::SMALL,
        #[cfg(feature = "cloud")]
        Location::Cloud(_) => Effort::MEDIUM,
    }
}
