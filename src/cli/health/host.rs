//! What the host has: room, directories, a secret that nobody has to type, timers.

use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::health::Looked;
use crate::cli::schedule::timed;
use crate::cli::secrets::SecretSource;
use crate::settings::Settings;
use crate::units::human_bytes;
use std::path::Path;
use std::process::Command;

/// Directories that are written to, and the room in them.
pub(crate) fn look(context: &Context) -> Result<Vec<Looked>, Failure> {
    let mut all = Vec::new();
    if let Some(state) = environment::state_directory() {
        all.push(directory("state directory", &state));
    }
    if let Some(cache) = context.cache_directory()? {
        all.push(directory("cache directory", &cache.value));
    }
    let settings = &context.configuration()?.settings;
    let metrics = settings.metrics.textfile.as_ref().and_then(|at| at.value.parent());
    all.extend(metrics.map(|folder| directory("directory of metrics", folder)));
    Ok(all)
}

/// Whether the repository opens without somebody at a terminal.
pub(crate) fn secret(context: &Context) -> Result<Looked, Failure> {
    let source = SecretSource::find(&context.global, context.configuration()?)?;
    let what = "what opens the repository";
    if matches!(source.value, SecretSource::Terminal) {
        let words = "it has to be typed, and no timer types: name it in [repository] of the configuration file";
        return Ok(Looked::wrong(what, words));
    }
    Ok(Looked::fine(what, format!("{}, from {}", source.value.words(), source.origin)))
}

/// A directory that is there, or can be made where it should be.
fn directory(what: &str, path: &Path) -> Looked {
    let Some(there) = path.ancestors().find(|folder| folder.exists()) else {
        return Looked::wrong(what, format!("{} cannot be made", path.display()));
    };
    let access = rustix::fs::access(there, rustix::fs::Access::WRITE_OK);
    if let Err(error) = access {
        let words = format!("{} cannot be written to: {error}", path.display());
        return Looked::wrong(what, words);
    }
    let free =
        rustix::fs::statvfs(there).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    match free {
        Some(free) if free < FREE_BYTES_MIN => Looked::doubtful(
            what,
            format!("{}: only {} are free", path.display(), human_bytes(free)),
        ),
        Some(free) => {
            Looked::fine(what, format!("{}, {} are free", path.display(), human_bytes(free)))
        }
        None => Looked::fine(what, path.display().to_string()),
    }
}

/// Whether something starts what has a schedule.
pub(crate) fn timers(settings: &Settings) -> Vec<Looked> {
    let host = environment::host();
    let timed: Vec<_> = timed(settings).into_iter().filter(|each| each.is_of(&host)).collect();
    if timed.is_empty() {
        return Vec::new();
    }
    if Path::new("/etc/cron.d/sbf-repo").exists() {
        return vec![Looked::fine("schedules", "cron has them, in /etc/cron.d/sbf-repo")];
    }
    let is_enabled = |unit: &str, user: bool| {
        let mut command = Command::new("systemctl");
        if user {
            command.arg("--user");
        }
        let output = command.args(["is-enabled", unit]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let look = |name: &str, unit: &str| {
        let what = format!("schedule of {name}");
        if is_enabled(unit, false) || is_enabled(unit, true) {
            return Looked::fine(what, format!("{unit} is enabled"));
        }
        let words = "nothing starts it by itself: run `sbf-repo schedule install`";
        Looked::doubtful(what, words)
    };
    timed.iter().map(|each| look(each.name, &format!("{}.timer", each.unit()))).collect()
}

/// Less than this is little for an index and for what is kept of packs.
const FREE_BYTES_MIN: u64 = 1 << 30;
