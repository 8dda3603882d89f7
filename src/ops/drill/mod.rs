//! Drills: a snapshot is brought back, looked at and wiped, and how long that took is measured.
//! Spec of the record: format-spec/19-attest.md, "Drills".
//!
//! A check that could not be made never counts as one that passed.

mod cluster;
mod compare;
mod database;
mod globals;
pub(crate) mod list;
mod postgres;
mod prints;
mod programs;
mod proof;
pub(crate) mod record;
mod tree;

use crate::command::watched::IsCancelled;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::Outcome;
use crate::ops::drill::record::Clock;
use crate::ops::drill::record::Recorder;
use crate::ops::drill::record::milliseconds;
use crate::ops::erasure::replays::Target;
use crate::ops::error::OpError;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::snapshots;
use crate::ops::progress::Progress;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::ops::snapshot::postgres::PostgresSource;
use crate::ops::words::parse_time;
use crate::ops::words::path_words;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::repository::Repository;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is drilled, and how.
#[derive(Debug, Clone)]
pub(crate) struct DrillOptions {
    /// What people call it.
    pub(crate) name: String,
    /// The job whose data comes back.
    pub(crate) job: Option<String>,
    /// The source of the snapshot.
    pub(crate) source: String,
    /// Which snapshot; the newest complete one of the source if there is none.
    pub(crate) selector: Option<Selector>,
    pub(crate) target: DrillTarget,
    /// The database, if the snapshot has several.
    pub(crate) database: Option<String>,
    /// What of the snapshot, as a path.
    pub(crate) path: Option<String>,
    /// SQL that must answer with one `true`.
    pub(crate) assertions: Vec<String>,
    pub(crate) rto: Option<Duration>,
    pub(crate) rpo: Option<Duration>,
    /// Whether the structure of what came back is looked at.
    pub(crate) amcheck: bool,
    /// Whether it is dumped again and compared with what is stored.
    pub(crate) redump: bool,
    /// Roles that are made before a dump without roles comes back.
    pub(crate) roles: Vec<String>,
    /// The time zone of a private server.
    pub(crate) timezone: Option<String>,
    /// Where programs of `PostgreSQL` are.
    pub(crate) programs: Option<PathBuf>,
    /// In which directory there is room for what comes back.
    pub(crate) scratch: PathBuf,
    /// From which copy it is read.
    pub(crate) copy: Option<String>,
    /// Whether nothing that this host kept is used, but what a recovery kit has.
    pub(crate) is_cold: bool,
    /// What it runs on, by name.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Where what comes back goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DrillTarget {
    /// A private server, which is gone afterwards.
    Scratch,
    /// A database of its own on the server of a connection.
    Url(String),
    /// A directory, which is gone afterwards.
    Files,
    /// A command that is given the file, or the directory that was restored.
    Command(Vec<String>),
}

impl DrillTarget {
    /// As the record says it.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Url(_) => "url",
            Self::Files => "files",
            Self::Command(_) => "command",
        }
    }
}

/// A drill that came to its end.
#[derive(Debug, Clone)]
pub(crate) struct Drilled {
    pub(crate) record: Drill,
    /// Whether something that is stored is damaged.
    pub(crate) is_damaged: bool,
}

/// What became of what was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wiped {
    /// Nothing of it is left.
    All,
    /// A command was given it: what that made of it is beyond this program.
    Kept,
    /// Something stays that was to go: what and why, in words, which were told.
    NotAll(String),
}

impl Wiped {
    /// As the record says it.
    const fn word(&self) -> &'static str {
        match self {
            Self::All => "wiped",
            Self::Kept => "kept",
            Self::NotAll(_) => "failed",
        }
    }
}

/// Erases again, where contents came back to; `None` if they bring nothing back that was erased.
pub(crate) type EraseAgain<'a> = dyn Fn(Target<'_>) -> Option<ErasedAgain> + 'a;

