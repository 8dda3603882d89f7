//! Sessions that have not ended: they are listed with what they told, and whoever aborts one at any
//! moment learns how it ended. Spec: format-spec/09-session.md.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::panic, reason = "a failed case says which one it was")]

use crate::prune::key_of;
use crate::prune_desk::COMMON_BYTES;
use crate::prune_desk::Desk;
use crate::prune_desk::Kept;
use crate::prune_desk::OWN_BYTES;
use crate::prune_desk::prune_in;
use crate::prune_desk::source;
use crate::prune_desk::write;
use crate::support::back_up;
use crate::support::in_parallel;
use crate::support::open;
use crate::support::restored_form;
use crate::support::scratch;
use crate::support::words;
use sbf_repo::Environment;
use sbf_repo::KeyFile;
use sbf_repo::ProcessName;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::format::keyslot::Role;
use sbf_repo::id::SnapshotId;
use sbf_repo::key::ObjectKey;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::PruneState;
use sbf_repo::ops::session::abort::AbortEnding;
use sbf_repo::ops::session::abort::AbortReport;
use sbf_repo::ops::session::abort::abort;
use sbf_repo::ops::session::alive::ProcessState;
use sbf_repo::ops::session::list::SessionKind;
use sbf_repo::ops::session::list::SessionList;
use sbf_repo::ops::session::list::SessionRow;
use sbf_repo::ops::session::list::sessions;
use sbf_repo::testing::Call;
use sbf_repo::testing::Fault;
use sbf_repo::testing::FaultStore;
use sbf_repo::testing::FixedEnvironment;
use sbf_repo::testing::Outcome;
use sbf_repo::testing::Store;
use sbf_repo::testing::Traced;
use sbf_repo::testing::open_in;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::UNIX_EPOCH;

/// A process that says which it is.
#[derive(Debug)]
struct Named {
    fixed: FixedEnvironment,
    name: ProcessName,
}

impl Named {
    fn of(seed: u64, host: &str, number: u32) -> Arc<dyn Environment> {
        let fixed = FixedEnvironment::new(NOW, seed);
        Arc::new(Self { fixed, name: ProcessName::new(host.to_owned(), number) })
    }
}

impl Environment for Named {
    fn now(&self) -> (i64, u32) {
        self.fixed.now()
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.fixed.fill_random(buffer);
    }

    fn process(&self) -> ProcessName {
        self.name.clone()
    }
}

type Faulty = FaultStore<Arc<dyn Store>>;

fn of_faulty(store: &Arc<Faulty>) -> Arc<dyn Store> {
    Arc::<Faulty>::clone(store)
}

/// A backup dies just before its manifest, as a process of this name.
fn die(desk: &Desk, key: &KeyFile, seed: u64, (host, number): (&str, u32)) {
    die_with(desk, key, (seed, host, number), None, Fault::Crash, 4);
}

/// A backup dies so many calls before its end.
fn die_with(
    desk: &Desk,
    key: &KeyFile,
    (seed, host, number): (u64, &str, u32),
    state: Option<&Path>,
    fault: Fault,
    before_end: u64,
) -> Arc<Faulty> {
    let back_up_in = |store: &Arc<Faulty>, state: Option<&Path>| {
        let environment = Named::of(seed, host, number);
        let repository = open_in(&of_faulty(store), &environment, key, state).unwrap();
        back_up(&repository, "source1", source(1))
    };
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    let twin = scratch();
    back_up_in(&counted, state.map(|_state| twin.path())).unwrap();
    let at = counted.operations() - before_end;
    let dying = Arc::new(FaultStore::new(desk.shared()).with_fault(at, fault));
    assert!(back_up_in(&dying, state).is_err());
    dying
}

fn list(desk: &Desk) -> SessionList {
    sessions(&opened(desk, &desk.key, 900)).unwrap()
}

fn opened(desk: &Desk, key: &KeyFile, seed: u64) -> Repository {
    open(&desk.shared(), key, seed, None).unwrap()
}

#[track_caller]
fn only(list: &SessionList) -> &SessionRow {
    match list.sessions.as_slice() {
        [row] => row,
        rows => panic!("{rows:?}"),
    }
}

#[track_caller]
fn aborted(desk: &Desk, key: &KeyFile, session: &str) -> AbortReport {
    let report = abort(&opened(desk, key, 901), session, Consent::None);
    report.unwrap_or_else(|error| panic!("{}", words(&error)))
}

