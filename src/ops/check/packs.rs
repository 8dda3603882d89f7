//! Packs: are they there, and do they read back?

use crate::format::index::IndexedPack;
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
use crate::ops::heal::superseded;
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

/// A pack that does not give back what it should.
pub(crate) struct Broken {
    reference: PackRef,
    code: &'static str,
    effects: Vec<String>,
    /// What it should hold.
    chunks: Vec<ChunkId>,
    /// What of that it does not give.
    lost: Vec<ChunkId>,
    /// Whether that is for its own bytes, and not only for those of packs that its deltas need: storing it anew mends it.
    is_itself: bool,
}

/// Checks that every pack of the index is stored with its length; returns those that are not.
pub(crate) fn check_packs(
    reader: &ChunkReader,
    history: &History,
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> Result<Vec<Broken>, OpError> {
    let mut broken = Vec::new();
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
            let order = order.get_or_insert_with(|| RunOrder::new(&run));
            let chunks = order.blocks_of(&run, number).into_iter().flat_map(|block| block.chunks);
            let chunks: Vec<ChunkId> = chunks.map(|chunk| chunk.id).collect();
            let (code, effects, lost) = ("pack.missing", vec![effect], chunks.clone());
            let is_itself = true;
            broken.push(Broken { reference, code, effects, chunks, lost, is_itself });
        }
    }
    for reference in stored.keys() {
        unlisted += u64::from(!known.contains(reference));
    }
    if unlisted > 0 {
        let effect = format!("{unlisted} packs of unfinished or abandoned runs, unused");
        report.note(Finding::notice("pack.unused", layout::PACKS.to_owned(), effect), progress);
    }
    Ok(broken)
}

/// What is known before packs are read.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) history: &'a History,
    pub(crate) coverage: &'a Coverage,
}

/// Reads packs back, all or those that were not read for longest; adds those that are damaged to
/// `broken`, and returns what each came to, and those that hold other bytes.
pub(crate) fn read_packs(
    reader: &ChunkReader,
    known: &Known<'_>,
    options: &CheckOptions,
    report: &mut CheckReport,
    broken: &mut Vec<Broken>,
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
    let read = |work: &PackWork| -> Result<(PackRef, PackVerdict, Vec<ChunkId>), RepoError> {
        let PackWork { run, order, number } = work;
        if progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let reference = run.packs()[*number].reference();
        let mut indexed = run.packs()[*number].clone();
        indexed.blocks = order.blocks_of(run, *number);
        let verdict = verify_pack(reader, reference, &indexed, &mut VerifyBuffers::new())?;
        progress.advance(1, verdict.stored_bytes);
        let chunks = if verdict.problems.is_empty() { Vec::new() } else { chunks_of(&indexed) };
        Ok((reference, verdict, chunks))
    };
    let verdicts: Result<Vec<_>, RepoError> = pool.install(|| work.par_iter().map(read).collect());
    let (mut all, mut damaged) = (Vec::new(), BTreeSet::new());
    for (reference, verdict, chunks) in verdicts.during("cannot read the packs")? {
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
        if verdict.problems.iter().any(holds_other_bytes) {
            damaged.insert(reference.id);
        }
        if !verdict.problems.is_empty() {
            let effects = verdict.problems.iter().map(|problem| chain_words(problem)).collect();
            let (code, lost) = ("pack.damaged", verdict.bad);
            let is_itself = !verdict.lacks_only_bases;
            broken.push(Broken { reference, code, effects, chunks, lost, is_itself });
        }
    }
    Ok((all, damaged))
}

/// Notes the packs that are broken; returns the chunks that no pack gives.
pub(crate) fn note_broken(
    reader: &ChunkReader,
    broken: &[Broken],
    report: &mut CheckReport,
    progress: &dyn Progress,
) -> HashSet<ChunkId> {
    let lost: HashSet<(ChunkId, PackRef)> = broken
        .iter()
        .flat_map(|broken| broken.lost.iter().map(|id| (*id, broken.reference)))
        .collect();
    let is_elsewhere = |id: &ChunkId, reference: PackRef| {
        packs_with(reader, id).any(|pack| pack != reference && !lost.contains(&(*id, pack)))
    };
    for Broken { reference, code, effects, chunks, lost: _, is_itself } in broken {
        let is_superseded = chunks.iter().all(|id| is_elsewhere(id, *reference));
        if *is_itself && !is_superseded {
            report.broken.insert(*reference);
        }
        for effect in effects {
            let object = reference.key().to_string();
            let finding = if is_superseded {
                superseded(object, effect)
            } else {
                Finding::loss(code, object, effect.clone())
            };
            report.note(finding, progress);
        }
    }
    lost.iter().filter(|(id, pack)| !is_elsewhere(id, *pack)).map(|(id, _pack)| *id).collect()
}

fn chunks_of(pack: &IndexedPack) -> Vec<ChunkId> {
    pack.blocks.iter().flat_map(|block| &block.chunks).map(|chunk| chunk.id).collect()
}

/// The packs that the index names for a chunk.
fn packs_with(reader: &ChunkReader, id: &ChunkId) -> impl Iterator<Item = PackRef> {
    reader.index.find_all(id).into_iter().filter_map(|place| {
        let (run, block) = reader.index.block(place.block)?;
        Some(run.packs().get(crate::units::to_usize32(block.pack))?.reference())
    })
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
