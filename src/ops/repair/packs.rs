//! `repair packs`: stores again what is good of damaged packs, and says what is lost.

use crate::id::ChunkId;
use crate::ops::check::CheckReport;
use crate::ops::check::trees::TreeCheck;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::heal::Watched;
use crate::ops::progress::Progress;
use crate::ops::repair::RepairOptions;
use crate::ops::repair::TREE_CACHE_BYTES;
use crate::ops::repair::check_rights;
use crate::repo::damage::damaged_packs;
use crate::repo::history::History;
use crate::repo::index::lost::uncached;
use crate::repo::read::ChunkReader;
use crate::repo::repair::packs::BrokenPack;
use crate::repo::repair::packs::Found;
use crate::repo::repair::packs::Which;
use crate::repo::repair::packs::find;
use crate::repo::repair::packs::salvage;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use crate::units::to_u64;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;

/// What is wrong with the packs, and what was done.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PacksReport {
    /// Whether anything was written.
    pub applied: bool,
    /// Packs that were read.
    pub packs_read: u64,
    /// Their stored bytes.
    pub bytes_read: u64,
    /// Packs that do not give back all that they should.
    pub broken: Vec<DamagedPack>,
    /// Good blocks that were stored again, or would be.
    pub blocks: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Chunks that no pack gives any more.
    pub chunks_lost: u64,
    /// What of the snapshots is lost with them.
    pub findings: Vec<Finding>,
    /// How much that is in all.
    pub findings_count: u64,
}

/// A pack that does not give back all that it should.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DamagedPack {
    /// Its key.
    pub pack: String,
    /// What is wrong with it.
    pub why: Vec<String>,
    /// How many blocks it should have.
    pub blocks: u64,
    /// How many of them are good.
    pub good_blocks: u64,
    /// How many of those hold something that no sound pack has.
    pub wanted_blocks: u64,
    /// How many of its chunks no pack gives any more.
    pub chunks_lost: u64,
}

impl PacksReport {
    /// Whether there is something to do that was not done.
    pub const fn is_planned(&self) -> bool {
        !self.applied && self.blocks > 0
    }
}

/// Damaged packs, and what of them is good.
pub(crate) struct Examined {
    pub(crate) reader: ChunkReader,
    pub(crate) history: History,
    pub(crate) found: Found,
}

/// Reads the packs that are in question and finds out what of them is good.
pub(crate) fn examine(
    repository: &Repository,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<Examined, OpError> {
    // What this host keeps may be better than what is stored.
    let repository = &repository.without_kept();
    let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
    let reader = ChunkReader::new(repository.clone(), Arc::new(loaded.index), TREE_CACHE_BYTES);
    let known = damaged_packs(repository).during("cannot read the records of damage")?;
    let which = if options.read_data { Which::All } else { Which::Suspect(&known) };
    progress.begin("reading packs", 0, 0);
    let (pool, watch) = (options.pool()?, Watched(progress));
    let found =
        find(&reader, &history.removed, which, &pool, &watch).during("cannot read the packs")?;
    Ok(Examined { reader, history, found })
}

/// Stores again what is good of damaged packs, or says what that is.
pub fn repair_packs(
    repository: &Repository,
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<PacksReport, OpError> {
    let what = "cannot repair the packs";
    check_rights(repository, options, what)?;
    let Examined { mut reader, mut history, found } = examine(repository, options, progress)?;
    let mut report = PacksReport {
        packs_read: found.read_count,
        bytes_read: found.read_bytes,
        broken: found.broken.iter().map(|pack| told(pack, &found)).collect(),
        chunks_lost: to_u64(found.lost.len()),
        ..PacksReport::default()
    };
    for pack in &found.broken {
        for number in found.wanted(pack) {
            report.blocks += 1;
            report.bytes += u64::from(pack.indexed.blocks[number].stored_length);
        }
    }
    if options.apply && !found.broken.is_empty() {
        progress.begin("storing what is good", report.blocks, report.bytes);
        let salvaged = salvage(&reader, &found, &Watched(progress)).during(what)?;
        report.applied = true;
        (report.blocks, report.bytes) = (salvaged.blocks, salvaged.bytes);
        let loaded;
        let repository = uncached(repository);
        (history, loaded) = load_valid(&repository).during("cannot read what is valid")?;
        reader = ChunkReader::new(repository, Arc::new(loaded.index), TREE_CACHE_BYTES);
    }
    if !found.broken.is_empty() {
        let losses = losses(&reader, &history, &found, progress)?;
        (report.findings, report.findings_count) = (losses.findings, losses.findings_count);
    }
    Ok(report)
}

/// What of the snapshots is lost with some chunks.
pub(crate) fn losses(
    reader: &ChunkReader,
    history: &History,
    found: &Found,
    progress: &dyn Progress,
) -> Result<CheckReport, OpError> {
    let lost: HashSet<ChunkId> = found.lost.iter().map(|(id, _kind)| *id).collect();
    let mut report = CheckReport::default();
    progress.begin("looking for what is lost", 0, 0);
    TreeCheck::new(reader, &lost, progress).run(history, &mut report)?;
    Ok(report)
}

fn told(pack: &BrokenPack, found: &Found) -> DamagedPack {
    DamagedPack {
        pack: pack.indexed.reference().key().to_string(),
        why: pack.problems.iter().map(|problem| chain_words(problem)).collect(),
        blocks: to_u64(pack.indexed.blocks.len()),
        good_blocks: to_u64(pack.sound.len()),
        wanted_blocks: to_u64(found.wanted(pack).count()),
        chunks_lost: pack.lost_count(found),
    }
}
