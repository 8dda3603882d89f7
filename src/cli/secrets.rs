//! Passphrases and key files: where they come from, and how new ones are kept.

use crate::cli::arguments::GlobalArguments;
use crate::cli::arguments::TargetSecretArguments;
use crate::cli::configuration::Configuration;
use crate::cli::configuration::refuse_readable;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::prompt;
use crate::cli::sourced::Sourced;
use crate::command::without_secrets;
use crate::ops::error::OpError;
#[cfg(feature = "serve")]
use crate::ops::serve::Token;
use crate::repo::error::RepoError;
use crate::repo::key_file::AuthorityFile;
use crate::repo::key_file::KeyFile;
use crate::repo::key_file::PublicKey;
use crate::repo::slots::Credential;
use crate::repo::slots::Passphrase;
use crate::settings::At;
use crate::settings::secret::Secret;
use crate::units::to_u64;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// Where a secret comes from.
#[derive(Debug, Clone)]
pub(crate) enum SecretSource {
    /// A key file.
    KeyFile(PathBuf),
    /// The passphrase itself, in the environment.
    Password(Passphrase),
    /// A file that holds it.
    PasswordFile(PathBuf),
    /// A shell command that prints it.
    PasswordCommand(String),
    /// A command that prints it, and its arguments; no shell.
    PasswordProgram(Vec<String>),
    /// What the configuration file names; not looked up.
    Named(Secret),
    /// The person at the terminal.
    Terminal,
}

impl SecretSource {
    /// What the options name, else what the environment names, else what the configuration file
    /// names, else the terminal.
    pub(crate) fn find(
        global: &GlobalArguments,
        configuration: &Configuration,
    ) -> Result<Sourced<Self>, Failure> {
        if let Some(file) = &global.key_file {
            return Ok(Sourced::option("--key-file", Self::KeyFile(file.clone())));
        }
        if let Some(file) = &global.password_file {
            return Ok(Sourced::option("--password-file", Self::PasswordFile(file.clone())));
        }
        if let Some(command) = &global.password_command {
            let source = Self::PasswordCommand(command.clone());
            return Ok(Sourced::option("--password-command", source));
        }
        let of_file = configuration.settings.repository.secret.as_ref();
        Self::from_environment("SBF_REPO_", of_file, configuration)
    }

    /// The same for the repository that is copied to: its options, its variables, `of_file`.
    pub(crate) fn find_for_target(
        target: &TargetSecretArguments,
        of_file: Option<&At<Secret>>,
        configuration: &Configuration,
    ) -> Result<Sourced<Self>, Failure> {
        let TargetSecretArguments { to_key_file, to_password_file, to_password_command } = target;
        if let Some(file) = to_key_file {
            return Ok(Sourced::option("--to-key-file", Self::KeyFile(file.clone())));
        }
        if let Some(file) = to_password_file {
            return Ok(Sourced::option("--to-password-file", Self::PasswordFile(file.clone())));
        }
        if let Some(command) = to_password_command {
            let source = Self::PasswordCommand(command.clone());
            return Ok(Sourced::option("--to-password-command", source));
        }
        Self::from_environment("SBF_REPO_TO_", of_file, configuration)
    }

    /// What the variables that begin so name, else what the file names, else the terminal.
    fn from_environment(
        prefix: &str,
        of_file: Option<&At<Secret>>,
        configuration: &Configuration,
    ) -> Result<Sourced<Self>, Failure> {
        let name = |rest: &str| format!("{prefix}{rest}");
        if let Some(file) = environment::path(&name("KEY_FILE")) {
            return Ok(Sourced::variable(&name("KEY_FILE"), Self::KeyFile(file)));
        }
        if let Some(password) = environment::variable(&name("PASSWORD")) {
            let source = Self::Password(Passphrase::new(password.into_vec()));
            return Ok(Sourced::variable(&name("PASSWORD"), source));
        }
        if let Some(file) = environment::path(&name("PASSWORD_FILE")) {
            return Ok(Sourced::variable(&name("PASSWORD_FILE"), Self::PasswordFile(file)));
        }
        let command = name("PASSWORD_COMMAND");
        match environment::variable(&command).map(std::ffi::OsString::into_string) {
            Some(Ok(text)) => Ok(Sourced::variable(&command, Self::PasswordCommand(text))),
            Some(Err(_words)) => Err(Failure::usage(format!("{command} is not valid UTF-8"))),
            None => Ok(match of_file {
                Some(at) => {
                    let Sourced { value, origin } = configuration.sourced(at);
                    Sourced { value: Self::Named(value), origin }
                }
                None => Sourced::default(Self::Terminal),
            }),
        }
    }

