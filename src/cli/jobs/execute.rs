//! The steps of a run, one after the other, and what becomes of the rest when one fails.
//!
//! The policy: without `before` there is no snapshot; without a snapshot nothing is forgotten, copied or checked;
//! a task that fails keeps no other from being done; one that the key may not do is left to a host whose key may;
//! `on_failure` and `always` run last, also when the run was asked to stop.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::jobs::child;
use crate::cli::jobs::child::Ended;
use crate::cli::jobs::plan::Step;
use crate::cli::jobs::plan::What;
use crate::cli::jobs::plan::passed_on;
use crate::cli::words;
use crate::command::CommandEnd;
use crate::command::CommandRun;
use crate::settings::hooks::HookPoint;
use serde::Serialize;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

/// A run, as far as it has come.
#[derive(Debug)]
pub(crate) struct Execution<'a> {
    context: &'a Context,
    /// The job's or the task's name, for hooks.
    name: &'a str,
    pub(crate) reports: Vec<StepReport>,
    /// The snapshot, once there is one.
    pub(crate) snapshot: Option<String>,
    has_snapshot_failed: bool,
    /// What the run ends with so far.
    pub(crate) exit: Exit,
    /// What went wrong first, in words.
    pub(crate) trouble: Option<String>,
}

/// What became of a step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepReport {
    pub(crate) step: String,
    pub(crate) outcome: Outcome,
    /// Of its command; `None` if it was left out, or ended by a signal.
    pub(crate) exit_code: Option<i32>,
    pub(crate) seconds: f64,
    /// What the command reported.
    pub(crate) report: Option<Value>,
    /// What went wrong.
    pub(crate) trouble: Option<String>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done,
    /// Something was left out.
    Incomplete,
    Failed,
    /// The key may not do it.
    NotAllowed,
    /// An earlier step failed, or there was nothing that it is for.
    LeftOut,
}

impl<'a> Execution<'a> {
    /// Nothing is done yet.
    pub(crate) const fn new(context: &'a Context, name: &'a str) -> Self {
        Self {
            context,
            name,
            reports: Vec::new(),
            snapshot: None,
            has_snapshot_failed: false,
            exit: Exit::Success,
            trouble: None,
        }
    }

