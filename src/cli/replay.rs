//! Erases again what had been erased and comes back with older data. Every command that brings contents back asks
//! [`Replay::begin`] before its first byte and [`Replay::end`] when all are there.

use crate::cli::context::Context;
use crate::cli::drills::session::Session;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::command::CommandEnd;
use crate::command::CommandError;
use crate::command::CommandRun;
use crate::command::file_in_memory;
use crate::ops::drill::ErasedAgain;
use crate::ops::drill::Wiped;
use crate::ops::erasure::ErasureList;
use crate::ops::erasure::ErasureRow;
use crate::ops::erasure::pending_for;
use crate::ops::erasure::record_replay;
use crate::ops::erasure::replays::Came;
use crate::ops::erasure::replays::DRILL;
use crate::ops::erasure::replays::IT_IS_WIPED;
use crate::ops::erasure::replays::Target;
use crate::ops::erasure::replays::make_drills_good;
use crate::ops::erasure::replays::new_run;
use crate::ops::finding::Finding;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// What is to be erased again of one restore.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    context: &'a Context,
    repository: Repository,
    run: String,
    /// `restore`, `dump` or `drill`.
    operation: &'static str,
    snapshot: String,
    source: String,
    data_time: String,
    erasures: Vec<ErasureRow>,
    findings: Vec<Finding>,
    /// Of a drill whose end was recorded: whether all was erased again, and how that ended.
    ended: RefCell<Option<(bool, String)>>,
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Replayed {
    /// Names all records of this restore, for `erasure replay`.
    pub(crate) run: String,
    /// The erasures that its data brought back.
    pub(crate) erasures: Vec<String>,
    /// Whether all of them were erased again, and that is recorded.
    pub(crate) is_done: bool,
    /// How that ended, in words.
    pub(crate) words: String,
}

impl Replayed {
    /// What the command ends with, if nothing else is wrong.
    pub(crate) const fn exit(&self) -> Exit {
        if self.is_done { Exit::Success } else { Exit::Incomplete }
    }
}

impl<'a> Replay<'a> {
    /// Finds what a snapshot brings back that was erased, and records that it may be back from now on; `None` if nothing
    /// is.
    pub(crate) fn begin(
        context: &'a Context,
        repository: &Repository,
        operation: &'static str,
        selected: &Selected,
    ) -> Result<Option<Self>, Failure> {
        let stated = &selected.manifest.predicate;
        let pending = pending_for(repository, &stated.source, selected.data_time())?;
        Self::begin_with(context, repository, operation, selected, pending)
    }

    /// The same for a drill: of a copy that is a repository of its own, both may have erasures that the other lacks.
    pub(crate) fn begin_in_drill(
        context: &'a Context,
        session: &Session,
        selected: &Selected,
    ) -> Result<Option<Self>, Failure> {
        let Session { main, data, .. } = session;
        let source = &selected.manifest.predicate.source;
        let mut pending = pending_for(main, source, selected.data_time())?;
        if data.id() != main.id() {
            let of_copy = pending_for(data, source, selected.data_time())?;
            pending.findings.extend(of_copy.findings);
            for row in of_copy.erasures {
                if !pending.erasures.iter().any(|known| known.erasure == row.erasure) {
                    pending.erasures.push(row);
                }
            }
        }
        Self::begin_with(context, main, DRILL, selected, pending)
    }

    fn begin_with(
        context: &'a Context,
        repository: &Repository,
        operation: &'static str,
        selected: &Selected,
        pending: ErasureList,
    ) -> Result<Option<Self>, Failure> {
        // Before anything is written: a mistake in the file must not come out after it.
        context.configuration()?;
        let stated = &selected.manifest.predicate;
        if pending.erasures.is_empty() && pending.findings.is_empty() {
            return Ok(None);
        }
        let replay = Self {
            context,
            repository: repository.clone(),
            run: new_run(repository),
            operation,
            snapshot: selected.snapshot().to_string(),
            source: stated.source.clone(),
            data_time: stated.times.data.clone(),
            erasures: pending.erasures,
            findings: pending.findings,
            ended: RefCell::default(),
        };
        context.output.warn_of(&replay.findings);
        if !replay.erasures.is_empty() {
            let count = erasures_words(replay.erasures.len());
            context.output.note(format_args!(
                "this data is older than {count}: what was erased comes back, until it is erased again"
            ));
            replay.record(false, &format!("the {operation} has begun"));
        }
        Ok(Some(replay))
    }

