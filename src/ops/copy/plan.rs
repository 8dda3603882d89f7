//! Which snapshots are to be copied, and which of them the other repository has.

use crate::format::manifest::Manifest;
use crate::format::manifest::SnapshotOrigin;
use crate::id::SnapshotId;
use crate::ops::commit::StoredTree;
use crate::ops::copy::earlier::Pair;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::moved::is_missing_there;
use crate::ops::moved::unless_moved;
use crate::ops::select::Selector;
use crate::ops::select::data_time;
use crate::ops::unreadable::history_finding;
use crate::ops::words::parse_time;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::repository::Repository;
use std::collections::HashMap;

/// A snapshot that was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) live: LiveSnapshot,
    pub(crate) manifest: Manifest,
    /// The time of its data.
    pub(crate) time: (i64, u32),
}

/// What was chosen, oldest data first.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) history: History,
    pub(crate) chosen: Vec<Chosen>,
    pub(crate) findings: Vec<Finding>,
}

/// What the other repository has.
#[derive(Debug, Default)]
pub(crate) struct Present {
    copies: HashMap<Identity, Standing>,
    /// Snapshots that this client copied from the source.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) findings: Vec<Finding>,
}

/// A snapshot that the other repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It counts there.
    Live(SnapshotId),
    /// It was forgotten there, and is still stored.
    Forgotten(SnapshotId),
}

/// A repository and a snapshot of it: what stays the same through copies.
type Identity = (String, String);

/// Finds the snapshots that selectors name, or all.
pub(crate) fn choose(source: &Repository, selectors: &[Selector]) -> Result<Choice, OpError> {
    let what = "cannot read what is valid";
    let choose = || {
        let history = History::load_readable(source).during(what)?;
        let mut choice = Choice::default();
        choice.findings.extend(history.unreadable.iter().map(history_finding));
        if selectors.is_empty() {
            source.keep_manifests_ahead(&history.snapshots);
            for live in &history.snapshots {
                choice.add(source, live)?;
            }
        } else {
            choice.add_selected(source, &history, selectors)?;
        }
        // In this order the other repository receives them, too: times that contradict it look
        // like a clock that lies.
        choice.chosen.sort_by_key(|chosen| {
            let finished = parse_time(&chosen.manifest.predicate.times.finished);
            (chosen.time, chosen.live.received, finished)
        });
        choice.history = history;
        Ok(choice)
    };
    unless_moved(source, choose, |chosen| {
        is_missing_there(chosen) || chosen.as_ref().is_ok_and(|choice| !choice.findings.is_empty())
    })
}

impl Choice {
    /// Drops all but the newest `count` snapshots of each source.
    pub(crate) fn keep_newest(&mut self, count: u32) {
        let mut kept: HashMap<String, u32> = HashMap::new();
        let mut newest_first: Vec<Chosen> = std::mem::take(&mut self.chosen);
        newest_first.reverse();
        newest_first.retain(|chosen| {
            let of_source = kept.entry(chosen.live.source.clone()).or_default();
            *of_source += 1;
            *of_source <= count
        });
        newest_first.reverse();
        self.chosen = newest_first;
    }

    fn add_selected(
        &mut self,
        source: &Repository,
        history: &History,
        selectors: &[Selector],
    ) -> Result<(), OpError> {
        for selector in selectors {
            if selector.has_path() {
                let why = "a path in a snapshot cannot be meant here; name the snapshot".to_owned();
                return Err(OpError::Usage { why });
            }
            let selected = selector.select_in(source, history)?;
            let (live, manifest) = (selected.live, selected.manifest);
            if self.chosen.iter().any(|chosen| chosen.live.snapshot == live.snapshot) {
                continue;
            }
            let time = data_time(&live, &manifest);
            self.chosen.push(Chosen { live, manifest, time });
        }
        Ok(())
    }

