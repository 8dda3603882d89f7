//! What a drill did and found so far, with times.

use crate::format::attest::drill::DrillCheck;
use crate::format::attest::drill::Outcome;
use crate::format::attest::drill::Phase;
use crate::ops::error::OpError;
use crate::ops::finding::chain_words;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::time::Duration;

/// The time since the drill began.
pub(crate) type Clock<'a> = &'a dyn Fn() -> Duration;

/// Gathers what a drill did and found.
pub(crate) struct Recorder<'a> {
    clock: Clock<'a>,
    phase_began: Duration,
    /// When the last check was made.
    pub(crate) last_check: Option<Duration>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) checks: Vec<DrillCheck>,
    /// Whether something that is stored is damaged.
    pub(crate) is_damaged: bool,
    pub(crate) environment: BTreeMap<String, String>,
    /// Bytes of content that were brought back.
    pub(crate) bytes: u64,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(clock: Clock<'a>, environment: BTreeMap<String, String>) -> Self {
        Self {
            clock,
            phase_began: Duration::ZERO,
            last_check: None,
            phases: Vec::new(),
            checks: Vec::new(),
            is_damaged: false,
            environment,
            bytes: 0,
        }
    }

    /// Ends a phase: what was done since the last one ended has this name.
    pub(crate) fn phase(&mut self, name: &str) {
        self.phase_confirmed(name, None);
    }

    /// The same, which a person confirmed.
    pub(crate) fn phase_confirmed(&mut self, name: &str, by: Option<String>) {
        let now = (self.clock)();
        let taken = now.saturating_sub(self.phase_began);
        self.phase_began = now;
        let milliseconds = milliseconds(taken);
        self.phases.push(Phase { name: bounded(name), milliseconds, confirmed_by: by });
    }

    pub(crate) fn pass(&mut self, name: &str, detail: impl Into<String>) {
        self.check(name, Outcome::Pass, &detail.into());
    }

    /// A check that could not be made: nothing is proved.
    pub(crate) fn not_verified(&mut self, name: &str, detail: impl Into<String>) {
        self.check(name, Outcome::NotVerified, &detail.into());
    }

    pub(crate) fn fail(&mut self, name: &str, detail: impl Into<String>) {
        self.check(name, Outcome::Fail, &detail.into());
    }

    /// A check that failed for what is stored.
    pub(crate) fn damaged(&mut self, name: &str, detail: impl Into<String>) {
        self.is_damaged = true;
        self.check(name, Outcome::Fail, &detail.into());
    }

    /// What an error of reading from a repository means for a check.
    ///
    /// Errors: [`OpError::Interrupted`], which means nothing.
    pub(crate) fn read_error(
        &mut self,
        name: &str,
        repository: &Repository,
        error: OpError,
    ) -> Result<(), OpError> {
        let words = chain_words(&error);
        match &error {
            OpError::Interrupted => return Err(error),
            OpError::Repo { source, .. }
            | OpError::Restore { source, .. }
            | OpError::MayBeMeant { source, .. }
                if repository.is_damage(source) =>
            {
                self.damaged(name, words);
            }
            OpError::Hidden { .. } => self.damaged(name, words),
            OpError::NoSnapshot { .. } | OpError::Forgotten { .. } | OpError::NoPath { .. } => {
                self.fail(name, words);
            }
            OpError::Repo { .. }
            | OpError::Local { .. }
            | OpError::Restore { .. }
            | OpError::Rewrite { .. }
            | OpError::Refused { .. }
            | OpError::Usage { .. }
            | OpError::SourceCommand { .. }
            | OpError::NotUnwrapped { .. }
            | OpError::Guard { .. }
            | OpError::TargetCommand { .. }
            | OpError::MayBeMeant { .. }
            | OpError::TooLate { .. }
            | OpError::Committed { .. } => self.not_verified(name, words),
        }
        Ok(())
    }

    /// Notes of checks that they were not reached.
    pub(crate) fn not_reached(&mut self, names: &[&str]) {
        for name in names {
            if !self.checks.iter().any(|check| check.name == *name) {
                let (name, outcome) = ((*name).to_owned(), Outcome::NotVerified);
                let detail = "not reached".to_owned();
                self.checks.push(DrillCheck { name, outcome, detail });
            }
        }
    }

    /// The worst of all checks; without any, nothing is proved.
    pub(crate) fn outcome(&self) -> Outcome {
        self.checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::NotVerified)
    }

    fn check(&mut self, name: &str, outcome: Outcome, detail: &str) {
        self.last_check = Some((self.clock)());
        let (name, detail) = (name.to_owned(), bounded(detail));
        self.checks.push(DrillCheck { name, outcome, detail });
    }
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The text up to a length; programs may say much.
fn bounded(text: &str) -> String {
    let text = text.trim();
    let end = (0..=DETAIL_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let cut = &text[..end.unwrap_or_default()];
    if cut.len() < text.len() { format!("{cut}…") } else { cut.to_owned() }
}

const DETAIL_BYTES_MAX: usize = 1500;
