//! Copies and compares objects, and replaces what is damaged in a mirror by what is not in its source.
//! Spec: format-spec/15-mirror.md, "What is copied".

use crate::format::pack::PACK_BYTES_MAX;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::mirror::error::MirrorError;
use crate::repo::mirror::place::put;
use crate::repo::mirror::sound::Soundness;
use crate::repo::mirror::sound::judge;
use crate::repo::mirror::survey::Survey;
use crate::repo::mirror::survey::Task;
use crate::repo::repository::Repository;
use crate::store::StoreErrorKind;
use crate::units::to_u64;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// How much of what a mirror has is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Packs, segments and bodies by their names and lengths, all else byte by byte.
    Names,
    /// Everything byte by byte.
    Bytes,
}

/// Who hears of the work, and may end it.
pub(crate) struct Watch<'a> {
    pub(crate) begin: &'a (dyn Fn(&'static str, u64, u64) + Sync),
    pub(crate) advance: &'a (dyn Fn(u64, u64) + Sync),
    pub(crate) is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// Something wrong with an object of one of the places.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) key: ObjectKey,
    pub(crate) kind: FlawKind,
    /// What is wrong with the object, if that is known.
    pub(crate) error: Option<RepoError>,
}

/// What is wrong, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlawKind {
    /// The source's is damaged, and the mirror has a sound one.
    SourceDamaged,
    /// The source's is damaged, and the mirror has none.
    NotCopied,
    /// Both are damaged.
    BothDamaged,
    /// The mirror's was damaged, and was replaced.
    Replaced,
    /// The source lacks it though nothing said that it may go; the mirror has it.
    SourceMissing,
    /// The source lacks a key slot that opens the mirror.
    SlotStays,
}

/// What a copy came to so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) copied: u64,
    pub(crate) copied_bytes: u64,
    pub(crate) compared: u64,
    pub(crate) deleted: u64,
    pub(crate) deleted_bytes: u64,
    /// Dead objects that the mirror's store did not let go.
    pub(crate) undeleted: u64,
    pub(crate) flaws: Vec<Flaw>,
    /// Objects that were gone from the source when they were read.
    pub(crate) vanished: Vec<ObjectKey>,
}

/// Copies the objects of one survey.
pub(crate) struct Copier<'a> {
    pub(crate) survey: &'a Survey,
    pub(crate) place: &'a Repository,
    pub(crate) compare: Compare,
    pub(crate) threads: usize,
    pub(crate) watch: &'a Watch<'a>,
    pub(crate) tally: Mutex<Tally>,
}

