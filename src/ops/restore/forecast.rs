//! What a restore would fetch, and how long that would take.

use crate::ops::restore::window::ChunkTask;
use crate::repo::index::BlockHandle;
use crate::repo::joined::Joined;
use crate::repo::read::ChunkReader;
use crate::units::to_u64;
use rayon::iter::IntoParallelRefIterator as _;
use rayon::iter::ParallelIterator as _;
use serde::Serialize;
use std::sync::Mutex;
use std::sync::PoisonError;

/// What has to be fetched from the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fetch {
    /// Requests, after those for neighbours were joined.
    pub requests: u64,
    /// Bytes that they ask for.
    pub bytes: u64,
    /// Blocks among them.
    pub blocks: u64,
    /// Bytes of the chunks that are needed, opened.
    pub chunk_bytes: u64,
    /// How long that may take, if it could be estimated.
    pub seconds: Option<f64>,
    /// How that was estimated.
    pub basis: String,
}

/// Adds up windows.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    fetch: Fetch,
    /// Some of the reads, to be tried out.
    sample: Vec<BlockHandle>,
}

impl Forecast {
    /// Adds what a window would fetch.
    pub(crate) fn add(&self, reader: &ChunkReader, chunks: &[ChunkTask], blocks: &[BlockHandle]) {
        let joined = reader.join(blocks);
        let bytes: u64 = joined.iter().map(|joined| reader.joined_bytes(joined, blocks)).sum();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fetch = &mut inner.fetch;
        fetch.requests += to_u64(joined.len());
        fetch.bytes += bytes;
        fetch.blocks += to_u64(blocks.len());
        fetch.chunk_bytes += chunks.iter().map(|task| u64::from(task.place.length)).sum::<u64>();
        let room = SAMPLE_BLOCKS.saturating_sub(inner.sample.len());
        // Spread over the window: its beginning may be the smallest files.
        let step = (blocks.len() / SAMPLE_BLOCKS_A_WINDOW).max(1);
        let some = blocks.iter().step_by(step).take(room.min(SAMPLE_BLOCKS_A_WINDOW));
        inner.sample.extend(some.copied());
    }

    /// The sums, with the time that a few of the reads took, measured now.
    pub(crate) fn finish(self, reader: &ChunkReader) -> Fetch {
        let Inner { mut fetch, mut sample } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if sample.is_empty() {
            fetch.seconds = Some(0.0);
            "nothing has to be fetched; the time to write metadata is not estimated"
                .clone_into(&mut fetch.basis);
            return fetch;
        }
        sample.sort_unstable();
        sample.dedup();
        let joined = reader.join(&sample);
        let begin = reader.repository.environment.now();
        let read = joined.par_iter().map(|joined| sampled(reader, joined, &sample)).sum::<u64>();
        let end = reader.repository.environment.now();
        let seconds = seconds_between(begin, end);
        if read == 0 || seconds <= 0.0 {
            "the store could not be tried out".clone_into(&mut fetch.basis);
            return fetch;
        }
        let rate = as_float(read) / seconds;
        fetch.seconds = Some(as_float(fetch.bytes) / rate);
        fetch.basis = format!(
            "{} fetched and opened by way of trial in {seconds:.2} s; writing to the target is not in it",
            crate::units::human_bytes(read)
        );
        fetch
    }
}

/// Reads and opens; returns the bytes that were asked for.
fn sampled(reader: &ChunkReader, joined: &Joined, blocks: &[BlockHandle]) -> u64 {
    let fetched = reader.fetch_joined(joined);
    let inside = blocks.get(joined.blocks.clone()).unwrap_or_default();
    let opened =
        inside.iter().filter(|block| reader.open_fetched(**block, fetched.as_ref()).is_ok());
    if opened.count() == inside.len() { reader.joined_bytes(joined, blocks) } else { 0 }
}

fn seconds_between(begin: (i64, u32), end: (i64, u32)) -> f64 {
    let seconds = i32::try_from(end.0 - begin.0).unwrap_or(0);
    f64::from(seconds) + (f64::from(end.1) - f64::from(begin.1)) / 1e9
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "an estimate")]
fn as_float(number: u64) -> f64 {
    number as f64
}

/// Blocks that are tried out.
const SAMPLE_BLOCKS: usize = 64;
const SAMPLE_BLOCKS_A_WINDOW: usize = 16;
