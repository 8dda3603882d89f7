//! Hashing every pack again against the newest inventory, without any secret key.

use crate::format::inventory::InventoryLine;
use crate::key::ObjectKey;
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
use std::collections::BTreeSet;

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
    /// Those of them that have the BLAKE3 in their names, which nobody signed.
    pub unlisted_intact: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Hashes every pack that the newest inventory lists, and those that are newer by the hashes in their names.
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
    let lines = &inventory.packs;
    let listed: BTreeSet<&ObjectKey> = lines.iter().map(|line| &line.key).collect();
    let mut newer = keyless.packs().during("cannot list the packs")?;
    newer.retain(|key, _length| !listed.contains(key));
    let newer: Vec<(ObjectKey, u64)> = newer.into_iter().collect();
    report.unlisted = to_u64(newer.len());
    let bytes =
        lines.iter().map(|line| line.length).chain(newer.iter().map(|(_key, length)| *length));
    progress.begin("hashing packs", report.packs + report.unlisted, bytes.sum());
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| OpError::Refused { why: error.to_string() })?;
    let counted = |length: u64, compare: &dyn Fn() -> Result<PackState, RepoError>| {
        if progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let state = compare()?;
        progress.advance(1, length);
        Ok(state)
    };
    let compare = |line: &InventoryLine| counted(line.length, &|| keyless.compare(line));
    let states: Result<Vec<PackState>, RepoError> =
        pool.install(|| lines.par_iter().map(compare).collect());
    for (line, state) in lines.iter().zip(states.during("cannot read the packs")?) {
        report.add_listed(line, state);
    }
    let compare = |(key, length): &(ObjectKey, u64)| {
        counted(*length, &|| keyless.compare_with_name(key, *length))
    };
    let states: Result<Vec<PackState>, RepoError> =
        pool.install(|| newer.par_iter().map(compare).collect());
    for ((key, length), state) in newer.iter().zip(states.during("cannot read the packs")?) {
        report.add_newer(key, *length, state);
    }
    Ok(report)
}

impl ScrubReport {
    fn add_listed(&mut self, line: &InventoryLine, state: PackState) {
        let effect = match state {
            PackState::Intact => {
                self.intact += 1;
                self.bytes_read += line.length;
                return;
            }
            PackState::Missing => "it is not stored".to_owned(),
            PackState::OtherLength(length) => {
                format!("it has {length} bytes instead of {}", line.length)
            }
            PackState::OtherBytes => "it has other bytes than the inventory says".to_owned(),
        };
        self.findings.push(Finding::loss("pack.differs", line.key.to_string(), effect));
    }

    fn add_newer(&mut self, key: &ObjectKey, length: u64, state: PackState) {
        match state {
            PackState::Intact => {
                self.unlisted_intact += 1;
                self.bytes_read += length;
            }
            // A collection deleted it since it was listed.
            PackState::Missing => self.unlisted -= 1,
            PackState::OtherLength(_) | PackState::OtherBytes => {
                let effect = "it has other bytes than the BLAKE3 in its name".to_owned();
                self.findings.push(Finding::loss("pack.differs", key.to_string(), effect));
            }
        }
    }
}

fn unsound_finding(unsound: Unsound) -> Finding {
    let Unsound { key, why } = unsound;
    Finding::loss("evidence.unsound", key.to_string(), format!("it does not count: {why}"))
}
