//! Progress bars on a terminal, nothing elsewhere.

use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::output::Output;
use crate::cli::stop::Stop;
use crate::ops::progress::Progress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Shows how far a command is.
#[derive(Debug)]
pub(crate) struct TerminalProgress {
    output: Arc<Output>,
    stop: Stop,
    bar: ProgressBar,
    files: Arc<AtomicU64>,
}

impl TerminalProgress {
    /// A bar if standard error is a terminal and words are wanted.
    pub(crate) fn new(output: Arc<Output>, stop: Stop) -> Self {
        let shown = std::io::stderr().is_terminal()
            && output.form() == Form::Words
            && output.loudness() != Loudness::Quiet;
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { output, stop, bar, files: Arc::default() }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what was done, above the bar.
    pub(crate) fn note(&self, text: fmt::Arguments<'_>) {
        self.bar.suspend(|| self.output.note(text));
    }

    fn style(&self, template: &str) -> ProgressStyle {
        let files = Arc::clone(&self.files);
        let count = move |_state: &ProgressState, text: &mut dyn fmt::Write| {
            // Writing into a line in memory does not fail.
            let _ignored = write!(text, "{}", files.load(Ordering::Relaxed));
        };
        let style = ProgressStyle::with_template(template);
        style.unwrap_or_else(|_error| ProgressStyle::default_bar()).with_key("files", count)
    }
}

impl Progress for TerminalProgress {
    fn begin(&self, phase: &'static str, files_expected: u64, bytes_expected: u64) {
        self.output.detail(format_args!("{phase}"));
        if self.bar.is_hidden() {
            return;
        }
        self.files.store(0, Ordering::Relaxed);
        self.bar.reset();
        self.bar.set_message(phase);
        if bytes_expected == 0 {
            self.bar.unset_length();
            self.bar.set_style(self.style(UNKNOWN));
        } else {
            self.bar.set_length(bytes_expected);
            let template = KNOWN.replace("{of_files}", &format!("{files_expected}"));
            self.bar.set_style(self.style(&template));
        }
        self.bar.enable_steady_tick(TICK);
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    fn warn(&self, text: &str) {
        self.bar.suspend(|| self.output.warn(text));
    }

    fn is_cancelled(&self) -> bool {
        self.stop.signal().is_some()
    }
}

/// The same for a command whose warnings all stand in its report.
#[derive(Debug)]
pub(crate) struct Reported<'a>(pub(crate) &'a TerminalProgress);

impl Progress for Reported<'_> {
    fn begin(&self, phase: &'static str, files_expected: u64, bytes_expected: u64) {
        self.0.begin(phase, files_expected, bytes_expected);
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.0.advance(files, bytes);
    }

    fn warn(&self, text: &str) {
        self.0.bar.suspend(|| self.0.output.detail(format_args!("warning: {text}")));
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

const UNKNOWN: &str = "{spinner} {msg}: {files} files, {bytes}, {binary_bytes_per_sec}, {elapsed}";
const KNOWN: &str = "{spinner} {msg} [{bar:24}] {files}/{of_files} files, \
                     {bytes}/{total_bytes}, {binary_bytes_per_sec}, {eta} left";
const TICK: Duration = Duration::from_millis(200);
