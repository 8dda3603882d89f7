//! Sidecars: does every pack have one, and is it what was stored?

use crate::format::layout::PackRef;
use crate::format::parity::SIDECAR_BYTES_MAX;
use crate::ops::check::CheckReport;
use crate::ops::check::Depth;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::progress::Progress;
use crate::repo::joined::at_once;
use crate::repo::parity::is_sound;
use crate::repo::repository::Repository;

/// Checks the sidecars of these packs, if the repository has any; reads them if data is read.
///
/// What is wrong with them costs nothing as long as the packs are whole: each is a notice.
pub(crate) fn check_sidecars(
    repository: &Repository,
    packs: &[PackRef],
    depth: Depth,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    if !repository.has_parity() {
        return Ok(());
    }
    let listed = repository.list_sidecars().during("cannot list the sidecars")?;
    let (there, missing): (Vec<PackRef>, Vec<PackRef>) =
        packs.iter().partition(|pack| listed.contains(pack));
    for pack in missing {
        note(report, pack, "parity.missing", "the pack has no parity", progress);
    }
    if depth == Depth::Structure {
        return Ok(());
    }
    progress.begin("reading sidecars", crate::units::to_u64(there.len()), 0);
    for packs in there.chunks(PACKS_AT_ONCE) {
        if progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        let sound = at_once(packs, |pack| {
            let read = repository.store.read(&pack.parity_key(), SIDECAR_BYTES_MAX);
            read.is_ok_and(|sidecar| is_sound(&sidecar))
        });
        for (pack, _sound) in packs.iter().zip(sound).filter(|(_pack, sound)| !sound) {
            note(report, *pack, "parity.damaged", "the pack's parity is damaged", progress);
        }
        progress.advance(crate::units::to_u64(packs.len()), 0);
    }
    Ok(())
}

fn note(
    report: &mut CheckReport,
    pack: PackRef,
    code: &'static str,
    effect: &str,
    progress: &dyn Progress,
) {
    let finding = Finding::notice(code, pack.parity_key().to_string(), effect.to_owned());
    let remedy = "run `sbf-repo check --read-data --heal`, which makes it again".to_owned();
    report.note(Finding { remedy, ..finding }, progress);
    report.without_parity.insert(pack);
}

/// Sidecars that are read before the next look at whether to stop.
const PACKS_AT_ONCE: usize = 32;
