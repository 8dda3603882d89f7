//! Complete packs go to the store on threads of their own; what is stored goes into segments.

use crate::format::index::IndexedPack;
use crate::format::index::SEGMENT_CHUNKS_TARGET;
use crate::format::index::Segment;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::pack::PackKind;
use crate::id::PackId;
use crate::repo::create::create_in;
use crate::repo::error::RepoError;
use crate::repo::index::Index;
use crate::repo::index::load::session_run;
use crate::repo::index::run::Run;
use crate::repo::parity::store_sidecar;
use crate::repo::repository::Repository;
use crate::repo::session::HEARTBEAT_SECONDS;
use crate::repo::session::store_heartbeat;
use crate::repo::session::store_segment;
use crate::repo::write::pack::PackDraft;
use crate::repo::write::pack::Unfinished;
use crate::store::StorageClass;
use crate::units::to_u64;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;

/// Stores packs and then the segments that list them.
#[derive(Debug)]
pub(crate) struct Uploader {
    shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    repository: Repository,
    index: Arc<Index>,
    /// Whether packs of data are kept on this host: the next run makes deltas after them.
    keeps_data: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    session: SessionRef,
    /// When something was last stored, in seconds since 1970.
    stored_at: i64,
    next_heartbeat: u32,
    next_pack: u32,
    next_segment: u32,
    /// Packs that are stored and in no segment yet.
    waiting: Vec<IndexedPack>,
    waiting_chunks: usize,
    segments: Vec<SegmentRef>,
    /// What those segments list.
    runs: Vec<Arc<Run>>,
    stored: Vec<(PackId, u64)>,
    failed: Option<RepoError>,
}

/// A pack to store: complete, or to be completed first.
pub(crate) enum Outgoing {
    /// Its bytes are complete.
    Draft(Box<PackDraft>),
    /// Its last blocks may still be on their way.
    Open(Unfinished),
}

impl From<PackDraft> for Outgoing {
    fn from(draft: PackDraft) -> Self {
        Self::Draft(Box::new(draft))
    }
}

impl From<Unfinished> for Outgoing {
    fn from(open: Unfinished) -> Self {
        Self::Open(open)
    }
}

impl Uploader {
    /// An uploader for a session.
    pub(crate) fn new(repository: &Repository, session: SessionRef, index: Arc<Index>) -> Self {
        let state = Mutex::new(State::new(session, repository.environment.now().0));
        let keeps_data = AtomicBool::new(false);
        let shared = Shared { repository: repository.clone(), index, keeps_data, state };
        Self { shared: Arc::new(shared), running: Mutex::new(Vec::new()) }
    }

    /// Stores a pack in the background; waits while too many are on their way. Returns whether a
    /// segment was stored since the last call, so that the index knows more.
    pub(crate) fn send(&self, pack: impl Into<Outgoing>) -> Result<bool, RepoError> {
        let draft = match pack.into() {
            Outgoing::Draft(draft) => *draft,
            Outgoing::Open(open) => open.complete(&self.shared.repository)?,
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if self.shared.repository.is_remote() {
            REMOTE_UPLOADS_COUNT_MAX
        } else {
            UPLOADS_COUNT_MAX
        };
        while running.len() >= limit {
            let oldest = running.remove(0);
            oldest.join().map_err(|_panic| RepoError::WorkerLost)?;
        }
        let flushed = self.shared.flush_if_full()?;
        let shared = Arc::clone(&self.shared);
        // Numbered here, so that packs are numbered in the order in which they are given.
        let (session, sequence) = shared.lock().next_number();
        running.push(thread::spawn(move || shared.store(session, sequence, draft)));
        Ok(flushed)
    }

    /// Keeps packs of data on this host from now on.
    pub(crate) fn keep_data(&self) {
        self.shared.keeps_data.store(true, Ordering::Relaxed);
    }

    /// Lists a pack that is stored already.
    pub(crate) fn add_indexed(&self, pack: IndexedPack) -> Result<(), RepoError> {
        self.shared.lock().add(pack);
        self.shared.flush_if_full().map(|_flushed| ())
    }

    /// Waits for every pack and stores the last segment.
    pub(crate) fn finish(&self) -> Result<Vec<SegmentRef>, RepoError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in running.drain(..) {
            thread.join().map_err(|_panic| RepoError::WorkerLost)?;
        }
        self.shared.flush()?;
        Ok(self.shared.lock().segments.clone())
    }

    /// Begins again in another session. Nothing may be on its way.
    pub(crate) fn restart(&self, session: SessionRef) {
        let now = self.shared.repository.environment.now().0;
        let mut state = self.shared.lock();
        let stored = std::mem::take(&mut state.stored);
        *state = State { stored, ..State::new(session, now) };
    }

