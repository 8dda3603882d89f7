//! The threads that carry requests: one small set for the whole process.
//! Invariant: nobody outside this folder sees a future.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

/// Starts the threads, unless they run.
pub(crate) fn start() -> Result<(), String> {
    runtime().map(|_runtime| ())
}

/// Waits for a future on the calling thread.
///
/// Panics if the threads were not started: whoever has a store has started them.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    match runtime() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => unreachable!("a store without threads: {error}"),
    }
}

/// Waits a while on the calling thread.
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// The time by the wall clock: services say by it when credentials end. Nothing else may use it.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let build = || {
        Builder::new_multi_thread()
            .worker_threads(THREADS_COUNT)
            .thread_name("requests")
            .enable_all()
            .build()
    };
    RUNTIME.get_or_init(build).as_ref().map_err(|error| format!("cannot start threads: {error}"))
}

/// Enough for several gigabits a second of copying and encryption.
const THREADS_COUNT: usize = 2;
