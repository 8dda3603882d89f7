//! How fast bytes may go.

use crate::units::to_u64;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// A limit on bytes a second, in one direction, for all requests together.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    /// When what was let through so far has taken its time.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many bytes a second; any number without a limit.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, free_at: Mutex::new(None) }
    }

    /// Waits until so many bytes may go.
    pub(crate) async fn take(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second.filter(|rate| *rate > 0) else { return };
        let micros = u128::from(to_u64(bytes)) * 1_000_000 / u128::from(rate);
        let time = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let start = free_at.map_or(now, |free| free.max(now));
            *free_at = Some(start + time);
            start + time
        };
        tokio::time::sleep_until(until).await;
    }
}
