//! `serve`: snapshots over `WebDAV` and HTTP.

use crate::cli::arguments::CopyArguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Loudness;
use crate::cli::replay::warn_of_shown;
use crate::cli::secrets;
use crate::ops::select::Selector;
use crate::ops::serve::ServeOptions;
use crate::ops::serve::Token;
use crate::ops::serve::serve;
use crate::ops::view::Warn;
use crate::settings::quantities;
use crate::units::human_bytes;
use clap::Args;
use serde_json::json;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Show snapshots to browsers and clients of WebDAV on this host, read-only
///
/// The same tree as that of `mount`, for systems without FUSE and for browsers: `latest`, `by-source/NAME/DATE` and
/// `snapshots/ID`. A client gives the token as password, with any user name, or as bearer token. Links of a snapshot are files that
/// hold their target; devices, pipes and sockets are not shown. It ends with Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Only this: SNAPSHOT or SNAPSHOT:PATH; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: Option<OsString>,
    /// Where to listen, on this host only; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Take the token from this file instead of making one and showing it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Memory for what was read lately [default: 48M]
    #[arg(long, value_name = "SIZE", value_parser = quantities::bytes)]
    memory: Option<u64>,
    #[command(flatten)]
    copies: CopyArguments,
}

impl ServeArguments {
    /// Whether it shows one snapshot, and not all of them.
    pub(crate) const fn selects(&self) -> bool {
        self.selector.is_some()
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ServeArguments) -> Result<Exit, Failure> {
    let selector = arguments.selector.as_deref();
    let selector = selector.map(|text| Selector::parse(text.as_bytes())).transpose()?;
    let given = arguments.token_file.as_deref().map(secrets::read_token).transpose()?;
    if given.is_none() && context.output.loudness() == Loudness::Quiet {
        return Err(Failure::usage(
            "nobody would know the token: give `--token-file` with `--quiet`".to_owned(),
        ));
    }
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    let output = Arc::clone(&context.output);
    let warn: Warn = Arc::new(move |text: &str| output.warn(text));
    let bytes = context.reading(&opened, |repository| {
        let selected =
            selector.map(|selector| context.select(repository, &selector)).transpose()?;
        warn_of_shown(context, repository)?;
        let is_given = given.is_some();
        let token = given.unwrap_or_else(|| Token::random(repository.environment.as_ref()));
        let shown = if is_given { "that of the file" } else { token.reveal() }.to_owned();
        let mut options = ServeOptions::new(arguments.listen, token);
        if let Some(bytes) = arguments.memory {
            options.cache_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        let serving = |address: SocketAddr| {
            let text =
                format_args!("serving at http://{address}/ with the token {shown}; Ctrl-C ends it");
            context.output.note(text);
        };
        let (selected, progress) = (selected.as_ref(), &context.progress);
        Ok(serve(repository, selected, &options, &warn, &serving, progress)?)
    })?;
    context.audit.set_bytes(bytes);
    context.output.note(format_args!("no longer serving; {} were read", human_bytes(bytes)));
    Ok(context.output.finish(&json!({ "bytes": bytes }), Exit::Success))
}