/// How that ended, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ErasedAgain {
    /// All was erased again.
    All(String),
    /// The command for it failed.
    Failed(String),
    /// There is no such command, or what is to be erased is not known.
    Unknown(String),
}

/// What the parts of a drill work with.
pub(crate) struct Given<'a> {
    /// The repository that is read.
    pub(crate) data: &'a Repository,
    /// The one that has the record; it may be the same.
    pub(crate) main: &'a Repository,
    pub(crate) options: &'a DrillOptions,
    pub(crate) progress: &'a dyn Progress,
    /// Erases again what had been erased at the source since, before anything is asserted of what came back.
    pub(crate) erase_again: &'a EraseAgain<'a>,
    /// What becomes of what is brought back, also of a drill that is stopped.
    pub(crate) became: &'a RefCell<Wiped>,
    /// Warns whoever started the drill.
    pub(crate) warn: &'a dyn Fn(&str),
}

impl Given<'_> {
    fn is_cancelled(&self) -> impl Fn() -> bool + Sync + '_ {
        || self.progress.is_cancelled()
    }

    /// The repository with whose keys the manifest's digests of rows were made, if it is known.
    fn keys_of(&self, selected: &Selected) -> Option<&Repository> {
        let origin = selected.manifest.predicate.origin.as_ref();
        let made =
            origin.map_or_else(|| self.data.id().to_string(), |from| from.repository.clone());
        [self.data, self.main].into_iter().find(|repository| repository.id().to_string() == made)
    }

    /// Erases again, and checks that.
    ///
    /// Errors: [`OpError::Interrupted`].
    fn erase_again(&self, recorder: &mut Recorder<'_>, target: Target<'_>) -> Result<(), OpError> {
        let Some(erased) = (self.erase_again)(target) else { return Ok(()) };
        if self.progress.is_cancelled() {
            return Err(OpError::Interrupted);
        }
        match erased {
            ErasedAgain::All(words) => recorder.pass(ERASURES, words),
            ErasedAgain::Failed(words) => recorder.fail(ERASURES, words),
            ErasedAgain::Unknown(words) => recorder.not_verified(ERASURES, words),
        }
        recorder.phase(ERASURES);
        Ok(())
    }

    /// Says that something stays that was to be wiped.
    fn wiped(&self, wiped: Result<(), String>) {
        if let Err(why) = wiped {
            (self.warn)(&format!("what was brought back is not gone: {why}"));
            *self.became.borrow_mut() = Wiped::NotAll(why);
        }
    }
}

/// Finds the snapshot of a drill.
pub(crate) fn choose(data: &Repository, options: &DrillOptions) -> Result<Selected, OpError> {
    if let Some(selector) = &options.selector {
        return selector.select(data);
    }
    let mut filter = SnapshotFilter::new();
    filter.source = Some(options.source.clone());
    let list = snapshots(data, &filter)?;
    let is_complete = |row: &&crate::ops::look::SnapshotRow| {
        row.manifest.as_ref().is_some_and(|manifest| !manifest.predicate.incomplete)
    };
    let text = match list.rows.iter().rfind(is_complete) {
        Some(row) => row.snapshot.to_string(),
        // Its errors say what there is instead.
        None => format!("{}@latest", options.source),
    };
    let mut selected = Selector::parse(text.as_bytes())?.select(data)?;
    if selected.manifest.predicate.incomplete {
        let selector = format!("{}@latest, complete", options.source);
        return Err(OpError::NoSnapshot { selector });
    }
    selected.findings = list.findings;
    Ok(selected)
}

