//! What goes into an archive, whatever its form.

use crate::format::tree::DeviceNumber;
use crate::format::tree::FileEntry;
use crate::format::tree::Metadata;
use crate::format::tree::Owner;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::repo::read::ChunkReader;

/// An entry of an archive.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// Its path, without slashes at the ends.
    pub(crate) path: &'a [u8],
    /// What every kind of entry has.
    pub(crate) metadata: &'a Metadata,
    /// Whose it is.
    pub(crate) owner: Owner,
}

/// What an entry is that has no content of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink(&'a [u8]),
    /// Another name of an entry of this path, which came before.
    HardLink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

/// Where contents come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents<'a> {
    pub(crate) reader: &'a ChunkReader,
    pub(crate) progress: &'a dyn Progress,
}

/// Whether an entry is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is.
    Yes,
    /// The form cannot hold it; the words say what.
    LeftOut(&'static str),
}

/// An archive that is being written.
pub(crate) trait Archive {
    /// Whether an entry can be another name of one before.
    fn has_hard_links(&self) -> bool;

    /// Adds an entry without content.
    fn add(&mut self, member: &Member<'_>, body: Body<'_>) -> Result<Added, OpError>;

    /// Adds a file.
    fn add_file(
        &mut self,
        member: &Member<'_>,
        file: &FileEntry,
        contents: Contents<'_>,
    ) -> Result<(), OpError>;

    /// Ends the archive, which is whole.
    fn finish(self: Box<Self>) -> Result<(), OpError>;

    /// Ends what was written so that nobody takes it for whole.
    fn abort(self: Box<Self>);
}
