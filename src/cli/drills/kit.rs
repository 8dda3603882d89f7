//! Reads a recovery kit as `key recovery-kit` prints it: the text, or the object of `--json`.

use crate::cli::failure::Failure;
use crate::cli::secrets;
use crate::ops::location::Location;
use crate::repo::key_file::KeyFile;
use serde_json::Value;
use std::path::Path;
use zeroize::Zeroizing;

/// What a kit has.
#[derive(Debug)]
pub(crate) struct Kit {
    pub(crate) location: Location,
    pub(crate) key: KeyFile,
}

/// Reads a kit from a file that others may not read.
pub(crate) fn read(path: &Path) -> Result<Kit, Failure> {
    crate::cli::configuration::refuse_readable(path)?;
    let bytes = Zeroizing::new(secrets::read_secret(path)?);
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let parts = if text.trim_start().starts_with('{') { of_json(text) } else { of_text(text) };
    let (location, key) = parts.ok_or_else(|| {
        let why = format!("{} is no recovery kit", path.display());
        Failure::usage(why)
            .with_hint("keep what `sbf-repo key recovery-kit` prints, or prints with `--json`")
    })?;
    Ok(Kit { location: location.parse()?, key: KeyFile::parse(&key)? })
}

fn of_json(text: &str) -> Option<(String, Zeroizing<String>)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let member = |name: &str| value[name].as_str().map(str::to_owned);
    Some((member("location")?, Zeroizing::new(member("key_file")?)))
}

fn of_text(text: &str) -> Option<(String, Zeroizing<String>)> {
    let location = text.lines().find_map(|line| line.strip_prefix("location "))?.trim().to_owned();
    let lines =
        text.lines().map(str::trim).skip_while(|line| !line.starts_with("sbf-repo key file"));
    let key: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    Some((location, Zeroizing::new(key.join("\n"))))
}