fn lacks(error: &OpError) -> bool {
    matches!(error, OpError::Repo { source, .. } if matches!(**source, RepoError::RoleLacks { .. }))
}

#[test]
fn nothing_is_listed_when_everything_ended() {
    let desk = Desk::new();
    desk.back_up(10, 0);
    desk.prune(11);
    let list = list(&desk);
    assert!(list.sessions.is_empty() && list.waiting_collection.is_none(), "{list:?}");
}

#[test]
fn a_dead_backup_is_listed_with_what_it_told_and_stored() {
    let desk = Desk::new();
    let writer = key_of(&desk, Role::Writer);
    let clock = |seconds: i64| {
        desk.store.set_clock(Some(UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())));
    };
    clock(NOW - 500);
    die(&desk, &writer, 10, ("web", 4711));
    let list = list(&desk);
    let row = only(&list);
    assert_eq!((row.kind, row.source.as_deref()), (SessionKind::Backup, Some("source1")));
    assert_eq!((row.host.as_deref(), row.process), (Some("web"), Some(4711)));
    assert_eq!((row.is_own, row.role, row.epoch), (false, Some("writer"), 0));
    assert_eq!((row.begun, row.announced), (Some(NOW), Some(NOW - 500)));
    assert_eq!((row.age_seconds, row.idle_seconds), (Some(500), Some(500)));
    assert_eq!((row.last_stored, row.last_heartbeat), (Some(NOW - 500), None));
    assert_eq!(row.process_state, ProcessState::Unknown);
    assert_eq!(row.stored_bytes, u64::try_from(desk.pack_bytes()).unwrap());
    assert!(row.packs > 0 && !row.holds_up, "{row:?}");
    assert!(row.tool.as_ref().unwrap().starts_with("sbf-repo "), "{row:?}");
}

#[test]
fn a_prune_that_waits_goes_on_once_the_session_is_aborted() {
    let desk = Desk::new();
    let kept = desk.back_up(10, 2);
    let gone = desk.back_up(11, 0);
    desk.forget(12, &[gone.0]);
    die(&desk, &desk.key, 13, ("web", 1));
    let before = desk.pack_bytes();
    let report = desk.prune(14);
    assert_eq!((report.state, report.waiting.len()), (PruneState::Waiting, 1));
    let listed = list(&desk);
    assert_eq!((only(&listed).holds_up, listed.waiting_collection), (true, Some(1)));
    let report = aborted(&desk, &desk.key, &only(&listed).session);
    assert_eq!((report.ending, report.kind), (AbortEnding::Aborted, SessionKind::Backup));
    assert!(report.stored_bytes > 0, "{report:?}");
    assert_eq!(list(&desk).sessions, []);
    // It carries the plan out, then makes one with what the aborted session stored.
    let report = desk.prune(15);
    assert_eq!((report.state, report.collections), (PruneState::Done, vec![1, 2]));
    let left = desk.pack_bytes();
    assert!(left < COMMON_BYTES + OWN_BYTES + 6000, "{left} of {before}");
    desk.assert_sound(17, &[kept], "after the abort");
}

#[test]
fn aborting_again_changes_nothing_and_says_who_was_first() {
    let desk = Desk::new();
    let pruner = key_of(&desk, Role::Pruner);
    for (key, ending) in [
        (&desk.key, AbortEnding::GivenUpByClient),
        (&pruner, AbortEnding::GivenUpForCollection { collection: 1 }),
    ] {
        die(&desk, &desk.key, 20 + u64::try_from(desk.count("sessions")).unwrap(), ("web", 1));
        let session = only(&list(&desk)).session.clone();
        assert_eq!(aborted(&desk, key, &session).ending, AbortEnding::Aborted);
        let objects = desk.store.objects();
        for key in [&desk.key, &pruner] {
            assert_eq!(aborted(&desk, key, &session).ending, ending);
        }
        assert_eq!(desk.store.objects(), objects);
    }
}

#[test]
fn a_session_that_committed_is_not_aborted() {
    let desk = Desk::new();
    let kept = desk.back_up(10, 0);
    let abort_it = || abort(&opened(&desk, &desk.key, 30), &kept.0.to_string(), Consent::Force);
    let error = abort_it().unwrap_err();
    assert!(matches!(&error, OpError::Committed { .. }), "{error:?}");
    assert!(words(&error).contains("a snapshot of `source0`"), "{}", words(&error));
    desk.prune(11);
    // Nothing but the base knows the session any more.
    let error = abort_it().unwrap_err();
    assert!(matches!(&error, OpError::Usage { .. }), "{error:?}");
    desk.assert_sound(12, &[kept], "after the abort");
}

