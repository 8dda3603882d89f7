//! Where a file goes that a command makes for people: what was there is replaced whole, or written into.

use crate::cli::failure::Failure;
use std::ffi::OsString;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Where a file goes.
#[derive(Debug)]
pub(crate) struct Destination {
    /// As the user named it.
    named: PathBuf,
    place: Place,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A regular file, or one that is to be: where all symlinks lead.
    File(PathBuf),
    /// A fifo or a character device, by its device and number there.
    Stream(u64, u64),
}

impl Destination {
    /// Where a name leads. Nothing is written.
    ///
    /// Errors: a directory, or anything else that is neither a file, a fifo nor a character device; nothing can be looked at.
    pub(crate) fn of(named: PathBuf) -> Result<Self, Failure> {
        match place_of(&named) {
            Ok(place) => Ok(Self { named, place }),
            Err(source) => Err(Failure::local("write", &named, source)),
        }
    }

    /// The destination of a file that stands beside this one.
    ///
    /// Errors: as [`Destination::of`].
    pub(crate) fn beside(&self, end: &str) -> Result<Self, Failure> {
        Self::of(beside(&self.named, end))
    }

    /// Whether it is no file, so that nothing can stand beside it.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream(..))
    }

    /// Whether two names lead to one file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.place == other.place
    }

    /// As the user named it.
    pub(crate) fn named(&self) -> &Path {
        &self.named
    }

    /// Replaces a file whole, whoever reads it meanwhile; writes into anything else.
    ///
    /// Errors: it cannot be written; then a file is as it was.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let written = match &self.place {
            Place::File(path) => replace(path, text),
            Place::Stream(..) => {
                let opened = OpenOptions::new().write(true).open(&self.named);
                opened.and_then(|mut stream| stream.write_all(text.as_bytes()))
            }
        };
        written.map_err(|source| Failure::local("write", &self.named, source))
    }
}

fn place_of(path: &Path) -> io::Result<Place> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return new_file(path),
        Err(error) => return Err(error),
    };
    let kind = found.file_type();
    if kind.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if kind.is_file() {
        Ok(Place::File(std::fs::canonicalize(path)?))
    } else if kind.is_fifo() || kind.is_char_device() {
        Ok(Place::Stream(found.dev(), found.ino()))
    } else {
        let why = "it is neither a file, a fifo nor a character device";
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

/// Where a file comes to stand that is not there yet: a symlink may lead there.
fn new_file(path: &Path) -> io::Result<Place> {
    let mut path = path.to_owned();
    for _link in 0..LINKS_MAX {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    let is_folder = path.as_os_str().as_bytes().ends_with(b"/");
    let name = path.file_name().filter(|_name| !is_folder);
    let name = name.ok_or(io::ErrorKind::IsADirectory)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
    Ok(Place::File(folder.join(name)))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A name that nobody else has: whatever bears it is not replaced.
    let staged = beside(path, &format!(".new-{}", std::process::id()));
    let mut file = File::create_new(&staged)?;
    let replaced = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&staged, path));
    if replaced.is_err() {
        let _ignored = std::fs::remove_file(&staged);
    }
    replaced
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Symlinks that are followed, as Linux does.
const LINKS_MAX: usize = 40;
