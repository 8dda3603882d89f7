//! Patterns of `.gitignore` for what to leave out of a snapshot, and what to restore.

use crate::cli::failure::Failure;
use ignore::gitignore::Gitignore;
use ignore::gitignore::GitignoreBuilder;
use std::path::Path;
use std::path::PathBuf;

/// Patterns that match absolute paths: a pattern without `/` matches a name anywhere, one with `/`
/// the path from the top, one that ends with `/` only directories; `!` takes a match back.
pub(crate) fn compile(
    patterns: &[String],
    files: &[PathBuf],
) -> Result<Option<Gitignore>, Failure> {
    if patterns.is_empty() && files.is_empty() {
        return Ok(None);
    }
    let wrong = |pattern: &str| Failure::usage(format!("`{pattern}` is no pattern"));
    let mut builder = GitignoreBuilder::new("/");
    for file in files {
        let text = std::fs::read_to_string(file);
        for line in text.map_err(|source| Failure::local("read", file, source))?.lines() {
            builder.add_line(Some(file.clone()), line).map_err(|_error| wrong(line))?;
        }
    }
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|_error| wrong(pattern))?;
    }
    builder.build().map(Some).map_err(|error| Failure::usage(error.to_string()))
}

/// Whether a path itself matches.
pub(crate) fn matches(patterns: &Gitignore, path: &Path, is_directory: bool) -> bool {
    patterns.matched(path, is_directory).is_ignore()
}

/// Whether a path or a directory above it matches.
pub(crate) fn matches_below(patterns: &Gitignore, path: &Path, is_directory: bool) -> bool {
    patterns.matched_path_or_any_parents(path, is_directory).is_ignore()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &[&str], path: &str, is_directory: bool, expected: bool) {
        let patterns: Vec<String> = pattern.iter().map(|line| (*line).to_owned()).collect();
        let compiled = compile(&patterns, &[]).unwrap().unwrap();
        assert_eq!(matches(&compiled, Path::new(path), is_directory), expected, "{pattern:?}");
    }

    #[test]
    fn patterns_match_names_and_absolute_paths() {
        check(&["*.log"], "/srv/a/b.log", false, true);
        check(&["/srv/a"], "/srv/a", true, true);
        check(&["/a"], "/srv/a", true, false);
        check(&["a/*.tmp"], "/srv/a/x.tmp", false, false);
        check(&["**/a/*.tmp"], "/srv/a/x.tmp", false, true);
        check(&["cache/"], "/srv/cache", true, true);
        check(&["cache/"], "/srv/cache", false, false);
        check(&["*.log", "!keep.log"], "/srv/keep.log", false, false);
    }

    #[test]
    fn what_lies_below_a_match_matches() {
        let compiled = compile(&["/srv/a".to_owned()], &[]).unwrap().unwrap();
        assert!(matches_below(&compiled, Path::new("/srv/a/b/c"), false));
        assert!(!matches_below(&compiled, Path::new("/srv/b"), false));
    }
}
