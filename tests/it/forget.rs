//! Forgetting, undoing, holding: what counts afterwards, what is refused, and for whom.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::back_up;
use crate::support::bytes_of;
use crate::support::check_all;
use crate::support::init;
use crate::support::open;
use crate::support::restore_files;
use crate::support::scratch;
use crate::support::write_files;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::format::keyslot::Role;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::forget::ForgetOptions;
use sbf_repo::ops::forget::ForgetPlan;
use sbf_repo::ops::forget::execute;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::forget::guard::Refusal;
use sbf_repo::ops::forget::plan;
use sbf_repo::ops::forget::policy::Every;
use sbf_repo::ops::forget::policy::Policy;
use sbf_repo::ops::forget::some::execute_some;
use sbf_repo::ops::forget::some::plan_some;
use sbf_repo::ops::forget::undo::Kept;
use sbf_repo::ops::forget::undo::undo;
use sbf_repo::ops::hold::hold;
use sbf_repo::ops::hold::release;
use sbf_repo::ops::init::FirstSecret;
use sbf_repo::ops::key::add::AddOptions;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::SnapshotState;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::prune;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::ops::select::Selector;
use sbf_repo::ops::snapshot::options::FilesSource;
use sbf_repo::ops::snapshot::options::SnapshotOptions;
use sbf_repo::ops::snapshot::options::Source;
use sbf_repo::ops::snapshot::snapshot;
use sbf_repo::testing::MemoryStore;
use sbf_repo::testing::Store;
use std::sync::Arc;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

/// A repository in memory, and daily snapshots of one source in it.
struct Bench {
    store: Arc<MemoryStore>,
    key: KeyFile,
    data: TempDir,
}

impl Bench {
    /// A repository with `days` snapshots, one a day.
    fn new(days: i64) -> (Self, Vec<SnapshotId>) {
        let store = Arc::new(MemoryStore::new());
        let key = init(&shared(&store), 1).unwrap();
        let data = scratch();
        let bench = Self { store, key, data };
        write_files(bench.data.path(), &[("file", bytes_of(1, 3000, 250))]);
        let made = (0..days).map(|day| bench.snapshot("db", START + day * DAY, START + day * DAY));
        let made = made.collect();
        (bench, made)
    }

    /// A snapshot whose data claims to be of `time` and that the store receives at `received`.
    fn snapshot(&self, source: &str, time: i64, received: i64) -> SnapshotId {
        let since = Duration::from_secs(u64::try_from(received).unwrap());
        self.store.set_clock(Some(UNIX_EPOCH + since));
        let mut options = SnapshotOptions::new(source.to_owned(), "host".to_owned());
        options.threads = 1;
        options.time = Some(jiff::Timestamp::from_second(time).unwrap().to_string());
        let files = FilesSource::new(vec![self.data.path().to_path_buf()]);
        let seed = u64::try_from(received).unwrap() + u64::try_from(time).unwrap();
        let repository = self.open(seed);
        let report = snapshot(&repository, &options, Source::Files(files), &NoProgress::new());
        report.unwrap().snapshot.unwrap()
    }

    fn open(&self, seed: u64) -> Repository {
        open(&shared(&self.store), &self.key, seed, None).unwrap()
    }

    /// Opens the repository as somebody of another role.
    fn open_as(&self, role: Role, seed: u64) -> Repository {
        let mut kept = None;
        let mut keep = |file: &KeyFile| {
            kept = Some(file.clone());
            Ok(())
        };
        let options = AddOptions::new(role, String::new(), FirstSecret::KeyFile);
        sbf_repo::ops::key::add::add(&self.open(seed), &options, &mut keep).unwrap();
        open(&shared(&self.store), &kept.unwrap(), seed + 1, None).unwrap()
    }

    fn listed(&self, state: SnapshotState) -> Vec<SnapshotId> {
        let mut filter = SnapshotFilter::new();
        filter.state = state;
        let list = snapshots(&self.open(900), &filter).unwrap();
        list.rows.iter().map(|row| row.snapshot).collect()
    }

    #[track_caller]
    fn check_live(&self, expected: &[SnapshotId]) {
        assert_eq!(self.listed(SnapshotState::Live), expected);
    }

    /// Forgets by a policy; returns the plan that was executed.
    fn forget(&self, count: u32, consent: Consent, seed: u64) -> ForgetPlan {
        let repository = self.open(seed);
        let plan = plan(&repository, &options(count, consent)).unwrap();
        execute(&repository, &plan).unwrap();
        plan
    }
}

fn options(count: u32, consent: Consent) -> ForgetOptions {
    let mut options = ForgetOptions::new(Policy::new().with_count(Every::Day, count));
    options.consent = consent;
    options
}

fn shared(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    let store: Arc<MemoryStore> = Arc::clone(store);
    store
}

