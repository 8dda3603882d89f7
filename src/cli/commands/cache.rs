//! `cache`: the disposable copy of the index on this host.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use clap::Args;
use clap::Subcommand;
use serde_json::json;
use std::io::ErrorKind;

/// Look after the disposable cache
#[derive(Debug, Args)]
pub(crate) struct CacheArguments {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Remove what is cached of this repository; the next command fetches it again
    Clean,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &CacheArguments) -> Result<Exit, Failure> {
    let CacheCommand::Clean = arguments.command;
    let Some(cache) = context.cache_directory()? else {
        context.output.note(format_args!("there is no cache"));
        return Ok(context.output.finish(&json!({ "removed": null }), Exit::Success));
    };
    // Opened for its id: only what belongs to the repository is removed.
    let place = cache.value.join(context.open()?.id().to_string());
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::local("remove", &place, error));
        }
        Ok(()) | Err(_) => {}
    }
    context.output.note(format_args!("removed {}", place.display()));
    Ok(context.output.finish(&json!({ "removed": place.to_string_lossy() }), Exit::Success))
}
