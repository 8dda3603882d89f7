//! What a child finds around it: variables, user, directory.

use crate::command::without_secrets;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// A user that a child runs as, in no other groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// What a child finds around it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings<'a> {
    /// Variables that it has.
    pub(crate) variables: &'a [(OsString, OsString)],
    /// Whether it has no others: what this process was given may lead it to another server.
    pub(crate) is_bare: bool,
    /// The user that it runs as, if not this process's; only root may.
    pub(crate) user: Option<User>,
    /// Where it starts, if not where this process is.
    pub(crate) folder: Option<&'a Path>,
}

impl<'a> Surroundings<'a> {
    /// Those of this process, and these variables.
    pub(crate) fn with(variables: &'a [(OsString, OsString)]) -> Self {
        Self { variables, ..Self::default() }
    }

    /// Gives them to a command.
    pub(crate) fn apply(&self, command: &mut Command) {
        let Self { variables, is_bare, user, folder } = *self;
        if is_bare {
            command.env_clear();
        }
        without_secrets(command);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        if let Some(User { id, group }) = user {
            // Other groups are dropped, too, when root becomes somebody else.
            command.uid(id).gid(group);
        }
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
    }
}
