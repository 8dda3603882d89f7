//! Children that are given all of their input, or of which all output is taken, and that are killed as soon as
//! somebody asks to stop, however long they take for a single piece.

use crate::command::CommandError;
use crate::command::CommandOutcome;
use crate::command::ErrorOutput;
use crate::command::Group;
use crate::command::LOOK_AGAIN;
use crate::command::RunningChild;
use crate::command::Surroundings;
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::kill_process_group;
use rustix::process::waitid;
use std::ffi::OsString;
use std::io;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write;
use std::process::ChildStdin;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Says that somebody asked to stop.
pub(crate) type IsCancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// What came of giving a child its input.
pub(crate) struct Fed<E> {
    /// What `give` said.
    pub(crate) given: Result<(), E>,
    /// Whether the child read all of it, before it ended or closed its input.
    pub(crate) is_taken: bool,
    /// Whether the child closed its input while something was still given.
    pub(crate) is_closed: bool,
    /// How the child ended.
    pub(crate) outcome: CommandOutcome,
}

/// Gives a child its input; its output is nobody's.
///
/// If `give` fails, the child is killed before its input is closed: it has not everything, and must not think so. One
/// that closed its input itself knows that, and is waited for.
pub(crate) fn feed<E>(
    argv: &[OsString],
    surroundings: &Surroundings<'_>,
    is_cancelled: IsCancelled<'_>,
    give: &mut dyn FnMut(&mut dyn Write) -> Result<(), E>,
) -> Result<Fed<E>, CommandError> {
    let streams = (Stdio::piped(), Stdio::null());
    let how = (ErrorOutput::Capture, *surroundings);
    let mut child = RunningChild::spawn(argv, streams, how, Group::Own)?;
    let Some(pipe) = child.child.stdin.take() else {
        return Err(child.wrong("write to", ErrorKind::BrokenPipe.into()));
    };
    let (given, is_taken, is_closed) = watched(&child, is_cancelled, || {
        let mut input = Input { pipe, is_closed: false };
        let given = give(&mut input);
        let Input { pipe, is_closed } = input;
        if (given.is_err() && !is_closed) || is_cancelled() {
            child.kill_group();
        }
        let is_taken = given.is_ok() && child.takes_rest(&pipe);
        drop(pipe);
        child.wait_unreaped();
        (given, is_taken, is_closed)
    })?;
    Ok(Fed { given, is_taken, is_closed, outcome: child.wait_here()? })
}

/// The input of a child.
struct Input {
    pipe: ChildStdin,
    /// Whether the child closed it.
    is_closed: bool,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.pipe.write(bytes);
        let is_broken = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
        self.is_closed |= written.as_ref().err().is_some_and(is_broken);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

/// Takes all output of a child; its input is empty.
pub(crate) fn drain(
    argv: &[OsString],
    surroundings: &Surroundings<'_>,
    is_cancelled: IsCancelled<'_>,
    take: &mut dyn FnMut(&[u8]),
) -> Result<CommandOutcome, CommandError> {
    let streams = (Stdio::null(), Stdio::piped());
    let how = (ErrorOutput::Capture, *surroundings);
    let mut child = RunningChild::spawn(argv, streams, how, Group::Own)?;
    let Some(mut stdout) = child.child.stdout.take() else {
        return Err(child.wrong("read from", ErrorKind::BrokenPipe.into()));
    };
    let read = watched(&child, is_cancelled, || {
        let mut buffer = vec![0; BUFFER_BYTES];
        let read = loop {
            match stdout.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(length) => take(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        drop(stdout);
        child.wait_unreaped();
        read
    })?;
    read.map_err(|error| child.wrong("read from", error))?;
    child.wait_here()
}

/// Does something with a child while another thread looks whether it is to be killed.
///
/// The work must not reap the child: until then no other process can have its number.
fn watched<T>(
    child: &RunningChild,
    is_cancelled: IsCancelled<'_>,
    work: impl FnOnce() -> T,
) -> Result<T, CommandError> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || {
            while !is_done.load(Ordering::Relaxed) {
                if is_cancelled() {
                    child.kill_group();
                    break;
                }
                thread::sleep(LOOK_AGAIN);
            }
        };
        let watcher = thread::Builder::new().name("watch".to_owned()).spawn_scoped(scope, watch);
        drop(watcher.map_err(|error| child.wrong("watch", error))?);
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        Ok(result)
    })
}

impl RunningChild {
    fn kill_group(&self) {
        if let Some(process) = self.process() {
            // Fails only if all of the group is gone already.
            kill_process_group(process, Signal::KILL).ok();
        }
    }

    /// Waits until it has read what is still in the pipe; returns whether it did before it ended.
    fn takes_rest(&self, pipe: &ChildStdin) -> bool {
        loop {
            // In this order: one that has ended reads no more.
            let is_over = self.is_over();
            match ioctl_fionread(pipe) {
                Ok(0) => return true,
                Ok(_left) if !is_over => thread::sleep(LOOK_AGAIN_SOON),
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// Whether it has ended; its number is still its own.
    fn is_over(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let looked = self.process().map(|process| waitid(WaitId::Pid(process), options));
        !matches!(looked, Some(Ok(None) | Err(rustix::io::Errno::INTR)))
    }

    /// Waits for the end, and leaves the process's number to it.
    fn wait_unreaped(&self) {
        let Some(process) = self.process() else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(process), options), Err(rustix::io::Errno::INTR)) {}
    }
}

/// How often it is looked whether a child has read all.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(2);
const BUFFER_BYTES: usize = 262_144;
