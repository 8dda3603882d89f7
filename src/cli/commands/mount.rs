//! `mount`: snapshots as directories and files.

use crate::cli::arguments::CopyArguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::replay::warn_of_shown;
use crate::ops::mount::MountOptions;
use crate::ops::mount::mount;
use crate::ops::select::Selector;
use crate::ops::view::Warn;
use crate::settings::quantities;
use crate::units::human_bytes;
use clap::Args;
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Show snapshots as directories and files, read-only, until they are unmounted
///
/// Below the directory are `latest`, `by-source/NAME/DATE` and `snapshots/ID`; with a SNAPSHOT only what that is. It stays
/// until Ctrl-C, SIGTERM, `umount` or `fusermount3 -u`. Without `--exec` programs cannot be run from there; devices and
/// set-id bits mean nothing.
#[derive(Debug, Args)]
pub(crate) struct MountArguments {
    /// An empty directory
    #[arg(value_name = "DIRECTORY")]
    target: PathBuf,
    /// Only this: SNAPSHOT or SNAPSHOT:PATH; see `sbf-repo restore --help`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    selector: Option<OsString>,
    /// Let other users in, as far as the permissions of the files do
    #[arg(long)]
    allow_other: bool,
    /// Let programs be run from there
    #[arg(long)]
    exec: bool,
    /// Memory for what was read lately [default: 48M]
    #[arg(long, value_name = "SIZE", value_parser = quantities::bytes)]
    memory: Option<u64>,
    #[command(flatten)]
    copies: CopyArguments,
}

impl MountArguments {
    /// Whether it shows one snapshot, and not all of them.
    pub(crate) const fn selects(&self) -> bool {
        self.selector.is_some()
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: MountArguments) -> Result<Exit, Failure> {
    let selector = arguments.selector.as_deref();
    let selector = selector.map(|text| Selector::parse(text.as_bytes())).transpose()?;
    let opened = context.open_with_copies(&arguments.copies.from_copy)?;
    let mut options = MountOptions::new(arguments.target);
    options.allow_other = arguments.allow_other;
    options.executable = arguments.exec;
    if let Some(bytes) = arguments.memory {
        options.cache_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    let output = Arc::clone(&context.output);
    let warn: Warn = Arc::new(move |text: &str| output.warn(text));
    let target = options.target.display().to_string();
    let mounted = || {
        context
            .output
            .note(format_args!("mounted at {target}; Ctrl-C or `umount {target}` ends it"));
    };
    let bytes = context.reading(&opened, |repository| {
        let selected =
            selector.map(|selector| context.select(repository, &selector)).transpose()?;
        warn_of_shown(context, repository)?;
        let (selected, progress) = (selected.as_ref(), &context.progress);
        Ok(mount(repository, selected, &options, &warn, &mounted, progress)?)
    })?;
    context.audit.set_bytes(bytes);
    context.output.note(format_args!("unmounted {target}; {} were read", human_bytes(bytes)));
    Ok(context.output.finish(&json!({ "unmounted": target, "bytes": bytes }), Exit::Success))
}
