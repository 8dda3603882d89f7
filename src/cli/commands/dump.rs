//! `dump`: one file of a snapshot, or an archive of a tree, to standard output.

use crate::cli::arguments::CopyArguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::progress::Reported;
use crate::cli::replay::Replay;
use crate::cli::words;
use crate::ops::archive::ArchiveForm;
use crate::ops::archive::dump_archive;
use crate::ops::restore::dump;
use crate::ops::restore::rewrap;
use crate::ops::select::Selected;
use crate::ops::select::Selector;
use crate::repo::repository::Repository;
use clap::Args;
use clap::ValueEnum;
use std::ffi::OsString;
use std::io;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;

/// Write one file of a snapshot, or an archive, to standard output
///
/// Every byte is verified before it is written. If the exit code is not 0 or 3, what was written is
/// only a part of the file, or no well-formed archive. With 3, the archive is whole but for what its
/// form cannot hold, as sockets; or what was written holds what had been erased (`sbf-repo erasure`), which nothing can
/// erase again where it went: it stays pending until `sbf-repo erasure replay` says that it was.
///
/// An archive holds the entries of the directory that is selected, or the one file. `tar` has owners
/// with names, times with nanoseconds, hard links, devices, extended attributes, lists of access
/// rights and holes; unpack it with `tar --xattrs --acls --same-owner` to get them. `zip` has none of
/// these, and names in UTF-8 only.
#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// SNAPSHOT:PATH, or SNAPSHOT if it holds one file; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: OsString,
    /// Write an archive instead of one file
    #[arg(long, value_name = "FORM", value_enum)]
    archive: Option<Archive>,
    /// Write a file that `snapshot --unwrap` stored plain as it was, compressed, as `latest:/app.sql.gz`
    #[arg(long, conflicts_with = "archive")]
    rewrap: bool,
    #[command(flatten)]
    copies: CopyArguments,
}

/// Forms of archives.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Archive {
    /// tar with extended headers
    Tar,
    /// The same, compressed by zstd
    #[value(name = "tar.zst")]
    TarZst,
    /// zip
    Zip,
}

impl Archive {
    const fn form(self) -> ArchiveForm {
        match self {
            Self::Tar => ArchiveForm::Tar,
            Self::TarZst => ArchiveForm::TarZstd,
            Self::Zip => ArchiveForm::Zip,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &DumpArguments) -> Result<Exit, Failure> {
    if context.output.form() == Form::Json {
        let why = "`dump` writes to standard output, where `--json` has no room";
        return Err(Failure::usage(why.to_owned()).with_hint("use `sbf-repo restore --json`"));
    }
    if arguments.archive.is_some() && io::stdout().is_terminal() {
        let why = "an archive is not for a terminal: send it into a file or a program";
        return Err(Failure::usage(why.to_owned()));
    }
    let selector = Selector::parse(arguments.selector.as_bytes())?;
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    context.reading(&opened, |repository| {
        let selected = context.select(repository, &selector)?;
        context.audit.set_subject(&selected.manifest.predicate.source);
        let replay = Replay::begin(context, repository, "dump", &selected)?;
        let written = write(context, arguments, repository, &selected);
        context.progress.end();
        let left = replay.map(Replay::leave);
        match (written?, left) {
            (Exit::Success, Some(left)) => Ok(left.exit()),
            (exit, _) => Ok(exit),
        }
    })
}

fn write(
    context: &Context,
    arguments: &DumpArguments,
    repository: &Repository,
    selected: &Selected,
) -> Result<Exit, Failure> {
    if arguments.rewrap {
        let bytes = rewrap(repository, selected, &mut &*context.output, &context.progress)?;
        context.audit.set_bytes(bytes);
        return Ok(Exit::Success);
    }
    let Some(form) = arguments.archive else {
        let bytes = dump(repository, selected, &mut &*context.output, &context.progress)?;
        context.audit.set_bytes(bytes);
        return Ok(Exit::Success);
    };
    let (output, progress) = (&mut &*context.output, &Reported(&context.progress));
    let report = dump_archive(repository, selected, form.form(), output, progress)?;
    context.audit.set_bytes(report.bytes);
    for left_out in &report.left_out {
        context.output.warn(left_out);
    }
    context.output.detail(format_args!(
        "archived {}, left out {}",
        words::count(report.entries, "member"),
        report.left_out_count
    ));
    Ok(if report.left_out_count == 0 { Exit::Success } else { Exit::Incomplete })
}