fn named(snapshots: &[SnapshotId]) -> Vec<Selector> {
    snapshots.iter().map(|id| Selector::parse(id.to_string().as_bytes()).unwrap()).collect()
}

fn refusal(plan: &ForgetPlan) -> Option<Refusal> {
    plan.sources.iter().find_map(|source| source.refusal.clone())
}

#[track_caller]
fn expect_refused<T: std::fmt::Debug>(result: Result<T, OpError>, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, OpError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[track_caller]
fn expect_role_lacks<T: std::fmt::Debug>(result: Result<T, OpError>) {
    let error = result.unwrap_err();
    let lacks = matches!(&error, OpError::Repo { source, .. }
        if matches!(**source, RepoError::RoleLacks { .. }));
    assert!(lacks, "{error:?}");
}

#[test]
fn forgotten_snapshots_are_seen_by_no_command_until_they_are_brought_back() {
    let (bench, made) = Bench::new(5);
    bench.forget(2, Consent::FirstPolicy, 10);
    bench.check_live(&made[3..]);
    assert_eq!(bench.listed(SnapshotState::Forgotten), made[..3]);
    let repository = bench.open(11);
    let selected = named(&made[..1])[0].select(&repository);
    assert!(matches!(selected, Err(OpError::Forgotten { .. })), "{selected:?}");
    let report = check_all(&repository, Depth::ReadData).unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
    assert_eq!(report.snapshots, 2);
    let kept = undo(&bench.open(12), &named(&made[1..2])).unwrap();
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), [(made[1], Kept::Yes)]);
    bench.check_live(&[made[1], made[3], made[4]]);
    let (report, _files) = restore_files(&bench.open(13), made[1], KeepGoing::Stop).unwrap();
    assert_eq!(report.failed_count, 0);
    // The rest of the same forget stays forgotten until it is brought back, too.
    undo(&bench.open(14), &named(&[made[0], made[2]])).unwrap();
    bench.check_live(&made);
}

#[test]
fn a_snapshot_that_was_brought_back_can_be_forgotten_again() {
    let (bench, made) = Bench::new(3);
    bench.forget(1, Consent::FirstPolicy, 10);
    undo(&bench.open(11), &named(&made[..2])).unwrap();
    bench.check_live(&made);
    bench.forget(1, Consent::None, 12);
    bench.check_live(&made[2..]);
}

#[test]
fn a_run_after_a_forget_does_not_build_on_what_is_forgotten() {
    let (bench, made) = Bench::new(1);
    let repository = bench.open(10);
    let plan = plan_some(&repository, &named(&made), Consent::Force).unwrap();
    execute_some(&repository, &plan, None).unwrap();
    bench.check_live(&[]);
    let report = back_up(&bench.open(11), "db", bench.data.path()).unwrap();
    assert_eq!((report.parent, report.run.files_unchanged), (None, 0));
}

#[test]
fn a_first_policy_must_be_accepted_and_is_not_asked_about_again() {
    let (bench, made) = Bench::new(9);
    let refused = bench.forget(7, Consent::None, 10);
    assert_eq!(refusal(&refused), Some(Refusal::FirstPolicy));
    assert_eq!(refused.dropped_count(), 0);
    bench.check_live(&made);
    bench.forget(7, Consent::FirstPolicy, 11);
    bench.check_live(&made[2..]);
    let newer = bench.snapshot("db", START + 9 * DAY, START + 9 * DAY);
    assert_eq!(refusal(&bench.forget(7, Consent::None, 12)), None);
    bench.check_live(&[&made[3..], &[newer]].concat());
}

#[test]
fn a_first_policy_that_forgets_nothing_is_not_taken_for_accepted() {
    let (bench, _made) = Bench::new(2);
    assert_eq!(refusal(&bench.forget(2, Consent::None, 10)), None);
    bench.snapshot("db", START + 2 * DAY, START + 2 * DAY);
    assert_eq!(refusal(&bench.forget(2, Consent::None, 11)), Some(Refusal::FirstPolicy));
}

#[test]
fn a_changed_policy_may_take_a_quarter_and_more_only_by_force() {
    let (bench, made) = Bench::new(8);
    bench.forget(8, Consent::FirstPolicy, 10);
    let much = bench.forget(5, Consent::None, 11);
    assert_eq!(refusal(&much), Some(Refusal::PolicyChanged { dropped: 3, total: 8 }));
    bench.check_live(&made);
    assert_eq!(refusal(&bench.forget(6, Consent::None, 12)), None);
    bench.check_live(&made[2..]);
    // Accepting a first policy is not accepting a change.
    assert!(refusal(&bench.forget(1, Consent::FirstPolicy, 13)).is_some());
    bench.forget(1, Consent::Force, 14);
    bench.check_live(&made[7..]);
}

