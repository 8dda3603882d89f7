//! `cache`: the disposable copy of the index on this host.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::ops::kept_dumps::remove_dump_key;
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
    ///
    /// Dumps that are kept for deltas (`delta_cache` in the configuration file) go, too, and with them the key that
    /// opens them: the next one is stored in full. Nothing else removes them when `delta_cache` is switched off.
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
    let repository = context.open()?;
    let place = cache.value.join(repository.id().to_string());
    // First: what cannot be opened any more is as good as gone.
    remove_dump_key(&repository)?;
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::local("remove", &place, error));
        }
        Ok(()) | Err(_) => {}
    }
    context.output.note(format_args!("removed {}", place.display()));
    Ok(context.output.finish(&json!({ "removed": place.to_string_lossy() }), Exit::Success))
}
