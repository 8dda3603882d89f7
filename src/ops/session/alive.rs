//! Does the process of a session live? Told as far as this host can know; nothing is decided by it.

use crate::format::session::Announcement;
use crate::format::session::Purpose;
use crate::id::SessionId;
use crate::repo::repository::Repository;
use crate::repo::state::Owner;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::process::test_kill_process;
use serde::Serialize;

/// Whether the process of a session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProcessState {
    /// It does, on this host.
    Alive,
    /// It ended, on this host.
    Ended,
    /// It is not of this host, or nobody told.
    Unknown,
}

/// Finds out whether the process of a session lives.
///
/// This host's memory knows for certain. Another user's process is not in it: then the number that
/// was announced says it, which another process may have by now.
pub(crate) fn state_of(
    repository: &Repository,
    session: SessionId,
    announcement: Option<&Announcement>,
) -> ProcessState {
    let purposes = match announcement {
        Some(announcement) => vec![announcement.purpose],
        None => vec![Purpose::Write, Purpose::Collect],
    };
    if let Some(memory) = &repository.state {
        for purpose in purposes {
            match memory.owner(session, purpose) {
                Owner::Alive => return ProcessState::Alive,
                Owner::Dead(_mark) => return ProcessState::Ended,
                Owner::Unknown => {}
            }
        }
    }
    let here = repository.environment.process();
    match announcement {
        Some(told) if !told.host.is_empty() && told.host == here.host => by_number(told.process),
        Some(_) | None => ProcessState::Unknown,
    }
}

fn by_number(number: u32) -> ProcessState {
    let process = i32::try_from(number).ok().and_then(Pid::from_raw);
    match process.map(test_kill_process) {
        // A process of another user may not be signalled, but is there.
        Some(Ok(()) | Err(Errno::PERM)) => ProcessState::Alive,
        Some(Err(Errno::SRCH)) => ProcessState::Ended,
        Some(Err(_)) | None => ProcessState::Unknown,
    }
}
