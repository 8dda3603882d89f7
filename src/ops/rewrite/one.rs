//! Rewrites one snapshot: a session, a tree, a manifest, and a record that says for what it stands.

use crate::format::label::Note;
use crate::format::label::Rewrite;
use crate::format::manifest::Actor;
use crate::format::manifest::Manifest;
use crate::format::manifest::PackCommitment;
use crate::format::manifest::RootReference;
use crate::format::manifest::RunSummary;
use crate::format::manifest::SnapshotPredicate;
use crate::format::manifest::SnapshotTimes;
use crate::format::manifest::StatedVerdict;
use crate::id::ChunkId;
use crate::id::SnapshotId;
use crate::ops::commit::Begun;
use crate::ops::commit::Draft;
use crate::ops::commit::Ended;
use crate::ops::commit::StoredTree;
use crate::ops::commit::commit_tree;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::open_reader;
use crate::ops::rewrite::RewriteOptions;
use crate::ops::rewrite::RewriteState;
use crate::ops::rewrite::Rewritten;
use crate::ops::rewrite::Run;
use crate::ops::rewrite::tree::LeftOut;
use crate::ops::rewrite::tree::TreeRewrite;
use crate::ops::rewrite::tree::Unchanged;
use crate::ops::rewrite::tree::drop_paths;
use crate::ops::select::Selected;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::history::History;
use crate::repo::labels::Labels;
use crate::repo::labels::store_note;
use crate::repo::labels::store_rewrite;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::session::WriterSession;
use crate::repo::write::ChunkStore;
use std::sync::atomic::Ordering;

/// Rewrites snapshots, one after the other.
pub(crate) struct Rewriter<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) labels: &'a Labels,
    pub(crate) options: &'a RewriteOptions,
    pub(crate) progress: &'a dyn Progress,
}

/// What an attempt came to.
enum Came {
    /// A snapshot counts that stands for the old one.
    There(SnapshotId, RewriteState, LeftOut),
    /// A collection took what it relied on.
    Collected(OpError),
}

