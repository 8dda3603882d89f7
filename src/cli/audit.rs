//! What is recorded of a command in the audit log: the one place that says which commands are.

use crate::cli::arguments::Command;
use crate::cli::arguments::GlobalArguments;
use crate::cli::environment;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::words;
use crate::id::SnapshotId;
use crate::ops::audit::accept::accept_rollback;
use crate::ops::audit::run::AuditOptions;
use crate::ops::audit::run::AuditReport;
use crate::ops::audit::run::AuditRun;
use crate::ops::audit::run::RunEnd;
use crate::ops::snapshot::scratch::Scratch;
use crate::repo::repository::Repository;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// How a command is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The word for it in the log.
    operation: &'static str,
    /// Whether it writes to the repository that it opens.
    writes: bool,
    /// When its first record must be durable.
    when: When,
}

/// When the first record of a command must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before anything is done with the repository.
    Opened,
    /// Before anything is committed; until then it is stored beside other work.
    Committed,
    /// Before contents are read, once it is known of which snapshot.
    Selected,
    /// There is no repository to write to before the command has ended.
    Ended,
}

/// The records of a run, in each repository that it opened.
#[derive(Debug)]
pub(crate) struct Audit {
    recorded: Option<Recorded>,
    runs: RefCell<Vec<AuditRun>>,
    /// Opened, and waiting until a snapshot is selected.
    waiting: RefCell<Option<(Repository, AuditOptions)>>,
    subject: RefCell<Option<String>>,
    snapshots: RefCell<BTreeSet<SnapshotId>>,
    bytes: RefCell<Option<u64>>,
    /// Where a cold drill keeps a cache and a memory: gone after the last record, which is remembered there, too.
    cold: RefCell<Option<Scratch>>,
}

impl Recorded {
    /// How a command is recorded, if it is.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let reads = |operation, when| Some(Self { operation, writes: false, when });
        let writes = |operation, when| Some(Self { operation, writes: true, when });
        match command {
            Command::Init(_) => writes("init", When::Ended),
            Command::Snapshot(arguments) if arguments.is_dry() => None,
            Command::Snapshot(_) => writes("snapshot", When::Committed),
            Command::Import(arguments) if arguments.is_dry() => None,
            Command::Import(_) => writes("import", When::Opened),
            Command::Restore(arguments) if arguments.is_dry() => None,
            Command::Restore(_) => reads("restore", When::Selected),
            Command::Dump(_) => reads("dump", When::Selected),
            #[cfg(feature = "mount")]
            Command::Mount(arguments) => reads("mount", shown(arguments.selects())),
            #[cfg(feature = "serve")]
            Command::Serve(arguments) => reads("serve", shown(arguments.selects())),
            Command::Forget(arguments) => writes(arguments.operation()?, When::Opened),
            Command::Rewrite(arguments) if arguments.is_dry() => None,
            Command::Rewrite(_) => writes("rewrite", When::Opened),
            Command::Tag(_) => writes("tag", When::Opened),
            Command::Note(_) => writes("note", When::Opened),
            Command::Hold(arguments) if arguments.is_list() => None,
            Command::Hold(_) => writes("hold", When::Opened),
            Command::Release(_) => writes("release", When::Opened),
            Command::Erasure(arguments) => writes(arguments.operation()?, When::Opened),
            Command::Incident(arguments) => writes(arguments.operation()?, When::Opened),
            Command::Check(arguments) if arguments.heals() => writes("check", When::Opened),
            Command::Check(_) => reads("check", When::Opened),
            Command::Repair(arguments) if arguments.is_dry() => {
                reads(arguments.operation(), When::Opened)
            }
            Command::Repair(arguments) => writes(arguments.operation(), When::Opened),
            Command::Prune(arguments) if arguments.is_dry() => None,
            Command::Prune(_) => writes("prune", When::Opened),
            Command::Copy(arguments) if arguments.is_dry() => None,
            Command::Copy(_) => reads("copy", When::Opened),
            Command::Mirror(arguments) if arguments.promotes() => {
                writes("mirror-promote", When::Ended)
            }
            Command::Mirror(_) => reads("mirror", When::Opened),
            Command::Session(arguments) => writes(arguments.operation()?, When::Opened),
            Command::Audit(arguments) => reads(arguments.operation()?, When::Opened),
            Command::Doctor(arguments) => writes(arguments.operation()?, When::Opened),
            Command::Drill(arguments) => match arguments.operation()? {
                (operation, true) => writes(operation, When::Opened),
                (operation, false) => reads(operation, When::Selected),
            },
            Command::Manifest(arguments) => reads(arguments.operation()?, When::Opened),
            Command::Evidence(arguments) => reads(arguments.operation()?, When::Opened),
            Command::Key(arguments) => writes(arguments.operation()?, When::Opened),
            // It reads what `status` and `audit list` do, no contents; and a record of it would change what the next one tells.
            Command::Report(_)
            | Command::Snapshots(_)
            | Command::Ls(_)
            | Command::Find(_)
            | Command::Diff(_)
            | Command::Stats
            | Command::Status(_)
            // What records say, and no contents: as a status.
            | Command::Controls(_)
            | Command::Retention(_)
            | Command::Run(_)
            | Command::Schedule(_)
            | Command::Alert(_)
            | Command::Cache(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Config(_) => None,
        }
    }
}