#[test]
fn what_ages_out_under_the_same_policy_trips_no_guard() {
    let (bench, _made) = Bench::new(3);
    bench.forget(3, Consent::FirstPolicy, 10);
    let later: Vec<_> =
        (100..103).map(|day| bench.snapshot("db", START + day * DAY, START + day * DAY)).collect();
    assert_eq!(refusal(&bench.forget(3, Consent::None, 11)), None);
    bench.check_live(&later);
}

#[test]
fn sources_have_policies_of_their_own_and_one_refusal_stops_no_other() {
    let (bench, made) = Bench::new(3);
    bench.forget(1, Consent::FirstPolicy, 10);
    let other: Vec<_> =
        (0..2).map(|day| bench.snapshot("web", START + day * DAY, START + 5 + day * DAY)).collect();
    let newer = bench.snapshot("db", START + 9 * DAY, START + 9 * DAY);
    let plan = bench.forget(1, Consent::None, 11);
    assert_eq!(plan.sources[0].refusal, None);
    assert_eq!(plan.sources[1].refusal, Some(Refusal::FirstPolicy));
    bench.check_live(&[other[0], other[1], newer]);
    assert!(!made.contains(&newer));
}

#[test]
fn snapshots_from_the_future_push_nothing_out_and_are_asked_about_once() {
    let (bench, made) = Bench::new(3);
    bench.forget(3, Consent::FirstPolicy, 10);
    let liar = bench.snapshot("db", START + 900 * DAY, START + 3 * DAY);
    // Nothing is lost by it yet: it takes no slot.
    assert_eq!(refusal(&bench.forget(3, Consent::None, 11)), None);
    let honest = bench.snapshot("db", START + 4 * DAY, START + 4 * DAY);
    let plan = bench.forget(3, Consent::None, 12);
    let contradicts = Refusal::TimesContradict { snapshots: vec![liar.to_string()] };
    assert_eq!(refusal(&plan), Some(contradicts));
    assert_eq!(bench.listed(SnapshotState::Live).len(), 5);
    bench.forget(3, Consent::Force, 13);
    let mut left = vec![made[1], made[2], honest, liar];
    left.sort_unstable();
    let mut live = bench.listed(SnapshotState::Live);
    live.sort_unstable();
    assert_eq!(live, left);
    bench.snapshot("db", START + 5 * DAY, START + 5 * DAY);
    assert_eq!(refusal(&bench.forget(3, Consent::None, 14)), None);
    assert!(bench.listed(SnapshotState::Live).contains(&liar));
}

#[test]
fn the_last_snapshot_of_a_source_goes_by_force_only() {
    let (bench, made) = Bench::new(2);
    let some = |consent| plan_some(&bench.open(10), &named(&made), consent);
    expect_refused(some(Consent::None), "no complete snapshot any more");
    assert_eq!(some(Consent::Force).unwrap().snapshots.len(), 2);
    let mut policy = Policy::new();
    policy.tags = vec!["kept".to_owned()];
    let plan = plan(&bench.open(11), &ForgetOptions::new(policy)).unwrap();
    assert_eq!(refusal(&plan), Some(Refusal::NothingLeft));
}

#[test]
fn a_policy_that_keeps_nothing_and_a_source_that_is_not_there_are_errors() {
    let (bench, _made) = Bench::new(1);
    let repository = bench.open(10);
    let nothing = ForgetOptions::new(Policy::new().with_count(Every::Day, 0));
    assert!(matches!(plan(&repository, &nothing), Err(OpError::Usage { .. })));
    let mut missing = options(1, Consent::None);
    missing.sources = vec!["dbb".to_owned()];
    assert!(matches!(plan(&repository, &missing), Err(OpError::NoSnapshot { .. })));
}

#[test]
fn what_is_held_is_kept_until_it_is_released() {
    let (bench, made) = Bench::new(3);
    hold(&bench.open(10), &named(&made[..1]), "lawsuit", None).unwrap();
    expect_refused(plan_some(&bench.open(11), &named(&made[..1]), Consent::Force), "lawsuit");
    bench.forget(1, Consent::FirstPolicy, 12);
    bench.check_live(&[made[0], made[2]]);
    let list = snapshots(&bench.open(13), &SnapshotFilter::new()).unwrap();
    assert_eq!(list.rows[0].marks, ["held: lawsuit"]);
    release(&bench.open(14), &named(&made[..1]), None).unwrap();
    bench.forget(1, Consent::None, 15);
    bench.check_live(&made[2..]);
}

#[test]
fn a_hold_after_a_release_holds_again() {
    let (bench, made) = Bench::new(2);
    for seed in [10, 20] {
        hold(&bench.open(seed), &named(&made[..1]), "audit", None).unwrap();
        bench.forget(1, Consent::FirstPolicy, seed + 1);
        bench.check_live(&made);
        if seed == 10 {
            release(&bench.open(seed + 2), &named(&made[..1]), None).unwrap();
        }
    }
}

