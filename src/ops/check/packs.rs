//! Packs: are they there, and do they read back?

use crate::format::layout;
use crate::format::layout::PackRef;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::ops::check::CheckOptions;
use crate::ops::check::CheckReport;
use crate::ops::check::coverage::ReadPack;
use crate::ops::check::coverage::oldest_first;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::repo::coverage::Coverage;
use crate::repo::error::RepoError;
use crate::repo::history::History;
use crate::repo::index::order::RunOrder;
use crate::repo::index::run::Run;
use crate::repo::read::ChunkReader;
use crate::repo::verify::PackVerdict;
use crate::repo::verify::VerifyBuffers;
use crate::repo::verify::verify_pack;
use crate::units::to_u64;
use rayon::ThreadPoolBuilder;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// Checks that every pack of the index is stored with its length; chunks of those that are not
/// are added to `bad` unless another pack has them.
pub(crate) fn check_packs(
    reader: &ChunkReader,
    history: &History,
    report: &mut CheckReport,
    bad: &mut HashSet<ChunkId>,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let listed = reader.repository.list_packs().during("cannot list the packs")?;
    let mut unlisted = 0_u64;
    let stored: HashMap<PackRef, u64> = listed.into_iter().collect();
    let mut known = HashSet::new();
    for run in reader.index.runs() {
        let mut order = None;
        for (number, pack) in run.packs().iter().enumerate() {
            let reference = pack.reference();
            if !known.insert(reference) || history.removed.contains(&reference) {
                continue;
            }
            report.packs += 1;
            let effect = match stored.get(&reference) {
                Some(length) if *length == pack.length => continue,
                Some(length) => format!("it has {length} bytes instead of {}", pack.length),
                None => "it is not stored".to_owned(),
            };
            let key = reference.key().to_string();
            report.note(Finding::loss("pack.missing", key, effect), progress);
            let order = order.get_or_insert_with(|| RunOrder::new(&run));
            let chunks = order.blocks_of(&run, number).into_iter().flat_map(|block| block.chunks);
            let ids = chunks.map(|chunk| chunk.id);
            bad.extend(ids.filter(|id| !has_other(reader, id, reference)));
        }
    }
    for reference in stored.keys() {
        unlisted += u64::from(!known.contains(reference));
    }
    if unlisted > 0 {
        let effect = format!("{unlisted} packs of unfinished or abandoned runs, unused");
        report.note(Finding::notice("pack.unused", layout::PACKS.to_owned(), effect), progress);
    }
    Ok(())
}

/// What is known before packs are read.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) history: &'a History,
    pub(crate) coverage: &'a Coverage,
}

/// Reads packs back, all or those that were not read for longest; returns what each came to, and
/// those that hold other bytes.
pub(crate) fn read_packs(
    reader: &ChunkReader,
    known: &Known<'_>,
    options: &CheckOptions,
    report: &mut CheckReport,
    bad: &mut HashSet<ChunkId>,
    progress: &dyn Progress,
) -> Result<(Vec<ReadPack>, BTreeSet<PackId>), OpError> {
    let mut work = distinct_packs(reader, &known.history.removed);
    if let Some(subset) = options.subset {
        work = oldest_first(work, subset, known.coverage, |PackWork { run, number, .. }| {
            let pack = &run.packs()[*number];
            (pack.reference(), pack.length)
        });
    }
    let bytes = work.iter().map(|work| work.run.packs()[work.number].length).sum();
    progress.begin("reading packs", to_u64(work.len()), bytes);
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|error| OpError::Refused { why: error.to_string() })?;
    let read = |work: &PackWork| -> Result<(PackRef, PackVerdict), RepoError> {
        let PackWork { run, order, number } = work;
        if progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let reference = run.packs()[*number].reference();
        let mut indexed = run.packs()[*number].clone();
        indexed.blocks = order.blocks_of(run, *number);
        let verdict = verify_pack(reader, reference, &indexed, &mut VerifyBuffers::new())?;
        progress.advance(1, verdict.stored_bytes);
        Ok((reference, verdict))
    };
    let verdicts: Result<Vec<_>, RepoError> = pool.install(|| work.par_iter().map(read).collect());
    let (mut all, mut damaged) = (Vec::new(), BTreeSet::new());
    for (reference, verdict) in verdicts.during("cannot read the packs")? {
        all.push(ReadPack {
            pack: reference,
            is_sound: verdict.problems.is_empty(),
            bytes: verdict.stored_bytes,
            chunks: verdict.good_count,
        });
        report.packs_read += 1;
        report.bytes_read += verdict.stored_bytes;
        report.chunks_read += verdict.good_count;
        report.plain_bytes_read += verdict.plain_bytes;
        for problem in &verdict.problems {
            let key = reference.key().to_string();
            let effect = chain_words(problem);
            report.note(Finding::loss("pack.damaged", key, effect), progress);
        }
        if verdict.problems.iter().any(holds_other_bytes) {
            damaged.insert(reference.id);
        }
        bad.extend(verdict.bad);
    }
    Ok((all, damaged))
}

/// Whether a problem lies in the bytes of a pack, whoever reads it.
fn holds_other_bytes(problem: &RepoError) -> bool {
    matches!(problem, RepoError::WrongHash { .. } | RepoError::WrongChunk { .. })
}

/// A pack to read.
struct PackWork {
    run: Arc<Run>,
    order: Arc<RunOrder>,
    number: usize,
}

/// Every pack that was not removed once, although two runs may list it.
fn distinct_packs(reader: &ChunkReader, removed: &HashSet<PackRef>) -> Vec<PackWork> {
    let mut seen = removed.clone();
    let mut packs = Vec::new();
    for run in reader.index.runs() {
        let order = Arc::new(RunOrder::new(&run));
        for number in 0..run.packs().len() {
            if seen.insert(run.packs()[number].reference()) {
                packs.push(PackWork { run: Arc::clone(&run), order: Arc::clone(&order), number });
            }
        }
    }
    packs
}

fn has_other(reader: &ChunkReader, id: &ChunkId, reference: PackRef) -> bool {
    reader.index.find_all(id).into_iter().any(|place| {
        let found = reader.index.block(place.block);
        found.is_some_and(|(run, block)| {
            run.packs()
                .get(crate::units::to_usize32(block.pack))
                .is_some_and(|pack| pack.reference() != reference)
        })
    })
}