impl Audit {
    /// Nothing is recorded yet.
    pub(crate) fn new(recorded: Option<Recorded>) -> Self {
        Self {
            recorded,
            runs: RefCell::default(),
            waiting: RefCell::default(),
            subject: RefCell::default(),
            snapshots: RefCell::default(),
            bytes: RefCell::default(),
            cold: RefCell::default(),
        }
    }

    /// Whether the command writes to the repository that it opens.
    pub(crate) fn writes(&self) -> bool {
        self.recorded.is_some_and(|recorded| recorded.writes)
    }

    /// Records that a repository was opened, as far as the command asks for that now.
    pub(crate) fn opened(
        &self,
        global: &GlobalArguments,
        output: &Output,
        repository: Repository,
    ) -> Result<Repository, Failure> {
        let accepted = accepted(global, output, &repository)?;
        let repository = if accepted.is_some() { repository.accepting_gaps() } else { repository };
        let accepting = Recorded { operation: "accept-rollback", writes: true, when: When::Opened };
        let recorded = self.recorded.or(accepted.is_some().then_some(accepting));
        let Some(recorded) = recorded else { return Ok(repository) };
        let mut options = options_of(global, recorded);
        options.accepted_rollback = accepted;
        match recorded.when {
            When::Ended => Ok(repository),
            When::Selected if options.accepted_rollback.is_none() => {
                *self.waiting.borrow_mut() = Some((repository.clone(), options));
                Ok(repository)
            }
            When::Committed if !options.required => Ok(self.begin(&repository, &options)),
            When::Opened | When::Committed | When::Selected => {
                let repository = self.begin(&repository, &options);
                self.wait()?;
                Ok(repository)
            }
        }
    }

    /// Records that another repository was opened, to write to it.
    pub(crate) fn opened_target(
        &self,
        global: &GlobalArguments,
        repository: Repository,
    ) -> Result<Repository, Failure> {
        let Some(recorded) = self.recorded else { return Ok(repository) };
        let options = options_of(global, Recorded { writes: true, ..recorded });
        let repository = self.begin(&repository, &options);
        self.wait()?;
        Ok(repository)
    }

    /// Notes a snapshot that is read or made; before contents are read, for a command that does.
    pub(crate) fn selected(&self, snapshot: SnapshotId) -> Result<(), Failure> {
        self.add_snapshot(snapshot);
        self.begin_waiting()
    }

    /// Notes what the command is of, in a word.
    pub(crate) fn set_subject(&self, subject: &str) {
        *self.subject.borrow_mut() = Some(subject.to_owned());
    }

    /// Notes a snapshot that is read or made.
    pub(crate) fn add_snapshot(&self, snapshot: SnapshotId) {
        self.snapshots.borrow_mut().insert(snapshot);
    }

    /// Notes how many bytes of content were read or written.
    pub(crate) fn set_bytes(&self, bytes: u64) {
        *self.bytes.borrow_mut() = Some(bytes);
    }