/// Refuses what cannot be drilled as it is configured, before anything is done.
///
/// Errors: [`OpError::Usage`].
pub(crate) fn check(selected: &Selected, options: &DrillOptions) -> Result<(), OpError> {
    let source = &selected.manifest.predicate.source;
    if *source != options.source {
        let why = format!(
            "snapshot {} is of the source `{source}`, and the drill is of `{}`",
            selected.snapshot().short(),
            options.source
        );
        return Err(OpError::Usage { why });
    }
    check_part(selected, options)?;
    match &options.target {
        DrillTarget::Scratch => postgres::choose_dump(selected, options).map(|_dump| ()),
        DrillTarget::Url(dsn) => {
            PostgresSource::new(dsn)?;
            postgres::choose_dump(selected, options).map(|_dump| ())
        }
        DrillTarget::Files | DrillTarget::Command(_) => Ok(()),
    }
}

/// Refuses a part of a snapshot that is not the one that the drill is of: the record would say no less than of all.
fn check_part(selected: &Selected, options: &DrillOptions) -> Result<(), OpError> {
    if selected.path.is_empty() {
        return Ok(());
    }
    let part = path_words(&selected.path.join(&b'/'));
    let own = options.path.as_deref().map(|path| path.trim_matches('/').to_owned());
    let own = match &options.target {
        DrillTarget::Scratch | DrillTarget::Url(_) => {
            let mut whole = selected.clone();
            whole.path.clear();
            Some(postgres::choose_dump(&whole, options)?.stream.name.clone())
        }
        DrillTarget::Files | DrillTarget::Command(_) => own,
    };
    if own.as_ref() == Some(&part) {
        return Ok(());
    }
    let why = format!(
        "`{part}` is a part of the snapshot, and not what the drill is of: `path` of its section names one"
    );
    Err(OpError::Usage { why })
}

/// Brings a snapshot back, looks at what came, and wipes it.
///
/// Errors: [`OpError::Interrupted`]; what came back is wiped then, too.
pub(crate) fn drill(
    given: &Given<'_>,
    chosen: Result<Selected, OpError>,
    clock: Clock<'_>,
    began: (i64, u32),
) -> Result<Drilled, OpError> {
    let mut recorder = Recorder::new(clock, given.options.environment.clone());
    recorder.phase("select");
    let selected = match chosen {
        Err(error) => {
            let is_none = matches!(error, OpError::NoSnapshot { .. } | OpError::Forgotten { .. });
            let name = if is_none { "snapshot" } else { SIGNATURES };
            recorder.read_error(name, given.data, error)?;
            None
        }
        Ok(selected) => {
            note_signatures(&mut recorder, given, &selected);
            match &given.options.target {
                DrillTarget::Scratch => postgres::on_own_server(given, &mut recorder, &selected)?,
                DrillTarget::Url(dsn) => postgres::on_server(given, &mut recorder, &selected, dsn)?,
                DrillTarget::Files => tree::into_directory(given, &mut recorder, &selected, None)?,
                DrillTarget::Command(argv) => {
                    tree::into_command(given, &mut recorder, &selected, argv)?;
                }
            }
            Some(selected)
        }
    };
    let data_time =
        selected.as_ref().map(|selected| selected.manifest.predicate.times.data.as_str());
    let rpo_seconds = data_time
        .and_then(parse_time)
        .map(|(seconds, _nanoseconds)| u64::try_from(began.0.saturating_sub(seconds)).unwrap_or(0));
    let (wiped, is_timed) = (given.became.borrow().clone(), is_back(&recorder));
    let ended = Ended { selected: selected.as_ref(), rpo_seconds, began, wiped, is_timed };
    let target = given.options.target.word();
    Ok(finish(given.main, given.options, target, recorder, &ended))
}

/// A snapshot is selected only if its manifest is signed as it should be and a commit counts for it.
fn note_signatures(recorder: &mut Recorder<'_>, given: &Given<'_>, selected: &Selected) {
    let client = selected.live.client;
    let role = given.data.identities.role_of_client(client);
    let role = role.map_or("unknown", crate::format::keyslot::Role::word);
    let detail = format!(
        "the manifest of snapshot {} is signed by client {client}, {role}, and committed",
        selected.snapshot()
    );
    recorder.pass(SIGNATURES, detail);
}