#[test]
fn roles_abort_what_the_table_lets_them() {
    let desk = Desk::new();
    let [writer, other, reader, auditor, pruner] =
        [Role::Writer, Role::Writer, Role::Reader, Role::Auditor, Role::Pruner]
            .map(|role| key_of(&desk, role));
    die(&desk, &writer, 10, ("web", 1));
    let session = only(&list(&desk)).session.clone();
    for key in [&other, &reader, &auditor] {
        let repository = opened(&desk, key, 40);
        assert_eq!(sessions(&repository).unwrap().sessions.len(), 1);
        let error = abort(&repository, &session, Consent::Force).unwrap_err();
        assert!(lacks(&error), "{error:?}");
    }
    assert_eq!(aborted(&desk, &writer, &session).ending, AbortEnding::Aborted);
    // Whoever may not abort it may still be told that it has ended.
    assert_eq!(aborted(&desk, &other, &session).ending, AbortEnding::GivenUpByClient);
    die(&desk, &writer, 11, ("web", 1));
    let session = only(&list(&desk)).session.clone();
    assert_eq!(aborted(&desk, &pruner, &session).ending, AbortEnding::Aborted);
    desk.assert_sound(41, &[], "after both");
}

#[test]
fn a_session_is_named_by_digits_that_begin_no_other_id() {
    let desk = Desk::new();
    die(&desk, &desk.key, 10, ("web", 1));
    let row = only(&list(&desk)).clone();
    let refuse = |digits: &str, why: &str| {
        let error = abort(&opened(&desk, &desk.key, 50), digits, Consent::None).unwrap_err();
        assert!(matches!(&error, OpError::Usage { .. }), "{error:?}");
        assert!(words(&error).contains(why), "{}", words(&error));
    };
    refuse(&row.session[..3], "too short");
    refuse("g000", "no session");
    // Another session whose id differs in its last digit, and whose announcement is damaged.
    let digit = if row.session.ends_with('0') { '1' } else { '0' };
    let twin = format!("{}{digit}", &row.session[..31]);
    let place = |session: &str| {
        ObjectKey::new(format!("sessions/{}/000000000000/{session}", row.client)).unwrap()
    };
    let body = desk.store.objects()[&place(&row.session)].to_vec();
    desk.store.create(&place(&twin), &body).unwrap();
    refuse(&row.session[..31], "more than one");
    let listed = list(&desk);
    let unreadable = listed.sessions.iter().find(|row| row.session == twin).unwrap();
    assert_eq!((unreadable.kind, unreadable.host.as_ref()), (SessionKind::Unreadable, None));
    // Whatever it is, it may be waited for: so it can be aborted.
    assert_eq!(aborted(&desk, &desk.key, &twin).ending, AbortEnding::Aborted);
    assert_eq!(aborted(&desk, &desk.key, &row.session[..31]).ending, AbortEnding::Aborted);
}

#[test]
fn a_session_whose_process_lives_on_this_host_is_aborted_only_by_force() {
    let desk = Desk::new();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    for (seed, host, number, state) in [
        (10, "here", std::process::id(), ProcessState::Alive),
        (11, "here", ended.id(), ProcessState::Ended),
        (12, "elsewhere", std::process::id(), ProcessState::Unknown),
        (13, "here", 0, ProcessState::Unknown),
        (14, "", std::process::id(), ProcessState::Unknown),
    ] {
        die(&desk, &desk.key, seed, (host, number));
        let environment = Named::of(60 + seed, "here", 1);
        let repository = open_in(&desk.shared(), &environment, &desk.key, None).unwrap();
        let listed = sessions(&repository).unwrap();
        assert_eq!(only(&listed).process_state, state, "{host} {number}");
        let session = &only(&listed).session;
        if state == ProcessState::Alive {
            let error = abort(&repository, session, Consent::None).unwrap_err();
            assert!(matches!(error, OpError::Refused { .. }), "{error:?}");
            assert_eq!(sessions(&repository).unwrap(), listed);
        }
        let report = abort(&repository, session, Consent::Force).unwrap();
        assert_eq!((report.ending, report.process_state), (AbortEnding::Aborted, state));
    }
}