    /// Does the steps.
    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            let report = if self.is_left_out(step) {
                left_out(&step.name)
            } else {
                self.context.output.detail(format_args!("step: {}", step.name));
                self.step(step)
            };
            self.reports.push(report);
        }
    }

    fn is_left_out(&self, step: &Step) -> bool {
        let is_stopped = self.context.stop.signal().is_some();
        match &step.what {
            What::Hook { point: HookPoint::Before, .. } => is_stopped,
            What::Hook { point: HookPoint::OnFailure, .. } => self.exit == Exit::Success,
            What::Hook { point: HookPoint::Always, .. } => false,
            What::Hook { point: HookPoint::After, .. } | What::Snapshot(_) | What::Task(..) => {
                is_stopped || self.has_snapshot_failed
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the command line measures elapsed time")]
    fn step(&mut self, step: &Step) -> StepReport {
        let began = Instant::now();
        let mut report = match &step.what {
            What::Hook { point, argv, timeout } => self.hook(step, *point, argv, *timeout),
            What::Snapshot(words) => self.command(step, words, true),
            What::Task(_, words) => self.command(step, words, false),
        };
        report.seconds = began.elapsed().as_secs_f64();
        if let Some(trouble) = &report.trouble {
            self.context.output.warn(&format!("{}: {trouble}", step.name));
            self.trouble.get_or_insert_with(|| format!("{}: {trouble}", step.name));
        }
        report
    }

    fn command(&mut self, step: &Step, words: &[OsString], is_snapshot: bool) -> StepReport {
        let mut argv = vec![OsString::from("--json")];
        argv.extend(passed_on(&self.context.global));
        argv.extend(words.iter().cloned());
        let mut report = left_out(&step.name);
        match child::run(&argv, self.context.stop) {
            Ok(Ended { end: CommandEnd::Exited(code), report: object }) => {
                report.exit_code = Some(code);
                let exit = u8::try_from(code).ok().and_then(Exit::of_code);
                let exit = exit.unwrap_or(Exit::Failure);
                report.trouble = trouble_of(exit, object.as_ref(), is_snapshot);
                report.outcome = outcome_of(exit, is_snapshot);
                if is_snapshot {
                    let id = object.as_ref().and_then(|object| object["snapshot"].as_str());
                    self.snapshot = id.map(str::to_owned);
                    self.has_snapshot_failed = self.snapshot.is_none();
                }
                if report.outcome != Outcome::NotAllowed {
                    self.add_exit(exit);
                }
                report.report = object;
            }
            Ok(Ended { end: CommandEnd::Signalled(signal), .. }) => {
                report.trouble = Some(format!("signal {signal} ended it"));
                report.outcome = Outcome::Failed;
                self.has_snapshot_failed |= is_snapshot;
                self.add_exit(Exit::Failure);
            }
            Err(error) => {
                report.trouble = Some(format!("it cannot be started: {error}"));
                report.outcome = Outcome::Failed;
                self.has_snapshot_failed |= is_snapshot;
                self.add_exit(Exit::Failure);
            }
        }
        report
    }

    fn hook(
        &mut self,
        step: &Step,
        point: HookPoint,
        argv: &[String],
        timeout: Duration,
    ) -> StepReport {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let mut report = left_out(&step.name);
        let trouble = self.hook_trouble(point, &argv, timeout, &mut report.exit_code);
        report.outcome = if trouble.is_some() { Outcome::Failed } else { Outcome::Done };
        report.trouble = trouble;
        if report.trouble.is_some() {
            let is_before = point == HookPoint::Before;
            self.has_snapshot_failed |= is_before;
            self.add_exit(if is_before { Exit::SourceCommand } else { Exit::Failure });
        }
        report
    }

    #[expect(clippy::disallowed_methods, reason = "the command line measures elapsed time")]
    fn hook_trouble(
        &self,
        point: HookPoint,
        argv: &[OsString],
        timeout: Duration,
        exit_code: &mut Option<i32>,
    ) -> Option<String> {
        let variables = self.variables(point);
        let began = Instant::now();
        let is_late = || began.elapsed() >= timeout;
        // Hooks at the end are there to set right what others did: a stop does not take them away.
        let is_last = matches!(point, HookPoint::OnFailure | HookPoint::Always);
        let stop = self.context.stop;
        let is_cancelled = || is_late() || (!is_last && stop.signal().is_some());
        let ended = CommandRun::spawn(argv, &variables).and_then(|run| run.wait(&is_cancelled));
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(error) => return Some(format!("{error}: {}", error.source)),
        };
        let said = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        for line in said.lines() {
            self.context.output.note(format_args!("{}: {line}", point.word()));
        }
        let last = said.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        let program = Path::new(argv.first()?).display();
        match outcome.end {
            CommandEnd::Exited(0) if !is_late() => {
                *exit_code = Some(0);
                None
            }
            CommandEnd::Exited(code) if !is_late() => {
                *exit_code = Some(code);
                Some(format!("{program} exited with code {code}{last}"))
            }
            CommandEnd::Exited(_) | CommandEnd::Signalled(_) if is_late() => {
                let limit = words::duration(timeout);
                Some(format!("{program} did not end within {limit}, and was ended{last}"))
            }
            CommandEnd::Exited(code) => Some(format!("{program} exited with code {code}{last}")),
            CommandEnd::Signalled(signal) => Some(format!("signal {signal} ended {program}{last}")),
        }
    }

    /// What a hook is told.
    fn variables(&self, point: HookPoint) -> Vec<(OsString, OsString)> {
        let told = [
            ("SBF_REPO_HOOK", point.word().to_owned()),
            ("SBF_REPO_HOOK_JOB", self.name.to_owned()),
            ("SBF_REPO_HOOK_EXIT_CODE", self.exit.code().to_string()),
            ("SBF_REPO_HOOK_SNAPSHOT", self.snapshot.clone().unwrap_or_default()),
            ("SBF_REPO_HOOK_TROUBLE", self.trouble.clone().unwrap_or_default()),
        ];
        told.map(|(name, value)| (name.into(), value.into())).into()
    }

    /// The first failure counts, and what was only incomplete until there is one.
    fn add_exit(&mut self, exit: Exit) {
        if matches!(self.exit, Exit::Success | Exit::Incomplete) && exit != Exit::Success {
            self.exit = exit;
        }
    }
}

fn left_out(step: &str) -> StepReport {
    StepReport {
        step: step.to_owned(),
        outcome: Outcome::LeftOut,
        exit_code: None,
        seconds: 0.0,
        report: None,
        trouble: None,
    }
}

fn outcome_of(exit: Exit, is_snapshot: bool) -> Outcome {
    match exit {
        Exit::Success => Outcome::Done,
        Exit::Incomplete => Outcome::Incomplete,
        Exit::RoleLacks if !is_snapshot => Outcome::NotAllowed,
        Exit::Failure
        | Exit::Usage
        | Exit::SourceCommand
        | Exit::Damage
        | Exit::Missed
        | Exit::Unverified
        | Exit::OwnOutput
        | Exit::NoRepository
        | Exit::WrongKey
        | Exit::Store
        | Exit::Refused
        | Exit::RoleLacks
        | Exit::HungUp
        | Exit::Interrupted
        | Exit::ClosedPipe
        | Exit::Terminated => Outcome::Failed,
    }
}

/// What a command said went wrong.
fn trouble_of(exit: Exit, report: Option<&Value>, is_snapshot: bool) -> Option<String> {
    if exit == Exit::Success || (exit == Exit::RoleLacks && !is_snapshot) {
        return None;
    }
    let message = report.and_then(|report| {
        let error = &report["error"];
        let message = error["message"].as_str()?;
        let causes = error["chain"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Some(std::iter::once(message).chain(causes).collect::<Vec<_>>().join(": "))
    });
    Some(match message {
        Some(message) => message,
        None if exit == Exit::Incomplete => "something was left out".to_owned(),
        None => format!("it ended with code {}", exit.code()),
    })
}
