//! A server on which a drill may make databases: its own, or one that was named.

use crate::command::CommandError;
use crate::command::CommandOutcome;
use crate::command::Surroundings;
use crate::command::User;
use crate::command::watched::drain;
use crate::command::watched::feed;
use crate::ops::drill::programs::Programs;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// How its databases are reached.
pub(crate) struct Server<'a> {
    pub(crate) programs: Programs,
    /// The connection to a database of this name.
    pub(crate) connect: Box<dyn Fn(&str) -> String + 'a>,
    /// As whom programs run that read what came out of the repository.
    pub(crate) user: Option<User>,
    /// Where they start.
    pub(crate) folder: PathBuf,
    /// Whether it is the drill's own: then no variable of this process may lead elsewhere.
    pub(crate) is_own: bool,
    pub(crate) progress: &'a dyn Progress,
}

/// What a program said, or why it failed.
pub(crate) enum Said {
    /// Its output.
    Output(String),
    /// What it said of its failure.
    Failed(String),
}

impl Server<'_> {
    /// Runs SQL in a database. Without column names; one row a line.
    ///
    /// Errors: [`OpError::Interrupted`].
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<Said, OpError> {
        let mut argv = vec![self.programs.named("psql")];
        let options = ["-X", "-A", "-t", "-q", "--no-password", "-v", "ON_ERROR_STOP=1", "-c", sql];
        argv.extend(options.map(OsString::from));
        argv.extend(["-d".into(), (self.connect)(database).into()]);
        let mut output = Vec::new();
        let mut take = |bytes: &[u8]| {
            if output.len() < OUTPUT_BYTES_MAX {
                output.extend_from_slice(bytes);
            }
        };
        let outcome = self.drain(&argv, &mut take)?;
        Ok(match outcome {
            Ok(outcome) if outcome.end.is_success() => {
                Said::Output(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
            }
            Ok(outcome) => Said::Failed(stderr_words(&outcome.stderr)),
            Err(error) => Said::Failed(format!("{error}: {}", error.source)),
        })
    }

    /// Runs a program and takes its output.
    ///
    /// Errors: [`OpError::Interrupted`].
    pub(crate) fn drain(
        &self,
        argv: &[OsString],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Result<CommandOutcome, CommandError>, OpError> {
        let ended =
            self.within(|around| drain(argv, around, &|| self.progress.is_cancelled(), take));
        if self.progress.is_cancelled() { Err(OpError::Interrupted) } else { Ok(ended) }
    }

    /// Feeds SQL to a `psql` that stops at the first error.
    ///
    /// Errors: [`OpError::Interrupted`].
    pub(crate) fn feed(
        &self,
        database: &str,
        options: &[&str],
        give: &mut dyn FnMut(&mut dyn Write) -> Result<(), OpError>,
    ) -> Result<Fed, OpError> {
        let mut argv = vec![self.programs.named("psql")];
        argv.extend(["-X", "-q", "--no-password", "-v", "ON_ERROR_STOP=1"].map(OsString::from));
        argv.extend(options.iter().map(OsString::from));
        argv.extend(["-d".into(), (self.connect)(database).into()]);
        let fed = self.within(|around| feed(&argv, around, &|| self.progress.is_cancelled(), give));
        let fed = fed.map(|fed| (fed.given, fed.outcome));
        if self.progress.is_cancelled() { Err(OpError::Interrupted) } else { Ok(fed) }
    }

    /// Runs something with what surrounds programs of this server.
    pub(crate) fn within<T>(&self, run: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PGAPPNAME".into(), "sbf-repo".into()),
            // What they say of a full disk is looked for.
            ("LC_ALL".into(), "C".into()),
        ];
        if self.is_own {
            variables.push(("PATH".into(), "/usr/bin:/bin".into()));
        }
        let (variables, is_bare) = (variables.as_slice(), self.is_own);
        let (user, folder) = (self.user, Some(self.folder.as_path()));
        run(&Surroundings { variables, is_bare, user, folder })
    }
}

/// What came of giving a program its input, and how it ended.
pub(crate) type Fed = Result<(Result<(), OpError>, CommandOutcome), CommandError>;

/// What a program said of its failure, in one line.
pub(crate) fn stderr_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    // They may hold rows, which do not belong into a record.
    let is_shown = |line: &&str| {
        !line.trim().is_empty()
            && !["DETAIL:", "CONTEXT:", "LINE "]
                .iter()
                .any(|begin| line.trim_start().starts_with(begin))
    };
    let words = text.lines().filter(is_shown).collect::<Vec<_>>().join("; ");
    if words.is_empty() { "it failed and said nothing".to_owned() } else { words }
}

/// A value of a connection string.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// More than any answer that is looked at.
const OUTPUT_BYTES_MAX: usize = 1_048_576;
