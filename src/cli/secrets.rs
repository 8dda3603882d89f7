//! Passphrases and key files: where they come from, and how new ones are kept.

use crate::cli::arguments::GlobalArguments;
use crate::cli::arguments::TargetSecretArguments;
use crate::cli::environment;
use crate::cli::failure::Failure;
use crate::cli::prompt;
use crate::ops::error::OpError;
use crate::repo::error::RepoError;
use crate::repo::key_file::AuthorityFile;
use crate::repo::key_file::KeyFile;
use crate::repo::key_file::PublicKey;
use crate::repo::slots::Credential;
use crate::repo::slots::Passphrase;
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
    /// The person at the terminal.
    Terminal,
}

impl SecretSource {
    /// What the options name, else what the environment names, else the terminal.
    pub(crate) fn find(global: &GlobalArguments) -> Result<Self, Failure> {
        if let Some(file) = &global.key_file {
            return Ok(Self::KeyFile(file.clone()));
        }
        if let Some(file) = &global.password_file {
            return Ok(Self::PasswordFile(file.clone()));
        }
        if let Some(command) = &global.password_command {
            return Ok(Self::PasswordCommand(command.clone()));
        }
        Self::from_environment("SBF_REPO_")
    }

    /// The same for the repository that is copied to: its options, then its variables.
    pub(crate) fn find_for_target(target: &TargetSecretArguments) -> Result<Self, Failure> {
        let TargetSecretArguments { to_key_file, to_password_file, to_password_command } = target;
        if let Some(file) = to_key_file {
            return Ok(Self::KeyFile(file.clone()));
        }
        if let Some(file) = to_password_file {
            return Ok(Self::PasswordFile(file.clone()));
        }
        if let Some(command) = to_password_command {
            return Ok(Self::PasswordCommand(command.clone()));
        }
        Self::from_environment("SBF_REPO_TO_")
    }

    /// What the variables that begin so name, else the terminal.
    fn from_environment(prefix: &str) -> Result<Self, Failure> {
        if let Some(file) = environment::path(&format!("{prefix}KEY_FILE")) {
            return Ok(Self::KeyFile(file));
        }
        if let Some(password) = environment::variable(&format!("{prefix}PASSWORD")) {
            return Ok(Self::Password(Passphrase::new(password.into_vec())));
        }
        if let Some(file) = environment::path(&format!("{prefix}PASSWORD_FILE")) {
            return Ok(Self::PasswordFile(file));
        }
        let command = format!("{prefix}PASSWORD_COMMAND");
        match environment::variable(&command).map(std::ffi::OsString::into_string) {
            Some(Ok(command)) => Ok(Self::PasswordCommand(command)),
            Some(Err(_words)) => Err(Failure::usage(format!("{command} is not valid UTF-8"))),
            None => Ok(Self::Terminal),
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
        SecretSource::PasswordCommand(command) => from_command(command),
        SecretSource::KeyFile(_) => {
            Err(Failure::usage("a passphrase is needed, not a key file".to_owned()))
        }
        SecretSource::Terminal => prompt::passphrase(prompts),
    }
}

/// The bytes of a file that holds a secret; a device or a wrong file may have no end.
fn read_secret(path: &Path) -> Result<Vec<u8>, Failure> {
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

fn from_command(command: &str) -> Result<Passphrase, Failure> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit());
    let failed = |how: String| Failure::usage(format!("the password command {how}"));
    let output = shell.output().map_err(|error| failed(format!("does not start: {error}")))?;
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
