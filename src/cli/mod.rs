//! The command line: arguments, words for people, exit codes. What commands do is in `ops`.

mod arguments;
mod audit;
mod commands;
mod completion;
mod configuration;
mod context;
mod destination;
mod drills;
mod environment;
mod failure;
mod health;
mod hints;
mod jobs;
mod keep;
mod metrics;
mod notify;
mod objectives;
mod output;
mod patterns;
mod period;
mod progress;
mod prompt;
mod replay;
mod restored;
mod schedule;
mod secrets;
mod sourced;
mod stop;
mod words;

use crate::cli::arguments::Arguments;
use crate::cli::audit::Recorded;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::stop::Stop;
use clap::Parser as _;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with this process's arguments and environment.
///
/// Reads and writes the standard streams and installs signal handlers.
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(exit) = completion::answer(&words) {
        return exit;
    }
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&words, &error),
    };
    let Arguments { global, command } = arguments;
    let stop = Stop::install();
    let context = Context::new(global, stop, Recorded::of(&command));
    let result = commands::run(&context, command);
    context.progress.end();
    let result = result.map_err(|failure| failure.after(stop.signal()));
    let unrecorded = context.end_audit(&result);
    context.tell_traffic();
    let exit = match result {
        Ok(Exit::Success) => unrecorded.unwrap_or(Exit::Success),
        Ok(exit) => exit,
        Err(failure) => context.output.fail(&failure),
    };
    context.output.close(exit)
}

/// Says what is wrong with the arguments; `--help` and `--version` come here too.
fn refuse(words: &[OsString], error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Fails only if nobody reads it.
        let _ignored = error.print();
        return ExitCode::SUCCESS;
    }
    let before_command = words.iter().take_while(|word| *word != "--");
    if before_command.into_iter().any(|word| word == "--json") {
        let output = Output::json();
        let message = error.render().to_string();
        let exit = output.fail(&Failure::usage(message.trim_end().to_owned()));
        return output.close(exit);
    }
    let _ignored = error.print();
    Exit::Usage.into()
}
