//! SIGINT and SIGTERM: the first asks the command to stop, the second ends the process.

use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
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
        for (signal, exit, value) in [(SIGINT, 130, 2), (SIGTERM, 143, 15)] {
            let asked = Arc::new(AtomicBool::new(false));
            // In this order: the first signal finds the flag unset and sets it. A system that
            // refuses a handler leaves the signal's default, which ends the process.
            let _ignored = flag::register_conditional_shutdown(signal, exit, Arc::clone(&asked));
            let _ignored = flag::register(signal, asked);
            let _ignored = flag::register_usize(signal, &NUMBER, value);
        }
        Self { number: &NUMBER }
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

static NUMBER: AtomicUsize = AtomicUsize::new(0);
