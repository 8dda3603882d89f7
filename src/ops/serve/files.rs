//! A view by paths, as a server of `WebDAV` asks for it.
//!
//! Links of ours lead on; links of a snapshot are files that hold their target, since a client that followed them might
//! never come to an end. Devices, pipes and sockets are not shown.

use crate::format::tree::EntryKind;
use crate::format::tree::Timestamp;
use crate::ops::view::View;
use crate::ops::view::file::OpenFile;
use crate::ops::view::place::Place;
use crate::ops::view::place::system_time;
use crate::repo::error::RepoError;
use crate::units::to_u64;
use crate::units::to_usize;
use bytes::Buf;
use bytes::Bytes;
use dav_server::davpath::DavPath;
use dav_server::fs::DavDirEntry;
use dav_server::fs::DavFile;
use dav_server::fs::DavFileSystem;
use dav_server::fs::DavMetaData;
use dav_server::fs::FsError;
use dav_server::fs::FsFuture;
use dav_server::fs::FsResult;
use dav_server::fs::FsStream;
use dav_server::fs::OpenOptions;
use dav_server::fs::ReadDirMeta;
use futures_util::stream;
use std::fmt;
use std::future::ready;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::task::spawn_blocking;

/// Files by paths.
#[derive(Clone)]
pub(crate) struct Files {
    view: Arc<View>,
}

/// A name in a directory, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: Vec<u8>,
    pub(crate) shown: Shown,
}

/// What is known of a file or directory.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) length: u64,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) is_directory: bool,
    /// What a path shows changes only with the snapshot.
    version: String,
}

impl Files {
    pub(crate) fn new(view: View) -> Self {
        Self { view: Arc::new(view) }
    }

    /// Runs what reads, which takes its time, where it holds up nobody.
    async fn off_the_path<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> FsResult<T> + Send + 'static,
    ) -> FsResult<T> {
        let files = self.clone();
        spawn_blocking(move || work(&files)).await.unwrap_or(Err(FsError::GeneralFailure))
    }

    /// What stands at a path.
    fn find(&self, path: &[u8]) -> FsResult<Place> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let mut place = self.view.root.clone();
        for name in names {
            let found = self.view.child(&place, name).map_err(|error| self.told(&error))?;
            place = self.lead_on(&place, found.ok_or(FsError::NotFound)?)?;
        }
        Ok(place)
    }

    /// Where a link of ours leads.
    fn lead_on(&self, directory: &Place, place: Place) -> FsResult<Place> {
        let Place::Link(target) = place else { return Ok(place) };
        let mut at = directory.clone();
        for name in target.split('/') {
            let found = self.view.child(&at, name.as_bytes()).map_err(|error| self.told(&error))?;
            at = found.ok_or(FsError::NotFound)?;
        }
        Ok(at)
    }

    fn told(&self, error: &RepoError) -> FsError {
        self.view.tell(error);
        FsError::GeneralFailure
    }

    fn shown_at(&self, path: &[u8]) -> FsResult<Shown> {
        shown(&self.find(path)?).ok_or(FsError::NotFound)
    }

    fn names_at(&self, path: &[u8]) -> FsResult<Vec<Named>> {
        let place = self.find(path)?;
        let children = self.view.children(&place).map_err(|error| self.told(&error))?;
        let mut named = Vec::new();
        for child in children.ok_or(FsError::Forbidden)?.iter() {
            let found = self.lead_on(&place, child.place.clone())?;
            if let Some(shown) = shown(&found) {
                named.push(Named { name: child.name.clone(), shown });
            }
        }
        Ok(named)
    }

    /// The names at a path, or `None` if no directory is there.
    pub(crate) async fn directory(&self, path: &DavPath) -> FsResult<Option<Vec<Named>>> {
        let path = path.as_bytes().to_vec();
        let list = move |files: &Self| {
            let shown = files.shown_at(&path)?;
            shown.is_directory.then(|| files.names_at(&path)).transpose()
        };
        self.off_the_path(list).await
    }
}

impl DavFileSystem for Files {
    fn open<'a>(
        &'a self,
        path: &'a DavPath,
        options: OpenOptions,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        if options.write || options.append || options.create || options.create_new {
            return Box::pin(ready(Err(FsError::Forbidden)));
        }
        let path = path.as_bytes().to_vec();
        Box::pin(self.off_the_path(move |files| {
            let place = files.find(&path)?;
            let shown = shown(&place).ok_or(FsError::NotFound)?;
            let content = content_of(&place).ok_or(FsError::Forbidden)?;
            let file = Served { files: files.clone(), content, shown, offset: 0 };
            let file: Box<dyn DavFile> = Box::new(file);
            Ok(file)
        }))
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        _meta: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        let path = path.as_bytes().to_vec();
        Box::pin(self.off_the_path(move |files| {
            let named = files.names_at(&path)?;
            let entries = named.into_iter().map(|named| {
                let entry: Box<dyn DavDirEntry> = Box::new(named);
                Ok(entry)
            });
            let entries: FsStream<Box<dyn DavDirEntry>> = Box::pin(stream::iter(entries));
            Ok(entries)
        }))
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        let path = path.as_bytes().to_vec();
        Box::pin(self.off_the_path(move |files| files.shown_at(&path).map(Shown::boxed)))
    }
}

