//! Hooks of a job: commands around its snapshot.

use crate::settings::At;
use crate::settings::quantities;
use crate::settings::section::Section;
use std::time::Duration;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookPoint {
    /// Before the snapshot; if it fails, none is made.
    Before,
    /// After a snapshot was made.
    After,
    /// When no snapshot was made, or a later step failed.
    OnFailure,
    /// At the end, whatever happened.
    Always,
}

impl HookPoint {
    const ALL: [Self; 4] = [Self::Before, Self::After, Self::OnFailure, Self::Always];

    /// As the file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::OnFailure => "on_failure",
            Self::Always => "always",
        }
    }
}

/// The table `hooks` of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// Programs with their arguments; no shell.
    pub(crate) commands: Vec<(HookPoint, At<Vec<String>>)>,
    /// How long each may take.
    pub(crate) timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { commands: Vec::new(), timeout: USUAL_TIMEOUT }
    }
}

impl Hooks {
    /// Takes the table from a job.
    pub(crate) fn decode(job: &mut Section<'_>) -> Self {
        let instead = "is a table such as `{ before = [\"program\", \"argument\"] }`";
        let Some(mut table) = job.table("hooks", instead) else { return Self::default() };
        let mut commands = Vec::new();
        for point in HookPoint::ALL {
            commands.extend(table.texts(point.word()).map(|argv| (point, argv)));
        }
        let timeout = table.parsed("timeout", quantities::duration);
        table.finish();
        Self { commands, timeout: timeout.map_or(USUAL_TIMEOUT, |at| at.value) }
    }

    /// The command of a point.
    pub(crate) fn at(&self, point: HookPoint) -> Option<&[String]> {
        let found = self.commands.iter().find(|(known, _)| *known == point);
        found.map(|(_, argv)| argv.value.as_slice())
    }
}

const USUAL_TIMEOUT: Duration = Duration::from_mins(15);
