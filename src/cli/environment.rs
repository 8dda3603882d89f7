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

/// Where the disposable cache is.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    let place = Place {
        variable: "SBF_REPO_CACHE_DIR",
        of_root: "/var/cache/sbf-repo",
        xdg: "XDG_CACHE_HOME",
        below_home: ".cache",
    };
    place.find()
}

/// Where the host's memory is.
pub(crate) fn state_directory() -> Option<PathBuf> {
    let place = Place {
        variable: "SBF_REPO_STATE_DIR",
        of_root: "/var/lib/sbf-repo",
        xdg: "XDG_STATE_HOME",
        below_home: ".local/state",
    };
    place.find()
}

struct Place {
    variable: &'static str,
    of_root: &'static str,
    xdg: &'static str,
    below_home: &'static str,
}

impl Place {
    fn find(&self) -> Option<PathBuf> {
        if let Some(chosen) = path(self.variable) {
            return Some(chosen);
        }
        if rustix::process::geteuid().is_root() {
            return Some(PathBuf::from(self.of_root));
        }
        let below_home = || Some(path("HOME")?.join(self.below_home));
        // The XDG specification says that relative paths do not count.
        let base = path(self.xdg).filter(|base| base.is_absolute()).or_else(below_home)?;
        Some(base.join("sbf-repo"))
    }
}
