//! Children that are given all of their input, or of which all output is taken, and that are killed as soon as
//! somebody asks to stop, however long they take for a single piece.

use crate::command::CommandError;
use crate::command::CommandOutcome;
use crate::command::ErrorOutput;
use crate::command::Group;
use crate::command::LOOK_AGAIN;
use crate::command::RunningChild;
use crate::command::Surroundings;
use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::kill_process_group;
use rustix::process::waitid;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

/// Says that somebody asked to stop.
pub(crate) type IsCancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// Gives a child its input; its output is nobody's.
///
/// If `give` fails, the child is killed before its input is closed: it has not everything, and must not think so.
/// What `give` said comes with how the child ended.
pub(crate) fn feed<E>(
    argv: &[OsString],
    surroundings: &Surroundings<'_>,
    is_cancelled: IsCancelled<'_>,
    give: &mut dyn FnMut(&mut dyn Write) -> Result<(), E>,
) -> Result<(Result<(), E>, CommandOutcome), CommandError> {
    let streams = (Stdio::piped(), Stdio::null());
    let how = (ErrorOutput::Capture, *surroundings);
    let mut child = RunningChild::spawn(argv, streams, how, Group::Own)?;
    let Some(mut stdin) = child.child.stdin.take() else {
        return Err(child.wrong("write to", ErrorKind::BrokenPipe.into()));
    };
    let given = watched(&child, is_cancelled, || {
        let given = give(&mut stdin);
        if given.is_err() || is_cancelled() {
            child.kill_group();
        }
        drop(stdin);
        child.wait_unreaped();
        given
    })?;
    Ok((given, child.wait_here()?))
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

    /// Waits for the end, and leaves the process's number to it.
    fn wait_unreaped(&self) {
        let Some(process) = self.process() else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(process), options), Err(rustix::io::Errno::INTR)) {}
    }
}

const BUFFER_BYTES: usize = 262_144;
