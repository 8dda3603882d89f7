//! What must hold after a run, whatever happened in it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::simulator::ledger::Expected;
use crate::simulator::ledger::Ledger;
use crate::simulator::world::World;
use crate::support::check_all;
use crate::support::environment;
use crate::support::restore_files;
use crate::support::words;
use sbf_repo::KeyFile;
use sbf_repo::Repository;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::prune::plan_prune;
use sbf_repo::ops::prune::prune;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::Store;
use sbf_repo::testing::open_in;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Examines a world in which nobody acts any more; what is wrong is noted in it.
pub(crate) fn examine(world: &World, key: &KeyFile, ledger: &Ledger) {
    let store: Arc<dyn Store> = Arc::new(world.store.snapshot());
    let examined = Examination { world, key, ledger, store };
    if let Err(error) = examined.run() {
        world.wrong(format!("the last look fails: {}", words(&error)));
    }
}

struct Examination<'a> {
    world: &'a World,
    key: &'a KeyFile,
    ledger: &'a Ledger,
    store: Arc<dyn Store>,
}

impl Examination<'_> {
    fn run(&self) -> Result<(), OpError> {
        let before = self.live(1)?;
        self.check_promises(&before, "before the last prune");
        self.prune()?;
        self.check_freed()?;
        let after = self.live(3)?;
        if before != after {
            self.world.wrong(format!("the last prune changes {before:?} to {after:?}"));
        }
        self.check_restores(&after)?;
        let report = check_all(&self.open(4)?, Depth::ReadData)?;
        if report.is_damaged() {
            self.world.wrong(format!("the last check finds {:?}", report.findings));
        }
        if let Some(unused) = report.findings.iter().find(|found| found.code == "pack.unused") {
            self.world.wrong(format!("after the last prune: {unused:?}"));
        }
        Ok(())
    }

    fn prune(&self) -> Result<(), OpError> {
        let report = prune(&self.open(2)?, &everything(), &NoProgress::new())?;
        self.world.note(format!("the last prune: {report:?}"));
        if report.state == PruneState::Waiting || !report.damaged.is_empty() {
            self.world.wrong(format!("the last prune: {report:?}"));
        }
        Ok(())
    }

    fn open(&self, number: u64) -> Result<Repository, OpError> {
        // No process of a run has such a seed.
        let environment = environment(u64::MAX - number);
        Ok(open_in(&self.store, &environment, self.key, None)?)
    }

    fn live(&self, number: u64) -> Result<BTreeMap<SnapshotId, String>, OpError> {
        let list = snapshots(&self.open(number)?, &SnapshotFilter::new())?;
        if !list.findings.is_empty() {
            self.world.wrong(format!("the last listing finds {:?}", list.findings));
        }
        Ok(list.rows.into_iter().map(|row| (row.snapshot, row.source)).collect())
    }

    fn check_promises(&self, live: &BTreeMap<SnapshotId, String>, when: &str) {
        for (snapshot, note) in self.ledger.notes() {
            let expected = note.expected();
            let is_live = live.contains_key(snapshot);
            if expected == Expected::Live && !is_live {
                self.world.wrong(format!("{when}, snapshot {snapshot} is lost: {note:?}"));
            }
            if expected == Expected::Gone && is_live {
                self.world.wrong(format!("{when}, snapshot {snapshot} still counts: {note:?}"));
            }
        }
    }

    fn check_restores(&self, live: &BTreeMap<SnapshotId, String>) -> Result<(), OpError> {
        let repository = self.open(5)?;
        for (&snapshot, source) in live {
            let (_report, files) = match restore_files(&repository, snapshot, KeepGoing::Stop) {
                Ok(restored) => restored,
                Err(error) => {
                    let text = words(&error);
                    self.world.wrong(format!("snapshot {snapshot} does not restore: {text}"));
                    continue;
                }
            };
            let note = self.ledger.note(snapshot);
            let is_right = if let Some((source, content)) = note.acknowledged {
                content.form(&source) == files
            } else {
                // Its writer was told nothing: it is whole all the same, or it would not count.
                self.ledger.tried(source).iter().any(|content| content.form(source) == files)
            };
            if !is_right {
                self.world.wrong(format!("snapshot {snapshot} restores to other files at last"));
            }
        }
        Ok(())
    }

    /// Nothing is left that nobody needs, and nothing that a second prune would copy again.
    fn check_freed(&self) -> Result<(), OpError> {
        let planned = plan_prune(&self.open(100)?, &everything(), &NoProgress::new())?;
        let plan = planned.plan.unwrap();
        let useless_packs = plan.dead_packs + plan.duplicate_packs + plan.orphaned_packs;
        if useless_packs + plan.repacked_packs + plan.forgotten_snapshots > 0 {
            self.world.wrong(format!("after the last prune is left: {plan:?}"));
        }
        let state = prune(&self.open(101)?, &everything(), &NoProgress::new())?.state;
        if state != PruneState::Nothing {
            self.world.wrong(format!("a prune after the last one comes to {state:?}"));
        }
        Ok(())
    }
}

fn everything() -> PruneOptions {
    let mut options = PruneOptions::new();
    options.fence = FenceLimit::Now;
    options.unused = UnusedLimit::Bytes(0);
    options
}
