//! What the process's environment says: the only place that reads it.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable that names a path.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

/// The variables that say something about buckets; those that are not UTF-8 say nothing.
#[cfg(feature = "cloud")]
pub(crate) fn cloud_variables() -> Vec<(String, String)> {
    use crate::ops::location::VARIABLE_PREFIXES;
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let is_known = |(name, value): &(String, String)| {
        VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !value.is_empty()
    };
    std::env::vars_os().filter_map(text).filter(is_known).collect()
}

/// The user who called `sudo`.
pub(crate) fn sudo_user() -> Option<String> {
    variable("SUDO_USER")?.into_string().ok()
}

/// The host's name.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// This program's own file, also after another version was put into its place.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// Where this user's configuration is.
pub(crate) fn configuration_directory() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("sbf-repo"))
}

/// Where this user's units of systemd are.
pub(crate) fn user_units_directory() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("systemd/user"))
}

/// A file of a credential that systemd gives this service.
pub(crate) fn service_credential(name: &str) -> Option<PathBuf> {
    Some(path("CREDENTIALS_DIRECTORY")?.join(name))
}

/// Where the disposable cache is if nobody says so.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    default_place("/var/cache/sbf-repo", "XDG_CACHE_HOME", ".cache")
}

/// Where the host's memory is.
pub(crate) fn state_directory() -> Option<PathBuf> {
    let chosen = path("SBF_REPO_STATE_DIR");
    chosen.or_else(|| default_place("/var/lib/sbf-repo", "XDG_STATE_HOME", ".local/state"))
}

fn default_place(of_root: &str, variable: &str, below_home: &str) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from(of_root));
    }
    Some(xdg(variable, below_home)?.join("sbf-repo"))
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The XDG specification says that relative paths do not count.
    let base = path(variable).filter(|base| base.is_absolute());
    base.or_else(|| Some(path("HOME")?.join(below_home)))
}
