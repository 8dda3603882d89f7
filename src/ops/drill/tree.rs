//! Files come back: into a directory that is compared with the snapshot, or to a command.

use crate::command::CommandEnd;
use crate::command::CommandError;
use crate::command::CommandOutcome;
use crate::command::Surroundings;
use crate::command::watched::Fed;
use crate::command::watched::drain;
use crate::command::watched::feed;
use crate::format::manifest::SourceKind;
use crate::format::manifest::StatedTotals;
use crate::format::tree::EntryKind;
use crate::ops::drill::Given;
use crate::ops::drill::Wiped;
use crate::ops::drill::cluster::PREFIX;
use crate::ops::drill::database::stderr_words;
use crate::ops::drill::record::Recorder;
use crate::ops::erasure::replays::Target;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::ReadBack;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::dump;
use crate::ops::restore::open_reader;
use crate::ops::restore::restore;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::snapshot::scratch::Scratch;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;

/// Restores into a directory, compares it, lets a command look at it, and wipes it.
pub(super) fn into_directory(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    selected: &Selected,
    argv: Option<&[String]>,
) -> Result<(), OpError> {
    let scratch = match Scratch::named(&given.options.scratch, PREFIX) {
        Ok(scratch) => scratch,
        Err(error) => {
            recorder.read_error(RESTORE, given.data, error)?;
            recorder.not_reached(&[CONTENTS]);
            return Ok(());
        }
    };
    recorder.phase("prepare");
    let folder = scratch.path().join("restored");
    let ended = bring_back(given, recorder, selected, &folder);
    let ended = ended.and_then(|is_there| {
        if is_there {
            given.erase_again(recorder, Target::Directory(&folder))?;
        }
        Ok(is_there)
    });
    let ended = ended.and_then(|is_there| match argv {
        Some(argv) if is_there => {
            let argv: Vec<OsString> = argv.iter().map(|word| filled(word, &folder)).collect();
            ask(given, recorder, &argv, &folder)
        }
        Some(_) => {
            recorder.not_reached(&[COMMAND]);
            Ok(())
        }
        None => Ok(()),
    });
    given.wiped(scratch.remove().map_err(|error| crate::ops::finding::chain_words(&error)));
    recorder.phase("wipe");
    ended
}

/// Gives a file to a command, or restores into a directory and names it to the command.
pub(super) fn into_command(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    selected: &Selected,
    argv: &[String],
) -> Result<(), OpError> {
    let selected = with_path(given, selected);
    match is_stream(given, &selected) {
        Ok(true) => {}
        Ok(false) => return into_directory(given, recorder, &selected, Some(argv)),
        Err(error) => {
            recorder.read_error(RESTORE, given.data, error)?;
            recorder.not_reached(&[COMMAND]);
            return Ok(());
        }
    }
    recorder.phase("prepare");
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let mut bytes = 0;
    let mut give = |input: &mut dyn Write| {
        *given.became.borrow_mut() = Wiped::Kept;
        bytes = dump(given.data, &selected, input, given.progress)?;
        Ok(())
    };
    let variables = variables(given, None);
    let asked = given.is_cancelled();
    let fed = feed(&argv, &Surroundings::with(&variables), &asked, &mut give);
    recorder.bytes += bytes;
    if given.progress.is_cancelled() {
        return Err(OpError::Interrupted);
    }
    let is_success = judge_fed(given, recorder, fed, bytes)?;
    recorder.phase("command");
    if is_success {
        given.erase_again(recorder, Target::Command(&argv))?;
    }
    Ok(())
}

/// Judges what came of giving a file to a command; returns whether that ended with success.
///
/// One that did not take all of it proves nothing of what it did not take, whatever it says.
fn judge_fed(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    fed: Result<Fed<OpError>, CommandError>,
    bytes: u64,
) -> Result<bool, OpError> {
    let outcome = match fed {
        Ok(Fed { given: Ok(()), is_taken: true, outcome, .. }) => {
            recorder.pass(RESTORE, format!("the command took {bytes} bytes"));
            outcome
        }
        Ok(Fed { given: Err(error), is_closed: false, .. }) => {
            recorder.read_error(RESTORE, given.data, error)?;
            recorder.not_reached(&[COMMAND]);
            return Ok(false);
        }
        Ok(Fed { outcome, .. }) => {
            recorder.not_verified(RESTORE, "the command did not take all of it");
            outcome
        }
        Err(error) => {
            recorder.not_reached(&[RESTORE]);
            judge(recorder, Err(error));
            return Ok(false);
        }
    };
    let is_success = outcome.end.is_success();
    judge(recorder, Ok(outcome));
    Ok(is_success)
}

/// What is meant of the snapshot: the selector's path counts before that of the configuration.
fn with_path(given: &Given<'_>, selected: &Selected) -> Selected {
    let mut selected = selected.clone();
    if selected.path.is_empty() {
        let path = given.options.path.iter().flat_map(|path| path.split('/'));
        selected.path =
            path.filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
    }
    selected
}

/// Whether one file is meant.
fn is_stream(given: &Given<'_>, selected: &Selected) -> Result<bool, OpError> {
    let kind = selected.manifest.predicate.kind;
    let is_one = matches!(kind, SourceKind::Stream | SourceKind::Command);
    Ok(match selected.find(&open_reader(given.data)?)? {
        Found::Root { .. } => is_one,
        Found::Entry(entry) => matches!(entry.entry.node, EntryKind::File(_)),
    })
}