impl DavDirEntry for Named {
    fn name(&self) -> Vec<u8> {
        self.name.clone()
    }

    fn metadata(&'_ self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(ready(Ok(self.shown.clone().boxed())))
    }
}

impl Shown {
    fn boxed(self) -> Box<dyn DavMetaData> {
        Box::new(self)
    }
}

impl DavMetaData for Shown {
    fn len(&self) -> u64 {
        self.length
    }

    fn modified(&self) -> FsResult<SystemTime> {
        self.modified.ok_or(FsError::NotImplemented)
    }

    fn is_dir(&self) -> bool {
        self.is_directory
    }

    fn etag(&self) -> Option<String> {
        (!self.version.is_empty()).then(|| format!("{}-{:x}", self.version, self.length))
    }
}

/// What is known of a place; `None` if it is not shown.
fn shown(place: &Place) -> Option<Shown> {
    let (top, is_directory, length, modified) = match place {
        Place::Entry(entry, top) => {
            let (is_directory, length) = match &entry.entry.node {
                EntryKind::File(file) => (false, file.size),
                EntryKind::Directory(_) => (true, 0),
                EntryKind::Symlink { target } => (false, to_u64(target.len())),
                EntryKind::Fifo
                | EntryKind::Socket
                | EntryKind::CharacterDevice(_)
                | EntryKind::BlockDevice(_) => return None,
            };
            (Some(top), is_directory, length, Some(entry.entry.metadata.modified))
        }
        Place::Top(top) => {
            (Some(top), true, 0, Some(Timestamp { seconds: top.time, nanoseconds: 0 }))
        }
        Place::Root | Place::Snapshots | Place::Sources | Place::Source(_) => (None, true, 0, None),
        Place::Link(_) => return None,
    };
    let version = top.map(|top| top.snapshot.to_string()).unwrap_or_default();
    Some(Shown { length, modified: modified.map(system_time), is_directory, version })
}

/// What a file holds.
enum Content {
    Stored(OpenFile),
    /// The target of a link.
    Known(Vec<u8>),
}

fn content_of(place: &Place) -> Option<Arc<Content>> {
    if let Place::Entry(entry, _top) = place
        && let EntryKind::Symlink { target } = &entry.entry.node
    {
        return Some(Arc::new(Content::Known(target.clone())));
    }
    View::open_file(place).map(|file| Arc::new(Content::Stored(file)))
}

/// A file that is being sent.
struct Served {
    files: Files,
    content: Arc<Content>,
    shown: Shown,
    offset: u64,
}

impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Served").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl DavFile for Served {
    fn metadata(&'_ mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(ready(Ok(self.shown.clone().boxed())))
    }

    fn write_buf(&'_ mut self, _buffer: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        Box::pin(ready(Err(FsError::Forbidden)))
    }

    fn write_bytes(&'_ mut self, _bytes: Bytes) -> FsFuture<'_, ()> {
        Box::pin(ready(Err(FsError::Forbidden)))
    }

    fn read_bytes(&'_ mut self, count: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async move {
            let (content, offset) = (Arc::clone(&self.content), self.offset);
            let read = move |files: &Files| match &*content {
                Content::Known(bytes) => {
                    let rest = bytes.get(to_usize(offset)..).unwrap_or_default();
                    Ok(rest.get(..count).unwrap_or(rest).to_vec())
                }
                Content::Stored(file) => {
                    files.view.read(file, offset, count).map_err(|error| files.told(&error))
                }
            };
            let bytes = self.files.off_the_path(read).await?;
            // The server would send zeros in the place of what is missing.
            if bytes.is_empty() && count > 0 {
                return Err(FsError::GeneralFailure);
            }
            self.offset += to_u64(bytes.len());
            Ok(Bytes::from(bytes))
        })
    }

    fn seek(&'_ mut self, position: SeekFrom) -> FsFuture<'_, u64> {
        let offset = match position {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(back) => self.shown.length.checked_add_signed(back),
            SeekFrom::Current(on) => self.offset.checked_add_signed(on),
        };
        let sought = offset.filter(|offset| *offset <= self.shown.length);
        self.offset = sought.unwrap_or(self.offset);
        Box::pin(ready(sought.ok_or(FsError::GeneralFailure)))
    }

    fn flush(&'_ mut self) -> FsFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}
