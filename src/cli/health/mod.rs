//! What a backup will need, looked at before it is needed.

mod dumps;
mod host;
mod jobs;

pub(crate) use crate::cli::health::dumps::kept_words;
pub(crate) use crate::cli::health::jobs::first_line;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::notify;
use crate::repo::repository::Repository;
use serde::Serialize;

/// Something that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Looked {
    /// What, in a few words: `job app-db: database`.
    pub(crate) what: String,
    pub(crate) outcome: Outcome,
    /// What was found; what is wrong, and what helps.
    pub(crate) words: String,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it should be.
    Fine,
    /// A backup will do, and somebody should look at it.
    Doubtful,
    /// A backup will fail.
    Wrong,
}

impl Looked {
    fn fine(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self { what: what.into(), outcome: Outcome::Fine, words: words.into() }
    }

    fn doubtful(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self { what: what.into(), outcome: Outcome::Doubtful, words: words.into() }
    }

    fn wrong(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self { what: what.into(), outcome: Outcome::Wrong, words: words.into() }
    }
}

/// Sends a test to every channel of notifications.
fn channels(context: &Context) -> Result<Vec<Looked>, Failure> {
    let mut notifier = notify::notifier(context)?;
    let deliveries = notifier.test(Context::now(), None);
    let looked = deliveries.into_iter().map(|delivery| {
        let what = format!("notifications by {}", delivery.channel);
        match delivery.error {
            None => Looked::fine(what, "a test was delivered"),
            Some(error) => Looked::wrong(what, error),
        }
    });
    let looked: Vec<Looked> = looked.collect();
    if looked.is_empty() {
        let words = "nobody would be told: [[notify.channel]]";
        return Ok(vec![Looked::doubtful("notifications", words)]);
    }
    Ok(looked)
}

/// Looks at everything that the jobs of the configuration file will need on this host.
///
/// Errors: whatever is wrong with the configuration file.
pub(crate) fn look(
    context: &Context,
    repository: &Repository,
    with_test: bool,
) -> Result<Vec<Looked>, Failure> {
    let settings = &context.configuration()?.settings;
    let mut all = host::look(context)?;
    if !settings.jobs.is_empty() {
        all.push(host::secret(context)?);
    }
    for job in &settings.jobs {
        all.extend(jobs::look(job, repository));
    }
    for copy in &settings.copies {
        let what = format!("copy {}", copy.name.value);
        all.push(match context.open_copy(copy) {
            Ok(_opened) => Looked::fine(what, "it opens"),
            Err(failure) => Looked::wrong(what, failure.summary()),
        });
    }
    all.extend(dumps::look(context, repository)?);
    all.extend(host::timers(settings));
    if with_test {
        all.extend(channels(context)?);
    }
    Ok(all)
}