#[test]
fn the_hosts_memory_tells_whether_the_process_lives_whatever_its_number_says() {
    let (desk, state) = (Desk::new(), scratch());
    let look = || {
        let environment = Named::of(70, "here", 1);
        let repository = open_in(&desk.shared(), &environment, &desk.key, Some(state.path()));
        sessions(&repository.unwrap()).unwrap()
    };
    // The number is this test's own, but the session ended.
    let told = (10, "here", std::process::id());
    die_with(&desk, &desk.key, told, Some(state.path()), Fault::Crash, 4);
    assert_eq!(only(&look()).process_state, ProcessState::Ended);
    let session = only(&look()).session.clone();
    assert_eq!(aborted(&desk, &desk.key, &session).ending, AbortEnding::Aborted);
    // The next backup on this host finds what was stored, although somebody else aborted it.
    let stored = desk.pack_bytes();
    let repository = open(&desk.shared(), &desk.key, 71, Some(state.path())).unwrap();
    let report = back_up(&repository, "source1", source(1)).unwrap();
    // But for a directory above, whose time others change.
    let added = desk.pack_bytes() - stored;
    assert!(report.run.bytes_new < 2000 && added < 2000, "{added}: {report:?}");
    let kept = (report.snapshot.unwrap(), restored_form(source(1)));
    desk.assert_sound(72, &[kept], "after the adoption");
}

#[test]
fn a_dead_prune_is_listed_and_the_next_one_on_its_host_ends_it() {
    let desk = Desk::new();
    let gone = desk.back_up(10, 0);
    desk.forget(11, &[gone.0]);
    let state = scratch();
    let prune_here = |store: &Arc<dyn Store>, seed: u64| {
        let repository = open(store, &desk.key, seed, Some(state.path())).unwrap();
        let progress = sbf_repo::ops::progress::NoProgress::new();
        sbf_repo::ops::prune::prune(&repository, &PruneOptions::new(), &progress)
    };
    let look = || {
        let repository = open(&desk.shared(), &desk.key, 80, Some(state.path())).unwrap();
        sessions(&repository).unwrap()
    };
    let counted = Arc::new(FaultStore::new(desk.branch().shared()));
    prune_in(&of_faulty(&counted), &desk.key, 82, &PruneOptions::new()).unwrap();
    let announces =
        |traced: &&Traced| traced.call == Call::Create && traced.key.starts_with("sessions/");
    let announced_at = counted.trace().iter().find(announces).unwrap().operation;
    let dying = Arc::new(FaultStore::new(desk.shared()));
    let seen = Arc::new(Mutex::new(None));
    // While it looks at what is needed, it lives; then its store is gone.
    let (told, inside, key, place) =
        (Arc::clone(&seen), desk.shared(), desk.key.clone(), state.path().to_path_buf());
    let store = Arc::clone(&dying);
    dying.interleave_at(announced_at + 5, move || {
        let repository = open(&inside, &key, 81, Some(&place)).unwrap();
        *told.lock().unwrap() = Some(sessions(&repository).unwrap());
        store.crash_now();
    });
    assert!(prune_here(&of_faulty(&dying), 82).is_err());
    let seen = seen.lock().unwrap().take().unwrap();
    let state_of = |list: &SessionList| (only(list).kind, only(list).process_state);
    assert_eq!(state_of(&seen), (SessionKind::Prune, ProcessState::Alive));
    assert_eq!(state_of(&look()), (SessionKind::Prune, ProcessState::Ended));
    let marks = || std::fs::read_dir(state.path()).unwrap().next().unwrap().unwrap().path();
    let marks = || std::fs::read_dir(marks().join("collections")).unwrap().count();
    assert_eq!(marks(), 1);
    let report = prune_here(&desk.shared(), 83).unwrap();
    assert_eq!((report.state, report.fenced.len()), (PruneState::Done, 0), "{report:?}");
    assert_eq!((look().sessions.len(), marks()), (0, 0));
    desk.assert_sound(84, &[], "after the next prune");
}

