//! Commands of this program in processes of their own.

use crate::cli::environment;
use crate::cli::stop::Stop;
use crate::command::CommandEnd;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process_group;
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) end: CommandEnd,
    /// Its final object, if it gave one.
    pub(crate) report: Option<Value>,
}

/// Runs a command of this program; what it says goes where this process's words go, and a signal that asks
/// this process to stop is passed on.
///
/// Errors: what the system answers if it cannot be started or waited for.
pub(crate) fn run(words: &[OsString], stop: Stop) -> io::Result<Ended> {
    let mut command = Command::new(environment::own_program()?);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    // A group of its own: a terminal's interrupt comes once, from here.
    command.process_group(0);
    let mut child = command.spawn()?;
    let output = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            let read = output.take(REPORT_BYTES_MAX).read_to_end(&mut bytes);
            // Half a report is none, and the exit code says how it went.
            read.ok()?;
        }
        serde_json::from_slice(&bytes).ok()
    });
    let status = wait(&mut child, stop)?;
    let report = reader.join().ok().flatten();
    Ok(Ended { end: status.into(), report })
}

fn wait(child: &mut Child, stop: Stop) -> io::Result<std::process::ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Some(number) = stop.signal()
            && !is_told
        {
            let signal = if number == INTERRUPT { Signal::INT } else { Signal::TERM };
            let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // With the programs that it runs, as a terminal would.
            process.map(|process| kill_process_group(process, signal).ok());
            is_told = true;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

const INTERRUPT: usize = 2;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Reports are some kilobytes, and a list of findings may be long.
const REPORT_BYTES_MAX: u64 = 64 << 20;