    /// The same source, looked up if the configuration file names it.
    ///
    /// Errors: a file that others may read; a credential or variable that is not there.
    pub(crate) fn looked_up(self) -> Result<Self, Failure> {
        let Self::Named(secret) = self else { return Ok(self) };
        match secret {
            Secret::KeyFile(path) => refuse_readable(&path).map(|()| Self::KeyFile(path)),
            Secret::PasswordFile(path) => refuse_readable(&path).map(|()| Self::PasswordFile(path)),
            Secret::Command(words) => Ok(Self::PasswordProgram(words)),
            Secret::Credential(name) => match environment::service_credential(&name) {
                Some(path) => Ok(Self::PasswordFile(path)),
                None => Err(Failure::usage(format!(
                    "there is no credential `{name}`: CREDENTIALS_DIRECTORY is not set"
                ))
                .with_hint(
                    "systemd sets it for services that have `LoadCredential=`; elsewhere, name the \
                     passphrase by an option or a variable",
                )),
            },
            Secret::Environment(name) => match environment::variable(&name) {
                Some(password) => Ok(Self::Password(Passphrase::new(password.into_vec()))),
                None => Err(Failure::usage(format!(
                    "the variable {name}, which the configuration file names, is not set"
                ))),
            },
        }
    }

    /// What it is, for people: never the secret itself.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::KeyFile(path) | Self::Named(Secret::KeyFile(path)) => {
                format!("key file {}", path.display())
            }
            Self::Password(_) => "the passphrase itself".to_owned(),
            Self::PasswordFile(path) | Self::Named(Secret::PasswordFile(path)) => {
                format!("passphrase in the file {}", path.display())
            }
            Self::PasswordCommand(command) => {
                format!("passphrase from the shell command `{command}`")
            }
            Self::PasswordProgram(words) | Self::Named(Secret::Command(words)) => {
                format!("passphrase from the command `{}`", words.join(" "))
            }
            Self::Named(Secret::Credential(name)) => format!("passphrase in the credential {name}"),
            Self::Named(Secret::Environment(name)) => format!("passphrase in the variable {name}"),
            Self::Terminal => "passphrase from the terminal".to_owned(),
        }
    }
}

/// What opens a repository.
pub(crate) fn credential(source: &SecretSource) -> Result<Credential, Failure> {
    credential_asking(source, "passphrase: ")
}

/// What opens the repository that is copied to.
pub(crate) fn target_credential(source: &SecretSource) -> Result<Credential, Failure> {
    credential_asking(source, "passphrase of the repository that is copied to: ")
}

