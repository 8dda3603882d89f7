//! Copies one snapshot: a session, a tree, a manifest that names its origin.

use crate::format::manifest::Actor;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::RootReference;
use crate::format::manifest::RunSummary;
use crate::format::manifest::SnapshotOrigin;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::StatedVerdict;
use crate::id::SnapshotId;
use crate::ops::commit::Begun;
use crate::ops::commit::Draft;
use crate::ops::commit::Ended;
use crate::ops::commit::commit_tree;
use crate::ops::copy::earlier::Earlier;
use crate::ops::copy::earlier::Pair;
use crate::ops::copy::known::Known;
use crate::ops::copy::mover::Mover;
use crate::ops::copy::mover::threads;
use crate::ops::copy::plan::Chosen;
use crate::ops::copy::report::CopiedSnapshot;
use crate::ops::copy::report::CopyOptions;
use crate::ops::copy::report::CopyState;
use crate::ops::copy::told;
use crate::ops::copy::tree::CopiedTree;
use crate::ops::copy::tree::Halt;
use crate::ops::copy::tree::TreeCopy;
use crate::ops::copy::tree::TreeCopyParts;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::snapshot::pace::Pace;
use crate::ops::words::path_words;
use crate::repo::announce::TOOL;
use crate::repo::history::History;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use rayon::ThreadPool;
use std::sync::atomic::Ordering;

/// Copies snapshots, one after the other.
pub(crate) struct Copier<'a> {
    source: &'a Repository,
    history: &'a History,
    reader: &'a ChunkReader,
    target: &'a Repository,
    options: &'a CopyOptions,
    progress: &'a dyn Progress,
    pool: ThreadPool,
}

/// What copying one snapshot came to.
enum Came {
    /// It counts.
    Copied(CopiedSnapshot, Pair),
    /// Something in it is damaged.
    Damaged(Vec<Finding>),
    /// A collection took what it relied on.
    Collected(OpError),
}

/// What was read and what of it was new, for the manifest and the report.
struct Tally {
    tree: CopiedTree,
    bytes_read: u64,
    started_in: Begun,
    parent: Option<SnapshotId>,
}

impl<'a> Copier<'a> {
    /// A copier from what `history` has to `target`.
    pub(crate) fn new(
        source: &'a Repository,
        history: &'a History,
        reader: &'a ChunkReader,
        target: &'a Repository,
        options: &'a CopyOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self, OpError> {
        let pool = threads(reader, options.threads)?;
        Ok(Self { source, history, reader, target, options, progress, pool })
    }

    /// Copies a snapshot and adds it to the pairs; the findings say what is damaged in it.
    pub(crate) fn copy(
        &mut self,
        chosen: &Chosen,
        pairs: &mut Vec<Pair>,
        known: &mut Known,
    ) -> Result<(CopiedSnapshot, Vec<Finding>), OpError> {
        let mut attempt = 1;
        loop {
            let came = self.attempt(chosen, pairs, known);
            if !matches!(came, Ok(Came::Copied(..))) {
                known.forget_trees();
            }
            match came? {
                Came::Copied(copied, pair) => {
                    pairs.push(pair);
                    return Ok((copied, Vec::new()));
                }
                Came::Damaged(findings) => {
                    return Ok((told(chosen, CopyState::Damaged), findings));
                }
                Came::Collected(error) if attempt >= RUNS_COUNT_MAX => return Err(error),
                Came::Collected(_) => attempt += 1,
            }
        }
    }

    fn attempt(&self, chosen: &Chosen, pairs: &[Pair], known: &mut Known) -> Result<Came, OpError> {
        let source_name = &chosen.live.source;
        let session = WriterSession::open(self.target, source_name);
        let session = session.during("cannot begin a session in the other repository")?;
        known.begin(session.reference.epoch);
        let lives = (self.source, self.history.snapshots.as_slice());
        let earlier = Earlier::find(pairs, source_name, chosen.time, lives, &session.history);
        let totals = chosen.manifest.predicate.totals;
        self.progress.begin("copying", totals.files, totals.bytes);
        let store = ChunkStore::new(session).during("cannot begin to write")?;
        let came = self.copy_into(&store, chosen, earlier.as_ref(), known);
        if !matches!(came, Ok(Came::Copied(..))) {
            store.abandon();
        }
        came
    }

    fn copy_into(
        &self,
        store: &ChunkStore,
        chosen: &Chosen,
        earlier: Option<&Earlier>,
        known: &mut Known,
    ) -> Result<Came, OpError> {
        let tally = match self.copy_tree(store, chosen, earlier, known) {
            Ok(tally) => tally,
            Err(Halt::Failed(error)) => return Err(error),
            Err(Halt::Damaged(paths)) => {
                let damaged = |(path, error): &(Vec<u8>, _)| damaged(chosen, path, error);
                return Ok(Came::Damaged(paths.iter().map(damaged).collect()));
            }
        };
        let tree = tally.tree.tree;
        let draft = Draft {
            source: &chosen.live.source,
            tree,
            begun: tally.started_in,
            predicate: &|session, packs| self.predicate(session, store, chosen, &tally, packs),
        };
        Ok(match commit_tree(store, &draft)? {
            Ended::Collected(error) => Came::Collected(error),
            Ended::Committed(copy) => {
                let pair = Pair {
                    source: chosen.live.source.clone(),
                    time: chosen.time,
                    origin: chosen.live.snapshot,
                    copy,
                    tree,
                };
                let counters = store.counters();
                let copied = CopiedSnapshot {
                    copy: Some(copy.to_string()),
                    files_read: tally.tree.files_read,
                    bytes_read: tally.bytes_read,
                    bytes_new: counters.new_bytes.load(Ordering::Relaxed),
                    bytes_stored: counters.stored_bytes.load(Ordering::Relaxed),
                    ..told(chosen, CopyState::Copied)
                };
                Came::Copied(copied, pair)
            }
        })
    }

