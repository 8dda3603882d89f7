//! How fast bytes may go: a limit in each direction, for all threads together.

use crate::units::to_u64;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// Limits on bytes a second; none where there is nothing, or 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// To the store.
    pub upload_bytes_per_second: Option<u64>,
    /// From the store.
    pub download_bytes_per_second: Option<u64>,
}

/// A limit on bytes a second, in one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    /// When what was let through so far has taken its time.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many bytes a second; any number without a limit.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        let bytes_per_second = bytes_per_second.filter(|rate| *rate > 0);
        Self { bytes_per_second, free_at: Mutex::new(None) }
    }

    /// Lets so many bytes through; returns how long they must wait.
    ///
    /// What is moved as a whole waits for its own time, too: on average the limit holds.
    #[expect(clippy::disallowed_methods, reason = "bytes a second need a clock that only goes on")]
    pub(crate) fn reserve(&self, bytes: usize) -> Duration {
        self.reserve_at(bytes, Instant::now())
    }

    /// Waits on this thread until so many bytes may go.
    pub(crate) fn wait(&self, bytes: usize) {
        let time = self.reserve(bytes);
        if !time.is_zero() {
            std::thread::sleep(time);
        }
    }

    fn reserve_at(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let micros = u128::from(to_u64(bytes)) * 1_000_000 / u128::from(rate);
        let time = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let until = free_at.map_or(now, |free| free.max(now)) + time;
        *free_at = Some(until);
        until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn what_comes_at_once_waits_one_after_the_other_and_nobody_for_the_past() {
        let (pace, start) = (Pace::new(Some(1000)), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(pace.reserve_at(1000, start), second);
        assert_eq!(pace.reserve_at(2000, start), 3 * second);
        assert_eq!(pace.reserve_at(500, start + 2 * second), second * 3 / 2);
        // Nothing is saved up while nothing goes.
        assert_eq!(pace.reserve_at(1000, start + 60 * second), second);
        assert_eq!(Pace::new(Some(0)).reserve_at(usize::MAX, start), Duration::ZERO);
        assert_eq!(Pace::new(None).reserve_at(usize::MAX, start), Duration::ZERO);
    }
}