impl Copier<'_> {
    /// Copies or compares these objects, several at once; all are durable when it returns.
    pub(crate) fn copy_all(&self, tasks: &[&Task]) -> Result<(), RepoError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<RepoError>> = Mutex::new(None);
        let work = || {
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.copy(task) {
                    next.store(tasks.len(), Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(error);
                    return;
                }
            }
        };
        let threads = self.threads.min(tasks.len());
        if threads <= 1 {
            work();
        } else {
            std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        }
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Copies an object that the mirror lacks, compares one that it has.
    fn copy(&self, task: &Task) -> Result<(), RepoError> {
        if (self.watch.is_cancelled)() {
            return Err(RepoError::Interrupted);
        }
        let Task { key, part, length } = task;
        match self.survey.mirrored.get(key) {
            None => match self.fetch(task)? {
                Fetched::Sound(bytes) => self.put(key, &bytes)?,
                Fetched::Damaged(error) => self.flaw(key, FlawKind::NotCopied, Some(error)),
                Fetched::Gone => {}
            },
            Some(there) if there == length && part.is_named_by_hash() => {
                if self.compare == Compare::Bytes {
                    self.compare_bytes(task, *there)?;
                }
            }
            Some(there) => self.compare_bytes(task, *there)?,
        }
        (self.watch.advance)(1, *length);
        Ok(())
    }

    fn compare_bytes(&self, task: &Task, there: u64) -> Result<(), RepoError> {
        let Task { key, part, .. } = task;
        let source = &self.survey.source;
        let mirrored = match read(self.place, key, there) {
            Ok(bytes) => judged(judge(source, key, *part, &bytes), bytes),
            Err(error) if self.place.is_damage(&error) => Judged::Damaged,
            Err(error) => return Err(error),
        };
        self.tally().compared += 1;
        // Its name says what it is: the source need not be read.
        if part.is_named_by_hash() && matches!(mirrored, Judged::Sound(_)) && there == task.length {
            return Ok(());
        }
        match (self.fetch(task)?, mirrored) {
            (Fetched::Sound(bytes), Judged::Sound(other) | Judged::Unknown(other)) => {
                if bytes != other {
                    let (key, location) = (key.to_string(), self.place.location());
                    return Err(MirrorError::TwoBodies { key, location }.into());
                }
            }
            (Fetched::Sound(bytes), Judged::Damaged) => {
                // A crash between the two leaves none, and the next run copies it.
                self.place.store.delete(key)?;
                self.put(key, &bytes)?;
                self.flaw(key, FlawKind::Replaced, None);
            }
            (Fetched::Damaged(error), Judged::Sound(_) | Judged::Unknown(_)) => {
                self.flaw(key, FlawKind::SourceDamaged, Some(error));
            }
            (Fetched::Damaged(error), Judged::Damaged) => {
                self.flaw(key, FlawKind::BothDamaged, Some(error));
            }
            (Fetched::Gone, _) => {}
        }
        Ok(())
    }

    /// Reads an object of the source. One that seems damaged is read twice: it may be the way.
    fn fetch(&self, task: &Task) -> Result<Fetched, RepoError> {
        let source = &self.survey.source;
        let Task { key, part, length } = task;
        let mut first = None;
        for _attempt in 0..READ_ATTEMPTS {
            let error = match read(source, key, *length) {
                Ok(bytes) => match judge(source, key, *part, &bytes) {
                    Soundness::Sound | Soundness::Unknown => return Ok(Fetched::Sound(bytes)),
                    Soundness::Damaged(error) => error,
                },
                Err(RepoError::Store { source }) if source.kind == StoreErrorKind::NotFound => {
                    self.tally().vanished.push(key.clone());
                    return Ok(Fetched::Gone);
                }
                Err(error) if source.is_damage(&error) => error,
                Err(error) => return Err(error),
            };
            first = first.or(Some(error));
        }
        Ok(first.map_or(Fetched::Gone, Fetched::Damaged))
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), RepoError> {
        put(self.place, key, bytes)?;
        let mut tally = self.tally();
        tally.copied += 1;
        tally.copied_bytes += to_u64(bytes.len());
        Ok(())
    }

    /// Notes something wrong.
    pub(crate) fn flaw(&self, key: &ObjectKey, kind: FlawKind, error: Option<RepoError>) {
        self.tally().flaws.push(Flaw { key: key.clone(), kind, error });
    }

    /// What was done so far.
    pub(crate) fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fetched {
    Sound(Vec<u8>),
    Damaged(RepoError),
    Gone,
}

enum Judged {
    Sound(Vec<u8>),
    Unknown(Vec<u8>),
    Damaged,
}

fn judged(soundness: Soundness, bytes: Vec<u8>) -> Judged {
    match soundness {
        Soundness::Sound => Judged::Sound(bytes),
        Soundness::Unknown => Judged::Unknown(bytes),
        Soundness::Damaged(_error) => Judged::Damaged,
    }
}

fn read(repository: &Repository, key: &ObjectKey, length: u64) -> Result<Vec<u8>, RepoError> {
    // No object is longer than a pack: what claims to be is damaged, and is not read into memory.
    Ok(repository.store.read(key, length.min(PACK_BYTES_MAX))?)
}

const READ_ATTEMPTS: u32 = 2;
