//! Hashing every pack again against the newest inventory, without any secret key.

use crate::format::inventory::InventoryLine;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::evidence::AuthorityKey;
use crate::ops::finding::Finding;
use crate::ops::location::OpenOptions;
use crate::ops::location::locate;
use crate::ops::progress::Progress;
use crate::repo::error::RepoError;
use crate::repo::proof::keyless::Keyless;
use crate::repo::proof::keyless::PackState;
use crate::repo::proof::keyless::Unsound;
use crate::units::to_u64;
use rayon::ThreadPoolBuilder;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use serde::Serialize;
use std::collections::BTreeMap;

/// What hashing the packs came to.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ScrubReport {
    /// The repository, hexadecimal.
    pub repository: String,
    /// The number of the inventory; `None` if there is none whose signature counts.
    pub inventory: Option<u64>,
    /// Packs that it lists.
    pub packs: u64,
    /// Packs that are as it says.
    pub intact: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Packs that are stored and that it does not list: newer ones, or such that no snapshot needs.
    pub unlisted: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Hashes every pack that the newest inventory lists.
///
/// Errors: no repository that this authority signed; the store fails.
pub fn scrub(
    options: &OpenOptions,
    authority: AuthorityKey,
    threads: usize,
    progress: &dyn Progress,
) -> Result<ScrubReport, OpError> {
    let (keyless, unsound) =
        Keyless::open(locate(options)?, authority.0).during("cannot verify the repository")?;
    let mut report =
        ScrubReport { repository: keyless.repository().to_string(), ..Default::default() };
    report.findings.extend(unsound.into_iter().map(unsound_finding));
    let (inventory, unsound) = keyless.newest_inventory().during("cannot read the inventories")?;
    report.findings.extend(unsound.into_iter().map(unsound_finding));
    let Some(inventory) = inventory else { return Ok(report) };
    report.inventory = Some(inventory.number);
    report.packs = to_u64(inventory.packs.len());
    let bytes = inventory.packs.iter().map(|line| line.length).sum();
    progress.begin("hashing packs", report.packs, bytes);
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| OpError::Refused { why: error.to_string() })?;
    let compare = |line: &InventoryLine| -> Result<PackState, RepoError> {
        if progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let state = keyless.compare(line)?;
        progress.advance(1, line.length);
        Ok(state)
    };
    let states: Result<Vec<PackState>, RepoError> =
        pool.install(|| inventory.packs.par_iter().map(compare).collect());
    let states = states.during("cannot read the packs")?;
    let stored = keyless.packs().during("cannot list the packs")?;
    report.unlisted = unlisted(&stored, &inventory.packs);
    for (line, state) in inventory.packs.iter().zip(states) {
        let effect = match state {
            PackState::Intact => {
                report.intact += 1;
                report.bytes_read += line.length;
                continue;
            }
            PackState::Missing => "it is not stored".to_owned(),
            PackState::OtherLength(length) => {
                format!("it has {length} bytes instead of {}", line.length)
            }
            PackState::OtherBytes => "it has other bytes than the inventory says".to_owned(),
        };
        report.findings.push(Finding::loss("pack.differs", line.key.to_string(), effect));
    }
    Ok(report)
}

fn unlisted(stored: &BTreeMap<crate::key::ObjectKey, u64>, lines: &[InventoryLine]) -> u64 {
    let listed = lines.iter().filter(|line| stored.contains_key(&line.key)).count();
    to_u64(stored.len().saturating_sub(listed))
}

fn unsound_finding(unsound: Unsound) -> Finding {
    let Unsound { key, why } = unsound;
    Finding::loss("evidence.unsound", key.to_string(), format!("it does not count: {why}"))
}
