//! Small bounds, every state. Runs are named by their writers, pruners, collections and attempts.

use crate::config::A;
use crate::config::B;
use crate::config::Config;
use crate::config::D;
use crate::config::DELTA;
use crate::config::FAIR;
use crate::config::Forgetting;
use crate::config::HEALING;
use crate::config::Mutation;
use crate::config::Reading;
use crate::config::SMALL;
use crate::config::THREE;
use crate::run::holds_everywhere;

#[test]
fn one_writer_and_one_pruner_are_safe() {
    holds_everywhere("W1 P1 G2 A2", SMALL);
    holds_everywhere("W1 P1 G3 A3", Config { need: [A | B, A], ..THREE });
}

#[test]
fn packs_of_open_sessions_may_be_condemned() {
    // M9: which packs are candidates is about work only; the verdict keeps what is used.
    holds_everywhere("W1 P1 G2 A2 M9", SMALL.without(Mutation::OpenPacksCondemned));
    let three = Config { need: [A | B, A], ..THREE };
    holds_everywhere("W1 P1 G3 A3 M9", three.without(Mutation::OpenPacksCondemned));
}

#[test]
fn delta_blocks_keep_their_bases() {
    holds_everywhere("W1 P1 G2 A2 delta", Config { delta_twin: false, ..DELTA });
    holds_everywhere("W1 P1 G2 A2 delta twin", DELTA);
    let beside = Config { partly_dead: true, checkpoint: [B | D, B], need: [D, B], ..DELTA };
    holds_everywhere("W1 P1 G2 A2 dead delta beside a live chunk", beside);
    let deep = Config { delta_twin: true, delta: [B, B], partly_dead: true, ..THREE };
    holds_everywhere("W1 P1 G3 A3 delta twin, partly dead packs kept", deep);
}

#[test]
fn checkpoints_keep_their_chunks() {
    holds_everywhere("W1 P1 G2 A3 checkpoint", Config { checkpoint: [B, B], attempts: 3, ..SMALL });
    let other = Config { checkpoint: [A | B, B], need: [A, A], ..THREE };
    holds_everywhere("W1 P1 G3 A3 checkpoint of other content", other);
}

#[test]
fn undo_and_hold_keep_what_they_promise() {
    holds_everywhere("W1 P1 G2 A2 undo", Config { undo: true, ..SMALL });
}

#[test]
fn readers_find_live_snapshots() {
    holds_everywhere("W1 P1 G2 A1 reader", Config { reader: Reading::Short, attempts: 1, ..SMALL });
    let long = Config { reader: Reading::Long, attempts: 1, ..SMALL };
    holds_everywhere("W1 P1 G2 A1 reader with a session", long);
}

#[test]
fn healing_leaves_a_sound_copy() {
    holds_everywhere("W2 P1 G1 A1 healing", HEALING);
}

#[test]
fn doubled_requests_may_arrive_at_any_time() {
    let late = Config { late_objects: true, attempts: 1, ..SMALL };
    holds_everywhere("W1 P1 G2 A1 late packs and announcements", late);
}

#[test]
fn any_snapshot_may_be_forgotten() {
    let any = Config { forget: Forgetting::Any, ..SMALL };
    holds_everywhere("W1 P1 G2 A2 any forgotten", any);
}

#[test]
fn garbage_goes_and_writers_come_to_an_end() {
    holds_everywhere("W1 P1 G2 A3 fair schedules", FAIR);
    let delta = Config { delta_twin: true, delta: [B, B], partly_dead: true, ..FAIR };
    holds_everywhere("W1 P1 G2 A3 fair schedules, delta twin", delta);
    let two = Config { writers: 2, attempts: 2, generations: 1, starts: 1, ..FAIR };
    holds_everywhere("W2 P1 G1 A2 fair schedules", two);
}

#[test]
fn processes_may_crash_at_any_step() {
    holds_everywhere("W1 P1 G2 A2 crashes", Config { crashes: true, ..SMALL });
}