    fn add(&mut self, source: &Repository, live: &LiveSnapshot) -> Result<(), OpError> {
        match live.manifest(source) {
            Ok(manifest) => {
                let time = data_time(live, &manifest);
                self.chosen.push(Chosen { live: live.clone(), manifest, time });
            }
            Err(error) if source.is_damage(&error) => {
                let object = format!("snapshot {} ({})", live.snapshot.short(), live.source);
                let effect = format!(
                    "it is not copied, since its manifest is damaged: {}",
                    chain_words(&error)
                );
                self.findings.push(Finding::loss("manifest.damaged", object, effect));
            }
            Err(error) => return Err(error).during("cannot read the manifest of a snapshot"),
        }
        Ok(())
    }
}

impl Present {
    /// Looks at every manifest of the other repository.
    pub(crate) fn load(source: &Repository, target: &Repository) -> Result<Self, OpError> {
        let load = || {
            let what = "cannot read what is valid in the other repository";
            let history = History::load(target).during(what)?;
            let mut present = Self::default();
            target.keep_manifests_ahead(&history.snapshots);
            for live in &history.forgotten {
                let standing = Standing::Forgotten(live.snapshot);
                present.add(source, target, live, standing)?;
            }
            // One that counts stands before one that was forgotten.
            for live in &history.snapshots {
                present.add(source, target, live, Standing::Live(live.snapshot))?;
            }
            Ok(present)
        };
        unless_moved(target, load, |loaded| {
            is_missing_there(loaded)
                || loaded.as_ref().is_ok_and(|present| !present.findings.is_empty())
        })
    }

    /// What the other repository has of a snapshot: a copy, the original, or a copy of the same
    /// original.
    pub(crate) fn standing(&self, source: &Repository, chosen: &Chosen) -> Option<Standing> {
        let identities = identities(source, chosen.live.snapshot, &chosen.manifest);
        identities.iter().find_map(|identity| self.copies.get(identity).copied())
    }

    fn add(
        &mut self,
        source: &Repository,
        target: &Repository,
        live: &LiveSnapshot,
        standing: Standing,
    ) -> Result<(), OpError> {
        let manifest = match live.manifest(target) {
            Ok(manifest) => manifest,
            Err(error) if target.is_damage(&error) => {
                let object = format!("snapshot {} of {}", live.snapshot.short(), target.location());
                let why = chain_words(&error);
                let effect = format!("what it is a copy of is not known, and is copied: {why}");
                self.findings.push(Finding::notice("manifest.damaged", object, effect));
                return Ok(());
            }
            Err(error) => {
                return Err(error).during("cannot read the manifests of the other repository");
            }
        };
        for identity in identities(target, live.snapshot, &manifest) {
            self.copies.insert(identity, standing);
        }
        // What others say they copied is believed if the question is whether to copy it, and not
        // if it is what the content is.
        if matches!(standing, Standing::Live(_)) && live.client == target.client() {
            self.pairs.extend(pair(source, live, &manifest));
        }
        Ok(())
    }
}

fn pair(source: &Repository, live: &LiveSnapshot, manifest: &Manifest) -> Option<Pair> {
    let origin = manifest.predicate.origin.as_ref()?;
    if origin.repository != source.id().to_string() {
        return None;
    }
    let (node, height) = manifest.root()?;
    Some(Pair {
        source: live.source.clone(),
        time: data_time(live, manifest),
        origin: origin.snapshot.parse().ok()?,
        copy: live.snapshot,
        tree: StoredTree { node, height, totals: manifest.predicate.totals.into() },
    })
}

fn identities(repository: &Repository, snapshot: SnapshotId, manifest: &Manifest) -> Vec<Identity> {
    let own = (repository.id().to_string(), snapshot.to_string());
    let origin = manifest.predicate.origin.as_ref();
    let origin = origin
        .map(|SnapshotOrigin { repository, snapshot, .. }| (repository.clone(), snapshot.clone()));
    std::iter::once(own).chain(origin).collect()
}
