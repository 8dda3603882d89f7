//! Canaries: with one rule left out, the checker must find what goes wrong. The numbers are the mutations'.

use crate::config::A;
use crate::config::B;
use crate::config::Config;
use crate::config::D;
use crate::config::DELTA;
use crate::config::FAIR;
use crate::config::HEALING;
use crate::config::Mutation;
use crate::config::SMALL;
use crate::config::THREE;
use crate::properties::BASES_HELD;
use crate::properties::DEPS_HELD;
use crate::properties::HEALED;
use crate::properties::KEPT_HELD;
use crate::properties::NO_DANGLING;
use crate::properties::NO_LOST_ACK;
use crate::properties::NO_REUSE;
use crate::properties::PROGRESS;
use crate::properties::RECLAIM;
use crate::run::refuted;

#[test]
fn sessions_without_their_rules_lose_data() {
    refuted(Mutation::IndexBeforeAnnounce, SMALL, NO_LOST_ACK);
    refuted(Mutation::NoEpochRecheck, THREE, NO_LOST_ACK);
    refuted(Mutation::NoRecheckAfterCommit, SMALL, NO_LOST_ACK);
    let same = Config { writers: 2, need: [B, B], ..SMALL };
    refuted(Mutation::DedupUncommitted, same, NO_DANGLING);
    let other = Config { writers: 2, need: [B, A | B], ..SMALL };
    refuted(Mutation::NoSeqlock, other, NO_DANGLING);
    refuted(Mutation::AdoptUnlisted, Config { need: [A | B, A], ..THREE }, DEPS_HELD);
}

#[test]
fn collections_without_their_rules_lose_data() {
    refuted(Mutation::TimeoutInsteadOfFence, SMALL, NO_LOST_ACK);
    let two = Config { pruners: 2, ..SMALL };
    refuted(Mutation::VerdictOverwritable, two, NO_DANGLING);
    refuted(Mutation::NoRemark, SMALL, NO_DANGLING);
    refuted(Mutation::ReusablePackKeys, Config { need: [A | B, A], ..two }, DEPS_HELD);
    refuted(Mutation::NoWatermark, THREE, NO_DANGLING);
    let late = Config { late_objects: true, ..SMALL };
    refuted(Mutation::ClosedCommitsCounted, late, NO_DANGLING);
}

#[test]
fn delta_blocks_without_their_rules_lose_their_bases() {
    refuted(Mutation::PlainDroppedForDelta, DELTA, BASES_HELD);
    refuted(Mutation::KeepWithoutBases, Config { delta_twin: false, ..DELTA }, NO_DANGLING);
    // The delta block of `b` stays beside `d`, when no checkpoint needs `b` any more.
    let beside = Config { partly_dead: true, checkpoint: [B | D, B], need: [D, B], ..DELTA };
    refuted(Mutation::DeadDeltasLoseBases, beside, BASES_HELD);
    let deep = Config { delta_twin: true, delta: [B, B], partly_dead: true, ..THREE };
    refuted(Mutation::OrphansKept, deep, BASES_HELD);
    refuted(Mutation::AdoptWithoutBases, deep, BASES_HELD);
}

#[test]
fn undo_without_its_rule_breaks_its_promise() {
    refuted(Mutation::UndoListedBeforePlan, Config { undo: true, ..SMALL }, KEPT_HELD);
}

#[test]
fn checkpoints_without_their_rule_lose_their_chunks() {
    let checkpoint = Config { checkpoint: [B, B], attempts: 3, ..SMALL };
    refuted(Mutation::CheckpointIgnored, checkpoint, NO_DANGLING);
}

#[test]
fn without_their_rules_garbage_stays_and_writers_go_on_for_ever() {
    refuted(Mutation::OrphansOverlooked, FAIR, RECLAIM);
    refuted(Mutation::FencedSessionReused, FAIR, PROGRESS);
}

#[test]
fn healing_without_its_rules_is_undone() {
    refuted(Mutation::HealUnderOldKey, HEALING, NO_REUSE);
    refuted(Mutation::DamagedKeyPreferred, HEALING, HEALED);
    // Elsewhere harmless: here the healed pack, before its commit, is the same as the damaged one.
    refuted(Mutation::OpenPacksCondemned, HEALING, HEALED);
}
