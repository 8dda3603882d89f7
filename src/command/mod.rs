//! Child processes whose output is backed up, or whose input is restored.
//! Invariant: a child never outlives its handle, and never takes half of its input for all.

mod run;
mod surroundings;
mod tail;
pub(crate) mod watched;

pub(crate) use crate::command::run::CommandRun;
pub(crate) use crate::command::surroundings::Surroundings;
pub(crate) use crate::command::surroundings::User;
#[cfg(test)]
use crate::command::tail::STDERR_BYTES_MAX;

use crate::command::tail::Tail;
use rustix::fs::MemfdFlags;
use rustix::fs::memfd_create;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process_group;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// A command that did not run as it should.
#[derive(Debug, thiserror::Error)]
#[error("cannot {call} {program:?}")]
pub(crate) struct CommandError {
    /// The program as it was named.
    pub(crate) program: OsString,
    /// What was attempted, as a verb: `start`, `read from`.
    pub(crate) call: &'static str,
    /// What the system answered.
    pub(crate) source: io::Error,
}

/// What becomes of a child's error output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorOutput {
    /// It goes where this process's goes.
    Inherit,
    /// Its last `tail::STDERR_BYTES_MAX` bytes are kept for [`CommandOutcome`].
    Capture,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandOutcome {
    /// Its exit code or the signal that ended it.
    pub(crate) end: CommandEnd,
    /// The end of its error output, if it was captured.
    pub(crate) stderr: Vec<u8>,
}

/// Exit code or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    /// The child exited.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
}

/// A child whose output is read; killed when it is dropped before [`CommandReader::finish`].
#[derive(Debug)]
pub(crate) struct CommandReader {
    child: RunningChild,
    stdout: ChildStdout,
}

/// A child that is written to, in a process group of its own.
///
/// When it is dropped before [`CommandWriter::finish`], the group is killed *before* its input is
/// closed, so that neither the child nor a pipeline it started takes half of the data for all.
#[derive(Debug)]
pub(crate) struct CommandWriter {
    child: RunningChild,
    stdin: Option<ChildStdin>,
}

#[derive(Debug)]
struct RunningChild {
    program: OsString,
    child: process::Child,
    group: Group,
    stderr: Option<Arc<Tail>>,
    is_reaped: bool,
}

/// Whether the child leads a process group, all of which is to be killed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// It stays in this process's group: the terminal's interrupts reach it.
    Shared,
    Own,
}

impl CommandReader {
    #[cfg(test)]
    fn spawn(argv: &[OsString], errors: ErrorOutput) -> Result<Self, CommandError> {
        Self::spawn_with(argv, errors, &[])
    }

    /// Starts `argv` without a shell, its input empty, with these variables in its environment.
    pub(crate) fn spawn_with(
        argv: &[OsString],
        errors: ErrorOutput,
        variables: &[(OsString, OsString)],
    ) -> Result<Self, CommandError> {
        let streams = (Stdio::null(), Stdio::piped());
        let how = (errors, Surroundings::with(variables));
        let mut child = RunningChild::spawn(argv, streams, how, Group::Shared)?;
        match child.child.stdout.take() {
            Some(stdout) => Ok(Self { child, stdout }),
            None => Err(child.wrong("read from", io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Fills `buffer` with output; blocks until it is full or the output ends.
    ///
    /// Fewer than `buffer.len()` bytes mean the end of the output, which says nothing of success.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CommandError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.stdout.read(&mut buffer[done..]) {
                Ok(0) => break,
                Ok(length) => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.child.wrong("read from", error)),
            }
        }
        Ok(done)
    }

    /// Closes the output and waits for the child to end.
    pub(crate) fn finish(self) -> Result<CommandOutcome, CommandError> {
        let Self { child, stdout } = self;
        drop(stdout);
        child.wait()
    }
}

impl CommandWriter {
    /// Starts `argv` without a shell; its output goes where this process's error output goes.
    pub(crate) fn spawn(argv: &[OsString], errors: ErrorOutput) -> Result<Self, CommandError> {
        let streams = (Stdio::piped(), Stdio::from(io::stderr()));
        let how = (errors, Surroundings::default());
        let mut child = RunningChild::spawn(argv, streams, how, Group::Own)?;
        let stdin = child.child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Writes all of `content` to the child's input.
    ///
    /// Errors if the child stopped reading; the handle is then to be dropped or aborted.
    pub(crate) fn write_all(&mut self, content: &[u8]) -> Result<(), CommandError> {
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(content),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| self.child.wrong("write to", error))
    }

