//! `dump`: one file of a snapshot to standard output.

use crate::cli::arguments::CopyArguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::ops::restore::dump;
use crate::ops::select::Selector;
use clap::Args;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// Write one file of a snapshot to standard output
///
/// Every byte is verified before it is written. If the exit code is not 0, what was written is only
/// a part of the file.
#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// SNAPSHOT:PATH, or SNAPSHOT if it holds one file; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: OsString,
    #[command(flatten)]
    copies: CopyArguments,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &DumpArguments) -> Result<Exit, Failure> {
    if context.output.form() == Form::Json {
        let why = "`dump` writes the file to standard output, where `--json` has no room";
        return Err(Failure::usage(why.to_owned()).with_hint("use `sbf-repo restore --json`"));
    }
    let selector = Selector::parse(arguments.selector.as_bytes())?;
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    context.reading(&opened, |repository| {
        let selected = context.select(repository, &selector)?;
        let bytes = dump(repository, &selected, &mut &*context.output, &context.progress)?;
        context.audit.set_bytes(bytes);
        Ok(Exit::Success)
    })
}
