//! Whether the store has registers: found out by trying, kept in the config, changed by amendment.
//! Spec: format-spec/03-config.md, "Config record".

use crate::crypto::secret::Secret;
use crate::crypto::sign::Signer;
use crate::format::config::Amendment;
use crate::format::config::Change;
use crate::format::config::StoreMode;
use crate::format::envelope::ObjectKind;
use crate::format::layout;
use crate::repo::create::create;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::objects;
use crate::repo::repository::Located;
use crate::repo::repository::Repository;
use crate::repo::rights::Right;
use crate::store::Store;
use crate::store::StoreErrorKind;
use crate::store::probe::probe;
use crate::units::to_u32;
use std::time::Duration;
use std::time::SystemTime;

pub use crate::store::StoreIdentity;
pub(crate) use crate::store::probe::Effort;
pub use crate::store::probe::ProbeReport;

/// How a store that a probe found so is used.
pub(crate) fn mode_of(report: &ProbeReport) -> StoreMode {
    if report.has_registers() { StoreMode::Registers } else { StoreMode::NoRegisters }
}

impl Located {
    /// Tries the store out; a store that refuses conditions is used without.
    ///
    /// Errors: what the store refuses; [`RepoError::StoreInconsistent`].
    pub(crate) fn probe(&self, effort: Effort) -> Result<ProbeReport, RepoError> {
        let report = try_out(self.store().as_ref(), self.environment(), effort)?;
        if report.is_consistent() {
            return Ok(report);
        }
        let ProbeReport { missed_by_listings, kept_after_delete, .. } = report;
        let location = self.store().location();
        Err(RepoError::StoreInconsistent { location, missed_by_listings, kept_after_delete })
    }
}

fn try_out(
    store: &dyn Store,
    environment: &dyn Environment,
    effort: Effort,
) -> Result<ProbeReport, RepoError> {
    let seconds = u64::try_from(environment.now().0).unwrap_or_default();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let name = u128::from_le_bytes(random(environment));
    match probe(store, &format!("{name:032x}"), effort, now) {
        Err(error) if error.kind == StoreErrorKind::Unsupported => {
            store.give_up_conditions();
            Ok(probe(store, &format!("{name:032x}"), effort, now)?)
        }
        probed => Ok(probed?),
    }
}

impl Repository {
    /// Whether a session can be given up while its process may be alive: only where exactly one of
    /// its commit and its fence wins.
    pub(crate) fn may_fence(&self) -> bool {
        self.config.store == StoreMode::Registers
    }

    /// How the store is used.
    pub(crate) fn store_mode(&self) -> StoreMode {
        self.config.store
    }

    /// Uses the store in another way from the next opening on.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the authority's key; whatever the store says.
    pub(crate) fn amend_store_mode(&self, mode: StoreMode) -> Result<(), RepoError> {
        self.check_no_mirror()?;
        self.amend(vec![Change::Store(mode)])
    }

    /// Stores an amendment, which counts from the next opening on.
    ///
    /// Errors: [`RepoError::RoleLacks`] without the authority's key; whatever the store says.
    pub(crate) fn amend(&self, changes: Vec<Change>) -> Result<(), RepoError> {
        let authority = self.keys.keys.authority.ok_or_else(|| self.keys.lacks(Right::Amend))?;
        let authority = Signer::new(&Secret::new(authority));
        let listed = self.store.list(layout::AMENDMENTS)?;
        // They are numbered from 1 without gaps, and what lies behind a gap does not count.
        let stored = |number: &u32| {
            let key = layout::amendment_key(*number);
            listed.iter().any(|listed| listed.key == key)
        };
        let number = 1 + to_u32((1..=to_u32(listed.len())).take_while(stored).count());
        let created = self.environment.now().0;
        let amendment = Amendment { number, created, changes };
        let (kind, key) = (ObjectKind::Amendment, layout::amendment_key(number));
        let body = amendment.encode();
        let bytes = objects::sign_clear(kind, self.id(), key.as_str(), &body, &authority);
        create(self.store.as_ref(), &key, &bytes)
    }
}