    /// Closes the input, which tells the child that it has everything, and waits for it.
    pub(crate) fn finish(mut self) -> Result<CommandOutcome, CommandError> {
        drop(self.stdin.take());
        self.child.wait_here()
    }

    /// Kills the child, then closes its input: it has not everything, and must not think so.
    pub(crate) fn kill_before_close(mut self) -> Result<CommandOutcome, CommandError> {
        self.child.kill();
        self.child.wait_here()
    }
}

impl Drop for CommandWriter {
    fn drop(&mut self) {
        // Fields are dropped after this: the input is still open while the child dies.
        self.child.kill();
    }
}

impl From<ExitStatus> for CommandEnd {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Signalled(signal.unwrap_or_default()),
        }
    }
}

impl CommandEnd {
    /// Whether the child exited with code 0.
    pub(crate) fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl RunningChild {
    fn spawn(
        argv: &[OsString],
        (stdin, stdout): (Stdio, Stdio),
        (errors, surroundings): (ErrorOutput, Surroundings<'_>),
        group: Group,
    ) -> Result<Self, CommandError> {
        let program = argv.first().cloned().unwrap_or_default();
        let wrong = |source| CommandError { program: program.clone(), call: "start", source };
        let stderr = match errors {
            ErrorOutput::Inherit => Stdio::inherit(),
            ErrorOutput::Capture => Stdio::piped(),
        };
        let mut command = Command::new(&program);
        command.args(argv.iter().skip(1)).stdin(stdin).stdout(stdout).stderr(stderr);
        surroundings.apply(&mut command);
        if group == Group::Own {
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(wrong)?;
        let stream = child.stderr.take();
        let mut running = Self { program, child, group, stderr: None, is_reaped: false };
        if let Some(stream) = stream {
            let tail = Arc::new(Tail::default());
            let theirs = Arc::clone(&tail);
            let body = move || theirs.read(stream);
            let thread = thread::Builder::new().name("command".to_owned()).spawn(body);
            // On failure the child is killed by its drop.
            drop(thread.map_err(|error| running.wrong("start", error))?);
            running.stderr = Some(tail);
        }
        Ok(running)
    }

    fn wait(mut self) -> Result<CommandOutcome, CommandError> {
        self.wait_here()
    }

    fn wait_here(&mut self) -> Result<CommandOutcome, CommandError> {
        let status = self.child.wait().map_err(|error| self.wrong("wait for", error))?;
        self.is_reaped = true;
        let stderr = self.stderr.take().map(|tail| tail.take()).unwrap_or_default();
        Ok(CommandOutcome { end: status.into(), stderr })
    }

    fn kill(&mut self) {
        if self.is_reaped {
            return;
        }
        if self.group == Group::Own {
            let killed = self.process().map(|leader| kill_process_group(leader, Signal::KILL));
            if matches!(killed, Some(Ok(()))) {
                return;
            }
        }
        // Fails only if the child is gone already.
        self.child.kill().ok();
    }

    fn process(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn wrong(&self, call: &'static str, source: io::Error) -> CommandError {
        CommandError { program: self.program.clone(), call, source }
    }
}

impl Drop for RunningChild {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.kill();
            // Leaves no zombie; a killed child ends at once.
            self.child.wait().ok();
        }
    }
}

/// A file in memory for a child to read, or to write: unlike a pipe, it never makes either side wait.
pub(crate) fn file_in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Keeps this program's own secrets from a child.
pub(crate) fn without_secrets(command: &mut Command) {
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    for name in NAMED.get().into_iter().flatten() {
        command.env_remove(name);
    }
}

/// Keeps these variables from children, too: the configuration file says that secrets are in them.
pub(crate) fn hide(names: Vec<OsString>) {
    // One file is read in the life of a process.
    NAMED.get_or_init(|| names);
}

static NAMED: OnceLock<Vec<OsString>> = OnceLock::new();

/// The variables in which this program is given secrets. Those of stores are not among them: a dump may need them.
const SECRET_VARIABLES: [&str; 2] = ["SBF_REPO_PASSWORD", "SBF_REPO_TO_PASSWORD"];
/// How often a child is looked at that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<OsString> {
        ["sh", "-c", script].map(OsString::from).to_vec()
    }

    fn run(script: &str) -> (Vec<u8>, CommandOutcome) {
        let mut child = CommandReader::spawn(&shell(script), ErrorOutput::Capture).unwrap();
        let mut output = vec![0; 1 << 20];
        let length = child.read(&mut output).unwrap();
        output.truncate(length);
        (output, child.finish().unwrap())
    }