    fn copy_tree(
        &self,
        store: &ChunkStore,
        chosen: &Chosen,
        earlier: Option<&Earlier>,
        known: &mut Known,
    ) -> Result<Tally, Halt> {
        let (root, height) = chosen.manifest.root().ok_or_else(|| OpError::NoPath {
            snapshot: chosen.live.snapshot.short(),
            path: String::new(),
        })?;
        let parent = earlier.map(|earlier| earlier.pair.copy);
        if store.index().has_gaps() {
            known.forget_trees();
        } else if let Some(tree) = earlier.and_then(|earlier| earlier.same_tree((root, height))) {
            let tree = CopiedTree { tree, files_read: 0 };
            self.progress.advance(tree.tree.totals.files, tree.tree.totals.bytes);
            return Ok(Tally { tree, bytes_read: 0, started_in: Begun::ThisSession, parent });
        }
        let target_reader = ChunkReader::new(self.target.clone(), store.index(), COPY_CACHE_BYTES);
        let pace = Pace::new(store, &chosen.live.source, self.options.checkpoint_seconds);
        let mover = Mover::new(self.reader, store, &self.pool, self.progress)?;
        let parts = TreeCopyParts {
            source: self.reader,
            store,
            mover: &mover,
            earlier: earlier.map(|earlier| earlier.cursor(self.reader, &target_reader)),
            pace: &pace,
            progress: self.progress,
        };
        let copied = TreeCopy::new(parts, known)?.run(root, height);
        if copied.is_err() {
            // What is complete spares the next run its upload.
            let _ignored = mover.flush();
        }
        let started_in = match pace.checkpoint_count() {
            0 => Begun::ThisSession,
            _some => Begun::EarlierSession,
        };
        Ok(Tally { tree: copied?, bytes_read: mover.bytes_read(), started_in, parent })
    }

    /// What the source says of the snapshot, and what this run did.
    fn predicate(
        &self,
        session: &WriterSession,
        store: &ChunkStore,
        chosen: &Chosen,
        tally: &Tally,
        packs: PackCommitment,
    ) -> SnapshotPredicate {
        let stated = &chosen.manifest.predicate;
        let CopiedTree { tree, files_read } = tally.tree;
        let snapshot: SnapshotId = session.reference.session.into();
        let (counters, verdict) = (store.counters(), session.history.verdict);
        SnapshotPredicate {
            repository: self.target.id().to_string(),
            client: self.target.client().to_string(),
            snapshot: snapshot.to_string(),
            tool: TOOL.to_owned(),
            actor: Actor {
                user_id: rustix::process::getuid().as_raw(),
                sudo_user: self.options.sudo_user.clone(),
            },
            parent: tally.parent.map(|parent| parent.to_string()),
            origin: Some(SnapshotOrigin {
                repository: self.source.id().to_string(),
                client: chosen.live.client.to_string(),
                snapshot: chosen.live.snapshot.to_string(),
                manifest: chosen.live.manifest.to_string(),
            }),
            profile: self.profile(&stated.profile),
            root: RootReference { node: tree.node.to_string(), height: tree.height },
            totals: tree.totals.into(),
            run: RunSummary {
                files_new: files_read,
                files_changed: 0,
                files_unchanged: tree.totals.files.saturating_sub(files_read),
                bytes_read: tally.bytes_read,
                bytes_new: counters.new_bytes.load(Ordering::Relaxed),
                bytes_stored: counters.stored_bytes.load(Ordering::Relaxed),
            },
            packs,
            verdict: StatedVerdict { number: verdict.number, digest: verdict.digest.to_string() },
            ..stated.clone()
        }
    }

    /// The profile of this name, or the first one that the other repository has.
    fn profile(&self, name: &str) -> String {
        let config = &self.target.config;
        let profile = config.profile(name).or(config.profiles.first());
        profile.map_or_else(|| name.to_owned(), |profile| profile.name.clone())
    }
}

fn damaged(
    chosen: &Chosen,
    path: &[u8],
    error: &std::sync::Arc<crate::repo::error::RepoError>,
) -> Finding {
    let path = if path.is_empty() { b"/" } else { path };
    let name = format!("{} ({})", chosen.live.snapshot.short(), chosen.live.source);
    let object = format!("snapshot {name}: {}", path_words(path));
    let why = chain_words(error.as_ref());
    let effect = format!("the snapshot is not copied, since this is damaged: {why}");
    let remedy = REMEDY.to_owned();
    Finding { remedy, ..Finding::loss("file.damaged", object, effect) }
}

/// How often a snapshot is copied: a collection that gives up every run is a mistake of its owner.
const RUNS_COUNT_MAX: u32 = 4;
/// Plaintext of the trees of earlier copies that is kept.
const COPY_CACHE_BYTES: usize = 8 * 1_048_576;
const REMEDY: &str = "run `sbf-repo check --read-data` on the repository that is copied from, or \
     read from a mirror of it with `--from-copy`";
