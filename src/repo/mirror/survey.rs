//! What a repository and its mirror hold, and whether the repository went back.
//! Spec: format-spec/15-mirror.md, "What is copied".

use crate::format::gc::Step;
use crate::format::layout;
use crate::format::layout::GcObject;
use crate::format::mirror::Receipt;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::history::Chain;
use crate::repo::history::History;
use crate::repo::identities::Identities;
use crate::repo::mirror::error::MirrorError;
use crate::repo::mirror::part::Part;
use crate::repo::mirror::part::Stage;
use crate::repo::mirror::place::Objects;
use crate::repo::mirror::place::objects_of;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Both places at one moment.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The source, with the identities that it has now.
    pub(crate) source: Repository,
    /// What is valid in the source, as far as it can be read.
    pub(crate) history: History,
    /// The newest registers of the source.
    pub(crate) chain: Chain,
    /// When the source was listed, in seconds since 1970.
    pub(crate) time: i64,
    /// What is copied.
    pub(crate) tasks: Vec<Task>,
    /// Every object of the source that a mirror may have.
    pub(crate) present: Objects,
    /// Every object of the mirror.
    pub(crate) mirrored: Objects,
    /// Outcomes that count, and when they were received.
    pub(crate) receipts: Vec<Receipt>,
}

/// An object to be copied or compared.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) key: ObjectKey,
    pub(crate) part: Part,
    pub(crate) length: u64,
}

impl Survey {
    /// Lists the mirror, then its source: whatever the mirror has then, the source had before.
    pub(crate) fn take(source: &Repository, place: &Repository) -> Result<Self, RepoError> {
        let mirrored = objects_of(&place.located())?;
        let time = source.mirror.as_ref().filter(|_mirror| source.is_mirror());
        let time = match time {
            // The mirror of a mirror shows no more than that.
            Some(mirror) => mirror.shows.unwrap_or_default(),
            None => source.environment.now().0,
        };
        let chain = Chain::load(source)?;
        let mut present = Objects::new();
        let mut receipts = Vec::new();
        let mut outcomes = BTreeMap::new();
        for folder in LISTED {
            for listed in source.store.list(folder)? {
                if let Some(Part::Outcome(session)) = Part::of(&listed.key) {
                    let received = source.received(session, &listed);
                    outcomes.insert(session.session, received);
                    if session.epoch >= chain.verdict {
                        receipts.push(Receipt { session: session.session, received });
                    }
                }
                present.insert(listed.key, listed.length);
            }
        }
        let config = layout::config_key();
        let length = source.store.length(&config)?;
        present.insert(config, length);
        // As the store has it now, whatever this host keeps.
        let source = source.without_kept();
        let identities = Arc::new(Identities::load(&source)?);
        let source = Repository { identities, ..source };
        let history = History::load_readable(&source)?;
        let mut survey =
            Self { source, history, chain, time, tasks: Vec::new(), present, mirrored, receipts };
        survey.tasks = survey.plan();
        // Outcomes as they were received: whatever one relies on was there before.
        survey.tasks.sort_by_cached_key(|task| {
            let outcome = task.part.outcome();
            let received = outcome.and_then(|session| outcomes.get(&session.session).copied());
            (task.part.stage(), received, task.key.clone())
        });
        Ok(survey)
    }

    /// Whether the newest verdict of the source can be read: only then anything is dead.
    pub(crate) fn is_decided(&self) -> bool {
        self.history.verdict.number == self.chain.verdict
    }

    /// The tasks of a step, in order.
    pub(crate) fn tasks_of(&self, stage: Stage) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(move |task| task.part.stage() == stage)
    }

    /// Refuses a source that went back: one that lacks what a mirror has beyond its last object.
    pub(crate) fn check_not_behind(&self, location: &str) -> Result<(), RepoError> {
        for key in self.mirrored.keys().filter(|key| !self.present.contains_key(*key)) {
            let Some(part) = Part::of(key) else { continue };
            let went_back = if let Some(session) = part.outcome() {
                session.epoch >= self.chain.verdict
            } else if let Some((number, step)) = part.register() {
                number > self.newest(step)
            } else {
                part.is_numbered() && self.is_beyond_last(key)
            };
            if went_back {
                let (key, location) = (key.to_string(), location.to_owned());
                return Err(MirrorError::WentBack { key, location }.into());
            }
        }
        Ok(())
    }

    /// What of the source counts for something, or may.
    fn plan(&self) -> Vec<Task> {
        let epoch_min = self.history.verdict.number;
        let decided = if self.is_decided() { self.chain.plan } else { epoch_min };
        let counts = |part: &Part| match *part {
            Part::Pack(pack) => !self.history.removed.contains(&pack),
            Part::Segment(segment) => {
                segment.session.epoch >= epoch_min || self.history.segments.contains(&segment)
            }
            Part::Outcome(session) => session.epoch >= epoch_min,
            // Those behind a verdict that cannot be read would hide what can be.
            Part::Body(number, _) | Part::Register(number, _) => number <= decided.max(epoch_min),
            Part::Slot
            | Part::Identity
            | Part::Amendment
            | Part::Config
            | Part::Manifest(_)
            | Part::Statement
            | Part::Forget => true,
        };
        let task = |(key, length): (&ObjectKey, &u64)| {
            let part = Part::of(key).filter(counts)?;
            Some(Task { key: key.clone(), part, length: *length })
        };
        self.present.iter().filter_map(task).collect()
    }

    fn newest(&self, step: Step) -> u64 {
        let number = |key: &ObjectKey| match layout::parse_gc_key(key) {
            Ok((number, GcObject::Plan)) if step == Step::Plan => Some(number),
            Ok((number, GcObject::Verdict)) if step == Step::Verdict => Some(number),
            Ok((number, GcObject::Done)) if step == Step::Done => Some(number),
            Ok(_) | Err(_) => None,
        };
        self.present.keys().filter_map(number).max().unwrap_or(0)
    }

    /// Whether every object of the same folder in the source comes before this key.
    fn is_beyond_last(&self, key: &ObjectKey) -> bool {
        let folder = folder_of(key);
        let after = self.present.range(key.clone()..);
        !after.into_iter().take_while(|(other, _)| folder_of(other) == folder).any(|_other| true)
    }
}

fn folder_of(key: &ObjectKey) -> &str {
    key.as_str().rsplit_once('/').map_or("", |(folder, _name)| folder)
}

/// The folders of what is copied, in the order in which they are listed: whatever refers to another
/// object before that; forgets before the records that keep snapshots.
const LISTED: [&str; 12] = [
    layout::GC,
    layout::OUTCOMES,
    layout::FORGET,
    layout::RECORDS,
    layout::AUDIT,
    layout::INVENTORY,
    layout::MANIFESTS,
    layout::INDEX,
    layout::PACKS,
    layout::KEYS,
    layout::IDENTITIES,
    layout::AMENDMENTS,
];
