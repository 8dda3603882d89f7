//! `mirror`: copies a whole repository, object by object, and makes a repository of a copy.

use crate::ops::check::CheckOptions;
use crate::ops::check::Depth;
use crate::ops::check::check;
use crate::ops::doctor::ProbeReport;
use crate::ops::doctor::probe_new;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::any_loss;
use crate::ops::finding::chain_words;
use crate::ops::location::OpenOptions;
use crate::ops::location::locate;
use crate::ops::location::locate_mirror;
use crate::ops::location::reopen;
use crate::ops::progress::Progress;
use crate::ops::words::time_words;
use crate::repo::mirror::copier::Compare;
use crate::repo::mirror::copier::Flaw;
use crate::repo::mirror::copier::FlawKind;
use crate::repo::mirror::copier::Watch;
use crate::repo::mirror::deletes::StaleSlots;
use crate::repo::mirror::place::open_place;
use crate::repo::mirror::promote;
use crate::repo::mirror::run::Order;
use crate::repo::mirror::run::run;
use crate::repo::mode::mode_of;
use crate::repo::repository::Repository;
use serde::Serialize;

/// How to mirror.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MirrorOptions {
    /// How much of what the mirror has is read again.
    pub reread: Reread,
    /// What becomes of the mirror's key slots that the repository no longer has.
    pub stale_slots: SlotChoice,
    /// Objects that are copied at the same time.
    pub threads: usize,
}

/// How much of what a mirror has is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reread {
    /// What has no hash in its name.
    Small,
    /// Every object.
    All,
}

/// What becomes of key slots that the repository no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotChoice {
    /// They stay, and are named.
    Keep,
    /// They are deleted.
    Delete,
}

impl MirrorOptions {
    /// Reads again what is small, deletes no key slots, and copies a few objects at a time.
    pub const fn new() -> Self {
        Self { reread: Reread::Small, stale_slots: SlotChoice::Keep, threads: THREADS }
    }
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What mirroring did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MirrorReport {
    /// Where the mirror is.
    pub location: String,
    /// The mirror shows the repository as it was at this time, RFC 3339 in UTC.
    pub shows: String,
    /// Snapshots that it has.
    pub snapshots: u64,
    /// Objects that were copied.
    pub copied_objects: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that were read in both places.
    pub compared_objects: u64,
    /// Objects that were deleted in the mirror.
    pub deleted_objects: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Dead objects that could not be deleted, for lack of the right.
    pub undeleted_objects: u64,
    /// What is wrong with objects of either place.
    pub findings: Vec<Finding>,
}

impl MirrorReport {
    /// Whether an object of the repository or of its mirror is lost.
    pub fn is_damaged(&self) -> bool {
        any_loss(&self.findings)
    }
}

/// What a promoted mirror is.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PromoteReport {
    /// Where it is.
    pub location: String,
    /// The name of its history, which it shares with nobody.
    pub history: String,
    /// Snapshots that it has.
    pub snapshots: u64,
    /// The time whose state it shows, RFC 3339 in UTC, if its mirroring was ever complete.
    pub shows: Option<String>,
    /// What its store was found to do.
    pub probe: ProbeReport,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// It is open, as the repository that it is now.
    #[serde(skip)]
    pub opened: Repository,
}

/// Whether a mirror in which something is missing may be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incomplete {
    /// It is refused.
    Refuse,
    /// It is.
    Accept,
}

/// How far a mirror is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lag {
    /// Where its source is; empty if that is not known.
    pub source: String,
    /// It shows the state of this time, RFC 3339 in UTC; `None` if it was never complete.
    pub shows: Option<String>,
    /// Seconds since then, by this host's clock.
    pub behind_seconds: Option<i64>,
}

/// Copies everything of `source` that counts to `to`, and deletes there what collections deleted.
///
/// Errors: a place that is no mirror of `source`; [`crate::MirrorError::WentBack`] and
/// [`crate::MirrorError::TwoBodies`]; what either store says. Damage is in the report.
pub fn mirror(
    source: &Repository,
    to: &OpenOptions,
    options: &MirrorOptions,
    progress: &dyn Progress,
) -> Result<MirrorReport, OpError> {
    if source.location() == to.location.to_string() {
        return Err(OpError::Usage { why: "a repository is no mirror of itself".to_owned() });
    }
    let place = open_place(source, &locate_mirror(to)?).during("cannot use the mirror")?;
    let order = Order {
        compare: match options.reread {
            Reread::Small => Compare::Names,
            Reread::All => Compare::Bytes,
        },
        slots: match options.stale_slots {
            SlotChoice::Keep => StaleSlots::Keep,
            SlotChoice::Delete => StaleSlots::Delete,
        },
        threads: options.threads.max(1),
    };
    let watch = Watch {
        begin: &|phase, objects, bytes| progress.begin(phase, objects, bytes),
        advance: &|objects, bytes| progress.advance(objects, bytes),
        is_cancelled: &|| progress.is_cancelled(),
    };
    let summary = run(source, &place, order, &watch).during("cannot mirror the repository")?;
    let tally = summary.tally;
    Ok(MirrorReport {
        location: place.location(),
        shows: time_words(summary.time, 0),
        snapshots: summary.snapshots,
        copied_objects: tally.copied,
        copied_bytes: tally.copied_bytes,
        compared_objects: tally.compared,
        deleted_objects: tally.deleted,
        deleted_bytes: tally.deleted_bytes,
        undeleted_objects: tally.undeleted,
        findings: tally.flaws.iter().map(finding).collect(),
    })
}

