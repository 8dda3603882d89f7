//! Measures: each case runs several times, the best and the median of the rates are printed.

use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

/// Runs `case` and prints how many of `units` it does in a second.
#[expect(clippy::print_stdout, reason = "a benchmark prints")]
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "printed with three digits")]
pub(crate) fn measure<T>(name: &str, units: u64, unit: &str, mut case: impl FnMut() -> T) {
    // Once before: caches, lazily made tables and the processor's clock settle.
    black_box(case());
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| timed(&mut case)).collect();
    times.sort();
    let rate = |time: &Duration| units as f64 / time.as_secs_f64().max(1e-9);
    let best = times.first().map_or(0.0, rate);
    let median = times.get(ROUNDS / 2).map_or(0.0, rate);
    println!("{name:<44} {median:>12.1} {unit}/s median {best:>12.1} best");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(case: &mut impl FnMut() -> T) -> Duration {
    let began = Instant::now();
    black_box(case());
    began.elapsed()
}

const ROUNDS: usize = 5;
