//! What actors do: one command after the other, each as a process of its own.
//! Invariant: a command that fails without a fault, for no reason that others gave, is wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::simulator::contents::Content;
use crate::simulator::ledger::Ledger;
use crate::simulator::process::Process;
use crate::simulator::world::World;
use crate::support::back_up;
use crate::support::back_up_stream;
use crate::support::check_all;
use crate::support::restore_files;
use crate::support::words;
use sbf_repo::KeyFile;
use sbf_repo::RepoError;
use sbf_repo::Repository;
use sbf_repo::id::SnapshotId;
use sbf_repo::ops::check::Depth;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::forget::ForgetOptions;
use sbf_repo::ops::forget::execute;
use sbf_repo::ops::forget::guard::Consent;
use sbf_repo::ops::forget::plan;
use sbf_repo::ops::forget::policy::Every;
use sbf_repo::ops::forget::policy::Policy;
use sbf_repo::ops::forget::undo::undo;
use sbf_repo::ops::hold::hold;
use sbf_repo::ops::look::SnapshotFilter;
use sbf_repo::ops::look::snapshots;
use sbf_repo::ops::progress::NoProgress;
use sbf_repo::ops::prune::FenceLimit;
use sbf_repo::ops::prune::PruneOptions;
use sbf_repo::ops::prune::UnusedLimit;
use sbf_repo::ops::prune::prune;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::ops::select::Selector;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::open_in;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

/// What an actor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Backs up.
    Writer,
    /// Forgets and prunes.
    Pruner,
    /// Restores, checks, changes its mind.
    Reader,
}

/// An actor: a host with a key, which runs one process after the other.
pub(crate) struct Actor<'a> {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: &'a Mutex<Ledger>,
    pub(crate) number: usize,
    pub(crate) part: Part,
    pub(crate) key: &'a KeyFile,
    pub(crate) state: Option<&'a Path>,
    pub(crate) random: SplitMix,
}

/// A command.
#[derive(Debug, Clone)]
enum Deed {
    Snapshot(String, Content),
    Forget(u32, Option<String>),
    Prune(PruneOptions),
    Undo(SnapshotId),
    Hold(SnapshotId),
    Restore(SnapshotId),
    Check,
    List,
}