/// Makes a repository of its own of a mirror, once it is checked and its store is tried out.
///
/// Errors: what is no mirror; [`OpError::Refused`] if something is missing in it.
pub fn promote_mirror(
    repository: &Repository,
    options: &OpenOptions,
    incomplete: Incomplete,
    progress: &dyn Progress,
) -> Result<PromoteReport, OpError> {
    let what = "cannot promote the mirror";
    promote::check_promotable(repository).during(what)?;
    let checked = check(&repository.as_promoted(), &CheckOptions::new(Depth::Structure), progress)?;
    if checked.is_damaged() && incomplete == Incomplete::Refuse {
        let first = checked.findings.first().map(Finding::words).unwrap_or_default();
        let why = format!(
            "the mirror lacks something, {} in all: {first}; mirror once more, or promote it as it is \
             with `--incomplete`",
            checked.findings_count
        );
        return Err(OpError::Refused { why });
    }
    let probe = probe_new(&locate(options)?, &options.location)?;
    let history = promote::promote(repository, mode_of(&probe)).during(what)?;
    let opened = reopen(options, repository)?;
    Ok(PromoteReport {
        opened,
        location: repository.location(),
        history: history.to_string(),
        snapshots: checked.snapshots,
        shows: lag(repository).and_then(|lag| lag.shows),
        probe,
        findings: checked.findings,
    })
}

/// How far a repository is behind, if it is a mirror.
pub fn lag(repository: &Repository) -> Option<Lag> {
    let mirror = repository.mirror.as_ref().filter(|_mirror| repository.is_mirror())?;
    let now = repository.environment.now().0;
    Some(Lag {
        source: mirror.source.clone(),
        shows: mirror.shows.map(|time| time_words(time, 0)),
        behind_seconds: mirror.shows.map(|time| now.saturating_sub(time).max(0)),
    })
}

fn finding(flaw: &Flaw) -> Finding {
    let Flaw { key, kind, error } = flaw;
    let object = key.to_string();
    let why = error.as_ref().map(|error| format!(": {}", chain_words(error))).unwrap_or_default();
    let (code, severity, effect, remedy) = match kind {
        FlawKind::SourceDamaged => (
            "mirror.source_damaged",
            Severity::Loss,
            format!(
                "it is damaged in the repository, and sound in the mirror, which keeps it{why}"
            ),
            HEAL_REMEDY,
        ),
        FlawKind::NotCopied => (
            "mirror.not_copied",
            Severity::Loss,
            format!("it is damaged or missing in the repository, and not in the mirror{why}"),
            CHECK_REMEDY,
        ),
        FlawKind::BothDamaged => (
            "mirror.both_damaged",
            Severity::Loss,
            format!("it is damaged in the repository and in the mirror{why}"),
            CHECK_REMEDY,
        ),
        FlawKind::SourceMissing => (
            "mirror.source_missing",
            Severity::Loss,
            "the repository lost it, and the mirror keeps it".to_owned(),
            HEAL_REMEDY,
        ),
        FlawKind::Replaced => (
            "mirror.replaced",
            Severity::Notice,
            "it was damaged in the mirror, and is sound again".to_owned(),
            "look after the mirror's store",
        ),
        FlawKind::SlotStays => (
            "mirror.slot_stays",
            Severity::Notice,
            "the repository no longer has this key slot, and it still opens the mirror".to_owned(),
            "run `sbf-repo mirror` with `--delete-key-slots` to delete it there, too",
        ),
    };
    Finding { code, severity, object, effect, remedy: remedy.to_owned() }
}

const HEAL_REMEDY: &str = "run `sbf-repo check --read-data --heal-from` with the mirror, which stores again \
     what was lost; until then, read from it with `--from-copy`";
const CHECK_REMEDY: &str =
    "run `sbf-repo check --read-data` on the repository to see what that costs";
/// Objects that are copied at the same time: each is held in memory.
const THREADS: usize = 4;