    /// Erases again what came back, with the command that the configuration file has for it, and records that.
    pub(crate) fn end(self, target: Target<'_>) -> Replayed {
        let (is_erased, words) = self.erase(target);
        self.ended(is_erased, words)
    }

    /// Whether all was erased again, and how that ended.
    fn erase(&self, target: Target<'_>) -> (bool, String) {
        match self.argv() {
            _ if self.erasures.is_empty() => (true, String::new()),
            None => (false, "no `replay` is configured for this source".to_owned()),
            Some(argv) => {
                self.context
                    .output
                    .note(format_args!("erasing again: {}", words::shell_words(argv)));
                match self.call(argv, target) {
                    Ok(()) => (true, "the command ended with code 0".to_owned()),
                    Err(how) => (false, format!("`{}`: {how}", argv.join(" "))),
                }
            }
        }
    }

    /// The same for a drill, which wipes afterwards what came back.
    pub(crate) fn end_in_drill(&self, target: Target<'_>) -> ErasedAgain {
        let (is_erased, words) = self.erase(target);
        *self.ended.borrow_mut() = Some((is_erased, words.clone()));
        let Replayed { run, erasures, is_done, words } = self.ended(is_erased, words);
        if !is_erased && self.argv().is_some() {
            return ErasedAgain::Failed(words);
        } else if !is_erased {
            return ErasedAgain::Unknown(words);
        } else if !self.findings.is_empty() {
            let why =
                "whether all was erased again is not known: a record of an erasure cannot be read";
            return ErasedAgain::Unknown(why.to_owned());
        } else if !is_done {
            return ErasedAgain::Unknown("that it was erased again cannot be recorded".to_owned());
        }
        let count = self.erasures.len();
        match make_drills_good(&self.repository, &run, &erasures) {
            Ok(()) => ErasedAgain::All(format!("{} erased again: {words}", erasures_words(count))),
            Err(error) => ErasedAgain::Unknown(Failure::from(error).summary()),
        }
    }

    /// Notes that what a drill brought back was wiped, or says that it is still somewhere.
    pub(crate) fn drill_ended(self, became: &Wiped) {
        let ended = self.ended.take();
        if self.erasures.is_empty() || ended.as_ref().is_some_and(|(is_erased, _words)| *is_erased)
        {
            return;
        }
        match (ended, became) {
            (None, Wiped::All) => {
                self.record(true, &format!("it came to no end, and {IT_IS_WIPED}"));
            }
            // The way to erase again is what it lacked: a later drill shows one.
            (Some((_not, words)), Wiped::All) => {
                self.record(false, &format!("{words}; {IT_IS_WIPED}"));
            }
            (_, Wiped::Kept | Wiped::NotAll(_)) => {
                let (count, run) = (erasures_words(self.erasures.len()), self.run_words());
                self.context.output.warn(&format!(
                    "what the drill brought back is not wiped, and not known to be without {count}; \
                     `sbf-repo erasure replay {run} --done --words …` records that it is gone"
                ));
            }
        }
    }

    /// Leaves what came back: nothing can erase it where it went.
    pub(crate) fn leave(self) -> Replayed {
        let words = "what it wrote is beyond this program".to_owned();
        self.ended(false, words)
    }

    /// Says that what was brought back of a restore that failed stays as it is.
    pub(crate) fn abandon(self) {
        if !self.erasures.is_empty() {
            self.context.output.warn(&format!(
                "what was restored until then holds what was erased{}",
                self.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default()
            ));
        }
    }

