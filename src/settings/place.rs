//! Names and locations in the file.

use std::path::Path;

/// A location: a URL as it stands, or a path, which starts where the file lies.
pub(crate) fn location(text: &str, folder: &Path) -> Result<String, String> {
    check_no_tilde(text)?;
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path = folder.join(text).into_os_string().into_string();
    path.map_err(|_path| {
        "the folder of this file is not valid UTF-8: write the whole path".to_owned()
    })
}

/// A name that cannot be taken for a path or a URL.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.bytes().all(is_fit) && !text.starts_with(['.', '-']) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a name of letters, digits, `.`, `_` and `-`"))
}

/// Refuses what only a shell understands.
pub(crate) fn check_no_tilde(text: &str) -> Result<(), String> {
    if text == "~" || text.starts_with("~/") {
        return Err("`~` is not replaced here: write the whole path".to_owned());
    }
    Ok(())
}
