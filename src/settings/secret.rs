//! Where a secret is; the file never holds one.

use crate::settings::At;
use crate::settings::place;
use crate::settings::section::Section;
use std::path::PathBuf;

/// Where what opens a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// A key file.
    KeyFile(PathBuf),
    /// A file that holds the passphrase.
    PasswordFile(PathBuf),
    /// A command that prints it, with its arguments; no shell.
    Command(Vec<String>),
    /// A credential of a systemd service, by name.
    Credential(String),
    /// An environment variable, by name.
    Environment(String),
}

impl Secret {
    /// Takes `key_file` or `password` from a section that may have one of them.
    pub(crate) fn decode(section: &mut Section<'_>) -> Option<At<Self>> {
        if let (Some(_), Some(line)) = (section.line_of("key_file"), section.line_of("password")) {
            let why =
                format!("{} has `key_file` and `password`: one of them opens it", section.name());
            section.refuse(line, why);
        }
        let file = section.path("key_file");
        let file = file.map(|At { value, line }| At { value: Self::KeyFile(value), line });
        let password = section.table("password", NOT_HERE).and_then(Self::password);
        file.or(password)
    }

    /// Takes a secret that is no key of a repository.
    pub(crate) fn decode_key(section: &mut Section<'_>, key: &'static str) -> Option<At<Self>> {
        section.table(key, NOT_HERE).and_then(Self::password)
    }

    /// The key that has it.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => "key_file",
            Self::PasswordFile(_)
            | Self::Command(_)
            | Self::Credential(_)
            | Self::Environment(_) => "password",
        }
    }

    fn password(mut table: Section<'_>) -> Option<At<Self>> {
        let line = table.line();
        let found = [
            table.path("file").map(|at| Self::PasswordFile(at.value)),
            table.texts("command").map(|at| Self::Command(at.value)),
            table.parsed("credential", place::name).map(|at| Self::Credential(at.value)),
            table.parsed("environment", variable).map(|at| Self::Environment(at.value)),
        ];
        let known = ["file", "command", "credential", "environment"];
        if known.iter().filter(|key| table.line_of(key).is_some()).count() != 1 {
            let why = format!(
                "{} needs exactly one of `file`, `command`, `credential`, `environment`",
                table.name()
            );
            table.refuse(line, why);
        }
        table.finish();
        found.into_iter().flatten().next().map(|value| At { value, line })
    }
}

fn variable(text: &str) -> Result<String, String> {
    if text.contains(['=', '\0']) {
        return Err(format!("`{text}` is not the name of an environment variable"));
    }
    Ok(text.to_owned())
}

const NOT_HERE: &str = "must not be in this file: write where it is, as `{ file = \"…\" }`, \
     `{ command = […] }`, `{ credential = \"…\" }` or `{ environment = \"…\" }`";