    fn ended(&self, is_erased: bool, words: String) -> Replayed {
        let output = &self.context.output;
        let mut is_done = is_erased;
        if !self.erasures.is_empty() {
            let count = erasures_words(self.erasures.len());
            is_done &= self.record(is_erased, &words);
            if is_erased {
                output.note(format_args!("erased again: {count}"));
            } else {
                let remedy = self.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
                output.warn(&format!("{count} not erased again: {words}{remedy}"));
            }
        }
        if !self.findings.is_empty() {
            is_done = false;
            output.warn("whether more must be erased again is not known: a record of an erasure cannot be read");
        }
        let erasures = self.erasures.iter().map(|erasure| erasure.erasure.clone()).collect();
        Replayed { run: self.run.clone(), erasures, is_done, words }
    }

    /// Whether it could be recorded.
    fn record(&self, is_done: bool, words: &str) -> bool {
        let Self { run, operation, snapshot, erasures, .. } = self;
        let came = Came { run, operation, snapshot, erasures };
        match record_replay(&self.repository, &came, is_done, words) {
            Ok(_key) => true,
            Err(error) => {
                let why = Failure::from(error).summary();
                self.context.output.warn(&format!(
                    "that erased data came back cannot be recorded, so that nobody will be reminded: {why}"
                ));
                false
            }
        }
    }

    /// What helps later: nothing after a drill, which wipes, and says itself if it did not.
    fn remedy(&self) -> Option<String> {
        let run = self.run_words();
        match self.operation {
            DRILL => None,
            // Where it went is beyond this program.
            "dump" => Some(format!(
                "`sbf-repo erasure replay {run} --done --words …` records that it was erased, or is gone"
            )),
            _restore => Some(format!("`sbf-repo erasure replay {run} --target …` does it later")),
        }
    }

    fn run_words(&self) -> String {
        self.run.chars().take(RUN_DIGITS).collect()
    }

    fn argv(&self) -> Option<&[String]> {
        argv_of(self.context, &self.source)
    }

    fn call(&self, argv: &[String], target: Target<'_>) -> Result<(), String> {
        let told = Told {
            repository: self.repository.id().to_string(),
            run: &self.run,
            operation: self.operation,
            snapshot: &self.snapshot,
            source: &self.source,
            data_time: Some(&self.data_time),
            erasures: &self.erasures,
        };
        call(self.context, argv, &told, target)
    }
}

/// What the command is told.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) repository: String,
    pub(crate) run: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) snapshot: &'a str,
    pub(crate) source: &'a str,
    /// `None` if the snapshot is gone.
    pub(crate) data_time: Option<&'a str>,
    pub(crate) erasures: &'a [ErasureRow],
}

/// The command that erases again what came back of a source: that of its job, or else that of all.
pub(crate) fn argv_of<'a>(context: &'a Context, source: &str) -> Option<&'a [String]> {
    let settings = &context.configuration().ok()?.settings;
    let job = settings.jobs.iter().find(|job| job.source.value == source);
    let own = job.and_then(|job| job.replay.as_ref());
    own.or(settings.erasure.replay.as_ref()).map(|at| at.value.as_slice())
}

