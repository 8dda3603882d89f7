//! `mount`: snapshots as a file system that is read through the kernel.
//!
//! What is asked for is read when it is asked for; nothing is written to this host's disk.

mod kernel;
mod nodes;

use crate::ops::error::OpError;
use crate::ops::mount::kernel::Kernel;
use crate::ops::progress::Progress;
use crate::ops::select::Selected;
use crate::ops::view::View;
use crate::ops::view::Warn;
use crate::repo::repository::Repository;
use rustix::mount::UnmountFlags;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Where snapshots are mounted, and for whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MountOptions {
    /// An empty directory.
    pub target: PathBuf,
    /// Let other users in; the kernel then checks the permissions of files.
    pub allow_other: bool,
    /// Let programs be run from there.
    pub executable: bool,
    /// Plaintext bytes of blocks that are kept in memory.
    pub cache_bytes: usize,
}

impl MountOptions {
    /// Mounts at a directory for the user of this process alone.
    pub fn new(target: PathBuf) -> Self {
        let cache_bytes = CACHE_BYTES;
        Self { target, allow_other: false, executable: false, cache_bytes }
    }
}

/// Mounts all snapshots, or what is `selected`, until the caller asks to stop or somebody unmounts;
/// `mounted` is called when everything is there. Returns how many bytes of files were read.
///
/// Errors: [`OpError::Refused`] if the directory is not empty or lies in the repository;
/// [`OpError::Local`] if it cannot be mounted at.
pub fn mount(
    repository: &Repository,
    selected: Option<&Selected>,
    options: &MountOptions,
    warn: &Warn,
    mounted: &dyn Fn(),
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let target = check_target(repository, &options.target)?;
    let view = View::new(repository, selected, options.cache_bytes, Arc::clone(warn))?;
    let bytes_read = Arc::clone(&view.bytes_read);
    let config = kernel::config(options, &repository.location());
    let local = |call| move |source| OpError::Local { call, path: options.target.clone(), source };
    let session = fuser::spawn_mount(Kernel::new(view), &target, &config)
        .map_err(no_fuse)
        .map_err(local("mount at"))?;
    mounted();
    while !progress.is_cancelled() && !session.guard.is_finished() {
        thread::sleep(LOOK_AGAIN);
    }
    if session.guard.is_finished() {
        // Somebody unmounted it.
        session.join().map_err(local("serve"))?;
    } else {
        match session.umount_and_join() {
            Err(error) if error.raw_os_error() == Some(BUSY) => {
                detach(&target).map_err(local("unmount"))?;
                warn("files were open there: whoever reads them gets errors now");
            }
            ended => ended.map_err(local("unmount"))?,
        }
    }
    Ok(bytes_read.load(Ordering::Relaxed))
}

/// The directory with all links followed; it must be empty.
fn check_target(repository: &Repository, target: &Path) -> Result<PathBuf, OpError> {
    let refused = |why: String| OpError::Refused { why };
    let shown = &target.display();
    let local = |call| move |source| OpError::Local { call, path: target.to_owned(), source };
    let looked = |call| {
        move |source: io::Error| match source.raw_os_error() {
            Some(NOT_CONNECTED) => refused(format!(
                "something was mounted at {shown} and its process ended: run `umount {shown}` or `fusermount3 -u {shown}` first"
            )),
            _other => local(call)(source),
        }
    };
    let path = std::fs::canonicalize(target).map_err(looked("look at"))?;
    let own = std::fs::canonicalize(repository.location());
    if own.is_ok_and(|own| path.starts_with(&own) || own.starts_with(&path)) {
        return Err(refused(format!("{shown} is the repository, or lies in it or around it")));
    }
    // The kernel answers for the directory of a dead mount as long as it remembers it.
    let mut entries = std::fs::read_dir(&path).map_err(looked("list"))?;
    if entries.next().is_some() {
        return Err(refused(format!("{shown} is not empty: what is in it would be hidden")));
    }
    Ok(path)
}

fn no_fuse(error: io::Error) -> io::Error {
    if Path::new("/dev/fuse").exists() {
        return error;
    }
    io::Error::new(
        error.kind(),
        "this system has no /dev/fuse: use `sbf-repo serve`, `restore` or `dump`",
    )
}

/// Takes the file system out of the tree though files are open there; this process's end closes them.
fn detach(target: &Path) -> io::Result<()> {
    if rustix::mount::unmount(target, UnmountFlags::DETACH).is_ok() {
        return Ok(());
    }
    let mut helper = Command::new("fusermount3");
    match helper.args(["-u", "-z"]).arg(target).stdin(Stdio::null()).status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("fusermount3 ended with {status}"))),
    }
}

/// `ENOTCONN`: the process behind a mount is gone.
const NOT_CONNECTED: i32 = 107;
/// `EBUSY`.
const BUSY: i32 = 16;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const CACHE_BYTES: usize = 48 * 1_048_576;
