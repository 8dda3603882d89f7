//! How the repository and its copies stand after a run, as a record for whoever looks later.

use crate::cli::commands::status::Looked;
use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::jobs::execute::Execution;
use crate::cli::jobs::execute::Outcome;
use crate::cli::jobs::memory;
use crate::cli::objectives::CopyStatus;
use crate::format::attest::Attested as _;
use crate::format::attest::state::State;
use crate::format::attest::state::StatedCopy;
use crate::format::attest::state::StatedStore;
use crate::ops::error::During as _;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::announce::TOOL;
use crate::repo::locks::stated_store;
use crate::repo::locks::store_kind;
use crate::repo::mark_writer::store_attested;
use crate::repo::repository::Repository;
use crate::settings::Settings;
use std::collections::BTreeMap;

/// Whether it is time to look, as far as this host remembers.
pub(crate) fn is_due(context: &Context, execution: &Execution<'_>) -> bool {
    let last = last(context);
    let has_changed = execution.reports.iter().any(|report| {
        let is_done =
            matches!(report.outcome, Outcome::Done | Outcome::Incomplete | Outcome::Failed);
        is_done && CHANGE_STATE.iter().any(|word| report.step.split(' ').next() == Some(*word))
    });
    has_changed || last.is_none_or(|last| !is_recent(&last))
}

/// Stores how things stand, unless this host stored the same less than a day ago.
///
/// A role whose word does not count, or that cannot know, leaves it to others.
pub(crate) fn record(
    context: &Context,
    repository: &Repository,
    looked: &Looked,
) -> Result<(), Failure> {
    if !State::ROLES.contains(&repository.role()) || repository.mirror.is_some() {
        return Ok(());
    }
    let Some(state) = state_of(repository, looked) else { return Ok(()) };
    let settings = &context.configuration()?.settings;
    let known = last(context).filter(is_recent);
    if known.is_some_and(|known| standing(&known, settings) == standing(&state, settings)) {
        return Ok(());
    }
    store_attested(repository, &state).during("cannot store how the repository stands")?;
    memory::remember(context.place_word().as_deref(), MEMORY, &state)
}

fn state_of(repository: &Repository, looked: &Looked) -> Option<State> {
    let status = &looked.status;
    let coverage = status.coverage.as_ref()?;
    Some(State {
        time: time_words(Context::now(), 0),
        host: environment::host(),
        tool: TOOL.to_owned(),
        store: stated_store(repository),
        snapshots: status.sources.values().map(|source| source.snapshots).sum(),
        source_bytes: status.source_bytes,
        packs: coverage.packs,
        stored_bytes: coverage.bytes,
        read_packs: Some(coverage.covered_packs),
        read_bytes: Some(coverage.covered_bytes),
        read_oldest: coverage.oldest.clone(),
        copies: copies_of(&looked.copies),
    })
}

fn copies_of(copies: &BTreeMap<String, CopyStatus>) -> Vec<StatedCopy> {
    let stated = |(name, copy): (&String, &CopyStatus)| StatedCopy {
        name: name.clone(),
        store: match &copy.opened {
            Some(opened) => stated_store(opened),
            None => StatedStore {
                kind: store_kind(&copy.location).to_owned(),
                ..StatedStore::default()
            },
        },
        behind_seconds: copy.behind_seconds,
        error: copy.error.clone(),
    };
    copies.iter().map(stated).collect()
}

/// What of a state is worth a second record a day.
fn standing<'a>(state: &'a State, settings: &Settings) -> impl PartialEq + use<'a> {
    let copies = state.copies.iter().map(|copy| {
        let limit = settings.copy(&copy.name).and_then(|copy| copy.lag_max.as_ref());
        let is_late = match (copy.behind_seconds, limit) {
            (None, _) => true,
            (Some(behind), Some(limit)) => behind > limit.value.as_secs(),
            (Some(_), None) => false,
        };
        (copy.name.as_str(), &copy.store, copy.error.is_some(), is_late)
    });
    // As `status` has it: a fifth may wait for its turn.
    let unread = state.stored_bytes.saturating_sub(state.read_bytes.unwrap_or(0));
    let is_read = unread.saturating_mul(5) <= state.stored_bytes;
    (&state.store, copies.collect::<Vec<_>>(), is_read)
}

fn last(context: &Context) -> Option<State> {
    memory::recall(context.place_word().as_deref(), MEMORY)
}

fn is_recent(state: &State) -> bool {
    let (time, _nanoseconds) = parse_time(&state.time).unwrap_or_default();
    // A clock that was ahead remembers what is still to come.
    (0..RECENT_SECONDS).contains(&Context::now().saturating_sub(time))
}

const MEMORY: &str = "state";
/// Steps after which copies or coverage may stand otherwise, by their first words.
const CHANGE_STATE: [&str; 4] = ["mirror", "copy", "check", "prune"];
/// A day, less what one daily run may begin earlier than the one before.
const RECENT_SECONDS: i64 = 20 * 3600;