/// Runs the command; errors say how it ended.
#[expect(clippy::disallowed_methods, reason = "the command line measures elapsed time")]
pub(crate) fn call(
    context: &Context,
    argv: &[String],
    told: &Told<'_>,
    target: Target<'_>,
) -> Result<(), String> {
    let limit = context
        .configuration()
        .map_or(Duration::ZERO, |configuration| configuration.settings.erasure.timeout);
    let input = file_in_memory(object(told, target).to_string().as_bytes());
    let input = input.map_err(|error| format!("its input cannot be made: {error}"))?;
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let failed = |error: CommandError| format!("{error}: {}", error.source);
    // Standard output is for what the restore itself says.
    let streams = (Stdio::from(input), Stdio::from(io::stderr()));
    let run = CommandRun::spawn_between(&argv, &variables(told, target), streams);
    let began = Instant::now();
    let is_over = || began.elapsed() >= limit;
    let is_stopped = || context.stop.signal().is_some();
    let ended = run.and_then(|run| run.wait(&|| is_over() || is_stopped())).map_err(failed)?;
    let errors = String::from_utf8_lossy(&ended.stderr);
    let last = errors.trim_end().lines().last().unwrap_or_default();
    let how = match ended.end {
        CommandEnd::Exited(0) => return Ok(()),
        CommandEnd::Exited(code) => format!("it exited with code {code}"),
        CommandEnd::Signalled(_) if is_over() => "it took too long and was ended".to_owned(),
        CommandEnd::Signalled(signal) => format!("signal {signal} ended it"),
    };
    Err(if last.is_empty() { how } else { format!("{how}: {last}") })
}

fn object(told: &Told<'_>, target: Target<'_>) -> Value {
    let target = match target {
        Target::Directory(path) => json!({ "kind": "directory", "path": path.to_string_lossy() }),
        Target::Command(argv) => {
            let argv: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
            json!({ "kind": "command", "command": argv })
        }
        Target::Database(connection) => json!({ "kind": "database", "connection": connection }),
    };
    let erasures = told.erasures.iter().map(|erasure| {
        json!({
            "erasure": erasure.erasure,
            "subject": erasure.subject,
            "erased_at": erasure.erased_at,
            "sources": erasure.sources,
            "reason": erasure.reason,
            "ticket": erasure.ticket,
        })
    });
    json!({
        "version": 1,
        "repository": told.repository,
        "run": told.run,
        "operation": told.operation,
        "snapshot": told.snapshot,
        "source": told.source,
        "data_time": told.data_time,
        "target": target,
        "erasures": erasures.collect::<Vec<_>>(),
    })
}

fn variables(told: &Told<'_>, target: Target<'_>) -> Vec<(OsString, OsString)> {
    let subjects: Vec<&str> =
        told.erasures.iter().map(|erasure| erasure.subject.as_str()).collect();
    let (kind, place) = match target {
        Target::Directory(path) => ("directory", path.as_os_str().to_owned()),
        Target::Command(argv) => ("command", argv.join(std::ffi::OsStr::new(" "))),
        Target::Database(connection) => ("database", connection.into()),
    };
    let texts = [
        ("RUN", told.run.to_owned()),
        ("OPERATION", told.operation.to_owned()),
        ("SNAPSHOT", told.snapshot.to_owned()),
        ("SOURCE", told.source.to_owned()),
        ("DATA_TIME", told.data_time.unwrap_or_default().to_owned()),
        // One a line: a subject has no line breaks.
        ("SUBJECTS", subjects.join("\n")),
        ("TARGET_KIND", kind.to_owned()),
    ];
    let texts = texts.into_iter().map(|(name, value)| (name, OsString::from(value)));
    texts
        .chain([("TARGET", place)])
        .map(|(name, value)| (format!("SBF_REPO_REPLAY_{name}").into(), value))
        .collect()
}

/// `one erasure`, `3 erasures`.
pub(crate) fn erasures_words(count: usize) -> String {
    words::count(crate::units::to_u64(count), "erasure")
}

/// Warns whoever shows snapshots that some of them hold what was erased.
pub(crate) fn warn_of_shown(context: &Context, repository: &Repository) -> Result<(), Failure> {
    let list = crate::ops::erasure::list(repository)?;
    context.output.warn_of(&list.findings);
    if !list.erasures.is_empty() {
        let count = erasures_words(list.erasures.len());
        context.output.warn(&format!(
            "{count} recorded: older snapshots show what was erased, and nothing erases it in what is copied from here"
        ));
    }
    Ok(())
}

/// Digits of a run that are told.
const RUN_DIGITS: usize = 12;