    /// What the segments of the session list.
    pub(crate) fn runs(&self) -> Vec<Arc<Run>> {
        self.shared.lock().runs.clone()
    }

    /// Stores a heartbeat if nothing was stored for a while.
    pub(crate) fn beat(&self) -> Result<(), RepoError> {
        let now = self.shared.repository.environment.now().0;
        let (session, number) = {
            let mut state = self.shared.lock();
            // A clock that was set back would put the next sign of life far away.
            if now.abs_diff(state.stored_at) < HEARTBEAT_SECONDS {
                return Ok(());
            }
            state.stored_at = now;
            state.next_heartbeat += 1;
            (state.session, state.next_heartbeat)
        };
        store_heartbeat(&self.shared.repository, session, number)
    }

    /// The packs stored so far.
    pub(crate) fn stored_packs(&self) -> Vec<(PackId, u64)> {
        self.shared.lock().stored.clone()
    }
}

impl Shared {
    fn store(&self, session: SessionRef, sequence: u32, draft: PackDraft) {
        let PackDraft { id, sha256, header, header_length, blocks, bytes } = draft;
        let reference = PackRef { session, sequence, id };
        let class = match header.kind {
            PackKind::Data => StorageClass::Data,
            PackKind::Tree => StorageClass::Metadata,
        };
        let stored = create_in(self.repository.store.as_ref(), &reference.key(), &bytes, class);
        let stored = stored.and_then(|()| store_sidecar(&self.repository, &reference, &bytes));
        let is_kept = match header.kind {
            // The next run compares with it.
            PackKind::Tree => true,
            PackKind::Data => self.keeps_data.load(Ordering::Relaxed),
        };
        if stored.is_ok() && is_kept {
            self.repository.keep_pack(header.kind, id, &bytes);
        }
        let mut state = self.lock();
        match stored {
            Ok(()) => {
                state.stored_at = self.repository.environment.now().0;
                let SessionRef { client, epoch, session } = session;
                let length = to_u64(bytes.len());
                let pack = IndexedPack {
                    client,
                    epoch,
                    session,
                    sequence,
                    id,
                    sha256,
                    length,
                    header,
                    header_length,
                    blocks,
                };
                state.stored.push((id, length));
                state.add(pack);
            }
            Err(error) => state.failed = Some(error),
        }
    }

    fn flush_if_full(&self) -> Result<bool, RepoError> {
        let full = self.lock().waiting_chunks >= SEGMENT_CHUNKS_TARGET;
        if full {
            self.flush()?;
        }
        Ok(full)
    }

    /// Index after packs: a crash between the two leaves garbage, never an entry that points
    /// nowhere.
    fn flush(&self) -> Result<(), RepoError> {
        let (mut packs, session, sequence) = {
            let mut state = self.lock();
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            state.waiting_chunks = 0;
            let packs = std::mem::take(&mut state.waiting);
            if packs.is_empty() {
                return Ok(());
            }
            state.next_segment += 1;
            (packs, state.session, state.next_segment)
        };
        packs.sort_unstable_by_key(IndexedPack::reference);
        let segment = Segment { packs };
        let stored = store_segment(&self.repository, session, sequence, &segment)?;
        let run = session_run(&self.repository, stored, segment.packs).map(Arc::new);
        if let Some(run) = &run {
            self.index.add(Arc::clone(run));
        }
        let mut state = self.lock();
        state.segments.push(stored);
        state.runs.extend(run);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(session: SessionRef, now: i64) -> Self {
        Self {
            session,
            stored_at: now,
            next_heartbeat: 0,
            next_pack: 0,
            next_segment: 0,
            waiting: Vec::new(),
            waiting_chunks: 0,
            segments: Vec::new(),
            runs: Vec::new(),
            stored: Vec::new(),
            failed: None,
        }
    }

    /// The number of the next pack in its session.
    fn next_number(&mut self) -> (SessionRef, u32) {
        self.next_pack += 1;
        (self.session, self.next_pack)
    }

    fn add(&mut self, pack: IndexedPack) {
        self.waiting_chunks += pack.blocks.iter().map(|block| block.chunks.len()).sum::<usize>();
        self.waiting.push(pack);
    }
}

/// Packs on their way to the store at one time.
const UPLOADS_COUNT_MAX: usize = 2;
/// Over a network, where a pack may take seconds; each is held in memory meanwhile.
const REMOTE_UPLOADS_COUNT_MAX: usize = 4;