    #[test]
    fn output_exit_code_and_errors_are_told() {
        let (output, outcome) = run("echo out; echo err >&2; exit 7");
        assert_eq!(output, b"out\n");
        assert_eq!(outcome, CommandOutcome { end: CommandEnd::Exited(7), stderr: b"err\n".into() });
        assert!(!outcome.end.is_success());
    }

    #[test]
    fn a_signal_is_no_exit_code() {
        assert_eq!(run("kill -9 $$").1.end, CommandEnd::Signalled(9));
    }

    #[test]
    fn the_end_of_long_errors_is_kept() {
        let (_, outcome) = run("seq 1 100000 >&2; echo end >&2");
        assert_eq!(outcome.stderr.len(), STDERR_BYTES_MAX);
        assert!(outcome.stderr.ends_with(b"100000\nend\n"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let argv = [OsString::from("/nonexistent/program")];
        let error = CommandReader::spawn(&argv, ErrorOutput::Inherit).unwrap_err();
        assert_eq!(error.to_string(), "cannot start \"/nonexistent/program\"");
        assert!(CommandReader::spawn(&[], ErrorOutput::Inherit).is_err());
    }

    #[test]
    fn a_reader_that_stops_early_ends_the_child() {
        let mut child = CommandReader::spawn(&shell("yes"), ErrorOutput::Capture).unwrap();
        let mut some = [0; 16];
        assert_eq!(child.read(&mut some).unwrap(), 16);
        // SIGPIPE: the child sees the closed pipe as any program in a shell does.
        let end = child.finish().unwrap().end;
        assert!(matches!(end, CommandEnd::Signalled(13) | CommandEnd::Exited(141 | 1)), "{end:?}");
    }

    #[test]
    fn dropping_a_reader_kills_and_reaps_the_child() {
        let argv = ["sleep", "1000"].map(OsString::from);
        let child = CommandReader::spawn(&argv, ErrorOutput::Inherit).unwrap();
        let id = child.child.child.id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_run_ends_with_all_of_its_group_when_it_is_cancelled_or_fails() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("child");
        let run = |before: &str, after: &str, is_cancelled: &dyn Fn() -> bool| {
            let place = place.display();
            let script = format!("{before} sleep 1000 & echo $! > '{place}'; {after}");
            CommandRun::spawn(&shell(&script), &[]).unwrap().wait(is_cancelled).unwrap()
        };
        // It dies soon after it was killed, and nobody reaps it here.
        let has_ended = || {
            let child = std::fs::read_to_string(&place).unwrap();
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            state.map_or(true, |state| state.contains(") Z "))
        };
        let check_ended = || {
            let ended = (0..500).any(|_| {
                thread::sleep(Duration::from_millis(10));
                has_ended()
            });
            assert!(ended, "a process of the group goes on");
        };
        let asked = run("trap 'echo asked >&2; exit 3' TERM;", "wait", &|| place.exists());
        assert_eq!((asked.end, asked.stderr), (CommandEnd::Exited(3), b"asked\n".to_vec()));
        check_ended();
        assert_eq!(run("", "exit 4", &|| false).end, CommandEnd::Exited(4));
        check_ended();
    }

    #[test]
    fn a_finished_writer_passes_everything() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("copy");
        let script = format!("cat > '{}'", place.display());
        let mut child = CommandWriter::spawn(&shell(&script), ErrorOutput::Capture).unwrap();
        let content = vec![b'x'; 1 << 20];
        child.write_all(&content).unwrap();
        assert!(child.finish().unwrap().end.is_success());
        assert_eq!(std::fs::read(place).unwrap(), content);
    }

    #[test]
    fn a_writer_that_fails_kills_the_child_before_its_input_ends() {
        let folder = tempfile::tempdir().unwrap();
        for drops in [true, false] {
            let place = folder.path().join("complete");
            let script = format!("cat > /dev/null && touch '{}'", place.display());
            let mut child = CommandWriter::spawn(&shell(&script), ErrorOutput::Capture).unwrap();
            child.write_all(b"half of it").unwrap();
            if drops {
                drop(child);
            } else {
                assert_eq!(child.kill_before_close().unwrap().end, CommandEnd::Signalled(9));
            }
            assert!(!place.exists());
        }
    }

    #[test]
    fn writing_to_a_child_that_has_ended_is_an_error() {
        let mut child = CommandWriter::spawn(&shell("exit 3"), ErrorOutput::Capture).unwrap();
        let content = vec![0; 1 << 20];
        assert!(child.write_all(&content).is_err());
        assert_eq!(child.finish().unwrap().end, CommandEnd::Exited(3));
    }
}
