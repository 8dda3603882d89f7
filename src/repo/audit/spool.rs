//! Records that the store did not take, on this host until a later run delivers them.

use crate::format::audit::AuditEvent;
use crate::id::ClientId;
use crate::repo::audit::chain::append;
use crate::repo::error::RepoError;
use crate::repo::memory::AuditHead;
use crate::repo::repository::Repository;
use crate::repo::state::StateDirectory;
use crate::repo::state::replace_durably;
use crate::units::to_u64;
use serde_json::Map;
use serde_json::Value;

/// Keeps a record on this host; returns how many wait there.
pub(crate) fn keep(
    state: &StateDirectory,
    client: ClientId,
    event: &AuditEvent,
) -> Result<u64, RepoError> {
    let name = file_name(client);
    let _lock = state.lock(&name)?;
    let mut text = waiting_text(state, &name);
    text.push_str(&Value::Object(event.members()).to_string());
    text.push('\n');
    replace_durably(&state.file(&name), text.as_bytes())?;
    Ok(to_u64(text.lines().count()))
}

/// How many records of a client wait on this host.
pub(crate) fn waiting(state: &StateDirectory, client: ClientId) -> u64 {
    to_u64(waiting_text(state, &file_name(client)).lines().count())
}

/// Stores the records that wait, in their order; returns the end of the chain.
///
/// Errors: what the store refuses; what it took does not wait any more.
pub(crate) fn deliver(
    repository: &Repository,
    known: Option<AuditHead>,
    time: &str,
) -> Result<Option<AuditHead>, RepoError> {
    let client = repository.keys.client;
    let Some(state) = &repository.state else { return Ok(known) };
    if waiting(state, client) == 0 {
        return Ok(known);
    }
    let name = file_name(client);
    let _lock = state.lock(&name)?;
    let text = waiting_text(state, &name);
    let mut head = known;
    for (number, line) in text.lines().enumerate() {
        // A line that is none of ours was not written by this program.
        let Some(event) = event_of(line) else { continue };
        match append(repository, head, &event, Some(time)) {
            Ok(stored) => head = Some(stored),
            Err(error) => {
                let rest: String =
                    text.lines().skip(number).flat_map(|line| [line, "\n"]).collect();
                replace_durably(&state.file(&name), rest.as_bytes())?;
                return Err(error);
            }
        }
    }
    replace_durably(&state.file(&name), b"")?;
    Ok(head)
}

fn event_of(line: &str) -> Option<AuditEvent> {
    let members: Map<String, Value> = serde_json::from_str(line).ok()?;
    AuditEvent::read(&members).ok()
}

fn waiting_text(state: &StateDirectory, name: &str) -> String {
    std::fs::read_to_string(state.file(name)).unwrap_or_default()
}

fn file_name(client: ClientId) -> String {
    format!("audit-{client}")
}
