//! What the kernel asks of a file system, answered from a view. Only this file and `mod.rs` name `fuser`.

use crate::format::tree::DeviceNumber;
use crate::format::tree::EntryKind;
use crate::format::tree::Timestamp;
use crate::ops::mount::MountOptions;
use crate::ops::mount::nodes::Nodes;
use crate::ops::mount::nodes::Route;
use crate::ops::view::LIST_AGAIN;
use crate::ops::view::View;
use crate::ops::view::catalogue::Child;
use crate::ops::view::file::OpenFile;
use crate::ops::view::locked;
use crate::ops::view::place::Place;
use crate::ops::view::place::system_time;
use crate::repo::error::RepoError;
use crate::repo::tree::reader::OwnedEntry;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;
use fuser::Config;
use fuser::Errno;
use fuser::FileAttr;
use fuser::FileHandle;
use fuser::FileType;
use fuser::Filesystem;
use fuser::FopenFlags;
use fuser::Generation;
use fuser::INodeNo;
use fuser::InitFlags;
use fuser::KernelConfig;
use fuser::LockOwner;
use fuser::MountOption;
use fuser::OpenFlags;
use fuser::ReplyAttr;
use fuser::ReplyData;
use fuser::ReplyDirectory;
use fuser::ReplyDirectoryPlus;
use fuser::ReplyEmpty;
use fuser::ReplyEntry;
use fuser::ReplyOpen;
use fuser::ReplyStatfs;
use fuser::ReplyXattr;
use fuser::Request;
use fuser::SessionACL;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A file system over a view.
pub(crate) struct Kernel {
    view: View,
    nodes: Mutex<Nodes>,
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
    next_file: AtomicU64,
    /// Whether the kernel wants directories opened before it reads them.
    opens_directories: bool,
    user: u32,
    group: u32,
}

/// How it is mounted.
pub(crate) fn config(options: &MountOptions, name: &str) -> Config {
    let mut config = Config::default();
    // A comma would end the option.
    let name = name.replace([',', '\\'], "_");
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::FSName(name),
        MountOption::Subtype("sbf-repo".to_owned()),
    ];
    if !options.executable {
        config.mount_options.push(MountOption::NoExec);
    }
    if options.allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}

impl Kernel {
    /// Answers from a view.
    pub(crate) fn new(view: View) -> Self {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let nodes = Mutex::new(Nodes::new(view.root.clone()));
        let (files, next_file) = (Mutex::default(), AtomicU64::new(1));
        Self { view, nodes, files, next_file, opens_directories: true, user, group }
    }

    /// What stands at an inode, or the error of one that is not there.
    fn place(&self, number: INodeNo) -> Result<Place, Errno> {
        let route = locked(&self.nodes).route(number.0).ok_or(Errno::ESTALE)?;
        let Route { from: mut place, names } = route;
        if names.is_empty() {
            return Ok(place);
        }
        for name in names.iter().rev() {
            let child = self.view.child(&place, name).map_err(|error| self.told(&error))?;
            place = child.ok_or(Errno::ESTALE)?;
        }
        locked(&self.nodes).keep(number.0, &place);
        Ok(place)
    }

    fn children(&self, number: INodeNo) -> Result<Arc<Vec<Child>>, Errno> {
        let children = self.view.children(&self.place(number)?);
        children.map_err(|error| self.told(&error))?.ok_or(Errno::ENOTDIR)
    }

    fn told(&self, error: &RepoError) -> Errno {
        self.view.tell(error);
        Errno::EIO
    }

