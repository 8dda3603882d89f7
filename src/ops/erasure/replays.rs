//! What became of erasures when older data came back.

use crate::format::attest::erasure::Replay;
use crate::ops::erasure::ErasureRow;
use crate::ops::erasure::new_id;
use crate::ops::erasure::one_named;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::ledger::load;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::environment::now_words;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;

/// One time that older data came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReplayRun {
    /// Its name, 32 hexadecimal digits.
    pub run: String,
    /// `restore`, `dump` or `drill`.
    pub operation: String,
    /// The snapshot that came back.
    pub snapshot: String,
    /// The erasures that it brought back, sorted.
    pub erasures: Vec<String>,
    /// The host of the last record.
    pub host: String,
    /// When the last record was made, RFC 3339 in UTC.
    pub time: String,
    /// Whether all of them were erased again, as the last record says.
    pub is_done: bool,
    /// How that ended, in words.
    pub words: String,
    /// The key of the last record.
    pub record: String,
}

/// What is recorded of a time that older data came back.
#[derive(Debug, Clone, Copy)]
pub struct Came<'a> {
    /// The same name for all records of it; see [`new_run`].
    pub run: &'a str,
    /// `restore`, `dump` or `drill`.
    pub operation: &'a str,
    /// The snapshot.
    pub snapshot: &'a str,
    /// What it brings back: at least one.
    pub erasures: &'a [ErasureRow],
}

/// Where contents came back to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// Files in a directory.
    Directory(&'a Path),
    /// The input of a command.
    Command(&'a [OsString]),
    /// A database: a service or a connection string.
    Database(&'a str),
}

/// A name for a time that older data comes back.
pub fn new_run(repository: &Repository) -> String {
    new_id(repository)
}

/// Records whether what came back was erased again; the last record of a run counts. Returns its key.
///
/// Errors: [`crate::RepoError::RoleLacks`] if the role may not sign that.
pub fn record_replay(
    repository: &Repository,
    came: &Came<'_>,
    is_done: bool,
    words: &str,
) -> Result<String, OpError> {
    let mut erasures: Vec<String> =
        came.erasures.iter().map(|erasure| erasure.erasure.clone()).collect();
    erasures.sort_unstable();
    erasures.dedup();
    store(repository, came, erasures, (is_done, words), now_words(repository.environment.as_ref()))
}

/// Records the same of a run that was recorded before.
pub fn record_again(
    repository: &Repository,
    run: &ReplayRun,
    is_done: bool,
    words: &str,
) -> Result<String, OpError> {
    let ReplayRun { run: name, operation, snapshot, erasures, .. } = run;
    let came = Came { run: name, operation, snapshot, erasures: &[] };
    store(repository, &came, erasures.clone(), (is_done, words), time_after(repository, &run.time))
}

/// Now, or a second after a time if that is later: the clock of this host may have gone back, or that of another was ahead,
/// and the last record of a run counts.
fn time_after(repository: &Repository, last: &str) -> String {
    let now = repository.environment.now();
    let after =
        parse_time(last).map(|(seconds, nanoseconds)| (seconds.saturating_add(1), nanoseconds));
    let (seconds, nanoseconds) = after.filter(|after| *after > now).unwrap_or(now);
    time_words(seconds, nanoseconds)
}

fn store(
    repository: &Repository,
    came: &Came<'_>,
    erasures: Vec<String>,
    (is_done, words): (bool, &str),
    time: String,
) -> Result<String, OpError> {
    let said = Replay {
        time,
        host: repository.environment.process().host,
        erasures,
        snapshot: came.snapshot.to_owned(),
        operation: came.operation.to_owned(),
        run: came.run.to_owned(),
        is_done,
        words: words.to_owned(),
    };
    let key = store_attested(repository, &said).during("cannot record the replay of erasures")?;
    Ok(key.to_string())
}

/// The run whose name begins so.
///
/// Errors: [`OpError::Usage`] if none or several do, or if there are too few digits.
pub fn run_named<'a>(runs: &'a [ReplayRun], digits: &str) -> Result<&'a ReplayRun, OpError> {
    let found = one_named("run", digits, runs.iter().map(|run| run.run.as_str()))?;
    let run = runs.iter().find(|run| run.run == found);
    run.ok_or_else(|| OpError::Usage { why: format!("there is no run {digits}") })
}

/// Notes that earlier drills of this host which did not end with these erasures erased again are made good by one that
/// did: the way to erase again was what they missed, as what they brought back is wiped. Of one that was killed, or that
/// gave it to a command, nobody knows that: it stays pending.
///
/// Errors: as [`record_replay`].
pub(crate) fn make_drills_good(
    repository: &Repository,
    run: &str,
    erasures: &[String],
) -> Result<(), OpError> {
    let host = repository.environment.process().host;
    let (runs, _findings) = runs(repository)?;
    let is_made_good = |earlier: &&ReplayRun| {
        let is_drill = earlier.operation == DRILL && earlier.run != run && earlier.host == host;
        let is_wiped = earlier.words.ends_with(IT_IS_WIPED);
        is_drill
            && is_wiped
            && !earlier.is_done
            && earlier.erasures.iter().all(|each| erasures.contains(each))
    };
    for earlier in runs.iter().filter(is_made_good) {
        record_again(
            repository,
            earlier,
            true,
            &format!("{IT_IS_WIPED}; a later drill erased again"),
        )?;
    }
    Ok(())
}

/// Every time that older data came back, by its last record, and what cannot be read.
pub fn runs(repository: &Repository) -> Result<(Vec<ReplayRun>, Vec<Finding>), OpError> {
    let mut findings = Vec::new();
    let mut runs: Vec<ReplayRun> = Vec::new();
    for found in load::<Replay>(repository, &mut findings)? {
        let Replay { time, host, erasures, snapshot, operation, run, is_done, words } = found.said;
        let record = found.key.to_string();
        let run =
            ReplayRun { run, operation, snapshot, erasures, host, time, is_done, words, record };
        // By time: a later one of the same run has the last word.
        runs.retain(|earlier| earlier.run != run.run);
        runs.push(run);
    }
    Ok((runs, findings))
}

/// How the words of a drill end that wiped what it brought back.
pub(crate) const IT_IS_WIPED: &str = "what it brought back is wiped";
/// The operation of drills.
pub(crate) const DRILL: &str = "drill";
