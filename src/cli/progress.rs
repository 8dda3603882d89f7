//! Progress bars on a terminal, nothing elsewhere.

use crate::cli::output::Form;
use crate::cli::output::Loudness;
use crate::cli::output::Output;
use crate::cli::stop::Stop;
use crate::ops::progress::Progress;
use crate::units::human_bytes;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
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
    /// Whether the bar is as long as there are files, and not bytes.
    counts_files: AtomicBool,
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
        Self { output, stop, bar, files: Arc::default(), counts_files: AtomicBool::new(false) }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what was done, above the bar.
    pub(crate) fn note(&self, text: fmt::Arguments<'_>) {
        self.bar.suspend(|| self.output.note(text));
    }

    /// How a phase looks: with what is expected of it, in bytes or in files.
    fn style(&self, phase: &str, files_expected: u64, bytes_expected: u64) -> ProgressStyle {
        let template = match (files_expected, bytes_expected) {
            (0, 0) => UNKNOWN,
            (_, 0) => COUNTED,
            (_, _) => KNOWN,
        };
        let counted = counted(phase);
        let of = if files_expected > 0 { format!("/{files_expected}") } else { String::new() };
        let files = Arc::clone(&self.files);
        let count = move |_state: &ProgressState, text: &mut dyn fmt::Write| {
            // Writing into a line in memory does not fail.
            let _ignored = write!(text, "{}{of} {counted}", files.load(Ordering::Relaxed));
        };
        let files = Arc::clone(&self.files);
        let done = move |state: &ProgressState, text: &mut dyn fmt::Write| {
            let (files, bytes) = (files.load(Ordering::Relaxed), human_bytes(state.pos()));
            let _ignored = match (files, state.pos()) {
                (0, 0) => Ok(()),
                (files, 0) => write!(text, ": {files} {counted}"),
                (files, _) => write!(text, ": {files} {counted}, {bytes}"),
            };
        };
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_error| ProgressStyle::default_bar());
        style.with_key("files", count).with_key("done", done)
    }
}

/// What is counted in a phase besides bytes.
fn counted(phase: &str) -> &'static str {
    match phase {
        "archiving" | "backing up" | "checking trees" | "comparing" | "copying" | "dumping"
        | "restoring" | "verifying" => "files",
        "rewriting" | "searching" => "snapshots",
        phase if phase.contains("pack") => "packs",
        _ => "objects",
    }
}

impl Progress for TerminalProgress {
    fn begin(&self, phase: &'static str, files_expected: u64, bytes_expected: u64) {
        self.output.detail(format_args!("{phase}"));
        if self.bar.is_hidden() {
            return;
        }
        self.files.store(0, Ordering::Relaxed);
        let counts_files = bytes_expected == 0 && files_expected > 0;
        self.counts_files.store(counts_files, Ordering::Relaxed);
        // The style comes first: whatever follows draws the bar.
        self.bar.set_style(self.style(phase, files_expected, bytes_expected));
        self.bar.set_message(phase);
        match bytes_expected.max(if counts_files { files_expected } else { 0 }) {
            0 => self.bar.unset_length(),
            length => self.bar.set_length(length),
        }
        self.bar.reset();
        self.bar.enable_steady_tick(TICK);
    }

    fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        let counts_files = self.counts_files.load(Ordering::Relaxed);
        self.bar.inc(if counts_files { files } else { bytes });
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

const UNKNOWN: &str = "{spinner} {msg}{done}, {elapsed}";
const COUNTED: &str = "{spinner} {msg} [{bar:24}] {files}, {elapsed}";
const KNOWN: &str = "{spinner} {msg} [{bar:24}] {files}, \
                     {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const TICK: Duration = Duration::from_millis(200);