    /// Takes a directory that is removed when the end of the command is recorded.
    pub(crate) fn keep_until_end(&self, cold: Scratch) {
        *self.cold.borrow_mut() = Some(cold);
    }

    /// Records the whole run of a command that had no repository to write to before.
    pub(crate) fn made(&self, global: &GlobalArguments, repository: &Repository) {
        if let Some(recorded) = self.recorded {
            let _guarded = self.begin(repository, &options_of(global, recorded));
        }
    }

    /// Records how the command ended, and says where that stands.
    pub(crate) fn end(
        &self,
        global: &GlobalArguments,
        output: &Output,
        result: &Result<Exit, Failure>,
        elapsed: Duration,
    ) -> Option<Exit> {
        // It failed before anything was selected: the record of its beginning comes late.
        let refused = self.begin_waiting();
        let mut end = match result {
            Ok(exit) => RunEnd::new(exit.code()),
            Err(failure) => RunEnd::new(failure.exit.code()),
        };
        end.error = result.as_ref().err().map(|failure| failure.code().to_owned());
        end.subject = self.subject.take();
        end.snapshots = self.snapshots.take();
        end.bytes = self.bytes.take();
        end.elapsed = elapsed;
        let reports: Vec<AuditReport> =
            self.runs.take().iter().map(|run| run.end(end.clone())).collect();
        for report in &reports {
            tell(output, report);
        }
        if let Some(Err(error)) = self.cold.take().map(Scratch::remove) {
            output.warn(&Failure::from(error).summary());
        }
        let is_missing = reports.iter().any(|report| report.why.is_some()) || refused.is_err();
        output.add_audit(reports);
        (is_missing && global.require_audit).then_some(Exit::Incomplete)
    }

    fn begin(&self, repository: &Repository, options: &AuditOptions) -> Repository {
        let (guarded, run) = AuditRun::begin(repository, options, &self.snapshots.borrow());
        self.runs.borrow_mut().push(run);
        guarded
    }

    fn wait(&self) -> Result<(), Failure> {
        match self.runs.borrow().last() {
            Some(run) => Ok(run.wait()?),
            None => Ok(()),
        }
    }

    fn begin_waiting(&self) -> Result<(), Failure> {
        let Some((repository, options)) = self.waiting.take() else { return Ok(()) };
        let _guarded = self.begin(&repository, &options);
        self.wait()
    }
}

/// Who shows one snapshot says which before it is read; who shows all of them names none.
#[cfg(any(feature = "mount", feature = "serve"))]
const fn shown(selects: bool) -> When {
    if selects { When::Selected } else { When::Opened }
}

fn options_of(global: &GlobalArguments, recorded: Recorded) -> AuditOptions {
    let user_id = rustix::process::getuid().as_raw();
    let mut options = AuditOptions::new(recorded.operation, user_id);
    options.writes = recorded.writes;
    options.required = global.require_audit;
    options.sudo_user = environment::sudo_user();
    options.reason.clone_from(&global.reason);
    options.ticket.clone_from(&global.ticket);
    options
}

/// Accepts that the repository went back, if that is asked for; returns what that means.
fn accepted(
    global: &GlobalArguments,
    output: &Output,
    repository: &Repository,
) -> Result<Option<String>, Failure> {
    if !global.accept_rollback {
        return Ok(None);
    }
    let Some(back) = accept_rollback(repository)? else {
        output.note(format_args!("the repository has everything that this host has seen of it"));
        return Ok(None);
    };
    output.warn(&format!("accepted: {back}"));
    Ok(Some(format!("seen: {}; found: {}", back.known, back.found)))
}

fn tell(output: &Output, report: &AuditReport) {
    match (&report.why, report.seq, &report.sha256) {
        (Some(why), _, _) if report.waiting > 0 => output.warn(&format!(
            "the audit log does not have this run: {} on this host until a run can store them: {why}",
            words::count(report.waiting, "record") + if report.waiting == 1 { " waits" } else { " wait" },
        )),
        (Some(why), _, _) => {
            output.warn(&format!("the audit log does not have this run, nor this host: {why}"));
        }
        (None, Some(seq), Some(sha256)) => {
            output.detail(format_args!("audit head: {}:{seq}:{sha256}", report.client));
        }
        (None, _, _) => {}
    }
}