#[test]
fn a_hold_whose_time_is_over_is_released_by_the_forget_that_needs_it() {
    let (bench, made) = Bench::new(3);
    let until = |time: i64| Some(jiff::Timestamp::from_second(time).unwrap().to_string());
    // The clock of these processes stands at START.
    hold(&bench.open(10), &named(&made[..1]), "over", until(START - 1)).unwrap();
    hold(&bench.open(11), &named(&made[1..2]), "lasts", until(START + 1)).unwrap();
    bench.forget(1, Consent::FirstPolicy, 12);
    bench.check_live(&made[1..]);
}

#[test]
fn roles_may_do_what_their_keys_allow() {
    let (bench, made) = Bench::new(4);
    hold(&bench.open(10), &named(&made[..1]), "by the admin", None).unwrap();
    let writer = bench.open_as(Role::Writer, 20);
    hold(&writer, &named(&made[1..2]), "by the writer", None).unwrap();
    expect_role_lacks(release(&writer, &named(&made[..1]), None));
    release(&writer, &named(&made[1..2]), None).unwrap();
    let planned = plan(&writer, &options(1, Consent::Force)).unwrap();
    expect_role_lacks(execute(&writer, &planned));
    let reader = bench.open_as(Role::Reader, 30);
    expect_role_lacks(hold(&reader, &named(&made[..1]), "by a reader", None));
    bench.check_live(&made);
    let pruner = bench.open_as(Role::Pruner, 40);
    let planned = plan(&pruner, &options(2, Consent::FirstPolicy)).unwrap();
    execute(&pruner, &planned).unwrap();
    bench.check_live(&[made[0], made[2], made[3]]);
    release(&pruner, &named(&made[..1]), None).unwrap();
}

#[test]
fn while_a_hold_cannot_be_read_nothing_is_forgotten_without_force() {
    let (bench, made) = Bench::new(3);
    hold(&bench.open(10), &named(&made[..1]), "first", None).unwrap();
    hold(&bench.open(11), &named(&made[1..2]), "second", None).unwrap();
    let holds = shared(&bench.store).list("records/hold").unwrap();
    let keys: Vec<&ObjectKey> = holds.iter().map(|listed| &listed.key).collect();
    let whole = shared(&bench.store).read(keys[0], 100_000).unwrap();
    let damaged = [&whole[..whole.len() - 1], b"x"].concat();
    for damage in [Some(damaged.as_slice()), None] {
        match damage {
            Some(bytes) => bench.store.replace(keys[0], bytes),
            // That a record is gone shows by the number after it.
            None => assert!(bench.store.remove(keys[0])),
        }
        expect_refused(plan(&bench.open(12), &options(1, Consent::FirstPolicy)), keys[0].as_str());
        expect_refused(plan_some(&bench.open(12), &named(&made[..1]), Consent::None), "hold");
        let list = snapshots(&bench.open(13), &SnapshotFilter::new()).unwrap();
        assert_eq!(list.findings[0].code, "record.damaged");
        let report = check_all(&bench.open(15), Depth::Structure).unwrap();
        assert!(report.findings.iter().any(|found| found.object == keys[0].as_str()));
        assert!(report.is_damaged());
        assert!(plan(&bench.open(14), &options(1, Consent::Force)).is_ok());
    }
}

#[test]
fn an_undo_after_the_collection_is_too_late_and_says_so() {
    let (bench, made) = Bench::new(3);
    bench.forget(1, Consent::FirstPolicy, 10);
    let report = prune(&bench.open(11), &PruneOptions::new(), &NoProgress::new()).unwrap();
    assert_eq!(report.forgotten_snapshots, 2);
    let error = undo(&bench.open(12), &named(&made[1..2])).unwrap_err();
    assert!(matches!(error, OpError::TooLate { collection: 1, .. }), "{error:?}");
    let kept = hold(&bench.open(13), &named(&made[2..]), "in time", None).unwrap();
    assert_eq!(kept[&made[2]], Kept::Yes);
}

#[test]
fn a_selector_with_a_path_is_no_snapshot_to_forget() {
    let (bench, made) = Bench::new(1);
    let selector = format!("{}:/file", made[0]);
    let selectors = [Selector::parse(selector.as_bytes()).unwrap()];
    let planned = plan_some(&bench.open(10), &selectors, Consent::Force);
    assert!(matches!(planned, Err(OpError::Usage { .. })), "{planned:?}");
}

/// When the first snapshot is made, and where the clocks of these processes stand.
const START: i64 = 1_700_000_000;
const DAY: i64 = 86_400;
