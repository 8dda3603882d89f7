//! `stats`: what is stored, and how much room it takes.

use crate::format::block::BlockCodec;
use crate::format::pack::PackKind;
use crate::ops::check::coverage::CoverageReport;
use crate::ops::check::coverage::coverage_of;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::snapshots;
use crate::repo::index::Index;
use crate::repo::repository::Repository;
use crate::repo::valid::load_valid;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;
use serde::Serialize;

/// What a repository holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Snapshots.
    pub snapshots: u64,
    /// Sources that have snapshots.
    pub sources: u64,
    /// Files of all snapshots, each as often as a snapshot has it.
    pub files: u64,
    /// Their bytes: what restoring every snapshot would write.
    pub restored_bytes: u64,
    /// Packs of file contents.
    pub data: PackStats,
    /// Packs of trees and lists of chunks.
    pub tree: PackStats,
    /// What of the contents is stored as deltas.
    pub deltas: DeltaStats,
    /// Index segments.
    pub segments: u64,
    /// Their stored bytes.
    pub segment_bytes: u64,
    /// Snapshots whose manifest is damaged, which are not in the sums.
    pub damaged: u64,
    /// What cannot be read; the sums may lack what it adds.
    pub findings: Vec<Finding>,
    /// How much was read in full by checks, and how long ago.
    pub coverage: CoverageReport,
}

/// What the packs of one kind hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PackStats {
    /// Packs.
    pub packs: u64,
    /// Chunks.
    pub chunks: u64,
    /// Plaintext bytes of the chunks.
    pub plain_bytes: u64,
    /// Stored bytes of the packs.
    pub stored_bytes: u64,
}

/// Blocks that are stored as the difference to chunks of older versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeltaStats {
    /// Blocks.
    pub blocks: u64,
    /// Their plaintext bytes.
    pub plain_bytes: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
}

impl Stats {
    /// Stored bytes of packs and index.
    pub const fn stored_bytes(&self) -> u64 {
        self.data.stored_bytes + self.tree.stored_bytes + self.segment_bytes
    }
}

/// Sums up a repository from its manifests and its index.
pub fn stats(repository: &Repository) -> Result<Stats, OpError> {
    let mut stats = Stats::default();
    let list = snapshots(repository, &SnapshotFilter::new())?;
    let mut sources: Vec<&str> = list.rows.iter().map(|row| row.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    stats.sources = to_u64(sources.len());
    stats.snapshots = to_u64(list.rows.len());
    for row in &list.rows {
        let Some(manifest) = &row.manifest else {
            stats.damaged += 1;
            continue;
        };
        stats.files += manifest.predicate.totals.files;
        stats.restored_bytes += manifest.predicate.totals.bytes;
    }
    stats.findings = list.findings;
    let (history, loaded) = load_valid(repository).during("cannot read what is valid")?;
    add_packs(&loaded.index, &mut stats);
    let coverage = coverage_of(repository, &loaded.index, &history.removed);
    stats.coverage = coverage.during("cannot read earlier checks")?;
    let lengths = repository.segment_lengths().during("cannot list the index")?;
    for (segment, length) in lengths {
        if history.segments.contains(&segment) {
            stats.segments += 1;
            stats.segment_bytes += length;
        }
    }
    Ok(stats)
}

fn add_packs(index: &Index, stats: &mut Stats) {
    for run in index.runs() {
        let packs = run.packs();
        for pack in packs {
            let kind = of_kind(stats, pack.header.kind);
            kind.packs += 1;
            kind.stored_bytes += pack.length;
        }
        let mut kind_of = |number| {
            let block = run.block(number)?;
            if let BlockCodec::Delta { .. } = block.codec {
                stats.deltas.blocks += 1;
                stats.deltas.plain_bytes += u64::from(block.raw_length);
                stats.deltas.stored_bytes += block.range.end - block.range.start;
            }
            packs.get(to_usize32(block.pack)).map(|pack| pack.header.kind)
        };
        let kinds: Vec<Option<PackKind>> =
            (0..to_u32(run.block_count())).map(&mut kind_of).collect();
        for number in 0..run.chunk_count() {
            let Some((_id, place)) = run.chunk_at(number) else { continue };
            if let Some(Some(kind)) = kinds.get(to_usize32(place.block)) {
                let kind = of_kind(stats, *kind);
                kind.chunks += 1;
                kind.plain_bytes += u64::from(place.length);
            }
        }
    }
}

fn of_kind(stats: &mut Stats, kind: PackKind) -> &mut PackStats {
    match kind {
        PackKind::Data => &mut stats.data,
        PackKind::Tree => &mut stats.tree,
    }
}
