//! tar with extended headers of POSIX, in the forms that GNU tar, libarchive and Python read.

use crate::format::tree::FileEntry;
use crate::ops::archive::member::Added;
use crate::ops::archive::member::Archive;
use crate::ops::archive::member::Body;
use crate::ops::archive::member::Contents;
use crate::ops::archive::member::Member;
use crate::ops::archive::pax::PaxRecords;
use crate::ops::archive::pax::time_words;
use crate::ops::archive::sparse::SparseLengths;
use crate::ops::archive::stream::Stream;
use crate::ops::error::OpError;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::dump::read_file;
use crate::ops::restore::dump::write_zeros;
use crate::units::to_u64;
use std::io;
use std::io::Write as _;
use tar::EntryType;
use tar::Header;

/// A tar archive that is being written.
pub(crate) struct TarArchive<'o> {
    output: Stream<'o>,
}

/// What one header says.
struct Head<'a> {
    entry_type: EntryType,
    size: u64,
    link: Option<&'a [u8]>,
    device: Option<(u32, u32)>,
    /// Records besides those that the member needs.
    records: PaxRecords,
    /// The path, if a record of its own names it.
    path_elsewhere: bool,
}

impl<'o> TarArchive<'o> {
    /// Begins an archive.
    pub(crate) const fn new(output: Stream<'o>) -> Self {
        Self { output }
    }

    fn head(&mut self, member: &Member<'_>, head: Head<'_>) -> Result<(), OpError> {
        let Head { entry_type, size, link, device, mut records, path_elsewhere } = head;
        let slash: &[u8] = if entry_type.is_dir() { b"/" } else { b"" };
        let path = [member.path, slash].concat();
        let mut header = Header::new_ustar();
        header.set_entry_type(entry_type);
        header.set_mode(u32::from(member.metadata.mode));
        if !set_text(&mut header, Field::Name, &path) && !path_elsewhere {
            records.push(b"path", &path);
        }
        if let Some(link) = link
            && !set_text(&mut header, Field::LinkName, link)
        {
            records.push(b"linkpath", link);
        }
        let size_shown = if size <= SIZE_MAX { size } else { 0 };
        if size_shown != size {
            records.push(b"size", size.to_string().as_bytes());
        }
        header.set_size(size_shown);
        set_owner(&mut header, member, &mut records);
        set_time(&mut header, member, &mut records);
        if let Some((major, minor)) = device {
            let wrong = |error| not_written(error);
            header.set_device_major(major).map_err(wrong)?;
            header.set_device_minor(minor).map_err(wrong)?;
        }
        // Another name of an entry says nothing new of it.
        if !entry_type.is_hard_link() {
            for attribute in &member.metadata.xattrs {
                records.push_attribute(attribute);
            }
        }
        self.records(member, &records)?;
        header.set_cksum();
        self.output.write_all(header.as_bytes()).map_err(not_written)
    }

    /// Writes the records for the entry that comes, if there are any.
    fn records(&mut self, member: &Member<'_>, records: &PaxRecords) -> Result<(), OpError> {
        let bytes = records.as_bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        let name = [b"PaxHeaders/", base_name(member.path)].concat();
        let _cut = set_text(&mut header, Field::Name, &name);
        header.set_size(to_u64(bytes.len()));
        header.set_cksum();
        self.output.write_all(header.as_bytes()).map_err(not_written)?;
        self.output.write_all(bytes).map_err(not_written)?;
        self.pad(to_u64(bytes.len()))
    }

    fn pad(&mut self, length: u64) -> Result<(), OpError> {
        write_zeros(&mut self.output, length.next_multiple_of(BLOCK_BYTES) - length)
    }

    fn sparse_file(
        &mut self,
        member: &Member<'_>,
        file: &FileEntry,
        contents: Contents<'_>,
    ) -> Result<(), OpError> {
        let Contents { reader, progress } = contents;
        let lengths = SparseLengths::of(reader, file)?;
        let mut records = PaxRecords::default();
        records.push(b"GNU.sparse.major", b"1");
        records.push(b"GNU.sparse.minor", b"0");
        records.push(b"GNU.sparse.name", member.path);
        records.push(b"GNU.sparse.realsize", file.size.to_string().as_bytes());
        let size = lengths.map + lengths.data;
        let path = [b"GNUSparseFile.0/", base_name(member.path)].concat();
        let shown = Member { path: &path, owner: member.owner.clone(), ..*member };
        let entry_type = EntryType::Regular;
        let head =
            Head { entry_type, size, link: None, device: None, records, path_elsewhere: true };
        self.head(&shown, head)?;
        lengths.write_map(reader, file, &mut self.output)?;
        read_file(reader, file, progress, &mut |piece| match piece {
            Piece::Bytes(bytes) => self.output.write_all(bytes).map_err(not_written),
            Piece::Hole(_) => Ok(()),
        })?;
        self.pad(size)
    }
}