impl Actor<'_> {
    /// Runs so many commands.
    pub(crate) fn play(mut self, deeds_count: u64) {
        for number in 0..deeds_count {
            self.world.turns.pass(self.number);
            let deed = self.draw();
            let process_number = u64::try_from(self.number).unwrap() * 1_000 + number;
            let seed = self.random.below(u64::MAX);
            let process = Process::new(&self.world, self.number, process_number, seed);
            self.world.note(format!("{}.{process_number} begins {deed:?}", self.number));
            let ended = self.run(&process, &deed);
            process.end();
            self.world.turns.pass(self.number);
            let text = ended.as_ref().map_or_else(|error| words(error), Clone::clone);
            self.world.note(format!("{}.{process_number} ends: {text}", self.number));
            if let Err(error) = &ended
                && !process.was_disturbed()
                && !is_excused(&deed, error)
            {
                self.world.wrong(format!("process {process_number}, {deed:?}: {text}"));
            }
        }
    }

    fn draw(&mut self) -> Deed {
        let dice = self.random.below(10);
        match self.part {
            Part::Writer => {
                let source = format!("source{}", self.random.below(3));
                Deed::Snapshot(source, Content::draw(&mut self.random))
            }
            Part::Pruner if dice < 4 => {
                let count = u32::try_from(1 + self.random.below(2)).unwrap();
                Deed::Forget(count, None)
            }
            Part::Pruner => {
                let mut options = PruneOptions::new();
                if self.random.below(2) == 0 {
                    options.fence = FenceLimit::Now;
                }
                options.unused = match self.random.below(3) {
                    0 => UnusedLimit::Share(500),
                    1 => UnusedLimit::Share(5_000),
                    _ => UnusedLimit::Bytes(0),
                };
                if self.random.below(4) == 0 {
                    options.repack_bytes_max = self.random.below(6_000);
                }
                Deed::Prune(options)
            }
            Part::Reader => {
                let known: Vec<SnapshotId> =
                    self.ledger.lock().unwrap().notes().keys().copied().collect();
                let count = u64::try_from(known.len()).unwrap();
                let drawn = usize::try_from(self.random.below(count)).unwrap();
                let Some(snapshot) = known.get(drawn).copied() else { return Deed::List };
                match dice {
                    0..=2 => Deed::Restore(snapshot),
                    3..=4 => Deed::Check,
                    5..=7 => Deed::Undo(snapshot),
                    8 => Deed::Hold(snapshot),
                    _ => Deed::List,
                }
            }
        }
    }

    fn run(&self, process: &Arc<Process>, deed: &Deed) -> Result<String, OpError> {
        let repository = open_in(&process.store(), &process.environment(), self.key, self.state)?;
        match deed {
            Deed::Snapshot(source, content) => self.write(&repository, source, content),
            Deed::Forget(count, source) => self.forget(&repository, *count, source.as_deref()),
            Deed::Prune(options) => {
                let report = prune(&repository, options, &NoProgress::new())?;
                if !report.damaged.is_empty() {
                    self.world.wrong(format!("a prune finds damage: {:?}", report.damaged));
                }
                Ok(format!("{:?}", report.state))
            }
            Deed::Undo(snapshot) => self.rescue(&repository, *snapshot, false),
            Deed::Hold(snapshot) => self.rescue(&repository, *snapshot, true),
            Deed::Restore(snapshot) => self.restore(process, &repository, *snapshot),
            Deed::Check => {
                let report = check_all(&repository, Depth::ReadData)?;
                if report.is_damaged() && !process.was_disturbed() {
                    self.world.wrong(format!("a check finds {:?}", report.findings));
                }
                Ok(format!("{} findings", report.findings.len()))
            }
            Deed::List => {
                let list = snapshots(&repository, &SnapshotFilter::new())?;
                if !list.findings.is_empty() && !process.was_disturbed() {
                    self.world.wrong(format!("a listing finds {:?}", list.findings));
                }
                Ok(format!("{} snapshots", list.rows.len()))
            }
        }
    }

    fn write(
        &self,
        repository: &Repository,
        source: &str,
        content: &Content,
    ) -> Result<String, OpError> {
        self.ledger.lock().unwrap().tries(source, content);
        let report = match content {
            Content::Stream(pieces) => {
                back_up_stream(repository, source, &Content::stream(pieces))?
            }
            Content::Folder(number) => back_up(repository, source, Content::folder(*number))?,
        };
        let snapshot = report.snapshot.unwrap();
        self.ledger.lock().unwrap().acknowledges(snapshot, source, content);
        Ok(format!("snapshot {snapshot}"))
    }

    fn forget(
        &self,
        repository: &Repository,
        count: u32,
        source: Option<&str>,
    ) -> Result<String, OpError> {
        let began = self.ledger.lock().unwrap().now();
        let mut options = ForgetOptions::new(Policy::new().with_count(Every::Snapshot, count));
        options.consent = Consent::Force;
        options.sources = source.map(str::to_owned).into_iter().collect();
        let plan = plan(repository, &options)?;
        let allowed = plan.sources.iter().filter(|source| source.refusal.is_none());
        let dropped: Vec<SnapshotId> = allowed
            .flat_map(|source| source.dropped().map(|decision| decision.candidate.snapshot))
            .collect();
        for wrong in self.ledger.lock().unwrap().forget_begins(&dropped, began) {
            self.world.wrong(wrong);
        }
        let done = execute(repository, &plan);
        self.ledger.lock().unwrap().forget_ends(&dropped, done.is_ok());
        done.map(|_records| format!("forgot {}", dropped.len()))
    }

    fn rescue(
        &self,
        repository: &Repository,
        snapshot: SnapshotId,
        is_hold: bool,
    ) -> Result<String, OpError> {
        let selectors = [Selector::parse(snapshot.to_string().as_bytes())?];
        let began = self.ledger.lock().unwrap().rescue_begins(snapshot);
        let said = if is_hold {
            hold(repository, &selectors, "must stay", None)
        } else {
            undo(repository, &selectors)
        };
        let state = said.as_ref().ok().and_then(|said| said.get(&snapshot).copied());
        self.ledger.lock().unwrap().rescue_ends(snapshot, (is_hold, began), state);
        said.map(|_said| format!("{state:?}"))
    }

    fn restore(
        &self,
        process: &Process,
        repository: &Repository,
        snapshot: SnapshotId,
    ) -> Result<String, OpError> {
        let before = self.ledger.lock().unwrap().note(snapshot);
        let restored = restore_files(repository, snapshot, KeepGoing::Stop);
        let after = self.ledger.lock().unwrap().note(snapshot);
        let is_promised = after.is_live_since(&before);
        match restored {
            Ok((_report, files)) => {
                if let Some((source, content)) = &after.acknowledged
                    && content.form(source) != files
                {
                    self.world.wrong(format!("snapshot {snapshot} restores to other files"));
                }
                Ok(format!("{} files", files.len()))
            }
            Err(error) if is_promised || process.was_disturbed() => Err(error),
            Err(error) => Ok(format!("as it was forgotten: {}", words(&error))),
        }
    }
}

/// Whether a command may fail so because of what others do.
fn is_excused(deed: &Deed, error: &OpError) -> bool {
    match (deed, error) {
        (Deed::Snapshot(..) | Deed::Prune(_), OpError::Repo { what, source }) => {
            let is_hurried =
                matches!(source.as_ref(), RepoError::Fenced { .. } | RepoError::Unsettled { .. });
            // Fenced, and what the run had found stored is gone; a stream cannot be read again.
            let is_stream = matches!(deed, Deed::Snapshot(_, Content::Stream(_)));
            let is_collected = what.starts_with("something this run relied on was collected");
            is_hurried || (is_stream && is_collected)
        }
        (
            Deed::Undo(_) | Deed::Hold(_) | Deed::Forget(..),
            OpError::NoSnapshot { .. } | OpError::Forgotten { .. } | OpError::TooLate { .. },
        ) => true,
        _ => false,
    }
}