impl Rewriter<'_> {
    /// Makes the snapshot that stands for this one, unless it would be the same.
    pub(crate) fn rewrite(
        &self,
        old: &Selected,
        unchanged: &mut Unchanged,
    ) -> Result<Rewritten, OpError> {
        let Self { repository, options, progress, .. } = self;
        let roots = &old.manifest.predicate.paths;
        let reader = open_reader(repository)?;
        let walk = TreeRewrite::new(&reader, &options.exclude, roots, unchanged, *progress);
        let (_tree, left_out) = walk.run(root_of(old)?)?;
        if left_out == LeftOut::default() {
            return Ok(told(old, RewriteState::Unchanged, &left_out));
        }
        if options.run == Run::Dry {
            return Ok(told(old, RewriteState::WouldRewrite, &left_out));
        }
        for _attempt in 1..RUNS_COUNT_MAX {
            if let Came::There(new, state, left_out) = self.attempt(old)? {
                return self.record(old, new, state, &left_out);
            }
        }
        match self.attempt(old)? {
            Came::There(new, state, left_out) => self.record(old, new, state, &left_out),
            Came::Collected(error) => Err(error),
        }
    }

    fn attempt(&self, old: &Selected) -> Result<Came, OpError> {
        let started = self.repository.environment.now();
        let session = WriterSession::open(self.repository, &old.live.source);
        let session = session.during("cannot begin a session")?;
        let snapshots = &session.history.snapshots;
        if !snapshots.iter().any(|live| live.snapshot == old.live.snapshot) {
            // What nothing keeps may be gone before this run ends.
            drop(session);
            return Err(OpError::Forgotten { snapshot: old.live.snapshot.short() });
        }
        let history = session.history.clone();
        let store = ChunkStore::new(session).during("cannot begin to write")?;
        let came = self.build(&store, old, started, &history);
        if !matches!(came, Ok(Came::There(_, RewriteState::Rewritten, _))) {
            store.abandon();
        }
        came
    }

    fn build(
        &self,
        store: &ChunkStore,
        old: &Selected,
        started: (i64, u32),
        history: &History,
    ) -> Result<Came, OpError> {
        let Self { options, progress, .. } = self;
        let reader = ChunkReader::new(self.repository.clone(), store.index(), CACHE_BYTES);
        let roots = &old.manifest.predicate.paths;
        // Of this session alone: what another one knew may be gone.
        let mut unchanged = Unchanged::default();
        let walk = TreeRewrite::new(&reader, &options.exclude, roots, &mut unchanged, *progress);
        let (tree, left_out) = walk.into_store(store)?.run(root_of(old)?)?;
        let Some(tree) = tree else { return Ok(Came::Collected(OpError::Interrupted)) };
        if let Some(new) = self.find(history, old, tree)? {
            return Ok(Came::There(new, RewriteState::Present, left_out));
        }
        let draft = Draft {
            source: &old.live.source,
            tree,
            begun: Begun::ThisSession,
            predicate: &|session, packs| {
                let mut predicate = self.predicate(session, store, old, tree, packs);
                let (seconds, nanoseconds) = self.repository.environment.now();
                predicate.times = SnapshotTimes {
                    data: old.manifest.predicate.times.data.clone(),
                    started: time_words(started.0, started.1),
                    finished: time_words(seconds, nanoseconds),
                };
                drop_paths(&mut predicate, &options.exclude, &left_out);
                predicate
            },
        };
        Ok(match commit_tree(store, &draft)? {
            Ended::Committed(new) => Came::There(new, RewriteState::Rewritten, left_out),
            Ended::Collected(error) => Came::Collected(error),
        })
    }

    /// A snapshot of the source with this tree and the same time: a run before this one made it.
    fn find(
        &self,
        history: &History,
        old: &Selected,
        tree: StoredTree,
    ) -> Result<Option<SnapshotId>, OpError> {
        let is_same = |manifest: &Manifest| {
            manifest.root() == Some((tree.node, tree.height))
                && manifest.predicate.times.data == old.manifest.predicate.times.data
        };
        for live in history.snapshots.iter().filter(|live| live.source == old.live.source) {
            match live.manifest(self.repository) {
                Ok(manifest) if is_same(&manifest) => return Ok(Some(live.snapshot)),
                Err(error) if !self.repository.is_damage(&error) => {
                    return Err(error).during("cannot read a manifest");
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// What the old manifest says, and what this run did.
    fn predicate(
        &self,
        session: &WriterSession,
        store: &ChunkStore,
        old: &Selected,
        tree: StoredTree,
        packs: PackCommitment,
    ) -> SnapshotPredicate {
        let stated = &old.manifest.predicate;
        let snapshot: SnapshotId = session.reference.session.into();
        let (counters, verdict) = (store.counters(), session.history.verdict);
        let tags = self.labels.tag_words_of(old.live.snapshot, old.live.client, &stated.tags);
        SnapshotPredicate {
            repository: self.repository.id().to_string(),
            client: self.repository.client().to_string(),
            snapshot: snapshot.to_string(),
            tags,
            tool: TOOL.to_owned(),
            actor: Actor {
                user_id: rustix::process::getuid().as_raw(),
                sudo_user: self.options.sudo_user.clone(),
            },
            parent: None,
            // It is no copy any more: whoever believes so would take what it lacks for lost.
            origin: None,
            root: RootReference { node: tree.node.to_string(), height: tree.height },
            totals: tree.totals.into(),
            run: RunSummary {
                files_unchanged: tree.totals.files,
                bytes_new: counters.new_bytes.load(Ordering::Relaxed),
                bytes_stored: counters.stored_bytes.load(Ordering::Relaxed),
                ..RunSummary::default()
            },
            packs,
            verdict: StatedVerdict { number: verdict.number, digest: verdict.digest.to_string() },
            ..stated.clone()
        }
    }

    /// Says for what a snapshot stands, and what was said of that; unless a run before this one did.
    fn record(
        &self,
        old: &Selected,
        new: SnapshotId,
        state: RewriteState,
        left_out: &LeftOut,
    ) -> Result<Rewritten, OpError> {
        let mut told = told(old, state, left_out);
        told.new = Some(new.to_string());
        if self.labels.replaced_by(new) == Some(old.live.snapshot) {
            return Ok(told);
        }
        let now = time_words(self.repository.environment.now().0, 0);
        let mut rewrite = Rewrite::new(new, old.live.snapshot);
        rewrite.entries = told.entries;
        rewrite.bytes = told.bytes;
        rewrite.reason.clone_from(&self.options.reason);
        rewrite.time = Some(now);
        for noted in self.labels.notes_of(old.live.snapshot) {
            let note = Note { snapshots: vec![new], ..noted.note.clone() };
            store_note(self.repository, &note).during("cannot store a note")?;
        }
        // Last: without it, the next run does all of this once more.
        store_rewrite(self.repository, &rewrite).during("cannot store what is replaced")?;
        Ok(told)
    }
}

fn root_of(old: &Selected) -> Result<(ChunkId, u8), OpError> {
    let snapshot = old.live.snapshot.short();
    old.manifest.root().ok_or(OpError::NoPath { snapshot, path: String::new() })
}

fn told(old: &Selected, state: RewriteState, left_out: &LeftOut) -> Rewritten {
    let totals = left_out.totals;
    Rewritten {
        snapshot: old.live.snapshot.to_string(),
        source: old.live.source.clone(),
        time: old.manifest.predicate.times.data.clone(),
        state,
        new: None,
        entries: totals.files.saturating_add(totals.directories).saturating_add(totals.others),
        bytes: totals.bytes,
    }
}

/// How often a snapshot is rewritten: a collection that gives up every run is a mistake of its owner.
const RUNS_COUNT_MAX: u32 = 4;
const CACHE_BYTES: usize = 16 * 1_048_576;