fn credential_asking(source: &SecretSource, prompt: &str) -> Result<Credential, Failure> {
    let source = &source.clone().looked_up()?;
    if let SecretSource::KeyFile(path) = source {
        let bytes = zeroize::Zeroizing::new(read_secret(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_source| RepoError::KeyFile)?;
        return Ok(Credential::KeyFile(KeyFile::parse(text)?));
    }
    Ok(Credential::Passphrase(passphrase(source, &[prompt])?))
}

/// A passphrase that is to open a new slot; on a terminal it is asked for twice.
pub(crate) fn new_passphrase(source: &SecretSource) -> Result<Passphrase, Failure> {
    passphrase(source, &["new passphrase: ", "the same again: "])
}

/// Keeps a new key file: nobody else may read it, and nothing is overwritten. Durable when it
/// returns.
pub(crate) fn keep_key_file(path: &Path, file: &KeyFile) -> Result<(), OpError> {
    keep(path, &file.to_text())
}

/// Keeps the authority key, as [`keep_key_file`].
pub(crate) fn keep_authority_file(path: &Path, file: &AuthorityFile) -> Result<(), OpError> {
    keep(path, &file.to_text())
}

/// Reads the authority key from its file.
pub(crate) fn read_authority_file(path: &Path) -> Result<AuthorityFile, Failure> {
    let bytes = zeroize::Zeroizing::new(read_secret(path)?);
    let text = std::str::from_utf8(&bytes).map_err(|_source| RepoError::AuthorityFile)?;
    Ok(AuthorityFile::parse(text).map_err(|_source| RepoError::AuthorityFile)?)
}

/// Reads the token of a server from a file.
#[cfg(feature = "serve")]
pub(crate) fn read_token(path: &Path) -> Result<Token, Failure> {
    let bytes = zeroize::Zeroizing::new(read_secret(path)?);
    let text = std::str::from_utf8(&bytes).map(str::trim_ascii).unwrap_or_default();
    Token::parse(text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
}

/// Reads somebody's public key from a file.
pub(crate) fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let bytes = read_secret(path)?;
    let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| PublicKey::parse(text).ok());
    parsed.ok_or_else(|| {
        Failure::usage(format!("{} is no public key as `key pair` prints it", path.display()))
    })
}

fn keep(path: &Path, text: &str) -> Result<(), OpError> {
    let local =
        |call| move |source: io::Error| OpError::Local { call, path: path.to_owned(), source };
    let mut created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(local("create"))?;
    created.write_all(text.as_bytes()).map_err(local("write"))?;
    created.sync_all().map_err(local("make durable"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(local("make durable"))
}

/// Refuses a place for a new key file where something is.
pub(crate) fn check_key_file_absent(path: &Path) -> Result<(), Failure> {
    if std::fs::symlink_metadata(path).is_ok() {
        let why = format!("{} exists and is not overwritten", path.display());
        return Err(Failure::usage(why)
            .with_hint("name a file that does not exist yet: the command creates it"));
    }
    Ok(())
}

fn passphrase(source: &SecretSource, prompts: &[&str]) -> Result<Passphrase, Failure> {
    match source {
        SecretSource::Password(passphrase) => Ok(passphrase.clone()),
        SecretSource::PasswordFile(path) => Ok(first_line(read_secret(path)?)),
        SecretSource::PasswordCommand(command) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(command);
            from_command(shell)
        }
        SecretSource::PasswordProgram(words) => {
            let (program, arguments) = words
                .split_first()
                .ok_or_else(|| Failure::usage("the password command has no words".to_owned()))?;
            let mut command = Command::new(program);
            command.args(arguments);
            from_command(command)
        }
        SecretSource::Named(_) => passphrase(&source.clone().looked_up()?, prompts),
        SecretSource::KeyFile(_) => {
            Err(Failure::usage("a passphrase is needed, not a key file".to_owned()))
        }
        SecretSource::Terminal => prompt::passphrase(prompts),
    }
}

/// The bytes of a file that holds a secret; a device or a wrong file may have no end.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|source| Failure::local("read", path, source))?;
    if to_u64(bytes.len()) > SECRET_FILE_BYTES_MAX {
        let why = format!("{} is too long to be a key file or a passphrase", path.display());
        return Err(Failure::usage(why));
    }
    Ok(bytes)
}

fn from_command(mut command: Command) -> Result<Passphrase, Failure> {
    without_secrets(&mut command);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let failed = |how: String| Failure::usage(format!("the password command {how}"));
    let output = command.output().map_err(|error| failed(format!("does not start: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("failed: {}", output.status)));
    }
    Ok(first_line(output.stdout))
}

/// The bytes without their last line break.
fn first_line(mut bytes: Vec<u8>) -> Passphrase {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Passphrase::new(bytes)
}

const SECRET_FILE_BYTES_MAX: u64 = 65_536;
