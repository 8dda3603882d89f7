//! Power loss under backups and prunes of a repository in a directory: at every change of the disk, and with subsets of
//! what was not synced. What was acknowledged restores, and the next prune ends what was begun.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Kept;
use crate::prune_desk::prune_in;
use crate::prune_desk::write;
use crate::support::assert_sound;
use crate::support::init;
use crate::support::open;
use sbf_repo::KeyFile;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::testing::PosixHandle;
use sbf_repo::testing::SimDisk;
use sbf_repo::testing::Store;
use sbf_repo::testing::forget_in;
use std::sync::Arc;

/// Subsets of what was not synced that are tried at each change; `tools/powerloss` asks for more.
const SUBSETS: usize = 2;
const SEED: u64 = 0x5bf1;
/// What another order of copying may cost, far less than a chunk.
const SLACK_BYTES: u64 = 1024;

/// A disk with a repository: one snapshot that counts, and one that is forgotten.
struct Machine {
    disk: SimDisk,
    key: KeyFile,
    live: Kept,
}

impl Machine {
    fn new() -> Self {
        let disk = SimDisk::new();
        let store = store_on(&disk);
        let key = init(&store, 1).unwrap();
        let (forgotten, _files) = write(&store, &key, 2, 0).unwrap();
        let live = write(&store, &key, 3, 1).unwrap();
        forget_in(&open(&store, &key, 4, None).unwrap(), &[forgotten]).unwrap();
        Self { disk, key, live }
    }

    /// Another machine with the same disk, on which nothing waits to be synced.
    fn copy(&self) -> SimDisk {
        self.disk.after_power_loss(&vec![true; self.disk.pending()])
    }

    /// Runs `deed` until each of its changes in turn, and calls `check` with the store after power
    /// came back.
    fn at_each_change<R>(
        &self,
        deed: impl Fn(&Arc<dyn Store>) -> R,
        check: impl Fn(&Arc<dyn Store>, &R, &str),
    ) {
        let whole = self.copy();
        deed(&store_on(&whole));
        let count = whole.operations();
        assert!(count > 50, "{count} changes");
        for change in 0..=count {
            let disk = self.copy();
            disk.stop_at(change);
            let done = deed(&store_on(&disk));
            for (number, kept) in disk.survivors(subsets(), SEED + change).iter().enumerate() {
                let after = disk.after_power_loss(kept);
                check(&store_on(&after), &done, &format!("change {change}, subset {number}"));
            }
        }
    }

    #[track_caller]
    fn assert_sound(&self, store: &Arc<dyn Store>, expected: &[Kept], case: &str) {
        assert_sound(&open(store, &self.key, 900, None).unwrap(), expected, case);
    }

    /// Prunes until nothing is left to do; nothing that is not needed is stored then.
    #[track_caller]
    fn tidy(&self, store: &Arc<dyn Store>, case: &str) -> u64 {
        let mut options = PruneOptions::new();
        options.fence = FenceLimit::Now;
        options.unused = UnusedLimit::Bytes(0);
        let pruned = prune_in(store, &self.key, 901, &options);
        assert!(pruned.is_ok(), "{case}: {pruned:?}");
        let again = prune_in(store, &self.key, 902, &options);
        assert!(again.is_ok(), "{case}: {again:?}");
        store.list("packs").unwrap().iter().map(|listed| listed.length).sum()
    }
}

fn store_on(disk: &SimDisk) -> Arc<dyn Store> {
    PosixHandle::on(disk).store()
}

#[expect(clippy::disallowed_methods, reason = "tests are told how long to go on")]
fn subsets() -> usize {
    let told = std::env::var("SBF_REPO_POWER_LOSS_SUBSETS").ok();
    told.map_or(SUBSETS, |told| told.parse().unwrap())
}

#[test]
fn a_prune_that_loses_power_loses_nothing_and_is_ended_by_the_next() {
    let machine = Machine::new();
    let whole = store_on(&machine.copy());
    let needed_bytes = machine.tidy(&whole, "whole");
    machine.at_each_change(
        |store| prune_in(store, &machine.key, 5, &PruneOptions::new()).is_ok(),
        |store, _done, case| {
            let expected = std::slice::from_ref(&machine.live);
            machine.assert_sound(store, expected, case);
            let left_bytes = machine.tidy(store, case);
            assert!(left_bytes <= needed_bytes + SLACK_BYTES, "{case}: {left_bytes}");
            machine.assert_sound(store, expected, case);
        },
    );
}

#[test]
fn a_backup_that_loses_power_after_it_was_acknowledged_is_there() {
    let machine = Machine::new();
    machine.at_each_change(
        |store| write(store, &machine.key, 5, 2).ok(),
        |store, done, case| {
            let mut expected = vec![machine.live.clone()];
            expected.extend(done.clone());
            let listed = snapshot_count(&machine, store);
            // One whose answer never came may count.
            assert!(listed == expected.len() || done.is_none() && listed == 2, "{case}: {listed}");
            if listed == expected.len() {
                machine.assert_sound(store, &expected, case);
                machine.tidy(store, case);
                machine.assert_sound(store, &expected, case);
            }
        },
    );
}

fn snapshot_count(machine: &Machine, store: &Arc<dyn Store>) -> usize {
    use sbf_repo::ops::look::SnapshotFilter;
    use sbf_repo::ops::look::snapshots;
    let repository = open(store, &machine.key, 903, None).unwrap();
    snapshots(&repository, &SnapshotFilter::new()).unwrap().rows.len()
}