/// Whether the data was brought back: without that there is no time to recover.
fn is_back(recorder: &Recorder<'_>) -> bool {
    let mut restores = recorder.checks.iter().filter(|check| check.name == "restore");
    restores.any(|check| check.outcome == Outcome::Pass)
}

/// How a drill ended, beside its checks.
pub(crate) struct Ended<'a> {
    /// The snapshot, if one was found.
    pub(crate) selected: Option<&'a Selected>,
    /// How old its data was, in seconds.
    pub(crate) rpo_seconds: Option<u64>,
    /// When it began.
    pub(crate) began: (i64, u32),
    /// What became of what came back.
    pub(crate) wiped: Wiped,
    /// Whether it got so far that the time to recover is known.
    pub(crate) is_timed: bool,
}

/// Judges the objectives, and makes the record.
pub(crate) fn finish(
    main: &Repository,
    options: &DrillOptions,
    target: &str,
    mut recorder: Recorder<'_>,
    ended: &Ended<'_>,
) -> Drilled {
    let Ended { wiped, is_timed, .. } = ended;
    let (selected, rpo_seconds, began) = (ended.selected, ended.rpo_seconds, ended.began);
    let rto = recorder.last_check.filter(|_| *is_timed);
    judge_objectives(&mut recorder, options, rto, rpo_seconds);
    if let Wiped::NotAll(why) = wiped {
        recorder.fail("wipe", format!("what was brought back is not gone: {why}"));
    }
    let environment = main.environment.as_ref();
    let (finished, nanoseconds) = environment.now();
    let record = Drill {
        time: time_words(began.0, began.1),
        finished: time_words(finished, nanoseconds),
        host: environment.process().host,
        tool: TOOL.to_owned(),
        name: options.name.clone(),
        job: options.job.clone(),
        source: options.source.clone(),
        snapshot: selected.map(|selected| selected.snapshot().to_string()),
        manifest: selected.map(|selected| selected.live.manifest.to_string()),
        data_time: selected.map(|selected| selected.manifest.predicate.times.data.clone()),
        target: target.to_owned(),
        copy: options.copy.clone(),
        cache: if options.is_cold { "cold" } else { "warm" }.to_owned(),
        from_kit: options.is_cold,
        outcome: recorder.outcome(),
        phases: recorder.phases,
        checks: recorder.checks,
        rto_milliseconds: rto.map(milliseconds),
        rto_target_seconds: options.rto.map(|most| most.as_secs()),
        rpo_seconds,
        rpo_target_seconds: options.rpo.map(|most| most.as_secs()),
        bytes: recorder.bytes,
        environment: recorder.environment,
        scratch: wiped.word().to_owned(),
    };
    Drilled { record, is_damaged: recorder.is_damaged }
}

fn judge_objectives(
    recorder: &mut Recorder<'_>,
    options: &DrillOptions,
    rto: Option<Duration>,
    rpo_seconds: Option<u64>,
) {
    let rpo = rpo_seconds.map(Duration::from_secs);
    for (name, most, found, what) in
        [("rpo", options.rpo, rpo, "the data was as old as"), ("rto", options.rto, rto, "it took")]
    {
        let (Some(most), Some(found)) = (most, found) else { continue };
        let (limit, found_seconds) = (most.as_secs(), found.as_secs_f64());
        let detail = format!("{what} {found_seconds:.1} s, and may {limit} s");
        if found > most { recorder.fail(name, detail) } else { recorder.pass(name, detail) }
    }
}

/// Whether somebody asked to stop, for children.
fn cancelled(asked: &(impl Fn() -> bool + Sync)) -> IsCancelled<'_> {
    asked
}

/// The name of the first check.
const SIGNATURES: &str = "signatures";
const ERASURES: &str = "erasures";
