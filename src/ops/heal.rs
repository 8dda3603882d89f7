//! What a check found lost is stored again from copies of the repository.

use crate::format::layout::PackRef;
use crate::ops::check::CheckOptions;
use crate::ops::check::CheckReport;
use crate::ops::check::Depth;
use crate::ops::check::check;
use crate::ops::copies::located_copies;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::location::OpenOptions;
use crate::ops::progress::Progress;
use crate::repo::heal;
use crate::repo::heal::Healed;
use crate::repo::parity::renew_sidecar;
use crate::repo::repository::Repository;
use crate::units::to_u64;
use serde::Serialize;
use std::collections::BTreeSet;

/// What was stored again.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct HealReport {
    /// Packs that were damaged or missing.
    pub broken_packs: u64,
    /// Those of them whose content is stored again.
    pub healed_packs: u64,
    /// Their bytes.
    pub healed_bytes: u64,
    /// Missing objects that were created again, by key.
    pub recreated: Vec<String>,
    /// Packs whose parity was made again.
    pub renewed_sidecars: u64,
    /// Those of the packs that no copy has whole, by key.
    pub not_healed: Vec<String>,
}

impl HealReport {
    /// Whether anything was stored.
    pub const fn did_anything(&self) -> bool {
        self.healed_packs > 0 || !self.recreated.is_empty() || self.renewed_sidecars > 0
    }
}

/// Stores again what `found` names and a copy has; `found` says afterwards what is still wrong.
///
/// Errors: a copy of another repository; a role that cannot write; whatever keeps a command from
/// going on.
pub fn heal_from(
    repository: &Repository,
    copies: &[OpenOptions],
    found: &mut CheckReport,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<HealReport, OpError> {
    let what = "cannot store again what was lost";
    repository.check_makes_snapshots().during(what)?;
    repository.check_writable().during(what)?;
    let mut places = located_copies(repository, copies)?;
    places.extend(repository.computed_from_parity());
    let mut healed = Healed::default();
    heal::recreate_foundation(repository, &places, &mut healed).during(what)?;
    let broken = found.broken.clone();
    if found.is_damaged() {
        progress.begin("healing", to_u64(broken.len()), 0);
        let watch = Watched(progress);
        heal::heal(repository, &places, &broken, &watch, &mut healed).during(what)?;
    }
    let without_parity = std::mem::take(&mut found.without_parity);
    let renewed_sidecars = renew_sidecars(repository, &without_parity, progress)?;
    let not_healed: Vec<PackRef> =
        broken.iter().filter(|pack| !healed.packs.contains(pack)).copied().collect();
    let report = HealReport {
        broken_packs: to_u64(broken.len()),
        healed_packs: to_u64(healed.packs.len()),
        healed_bytes: healed.pack_bytes,
        recreated: healed.objects.iter().map(ToString::to_string).collect(),
        renewed_sidecars,
        not_healed: not_healed.iter().map(|pack| pack.key().to_string()).collect(),
    };
    if report.did_anything() && not_healed.is_empty() {
        *found = look_again(repository, found, options, progress)?;
    }
    Ok(report)
}

/// Makes the sidecars of whole packs again; returns how many.
fn renew_sidecars(
    repository: &Repository,
    packs: &BTreeSet<PackRef>,
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let mut renewed = 0;
    for pack in packs {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let done = renew_sidecar(repository, pack).during("cannot store parity again")?;
        renewed += u64::from(done);
    }
    Ok(renewed)
}

/// Checks the structure; what was read before and stored again need not be read a second time.
fn look_again(
    repository: &Repository,
    before: &CheckReport,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<CheckReport, OpError> {
    let mut options = options.clone();
    options.depth = Depth::Structure;
    let mut after = check(repository, &options, progress)?;
    after.take_over_reading(before);
    for pack in &before.broken {
        let object = pack.key().to_string();
        if after.findings.iter().all(|finding| finding.object != object) {
            after.note(superseded(object, "it is damaged"), progress);
        }
    }
    after.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(after)
}

/// A pack that is lost and that nobody needs.
pub(crate) fn superseded(object: String, effect: &str) -> Finding {
    let effect = format!("{effect}; other packs have all that it held");
    let finding = Finding::notice("pack.superseded", object, effect);
    debug_assert_eq!(finding.severity, Severity::Notice);
    Finding { remedy: "the next `sbf-repo prune` removes it".to_owned(), ..finding }
}

/// Lets a step of the repository tell its progress.
pub(crate) struct Watched<'a>(pub(crate) &'a dyn Progress);

impl heal::Watch for Watched<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    fn advance(&self, bytes: u64) {
        self.0.advance(1, bytes);
    }
}
