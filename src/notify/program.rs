//! Commands that are told of events, and commands that print what a channel needs.

use crate::command::CommandEnd;
use crate::command::CommandRun;
use crate::command::file_in_memory;
use crate::notify::deliver::Deadline;
use crate::notify::event::Event;
use crate::notify::templates;
use std::ffi::OsString;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::process::Stdio;

/// Runs a command with an event on its input and in its variables.
///
/// Errors say how it ended, with the end of its error output.
pub(crate) fn tell(argv: &[String], event: &Event, deadline: Deadline) -> Result<(), String> {
    let body = templates::own(event).to_string();
    let input = file_in_memory(body.as_bytes()).map_err(|error| error.to_string())?;
    let streams = (Stdio::from(input), Stdio::from(io::stderr()));
    let variable = |(name, value): (&str, String)| {
        (format!("SBF_REPO_EVENT_{name}").into(), value.replace('\0', " ").into())
    };
    let variables: Vec<(OsString, OsString)> =
        variables_of(event).into_iter().map(variable).collect();
    run(argv, &variables, streams, deadline)
}

/// What a command prints, without its last line break.
pub(crate) fn output_of(argv: &[String], deadline: Deadline) -> Result<String, String> {
    let mut output = file_in_memory(b"").map_err(|error| error.to_string())?;
    let theirs = output.try_clone().map_err(|error| error.to_string())?;
    run(argv, &[], (Stdio::null(), Stdio::from(theirs)), deadline)?;
    let mut text = String::new();
    let read =
        output.rewind().and_then(|()| output.take(OUTPUT_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| format!("its output: {error}"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn run(
    argv: &[String],
    variables: &[(OsString, OsString)],
    streams: (Stdio, Stdio),
    deadline: Deadline,
) -> Result<(), String> {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let told = |error: crate::command::CommandError| format!("{error}: {}", error.source);
    let run = CommandRun::spawn_between(&argv, variables, streams).map_err(told)?;
    let outcome = run.wait(&|| deadline.is_over()).map_err(told)?;
    let errors = String::from_utf8_lossy(&outcome.stderr);
    let last = errors.trim_end().lines().last().unwrap_or_default();
    let how = match outcome.end {
        CommandEnd::Exited(0) => return Ok(()),
        _ if deadline.is_over() => "it took too long and was ended".to_owned(),
        CommandEnd::Exited(code) => format!("it exited with code {code}"),
        CommandEnd::Signalled(signal) => format!("signal {signal} ended it"),
    };
    Err(if last.is_empty() { how } else { format!("{how}: {last}") })
}

fn variables_of(event: &Event) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("KIND", event.kind.word().to_owned()),
        ("SUBJECT", event.subject.clone()),
        ("HOST", event.host.clone()),
        ("TIME", event.moment()),
        ("TITLE", event.title.clone()),
        ("TEXT", event.text.clone()),
        ("LEVEL", event.escalated_to.unwrap_or(1).to_string()),
    ];
    variables.extend(event.exit_code.map(|code| ("EXIT_CODE", code.to_string())));
    variables.extend(event.snapshot.clone().map(|snapshot| ("SNAPSHOT", snapshot)));
    variables.extend(event.run.clone().map(|run| ("RUN", run)));
    variables
}

const OUTPUT_BYTES_MAX: u64 = 65_536;
