//! Completing a command line: answers a shell that asks with `SBF_REPO_COMPLETE` set.
//!
//! Nothing here opens a repository, asks for a passphrase or runs a command, and what looks up names
//! has a limit of time: a file on a server that is gone must not hold up somebody's shell.

use crate::cli::arguments::Arguments;
use crate::cli::arguments::GlobalArguments;
use crate::cli::context::Context;
use crate::cli::stop::Stop;
use crate::ops::location::Location;
use crate::repo::names::KnownSnapshot;
use crate::repo::names::known;
use clap::Arg;
use clap::ArgMatches;
use clap::Command;
use clap::CommandFactory as _;
use clap::FromArgMatches as _;
use clap::ValueHint;
use clap_complete::engine::ArgValueCandidates;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::CompleteEnv;
use clap_complete::env::Shells;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Answers a shell, if one asks.
pub(crate) fn answer(words: &[OsString]) -> Option<ExitCode> {
    let line: Arc<[OsString]> =
        words.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let factory = move || completed(Arguments::command(), &line);
    let asked = CompleteEnv::with_factory(factory).var(VARIABLE).bin(PROGRAM).completer(PROGRAM);
    let here = std::env::current_dir().ok();
    match asked.try_complete(words.iter().cloned(), here.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        // Whoever presses a key wants no message in the middle of the line.
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// What a shell runs to complete this program's command lines.
pub(crate) fn script(shell: &str) -> String {
    let mut bytes = Vec::new();
    if let Some(completer) = Shells::builtins().completer(shell) {
        // Writing into memory does not fail.
        let _ignored =
            completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim_start().to_owned()
}

/// A command whose arguments know what they may be, by the names that help gives to their values.
///
/// Options are offered to whoever begins one, and where there is nothing else.
fn completed(command: Command, line: &Arc<[OsString]>) -> Command {
    let begins_option = line.last().is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let of_argument = Arc::clone(line);
    let of_command = Arc::clone(line);
    command
        .disable_help_flag(!begins_option)
        .disable_version_flag(!begins_option)
        .mut_args(move |argument| {
            let is_hidden = argument.is_hide_set() || !(argument.is_positional() || begins_option);
            completed_argument(argument, &of_argument).hide(is_hidden)
        })
        .mut_subcommands(move |below| completed(below, &of_command))
}

fn completed_argument(argument: Arg, line: &Arc<[OsString]>) -> Arg {
    let value = argument.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
    let lookup: fn(&Names) -> Vec<CompletionCandidate> = match value.as_deref() {
        Some("SNAPSHOT" | "SNAPSHOT[:PATH]" | "OLD[:PATH]" | "NEW[:PATH]") => Names::snapshots,
        Some("NAME" | "SOURCE") if argument.get_id() == "source" => Names::sources,
        Some("COPY") => Names::copies,
        Some("JOB") => Names::jobs,
        Some("LOCATION" | "DIRECTORY") => return argument.value_hint(ValueHint::DirPath),
        Some("PATH" | "FILE") => return argument.value_hint(ValueHint::AnyPath),
        Some(_) | None => return argument,
    };
    let line = Arc::clone(line);
    argument.add(ArgValueCandidates::new(move || in_time(&line, lookup)))
}

/// What a command line may name.
struct Names {
    snapshots: Vec<KnownSnapshot>,
    copies: Vec<String>,
    jobs: Vec<String>,
}

impl Names {
    /// Looks them up for the words of a line.
    fn of(line: &[OsString]) -> Option<Self> {
        let context = Context::new(global_of(line)?, Stop::never(), None);
        let settings = context.configuration().ok().map(|read| &read.settings);
        let copies = settings.iter().flat_map(|settings| &settings.copies);
        let copies = copies.map(|copy| copy.name.value.clone()).collect();
        let jobs = settings.iter().flat_map(|settings| &settings.jobs);
        let jobs = jobs.map(|job| job.name.value.clone()).collect();
        Some(Self { snapshots: known_in(&context).unwrap_or_default(), copies, jobs })
    }

    /// Selectors, newest first.
    fn snapshots(&self) -> Vec<CompletionCandidate> {
        let sources = self.source_names();
        let of_source =
            sources.into_iter().map(|source| CompletionCandidate::new(format!("{source}@latest")));
        let newest = self.snapshots.iter().take(1).map(|_| CompletionCandidate::new("latest"));
        let ids = self.snapshots.iter().filter_map(|known| {
            let digits = known.id.get(..ID_DIGITS).filter(|digits| is_plain(digits))?;
            let time = jiff::Timestamp::from_second(known.received).ok()?.strftime("%F %R UTC");
            Some(
                CompletionCandidate::new(digits)
                    .help(Some(format!("{}, {time}", known.source).into())),
            )
        });
        newest.chain(of_source).chain(ids).collect()
    }

    fn sources(&self) -> Vec<CompletionCandidate> {
        self.source_names().into_iter().map(CompletionCandidate::new).collect()
    }

    fn copies(&self) -> Vec<CompletionCandidate> {
        self.copies.iter().filter(|name| is_plain(name)).map(CompletionCandidate::new).collect()
    }

    fn jobs(&self) -> Vec<CompletionCandidate> {
        self.jobs.iter().filter(|name| is_plain(name)).map(CompletionCandidate::new).collect()
    }

    fn source_names(&self) -> BTreeSet<&str> {
        let sources = self.snapshots.iter().map(|known| known.source.as_str());
        sources.filter(|source| is_plain(source)).collect()
    }
}

/// Looks names up, or gives up: the thread ends with the process.
fn in_time(
    line: &Arc<[OsString]>,
    lookup: fn(&Names) -> Vec<CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let line = Arc::clone(line);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let found = Names::of(&line).map(|names| lookup(&names)).unwrap_or_default();
        // Nobody waits any longer if this comes too late.
        let _ignored = sender.send(found);
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_default()
}

/// The options of every command, as far as a line that is not finished says them.
fn global_of(line: &[OsString]) -> Option<GlobalArguments> {
    let before = line.iter().take_while(|word| *word != "--");
    let parser = Arguments::command().ignore_errors(true);
    let matches = parser.try_get_matches_from(before).ok()?;
    let mut deepest: &ArgMatches = &matches;
    while let Some((_, below)) = deepest.subcommand() {
        deepest = below;
    }
    GlobalArguments::from_arg_matches(deepest).ok()
}

/// What this host has seen of the repository that is meant.
fn known_in(context: &Context) -> Option<Vec<KnownSnapshot>> {
    let location: Location = context.location_if_named().ok()??.value.parse().ok()?;
    let cache = context.cache_directory().ok()??;
    Some(known(&cache.value, &location.to_string()))
}

/// Whether a shell takes a word for itself alone: names come from whoever may write to the repository.
fn is_plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "._:/@+=,%-".contains(c);
    !word.starts_with('-') && word.chars().all(is_plain)
}

const PROGRAM: &str = "sbf-repo";
const VARIABLE: &str = "SBF_REPO_COMPLETE";
const ID_DIGITS: usize = 8;
/// How long names are looked for.
const PATIENCE: Duration = Duration::from_millis(800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_read_are_not_offered() {
        for word in ["web1:/srv", "app-db", "größe", "a@b=c,d"] {
            assert!(is_plain(word), "{word}");
        }
        for word in [
            "a b",
            "$(id)",
            "a;b",
            "`id`",
            "-x",
            "*",
            "a\nb",
            "~root",
            "'",
            "\"",
            "a&b",
            "\u{1b}[2J",
        ] {
            assert!(!is_plain(word), "{word:?}");
        }
    }
}