    fn attributes(&self, number: u64, place: &Place) -> FileAttr {
        match place {
            Place::Entry(entry, _top) => of_entry(number, entry),
            Place::Link(target) => {
                let size = to_u64(target.len());
                self.of_ours(number, FileType::Symlink, 0o777, (size, NO_TIME))
            }
            Place::Top(top) => {
                let time = Timestamp { seconds: top.time, nanoseconds: 0 };
                self.of_ours(number, FileType::Directory, 0o755, (0, time))
            }
            Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) => {
                self.of_ours(number, FileType::Directory, 0o555, (0, self.view.changed()))
            }
        }
    }

    fn of_ours(
        &self,
        number: u64,
        kind: FileType,
        perm: u16,
        (size, time): (u64, Timestamp),
    ) -> FileAttr {
        let time = system_time(time);
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid: self.user,
            gid: self.group,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

impl Filesystem for Kernel {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_ASYNC_READ
            // Lists of snapshots that the kernel keeps are read again when their time changed.
            | InitFlags::FUSE_AUTO_INVAL_DATA;
        // What an old kernel lacks costs speed only.
        let there = wanted & config.capabilities();
        let _ignored = config.add_capabilities(there);
        self.opens_directories = !there.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        let _ignored = config.set_max_readahead(READAHEAD_BYTES);
        let _ignored = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let parent_place = match self.place(parent) {
            Ok(place) => place,
            Err(error) => return reply.error(error),
        };
        match self.view.child(&parent_place, name.as_bytes()) {
            Ok(Some(place)) => {
                let number = locked(&self.nodes).tell(parent.0, name.as_bytes(), &place);
                let attributes = self.attributes(number, &place);
                reply.entry(&lifetime(&place), &attributes, Generation(0));
            }
            Ok(None) => reply.error(Errno::ENOENT),
            Err(error) => reply.error(self.told(&error)),
        }
    }

    fn forget(&self, _request: &Request, number: INodeNo, times: u64) {
        locked(&self.nodes).forget(number.0, times);
    }

    fn getattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.place(number) {
            Ok(place) => reply.attr(&lifetime(&place), &self.attributes(number.0, &place)),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.place(number) {
            Ok(Place::Link(target)) => reply.data(target.as_bytes()),
            Ok(Place::Entry(entry, _top)) => match &entry.entry.node {
                EntryKind::Symlink { target } => reply.data(target),
                EntryKind::File(_)
                | EntryKind::Directory(_)
                | EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharacterDevice(_)
                | EntryKind::BlockDevice(_) => reply.error(Errno::EINVAL),
            },
            Ok(_no_link) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.place(number).map(|place| View::open_file(&place)) {
            Ok(Some(file)) => {
                let handle = self.next_file.fetch_add(1, Ordering::Relaxed);
                locked(&self.files).insert(handle, Arc::new(file));
                let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
                reply.opened(FileHandle(handle), flags);
            }
            Ok(None) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = locked(&self.files).get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        match self.view.read(&file, offset, to_usize32(size)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(self.told(&error)),
        }
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        locked(&self.files).remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if !self.opens_directories {
            // The kernel asks no more, for any directory: two questions less for each.
            return reply.error(Errno::ENOSYS);
        }
        match self.children(number) {
            Ok(_listed) => reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let children = match self.children(number) {
            Ok(children) => children,
            Err(error) => return reply.error(error),
        };
        let own = [(&b"."[..], number.0), (&b".."[..], locked(&self.nodes).parent(number.0))];
        for (at, (name, own)) in own.into_iter().enumerate().skip(to_usize(offset)) {
            let kind = FileType::Directory;
            if reply.add(INodeNo(own), to_u64(at) + 1, kind, OsStr::from_bytes(name)) {
                return reply.ok();
            }
        }
        let first = to_usize(offset.saturating_sub(OWN_NAMES));
        for (at, child) in children.iter().enumerate().skip(first) {
            let next = to_u64(at) + OWN_NAMES + 1;
            let kind = self.attributes(0, &child.place).kind;
            if reply.add(INodeNo(UNTOLD | next), next, kind, OsStr::from_bytes(&child.name)) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let (place, children) =
            match self.place(number).and_then(|place| Ok((place, self.children(number)?))) {
                Ok(found) => found,
                Err(error) => return reply.error(error),
            };
        let parent = locked(&self.nodes).parent(number.0);
        let own = [(&b"."[..], number.0), (&b".."[..], parent)];
        for (at, (name, own)) in own.into_iter().enumerate().skip(to_usize(offset)) {
            // The kernel takes only the kind of these two, and is not told of them.
            let attributes = FileAttr { ino: INodeNo(own), ..self.attributes(number.0, &place) };
            let (name, next) = (OsStr::from_bytes(name), to_u64(at) + 1);
            if reply.add(INodeNo(own), next, name, &Duration::ZERO, &attributes, Generation(0)) {
                return reply.ok();
            }
        }
        let first = to_usize(offset.saturating_sub(OWN_NAMES));
        for (at, child) in children.iter().enumerate().skip(first) {
            let told = locked(&self.nodes).tell(number.0, &child.name, &child.place);
            let attributes = self.attributes(told, &child.place);
            let (name, next) = (OsStr::from_bytes(&child.name), to_u64(at) + OWN_NAMES + 1);
            let lifetime = lifetime(&child.place);
            if reply.add(INodeNo(told), next, name, &lifetime, &attributes, Generation(0)) {
                locked(&self.nodes).forget(told, 1);
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, BLOCK_BYTES, 255, BLOCK_BYTES);
    }

    fn getxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let Ok(place) = self.place(number) else { return reply.error(Errno::ESTALE) };
        let xattrs = entry_of(&place).into_iter().flat_map(|entry| &entry.entry.metadata.xattrs);
        match xattrs.into_iter().find(|xattr| xattr.name == name.as_bytes()) {
            Some(xattr) => answer(&xattr.value, size, reply),
            None => reply.error(Errno::ENODATA),
        }
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let Ok(place) = self.place(number) else { return reply.error(Errno::ESTALE) };
        let xattrs = entry_of(&place).into_iter().flat_map(|entry| &entry.entry.metadata.xattrs);
        let names = xattrs.flat_map(|xattr| xattr.name.iter().copied().chain([0]));
        answer(&names.collect::<Vec<u8>>(), size, reply);
    }
}

/// The answer to a question about attributes: their length, or the bytes if they fit.
fn answer(bytes: &[u8], size: u32, reply: ReplyXattr) {
    match (size, u32::try_from(bytes.len())) {
        (0, Ok(length)) => reply.size(length),
        (size, Ok(length)) if length <= size => reply.data(bytes),
        _too_long => reply.error(Errno::ERANGE),
    }
}

fn of_entry(number: u64, entry: &OwnedEntry) -> FileAttr {
    let metadata = &entry.entry.metadata;
    let (kind, size, rdev) = match &entry.entry.node {
        EntryKind::File(file) => (FileType::RegularFile, file.size, 0),
        EntryKind::Directory(_) => (FileType::Directory, 0, 0),
        EntryKind::Symlink { target } => (FileType::Symlink, to_u64(target.len()), 0),
        EntryKind::Fifo => (FileType::NamedPipe, 0, 0),
        EntryKind::Socket => (FileType::Socket, 0, 0),
        EntryKind::CharacterDevice(device) => (FileType::CharDevice, 0, packed(*device)),
        EntryKind::BlockDevice(device) => (FileType::BlockDevice, 0, packed(*device)),
    };
    let owner = entry.owner();
    let modified = system_time(metadata.modified);
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: system_time(metadata.changed),
        crtime: metadata.born.map_or(modified, system_time),
        kind,
        perm: metadata.mode,
        nlink: metadata.links,
        uid: owner.user_id,
        gid: owner.group_id,
        rdev,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// The entry of a snapshot that stands there, if one does.
fn entry_of(place: &Place) -> Option<&OwnedEntry> {
    match place {
        Place::Entry(entry, _top) => Some(entry),
        Place::Root
        | Place::Snapshots
        | Place::Sources
        | Place::Source(_)
        | Place::Top(_)
        | Place::Link(_) => None,
    }
}

/// A device's number as the kernel takes it from file systems.
const fn packed(device: DeviceNumber) -> u32 {
    let (major, minor) = (device.major, device.minor);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}

/// How long the kernel may remember: what a snapshot holds never changes, the list of them does.
fn lifetime(place: &Place) -> Duration {
    match place {
        Place::Entry(..) | Place::Top(_) => FOR_EVER,
        Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) | Place::Link(_) => {
            LIST_AGAIN
        }
    }
}

const NO_TIME: Timestamp = Timestamp { seconds: 0, nanoseconds: 0 };
/// `.` and `..`.
const OWN_NAMES: u64 = 2;
/// Set in the numbers of names of which the kernel was not told.
const UNTOLD: u64 = 1 << 63;
const FOR_EVER: Duration = Duration::from_hours(24);
const BLOCK_BYTES: u32 = 4096;
const READAHEAD_BYTES: u32 = 1_048_576;
const THREADS: usize = 4;
