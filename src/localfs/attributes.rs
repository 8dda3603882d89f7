//! What an entry has besides its stat: extended attributes and a link's target.
//! Read only for entries that are new or changed.

use crate::format::tree::ExtendedAttribute;
use crate::format::tree::NAME_BYTES_MAX;
use crate::format::tree::TARGET_BYTES_MAX;
use crate::format::tree::XATTR_VALUE_BYTES_MAX;
use crate::localfs::LocalError;
use crate::localfs::capture::OpenFile;
use crate::localfs::walk::WalkEntry;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;

/// Where a symbolic link points.
///
/// Errors if `entry` is no link any more, or points nowhere.
pub(crate) fn symlink_target(entry: &WalkEntry) -> Result<Vec<u8>, LocalError> {
    let wrong = |errno: Errno| LocalError::new(&entry.path_bytes(), "read the link", errno);
    let directory = entry.directory().open()?;
    let room = Vec::with_capacity(LINK_BYTES_GUESS);
    let target = rustix::fs::readlinkat(&directory, entry.name_with_nul(), room).map_err(wrong)?;
    let target = target.into_bytes();
    let valid = !target.is_empty() && target.len() <= TARGET_BYTES_MAX;
    if valid { Ok(target) } else { Err(wrong(Errno::NAMETOOLONG)) }
}

/// The extended attributes of an entry, ACLs and security labels among them, sorted by name.
///
/// Follows no link. Empty where the file system has none. Only the namespaces `user`,
/// `security` and `trusted` and POSIX ACLs count: others show what the file system computes.
pub(crate) fn xattrs(entry: &WalkEntry) -> Result<Vec<ExtendedAttribute>, LocalError> {
    let directory = entry.directory().open()?;
    let found = xattrs_of_name(&*directory, entry.name());
    // Directories and files would do without `/proc`; links and pipes cannot be opened.
    found.map_err(|errno| LocalError::new(&entry.path_bytes(), READ_ATTRIBUTES, errno))
}

/// The extended attributes of an open file.
pub(crate) fn xattrs_of_file(file: &OpenFile) -> Result<Vec<ExtendedAttribute>, LocalError> {
    xattrs_of_descriptor(file).map_err(|errno| LocalError::new(file.path(), READ_ATTRIBUTES, errno))
}

/// The extended attributes of whatever a descriptor is open to.
pub(in crate::localfs) fn xattrs_of_descriptor(
    file: impl AsFd,
) -> Result<Vec<ExtendedAttribute>, Errno> {
    read_xattrs(
        |room| rustix::fs::flistxattr(&file, room),
        |name, room| rustix::fs::fgetxattr(&file, name, room),
    )
}

/// The extended attributes of a name in an open directory; a link is not followed.
pub(in crate::localfs) fn xattrs_of_name(
    directory: impl AsFd,
    name: &[u8],
) -> Result<Vec<ExtendedAttribute>, Errno> {
    let path = path_by_descriptor(directory, name);
    read_xattrs(
        |room| rustix::fs::llistxattr(path.as_slice(), room),
        |name, room| rustix::fs::lgetxattr(path.as_slice(), name, room),
    )
}

/// A path to `name` in an open directory for calls that take no descriptor.
pub(in crate::localfs) fn path_by_descriptor(directory: impl AsFd, name: &[u8]) -> Vec<u8> {
    let number = directory.as_fd().as_raw_fd();
    [format!("/proc/self/fd/{number}/").as_bytes(), name].concat()
}

fn read_xattrs(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    value: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<ExtendedAttribute>, Errno> {
    let names = match read_growing(&list) {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_captured(name)) {
        match read_growing(|room| value(name, room)) {
            Ok(value) if value.len() <= XATTR_VALUE_BYTES_MAX => {
                found.push(ExtendedAttribute { name: name.to_vec(), value });
            }
            Ok(_) => return Err(Errno::TOOBIG),
            // Gone since it was listed, or listed by a file system that does not have it.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    found.sort_unstable();
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

/// Reads with a small buffer, and with the largest that the kernel fills if that is too small.
fn read_growing(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0_u8; XATTR_BYTES_GUESS];
    match read(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; XATTR_VALUE_BYTES_MAX];
            let length = read(&mut large)?;
            large.truncate(length);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(errno) => Err(errno),
    }
}

fn is_captured(name: &[u8]) -> bool {
    let captured = CAPTURED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    captured && name.len() <= NAME_BYTES_MAX
}

const CAPTURED_PREFIXES: [&[u8]; 4] = [b"user.", b"security.", b"trusted.", b"system.posix_acl_"];
pub(in crate::localfs) const READ_ATTRIBUTES: &str = "read the attributes of";
/// Room for most link targets.
const LINK_BYTES_GUESS: usize = 256;
/// Room for most lists of attributes and most values.
const XATTR_BYTES_GUESS: usize = 512;
