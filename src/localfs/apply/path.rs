//! Paths below a target, checked name by name when they are made.

use crate::format::tree::is_valid_name;
use crate::localfs::LocalError;
use rustix::io::Errno;

/// A path relative to the target, without `.`, `..`, empty names and NUL; empty for the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TargetPath {
    bytes: Vec<u8>,
}

impl TargetPath {
    /// The target itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The path of `name` in this directory; errors unless `name` may become a file name.
    pub(crate) fn join(&self, name: &[u8]) -> Result<Self, LocalError> {
        let bytes = path_of(&self.bytes, name);
        check_name(name).map_err(|errno| LocalError::new(&bytes, "restore", errno))?;
        Ok(Self { bytes })
    }

    /// The names joined by `/`.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The directory and the name in it; none for the target itself.
    pub(crate) fn split(&self) -> Option<(Self, &[u8])> {
        if self.bytes.is_empty() {
            return None;
        }
        let slash = self.bytes.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = match slash {
            Some(at) => (&self.bytes[..at], &self.bytes[at + 1..]),
            None => (&[][..], &self.bytes[..]),
        };
        Some((Self { bytes: parent.to_vec() }, name))
    }

    /// The names from the target on.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }
}

/// `directory/name`, for messages.
pub(super) fn path_of(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    [directory, slash, name].concat()
}

/// Refuses names that would lead elsewhere.
pub(super) fn check_name(name: &[u8]) -> Result<(), Errno> {
    if is_valid_name(name) { Ok(()) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = [b'a'; 256];
        for name in [b"..".as_slice(), b".", b"", b"a/b", b"/", b"a\0", &long] {
            assert!(TargetPath::root().join(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn paths_split_as_they_were_joined() {
        let a = TargetPath::root().join(b"a").unwrap();
        let ab = a.join(b"b\n\xff").unwrap();
        assert_eq!(ab.as_bytes(), b"a/b\n\xff");
        assert_eq!(ab.split(), Some((a.clone(), b"b\n\xff".as_slice())));
        assert_eq!(a.split(), Some((TargetPath::root(), b"a".as_slice())));
        assert_eq!(TargetPath::root().split(), None);
        assert_eq!(ab.names().count(), 2);
    }
}