/// Restores, reads everything back, and compares; returns whether all of it is there.
fn bring_back(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    selected: &Selected,
    folder: &Path,
) -> Result<bool, OpError> {
    let selected = with_path(given, selected);
    let mut options = RestoreOptions::new(folder.to_owned());
    options.keep_going = KeepGoing::Continue;
    options.read_back = ReadBack::Everything;
    let report = match restore(given.data, &selected, &options, given.progress) {
        Ok(report) => report,
        Err(OpError::Local { source, path, call }) if source.kind() == ErrorKind::StorageFull => {
            let why = format!(
                "the disk of the scratch directory is full: cannot {call} {}",
                path.display()
            );
            recorder.not_verified(RESTORE, why);
            recorder.not_reached(&[CONTENTS]);
            recorder.phase("restore");
            return Ok(false);
        }
        Err(error) => {
            recorder.read_error(RESTORE, given.data, error)?;
            recorder.not_reached(&[CONTENTS]);
            recorder.phase("restore");
            return Ok(false);
        }
    };
    recorder.phase("restore");
    recorder.bytes += report.totals.bytes;
    let named = |findings: &[Finding]| {
        let named =
            findings.iter().take(NAMED_MAX).map(|each| format!("{}: {}", each.object, each.effect));
        named.collect::<Vec<_>>().join("; ")
    };
    let totals = StatedTotals::from(report.totals);
    let stated = selected.manifest.predicate.totals;
    let is_all = selected.path.is_empty();
    let counted = format!("{} files and {} bytes", totals.files, totals.bytes);
    if report.damaged_count > 0 {
        recorder.damaged(RESTORE, named(&report.failed));
    } else if report.failed_count > 0 {
        recorder.not_verified(RESTORE, named(&report.failed));
    } else if is_all && (totals.files, totals.bytes) != (stated.files, stated.bytes) {
        recorder.fail(
            RESTORE,
            format!(
                "{counted} came back, and the manifest says {} and {}",
                stated.files, stated.bytes
            ),
        );
    } else {
        let as_stated = if is_all { ", as the manifest says" } else { "" };
        recorder.pass(RESTORE, format!("{counted} came back{as_stated}"));
    }
    match &report.verified {
        Some(verified) if verified.findings_count == 0 => recorder.pass(
            CONTENTS,
            format!(
                "{} entries and {} bytes were read back and are as in the snapshot",
                verified.entries, verified.bytes
            ),
        ),
        Some(verified) => recorder.fail(CONTENTS, named(&verified.findings)),
        None => recorder.not_verified(CONTENTS, "nothing was read back"),
    }
    recorder.phase("verify");
    Ok(report.failed_count == 0)
}

/// Runs a command that looks at a directory.
fn ask(
    given: &Given<'_>,
    recorder: &mut Recorder<'_>,
    argv: &[OsString],
    folder: &Path,
) -> Result<(), OpError> {
    let variables = variables(given, Some(folder));
    let asked = given.is_cancelled();
    let around = Surroundings { folder: Some(folder), ..Surroundings::with(&variables) };
    let ended = drain(argv, &around, &asked, &mut |_output| {});
    if given.progress.is_cancelled() {
        return Err(OpError::Interrupted);
    }
    judge(recorder, ended);
    recorder.phase("command");
    Ok(())
}

/// A word in which the directory stands for each `{}`.
fn filled(word: &str, folder: &Path) -> OsString {
    let mut filled = OsString::new();
    for (number, part) in word.split("{}").enumerate() {
        if number > 0 {
            filled.push(folder);
        }
        filled.push(part);
    }
    filled
}

fn variables(given: &Given<'_>, folder: Option<&Path>) -> Vec<(OsString, OsString)> {
    let name = ("SBF_REPO_DRILL".into(), given.options.name.clone().into());
    let folder = folder.map(|folder| ("SBF_REPO_DRILL_DIRECTORY".into(), folder.into()));
    std::iter::once(name).chain(folder).collect()
}

/// What a command says by its exit code.
fn judge(recorder: &mut Recorder<'_>, ended: Result<CommandOutcome, CommandError>) {
    match ended {
        Ok(CommandOutcome { end: CommandEnd::Exited(0), .. }) => {
            recorder.pass(COMMAND, "the command exited with code 0");
        }
        Ok(CommandOutcome { end: CommandEnd::Exited(NOT_VERIFIED), stderr }) => {
            let said = stderr_words(&stderr);
            recorder.not_verified(COMMAND, format!("the command exited with code 7: {said}"));
        }
        Ok(CommandOutcome { end: CommandEnd::Exited(code), stderr }) => {
            let said = stderr_words(&stderr);
            recorder.fail(COMMAND, format!("the command exited with code {code}: {said}"));
        }
        Ok(CommandOutcome { end: CommandEnd::Signalled(signal), .. }) => {
            recorder.fail(COMMAND, format!("signal {signal} ended the command"));
        }
        Err(error) => recorder.not_verified(COMMAND, format!("{error}: {}", error.source)),
    }
}

const RESTORE: &str = "restore";
const CONTENTS: &str = "contents";
const COMMAND: &str = "command";
/// The exit code by which a command says that it could not look.
const NOT_VERIFIED: i32 = 7;
const NAMED_MAX: usize = 10;
