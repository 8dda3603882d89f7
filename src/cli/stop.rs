//! SIGINT and SIGTERM: the first asks the command to stop, the second ends the process. SIGHUP ends it, unless a
//! command has something to set right first.

use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// Which signal asked the process to stop, if one did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    number: &'static AtomicUsize,
}

impl Stop {
    /// Installs the handlers.
    pub(crate) fn install() -> Self {
        heed(SIGINT, 130, 2);
        heed(SIGTERM, 143, 15);
        Self { number: &NUMBER }
    }

    /// Has a terminal that is closed ask the command to stop, too; whoever started it with `nohup` wants it to go on.
    pub(crate) fn heed_hang_up() {
        if !is_ignored(SIGHUP) {
            heed(SIGHUP, 129, 1);
        }
    }

    /// Without handlers: every signal does what it does by default.
    pub(crate) const fn never() -> Self {
        Self { number: &NUMBER }
    }

    /// The number of the signal.
    pub(crate) fn signal(self) -> Option<usize> {
        let number = self.number.load(Ordering::Relaxed);
        (number != 0).then_some(number)
    }
}

fn heed(signal: c_int, exit: c_int, value: usize) {
    let asked = Arc::new(AtomicBool::new(false));
    // In this order: the first signal finds the flag unset and sets it. A system that
    // refuses a handler leaves the signal's default, which ends the process.
    let _ignored = flag::register_conditional_shutdown(signal, exit, Arc::clone(&asked));
    let _ignored = flag::register(signal, asked);
    let _ignored = flag::register_usize(signal, &NUMBER, value);
}

/// Whether this process was started to ignore a signal.
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);
