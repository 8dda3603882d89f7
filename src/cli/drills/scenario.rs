//! Scenarios: steps that people, commands and other drills do one after the other, each timed.

use crate::cli::context::Context;
use crate::cli::drills::execute::Done;
use crate::cli::drills::execute::execute;
use crate::cli::drills::execute::options_of;
use crate::cli::drills::execute::record;
use crate::cli::drills::execute::trouble_of;
use crate::cli::drills::session::Session;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::prompt;
use crate::command::CommandEnd;
use crate::command::CommandRun;
use crate::format::attest::drill::Outcome;
use crate::ops::drill;
use crate::ops::drill::Ended;
use crate::ops::drill::Wiped;
use crate::ops::drill::record::Recorder;
use crate::ops::error::OpError;
use crate::repo::environment::Environment as _;
use crate::repo::environment::SystemEnvironment;
use crate::settings::drill::DrillSection;
use crate::settings::drill::StepKind;
use std::ffi::OsString;

/// Steps, as far as they were done.
struct Scenario<'a> {
    context: &'a Context,
    session: &'a Session,
    /// Who confirms, once that is known.
    confirmer: Option<String>,
    rpo_seconds: Option<u64>,
    bytes: u64,
    /// Drills of it that are recorded.
    done: Vec<Done>,
}

/// Does all steps; the first that fails is the last.
pub(crate) fn run(
    context: &Context,
    session: &Session,
    section: &DrillSection,
    confirmed_by: Option<String>,
) -> Result<(Done, Vec<Done>), Failure> {
    let options = options_of(context, session, section, None)?;
    let began = context.elapsed();
    let clock = || context.elapsed().saturating_sub(began);
    let started = SystemEnvironment::new().now();
    let mut recorder = Recorder::new(&clock, options.environment.clone());
    let (confirmer, rpo_seconds, done) = (confirmed_by, None, Vec::new());
    let mut scenario = Scenario { context, session, confirmer, rpo_seconds, bytes: 0, done };
    let names: Vec<String> =
        (1..=section.steps.len()).map(|number| format!("step-{number}")).collect();
    for (step, name) in section.steps.iter().zip(&names) {
        if recorder.outcome() == Outcome::Fail {
            recorder.not_reached(&[name]);
            continue;
        }
        context.output.note(format_args!("{name}: {}", step.words));
        let by = match &step.what {
            StepKind::Confirm => scenario.confirm(&mut recorder, name, &step.words)?,
            StepKind::Command(argv) => {
                scenario.command(&mut recorder, name, argv)?;
                None
            }
            StepKind::Drill(at) => {
                scenario.drill(&mut recorder, name, &at.value)?;
                None
            }
        };
        recorder.phase_confirmed(&step.words, by);
    }
    recorder.bytes = scenario.bytes;
    let ended = Ended {
        selected: None,
        rpo_seconds: scenario.rpo_seconds,
        began: started,
        wiped: Wiped::All,
        is_timed: true,
    };
    let drilled = drill::finish(&session.main, &options, "scenario", recorder, &ended);
    Ok((record(session, drilled)?, scenario.done))
}

impl Scenario<'_> {
    /// Asks a person; returns who confirmed it.
    fn confirm(
        &mut self,
        recorder: &mut Recorder<'_>,
        name: &str,
        words: &str,
    ) -> Result<Option<String>, Failure> {
        self.go_on()?;
        if self.confirmer.is_none() && prompt::has_terminal() {
            let answer = prompt::line("who confirms the steps? ")?;
            self.confirmer = Some(answer).filter(|name| !name.is_empty());
            if self.confirmer.is_some() {
                return self.ask(recorder, name, words);
            }
        } else if self.confirmer.is_some() && prompt::has_terminal() {
            return self.ask(recorder, name, words);
        }
        let Some(by) = &self.confirmer else {
            let why = if prompt::has_terminal() {
                "no name was given, and no `--confirmed-by`"
            } else {
                "there is no terminal, and no `--confirmed-by`"
            };
            recorder.not_verified(name, format!("{words}: nobody confirmed it: {why}"));
            return Ok(None);
        };
        recorder.pass(name, format!("{words}: confirmed by {by}"));
        Ok(Some(by.clone()))
    }

    fn ask(
        &self,
        recorder: &mut Recorder<'_>,
        name: &str,
        words: &str,
    ) -> Result<Option<String>, Failure> {
        let by = self.confirmer.clone().unwrap_or_default();
        if prompt::yes(&format!("{words}: done? [y/N] "))? {
            recorder.pass(name, format!("{words}: confirmed by {by}"));
            return Ok(Some(by));
        }
        self.go_on()?;
        recorder.fail(name, format!("{words}: {by} did not confirm it"));
        Ok(None)
    }

    fn command(
        &self,
        recorder: &mut Recorder<'_>,
        name: &str,
        argv: &[String],
    ) -> Result<(), Failure> {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let stop = self.context.stop;
        let ended =
            CommandRun::spawn(&argv, &[]).and_then(|run| run.wait(&|| stop.signal().is_some()));
        self.go_on()?;
        match ended {
            Ok(outcome) => {
                let said = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
                match outcome.end {
                    CommandEnd::Exited(0) => recorder.pass(name, "the command exited with code 0"),
                    CommandEnd::Exited(7) => {
                        recorder
                            .not_verified(name, format!("the command exited with code 7: {said}"));
                    }
                    CommandEnd::Exited(code) => {
                        recorder.fail(name, format!("the command exited with code {code}: {said}"));
                    }
                    CommandEnd::Signalled(signal) => {
                        recorder.fail(name, format!("signal {signal} ended the command"));
                    }
                }
            }
            Err(error) => recorder.not_verified(name, format!("{error}: {}", error.source)),
        }
        Ok(())
    }

    fn drill(
        &mut self,
        recorder: &mut Recorder<'_>,
        name: &str,
        other: &str,
    ) -> Result<(), Failure> {
        self.go_on()?;
        let settings = &self.context.configuration()?.settings;
        let Some(section) = settings.drill(other) else { return Ok(()) };
        let done = execute(self.context, self.session, section, None, self.context.elapsed())?;
        let detail = match trouble_of(&done.drill) {
            Some(check) => {
                format!("drill {other}, {}: {}: {}", done.record, check.name, check.detail)
            }
            None => format!("drill {other}, {}", done.record),
        };
        match done.drill.outcome {
            Outcome::Fail if done.exit == Exit::Damage => recorder.damaged(name, detail),
            Outcome::Fail => recorder.fail(name, detail),
            Outcome::NotVerified => recorder.not_verified(name, detail),
            Outcome::Pass => recorder.pass(name, detail),
        }
        // The oldest data that came back is what would be lost.
        self.rpo_seconds = self.rpo_seconds.max(done.drill.rpo_seconds);
        self.bytes += done.drill.bytes;
        self.done.push(done);
        Ok(())
    }

    /// Ends where somebody asked to stop.
    fn go_on(&self) -> Result<(), Failure> {
        match self.context.stop.signal() {
            Some(_) => Err(OpError::Interrupted.into()),
            None => Ok(()),
        }
    }
}
