//! Children that give nothing through a pipe.

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
use rustix::process::kill_process;
use rustix::process::kill_process_group;
use rustix::process::waitid;
use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::thread;

/// A child that gives nothing through a pipe and is waited for, in a process group of its own, which is
/// killed when it is dropped before it has ended.
#[derive(Debug)]
pub(crate) struct CommandRun {
    child: RunningChild,
}

impl CommandRun {
    /// Starts `argv` without a shell, its input empty, with these variables in its environment; the end of
    /// its error output is kept.
    pub(crate) fn spawn(
        argv: &[OsString],
        variables: &[(OsString, OsString)],
    ) -> Result<Self, CommandError> {
        Self::spawn_between(argv, variables, (Stdio::null(), Stdio::from(io::stderr())))
    }

    /// The same with an input and an output of its own.
    pub(crate) fn spawn_between(
        argv: &[OsString],
        variables: &[(OsString, OsString)],
        streams: (Stdio, Stdio),
    ) -> Result<Self, CommandError> {
        Self::spawn_within(argv, &Surroundings::with(variables), streams)
    }

    /// The same, and whatever else surrounds it.
    pub(crate) fn spawn_within(
        argv: &[OsString],
        surroundings: &Surroundings<'_>,
        streams: (Stdio, Stdio),
    ) -> Result<Self, CommandError> {
        let how = (ErrorOutput::Capture, *surroundings);
        Ok(Self { child: RunningChild::spawn(argv, streams, how, Group::Own)? })
    }

    /// The end of what it has said so far.
    pub(crate) fn said(&self) -> Vec<u8> {
        let tail = self.child.stderr.as_ref();
        tail.map(|tail| tail.so_far()).unwrap_or_default()
    }

    /// Asks it alone to end by a signal, waits, and kills its group if that takes long.
    pub(crate) fn end_by(mut self, signal: Signal) -> Result<CommandOutcome, CommandError> {
        if let Some(process) = self.child.process() {
            // Fails only if it is gone already.
            kill_process(process, signal).ok();
        }
        for _look in 0..GRACE_LOOKS_COUNT {
            if self.has_ended()? {
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.signal(Signal::KILL);
        self.child.wait_here()
    }

    /// Waits for the child to end. Once `is_cancelled` says so, its group is asked to end, which lets
    /// programs tell their servers, and killed if that takes long.
    ///
    /// What a child that failed leaves of its group is killed.
    pub(crate) fn wait(
        mut self,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<CommandOutcome, CommandError> {
        let mut grace = GRACE_LOOKS_COUNT;
        while !self.has_ended()? {
            if is_cancelled() {
                match grace {
                    GRACE_LOOKS_COUNT => self.signal(Signal::TERM),
                    0 => self.signal(Signal::KILL),
                    _ => {}
                }
                grace = grace.saturating_sub(1);
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.child.wait_here()
    }

    /// Whether it has ended; what it left of its group is killed if it failed.
    pub(crate) fn has_ended(&self) -> Result<bool, CommandError> {
        let Some(process) = self.child.process() else { return Ok(true) };
        // It is not reaped yet: until then no other process can have its number.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(process), options)
            .map_err(|error| self.child.wrong("wait for", error.into()))?;
        let Some(status) = status else { return Ok(false) };
        if status.exit_status() != Some(0) {
            self.signal(Signal::KILL);
        }
        Ok(true)
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = self.child.process() {
            // Fails only if all of the group is gone already.
            kill_process_group(process, signal).ok();
        }
    }
}

/// How many times before a child that was asked to end is killed: five seconds.
const GRACE_LOOKS_COUNT: u32 = 250;