/// Aborts the session of a backup before each of its calls, and prunes if asked to: the backup
/// begins another session and comes to its snapshot.
fn abort_everywhere(role: Option<Role>, and_prune: bool) {
    let prepared = Desk::new();
    let kept = prepared.back_up(10, 2);
    // What the backup relies on and nobody else needs.
    let gone = prepared.back_up(11, 1);
    prepared.forget(12, &[gone.0]);
    let aborter = role.map_or_else(|| prepared.key.clone(), |role| key_of(&prepared, role));
    let counted = Arc::new(FaultStore::new(prepared.branch().shared()));
    write(&of_faulty(&counted), &prepared.key, 50, 1).unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    let endings = in_parallel(&cases, |&operation| {
        let case = format!("operation {operation}");
        let desk = prepared.branch();
        let faulty = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key, admin) = (desk.shared(), aborter.clone(), desk.key.clone());
        let ended = Arc::new(Mutex::new(None));
        let told = Arc::clone(&ended);
        faulty.interleave_at(operation, move || {
            let repository = open(&inside, &key, 60, None).unwrap();
            if let [row] = sessions(&repository).unwrap().sessions.as_slice() {
                let report = abort(&repository, &row.session, Consent::None).unwrap();
                *told.lock().unwrap() = Some(report.ending);
            }
            if and_prune {
                let report = prune_in(&inside, &admin, 61, &PruneOptions::new()).unwrap();
                assert!(report.state != PruneState::Waiting, "{report:?}");
            }
        });
        let written: Result<Kept, OpError> = write(&of_faulty(&faulty), &desk.key, 50, 1);
        let written = written.unwrap_or_else(|error| panic!("{case}: {}", words(&error)));
        let expected = [kept.clone(), written];
        desk.assert_sound(62, &expected, &case);
        assert_eq!(list(&desk).sessions, [], "{case}");
        desk.prune(63);
        desk.assert_sound(64, &expected, &case);
        ended.lock().unwrap().take()
    });
    assert!(endings.len() > cases.len() * 2 / 5, "{} of {}", endings.len(), cases.len());
    assert!(endings.iter().all(|ending| *ending == AbortEnding::Aborted), "{endings:?}");
}

#[test]
fn a_backup_that_its_own_key_aborts_at_any_moment_comes_to_its_snapshot() {
    abort_everywhere(None, false);
}

#[test]
fn a_backup_that_a_pruner_aborts_at_any_moment_comes_to_its_snapshot() {
    abort_everywhere(Some(Role::Pruner), false);
}

#[test]
fn a_backup_that_is_aborted_and_whose_uploads_are_pruned_comes_to_its_snapshot() {
    abort_everywhere(None, true);
    abort_everywhere(Some(Role::Pruner), true);
}

/// A commit of a dead backup arrives late, before some call of an abort, and perhaps a collection
/// follows that folds it and sweeps its traces: the abort says what became of it.
fn commit_late(and_prune: bool) {
    let prepare = || {
        let desk = Desk::new();
        let lost = Fault::CrashUnknown(Outcome::Delayed);
        let dying = die_with(&desk, &desk.key, (10, "web", 1), None, lost, 3);
        (desk, dying)
    };
    let (desk, _dying) = prepare();
    let row = only(&list(&desk)).clone();
    let counted = Arc::new(FaultStore::new(desk.shared()));
    abort(&open(&of_faulty(&counted), &desk.key, 20, None).unwrap(), &row.session, Consent::None)
        .unwrap();
    let cases: Vec<u64> = (0..counted.operations()).collect();
    let won = in_parallel(&cases, |&operation| {
        let case = format!("before call {operation}");
        let (desk, dying) = prepare();
        let slow = Arc::new(FaultStore::new(desk.shared()));
        let (inside, key) = (desk.shared(), desk.key.clone());
        slow.interleave_at(operation, move || {
            assert_eq!(dying.flush_delayed(), 1);
            if and_prune {
                prune_in(&inside, &key, 21, &PruneOptions::new()).unwrap();
            }
        });
        let slow = open(&of_faulty(&slow), &desk.key, 22, None).unwrap();
        let is_aborted = match abort(&slow, &row.session, Consent::None) {
            Ok(AbortReport { ending: AbortEnding::Aborted, .. }) => true,
            Err(OpError::Committed { .. }) => false,
            // It was swept before it was looked for.
            Err(OpError::Usage { .. }) if and_prune => false,
            other => panic!("{case}: {other:?}"),
        };
        let snapshot: SnapshotId = row.session.parse().unwrap();
        let committed = [(snapshot, restored_form(source(1)))];
        let expected = if is_aborted { &committed[..0] } else { &committed[..] };
        for seed in [23, 24] {
            desk.assert_sound(25, expected, &case);
            desk.prune(seed);
        }
        Some(is_aborted)
    });
    let aborted = won.iter().filter(|is_aborted| **is_aborted).count();
    assert!(aborted > 0 && aborted < won.len(), "{aborted} of {}", won.len());
}

#[test]
fn an_abort_and_a_commit_that_comes_late_agree_on_who_was_first() {
    commit_late(false);
}

#[test]
fn an_abort_does_not_believe_a_register_that_it_made_anew_after_a_sweep() {
    commit_late(true);
}

const NOW: i64 = 1_700_000_000;
