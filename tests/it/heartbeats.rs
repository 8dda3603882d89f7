//! Sessions of slow processes give signs of life, so that nobody takes them for dead.
//! Spec: format-spec/09-session.md, "Heartbeat".

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::write_files;
use sbf_repo::Environment;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneReport;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::prune::prune;
use sbf_repo::testing::Call;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::FixedEnvironment;
use sbf_repo::testing::Store;
use sbf_repo::testing::open_in;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

/// A clock that goes on with every call to the store.
#[derive(Debug)]
struct SlowClock {
    seconds: AtomicI64,
    random: FixedEnvironment,
}

impl Environment for SlowClock {
    fn now(&self) -> (i64, u32) {
        (self.seconds.load(Ordering::SeqCst), 0)
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.random.fill_random(buffer);
    }
}

/// What a prune came to whose calls take a minute each.
struct SlowPrune {
    report: PruneReport,
    /// The longest time, in seconds, for which a session gave no sign of life, by the step of the
    /// collection: before the plan, and after it.
    silence: [i64; 2],
    /// The call that creates the plan.
    planned_at: u64,
}

/// Prunes; `before_plan` is what others do before the plan is there.
fn prune_slowly(desk: &Desk, before_plan: Option<(u64, Box<dyn FnOnce() + Send>)>) -> SlowPrune {
    let clock = Arc::new(SlowClock {
        seconds: AtomicI64::new(START),
        random: FixedEnvironment::new(START, 900),
    });
    let slow = Arc::new(FaultStore::new(desk.shared()));
    let silence = Arc::new(Mutex::new([0; 2]));
    let (at, mut others) = before_plan.map_or((u64::MAX, None), |(at, do_it)| (at, Some(do_it)));
    for call in 0..CALLS_MAX {
        let (clock, store, silence) =
            (Arc::clone(&clock), Arc::clone(&desk.store), Arc::clone(&silence));
        let others = others.take_if(|_others| call == at);
        slow.interleave_at(call, move || {
            let now = clock.seconds.fetch_add(CALL_SECONDS, Ordering::SeqCst) + CALL_SECONDS;
            store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(now.unsigned_abs())));
            if let Some(others) = others {
                others();
            }
            let stage = usize::from(!store.list("gc").unwrap().is_empty());
            let longest = &mut silence.lock().unwrap()[stage];
            *longest = silence_of(store.as_ref(), now).max(*longest);
        });
    }
    let environment: Arc<dyn Environment> = clock;
    let shared: Arc<dyn Store> = Arc::<FaultStore<_>>::clone(&slow);
    let repository = open_in(&shared, &environment, &desk.key, None).unwrap();
    let mut options = PruneOptions::new();
    options.unused = UnusedLimit::Bytes(0);
    let report = prune(&repository, &options, &NoProgress::new()).unwrap();
    assert!(slow.operations() < CALLS_MAX, "{} calls", slow.operations());
    let is_plan = |key: &str| key == "gc/000000000001/plan";
    let trace = slow.trace();
    let plan = trace.iter().find(|traced| traced.call == Call::Create && is_plan(&traced.key));
    let silence = *silence.lock().unwrap();
    SlowPrune { report, silence, planned_at: plan.unwrap().operation }
}

/// The longest time since an open session stored something; none is open that a verdict closed.
fn silence_of(store: &dyn Store, now: i64) -> i64 {
    let name = |key: &str, at: usize| key.split('/').nth(at).unwrap().to_owned();
    let mut newest: HashMap<String, i64> = HashMap::new();
    for (folder, at) in [("sessions", 3), ("packs", 3), ("index", 3), ("heartbeats", 2)] {
        for listed in store.list(folder).unwrap() {
            let since = listed.received.unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let newest = newest.entry(name(listed.key.as_str(), at)).or_default();
            *newest = i64::try_from(since).unwrap().max(*newest);
        }
    }
    let decided = store.list("outcomes").unwrap();
    let decided: HashSet<_> = decided.iter().map(|of| name(of.key.as_str(), 3)).collect();
    let has_verdict = store.length(&ObjectKey::new("gc/000000000001/verdict").unwrap()).is_ok();
    let open = store.list("sessions").unwrap().into_iter();
    let open = open.filter(|of| !has_verdict || name(of.key.as_str(), 2) != "000000000000");
    let open = open.map(|of| name(of.key.as_str(), 3)).filter(|of| !decided.contains(of));
    open.map(|session| now - newest[&session]).max().unwrap_or_default()
}

/// Many packs, each with something that only a forgotten snapshot needs.
struct Prepared {
    desk: Desk,
    kept: Vec<Kept>,
    folders: Vec<TempDir>,
}

impl Prepared {
    fn new() -> Self {
        let desk = Desk::new();
        desk.store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(START.unsigned_abs())));
        let (mut kept, mut folders, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..PAIRS_COUNT {
            let folder = scratch();
            let files = [("kept", 2 * number), ("gone", 2 * number + 1)];
            write_files(folder.path(), &files.map(|(name, seed)| (name, noise(seed))));
            gone.push(back_up_as(&desk, 100 + 2 * number, folder.path()).0);
            fs::remove_file(folder.path().join("gone")).unwrap();
            kept.push(back_up_as(&desk, 101 + 2 * number, folder.path()));
            folders.push(folder);
        }
        desk.forget(99, &gone);
        Self { desk, kept, folders }
    }
}

fn back_up_as(desk: &Desk, seed: u64, folder: &Path) -> Kept {
    let repository = open(&desk.shared(), &desk.key, seed, None).unwrap();
    let report = back_up(&repository, &format!("source{seed}"), folder).unwrap();
    (report.snapshot.unwrap(), restored_form(folder))
}

fn noise(seed: u64) -> Vec<u8> {
    bytes_of(seed, 5000, 256)
}

#[test]
fn a_collection_that_takes_hours_gives_signs_of_life_in_every_stage() {
    let Prepared { desk, kept, folders } = Prepared::new();
    let twin = desk.branch();
    let tried = prune_slowly(&twin, None);
    assert_eq!(tried.report.state, PruneState::Done);
    // Snapshots that the plan does not know yet: the verdict has to walk them.
    let written = Arc::new(Mutex::new(Vec::new()));
    let beside = Desk { store: Arc::clone(&desk.store), key: desk.key.clone() };
    let told = Arc::clone(&written);
    let write: Box<dyn FnOnce() + Send> = Box::new(move || {
        for (seed, folder) in (500..).zip(&folders) {
            told.lock().unwrap().push(back_up_as(&beside, seed, folder.path()));
        }
    });
    let slow = prune_slowly(&desk, Some((tried.planned_at, write)));
    let plan = slow.report.plan.unwrap();
    assert!(plan.repacked_packs + plan.dead_packs >= PAIRS_COUNT, "{plan:?}");
    assert_eq!((slow.report.state, slow.report.fenced.len()), (PruneState::Done, 0));
    for silence in slow.silence {
        assert!(silence > 0 && silence < SILENCE_SECONDS_MAX, "{:?}", slow.silence);
    }
    let mut expected = kept;
    expected.extend(written.lock().unwrap().drain(..));
    desk.assert_sound(901, &expected, "after a slow collection");
}

/// What each call takes.
const CALL_SECONDS: i64 = 60;
/// Five minutes, and some calls that no loop makes.
const SILENCE_SECONDS_MAX: i64 = 20 * CALL_SECONDS;
/// More calls than any of these prunes makes.
const CALLS_MAX: u64 = 5000;
/// Pairs of snapshots, one of which is forgotten.
const PAIRS_COUNT: u64 = 20;
const START: i64 = 1_700_000_000;
