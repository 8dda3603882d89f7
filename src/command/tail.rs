//! The end of a child's error output.

use std::collections::VecDeque;
use std::io;
use std::io::Read as _;
use std::process::ChildStderr;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// The last bytes of a stream that a thread reads.
#[derive(Debug, Default)]
pub(super) struct Tail {
    state: Mutex<TailState>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct TailState {
    bytes: VecDeque<u8>,
    is_ended: bool,
}

impl Tail {
    /// Reads to the end, whatever is kept of it.
    pub(super) fn read(&self, mut stream: ChildStderr) {
        let mut buffer = [0_u8; 4096];
        loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(length) => self.push(&buffer[..length]),
            }
        }
        self.lock().is_ended = true;
        self.ended.notify_all();
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.bytes.extend(bytes);
        let excess = state.bytes.len().saturating_sub(STDERR_BYTES_MAX);
        state.bytes.drain(..excess);
    }

    /// What was read up to the end, which a process that the child left behind may delay.
    pub(super) fn take(&self) -> Vec<u8> {
        let waited = self.ended.wait_timeout_while(self.lock(), STDERR_WAIT, |s| !s.is_ended);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.bytes).into()
    }

    /// What was read so far.
    pub(super) fn so_far(&self) -> Vec<u8> {
        self.lock().bytes.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, TailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a child's error output is kept: the end of it.
pub(crate) const STDERR_BYTES_MAX: usize = 64 * 1024;
/// How long a child's error output may stay open after the child has ended.
const STDERR_WAIT: Duration = Duration::from_secs(1);