impl Archive for TarArchive<'_> {
    fn has_hard_links(&self) -> bool {
        true
    }

    fn add(&mut self, member: &Member<'_>, body: Body<'_>) -> Result<Added, OpError> {
        let (entry_type, link, device) = match body {
            Body::Directory => (EntryType::Directory, None, None),
            Body::Symlink(target) => (EntryType::Symlink, Some(target), None),
            Body::HardLink(first) => (EntryType::Link, Some(first), None),
            Body::Fifo => (EntryType::Fifo, None, None),
            Body::Socket => return Ok(Added::LeftOut("tar archives hold no sockets")),
            Body::CharacterDevice(device) => (EntryType::Char, None, Some(device)),
            Body::BlockDevice(device) => (EntryType::Block, None, Some(device)),
        };
        let device = device.map(|device| (device.major, device.minor));
        if device.is_some_and(|(major, minor)| major.max(minor) > DEVICE_MAX) {
            return Ok(Added::LeftOut("tar archives have no room for its number"));
        }
        let records = PaxRecords::default();
        let head = Head { entry_type, size: 0, link, device, records, path_elsewhere: false };
        self.head(member, head)?;
        Ok(Added::Yes)
    }

    fn add_file(
        &mut self,
        member: &Member<'_>,
        file: &FileEntry,
        contents: Contents<'_>,
    ) -> Result<(), OpError> {
        if file.sparse {
            return self.sparse_file(member, file, contents);
        }
        let head = Head {
            entry_type: EntryType::Regular,
            size: file.size,
            link: None,
            device: None,
            records: PaxRecords::default(),
            path_elsewhere: false,
        };
        self.head(member, head)?;
        let Contents { reader, progress } = contents;
        read_file(reader, file, progress, &mut |piece| match piece {
            Piece::Bytes(bytes) => self.output.write_all(bytes).map_err(not_written),
            Piece::Hole(length) => write_zeros(&mut self.output, length),
        })?;
        self.pad(file.size)
    }

    fn finish(mut self: Box<Self>) -> Result<(), OpError> {
        write_zeros(&mut self.output, 2 * BLOCK_BYTES)?;
        self.output.finish().map_err(not_written)
    }

    /// Between entries, an archive without its end passes for whole with some programs: the last
    /// header announces bytes that do not come.
    fn abort(mut self: Box<Self>) {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        let _fits = set_text(&mut header, Field::Name, b"THIS-ARCHIVE-IS-NOT-WHOLE");
        header.set_size(SIZE_MAX);
        header.set_cksum();
        // Whoever ends here has an error to tell already.
        let _ignored: io::Result<()> =
            self.output.write_all(header.as_bytes()).and_then(|()| self.output.flush());
    }
}

/// Texts of a header.
#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    LinkName,
    UserName,
    GroupName,
}

/// Sets a text, cut to its room; says whether that is all of it, in ASCII.
fn set_text(header: &mut Header, field: Field, text: &[u8]) -> bool {
    let Some(ustar) = header.as_ustar_mut() else { return false };
    let room: &mut [u8] = match field {
        Field::Name => &mut ustar.name,
        Field::LinkName => &mut ustar.linkname,
        // These end with a NUL.
        Field::UserName => &mut ustar.uname[..NAME_BYTES_MAX],
        Field::GroupName => &mut ustar.gname[..NAME_BYTES_MAX],
    };
    let length = text.len().min(room.len());
    room[..length].copy_from_slice(&text[..length]);
    length == text.len() && text.is_ascii()
}

fn set_owner(header: &mut Header, member: &Member<'_>, records: &mut PaxRecords) {
    let owner = &member.owner;
    for (key, id) in [(b"uid", owner.user_id), (b"gid", owner.group_id)] {
        if id > ID_MAX {
            records.push(key, id.to_string().as_bytes());
        }
    }
    let shown = |id: u32| u64::from(if id > ID_MAX { 0 } else { id });
    header.set_uid(shown(owner.user_id));
    header.set_gid(shown(owner.group_id));
    if !set_text(header, Field::UserName, &owner.user_name) {
        records.push(b"uname", &owner.user_name);
    }
    if !set_text(header, Field::GroupName, &owner.group_name) {
        records.push(b"gname", &owner.group_name);
    }
}

fn set_time(header: &mut Header, member: &Member<'_>, records: &mut PaxRecords) {
    let modified = member.metadata.modified;
    let whole = u64::try_from(modified.seconds).ok().filter(|seconds| *seconds <= SIZE_MAX);
    header.set_mtime(whole.unwrap_or(0));
    if whole.is_none() || modified.nanoseconds != 0 {
        records.push(b"mtime", time_words(modified).as_bytes());
    }
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

const BLOCK_BYTES: u64 = 512;
/// Largest number in eleven octal digits.
const SIZE_MAX: u64 = 0o777_7777_7777;
/// Largest number in seven octal digits.
const ID_MAX: u32 = 0o777_7777;
const DEVICE_MAX: u32 = 0o777_7777;
const NAME_BYTES_MAX: usize = 31;
