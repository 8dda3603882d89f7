//! What forged snapshots are made of, and the trap that notices what leaves the target.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::Tree;
use crate::scratch::assert_same_trees;
use crate::scratch::put;
use crate::scratch::tree;
use sbf_repo::RepoError;
use sbf_repo::format::content::Content;
use sbf_repo::format::content::Extent;
use sbf_repo::format::index::Segment;
use sbf_repo::format::tree::DirectoryEntry;
use sbf_repo::format::tree::EntryKind;
use sbf_repo::format::tree::FileEntry;
use sbf_repo::format::tree::InodeNumber;
use sbf_repo::format::tree::Leaf;
use sbf_repo::format::tree::Listing;
use sbf_repo::format::tree::Metadata;
use sbf_repo::format::tree::Owner;
use sbf_repo::format::tree::Timestamp;
use sbf_repo::format::tree::Totals;
use sbf_repo::format::tree::TreeEntry;
use sbf_repo::format::tree::TreeNode;
use sbf_repo::id::ChunkId;
use sbf_repo::id::Digest;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::restore::RestoreReport;
use sbf_repo::ops::select::Selector;
use sbf_repo::testing::forge::Forge;
use sbf_repo::testing::forge::ForgedRoot;
use sbf_repo::testing::forge::forge_with_index;
use std::fs;
use std::path::Path;

pub(crate) const ENOUGH: Totals =
    Totals { files: 1 << 50, directories: 1 << 50, others: 1 << 50, bytes: 1 << 62 };

pub(crate) fn named(name: &[u8], node: EntryKind) -> TreeEntry {
    let time = Timestamp { seconds: 1_000_000_000, nanoseconds: 1 };
    let metadata = Metadata {
        mode: 0o755,
        owner: 0,
        modified: time,
        changed: time,
        born: None,
        inode: InodeNumber { device: 1, inode: 1 },
        links: 1,
        flags: 0,
        xattrs: Vec::new(),
    };
    TreeEntry { name: name.to_vec(), node, metadata }
}

pub(crate) fn leaf(entries: Vec<TreeEntry>) -> Vec<u8> {
    let (user_id, group_id) =
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let owner = Owner { user_id, group_id, user_name: Vec::new(), group_name: Vec::new() };
    let owners = if entries.is_empty() { Vec::new() } else { vec![owner] };
    TreeNode::Leaf(Leaf { owners, entries }).encode()
}

/// What a directory of these entries declares.
pub(crate) fn totals(entries: &[TreeEntry]) -> Totals {
    let one = |entry: &TreeEntry| match &entry.node {
        EntryKind::File(file) => Totals { files: 1, bytes: file.size, ..Totals::default() },
        EntryKind::Directory(directory) => {
            directory.totals.plus(Totals { directories: 1, ..Totals::default() })
        }
        EntryKind::Symlink { .. }
        | EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice(_)
        | EntryKind::BlockDevice(_) => Totals { others: 1, ..Totals::default() },
    };
    entries.iter().map(one).fold(Totals::default(), Totals::plus)
}

/// Stores a directory of one node.
pub(crate) fn stored(
    forge: &mut Forge<'_>,
    entries: Vec<TreeEntry>,
) -> Result<EntryKind, RepoError> {
    let totals = totals(&entries);
    let listing = Listing::Node { node: forge.tree_chunk(&leaf(entries))?, height: 0 };
    Ok(EntryKind::Directory(DirectoryEntry { listing, totals }))
}

pub(crate) fn inline(entries: Vec<TreeEntry>) -> EntryKind {
    let totals = totals(&entries);
    EntryKind::Directory(DirectoryEntry { listing: Listing::Inline(leaf(entries)), totals })
}

pub(crate) fn link(target: &Path) -> EntryKind {
    EntryKind::Symlink { target: target.as_os_str().as_encoded_bytes().to_vec() }
}

pub(crate) fn empty_file() -> EntryKind {
    file(0, Content::Inline(Vec::new()))
}

pub(crate) fn file(size: u64, content: Content) -> EntryKind {
    let many = match &content {
        Content::Inline(extents) => extents.len() > 1,
        Content::List { .. } => true,
    };
    let digest = many.then(|| Digest::new([0; 32]));
    EntryKind::File(FileEntry { size, content, digest, sparse: false })
}

pub(crate) fn whole(id: ChunkId, length: u32) -> EntryKind {
    file(u64::from(length), Content::Inline(vec![Extent::Chunk { id, length }]))
}

pub(crate) fn root_of(
    forge: &mut Forge<'_>,
    entries: Vec<TreeEntry>,
) -> Result<ForgedRoot, RepoError> {
    let totals = totals(&entries);
    Ok(ForgedRoot { node: forge.tree_chunk(&leaf(entries))?, height: 0, totals })
}

/// A repository whose newest snapshot is forged, and something outside the target that must stay.
pub(crate) struct Trap {
    pub(crate) scratch: Scratch,
    /// The forged snapshot.
    pub(crate) snapshot: String,
    pub(crate) outside: Tree,
}

impl Trap {
    pub(crate) fn of(
        entries: impl Fn(&mut Forge<'_>) -> Result<Vec<TreeEntry>, RepoError>,
    ) -> Self {
        Self::new(|forge| {
            let entries = entries(forge)?;
            root_of(forge, entries)
        })
    }

    pub(crate) fn new(build: impl Fn(&mut Forge<'_>) -> Result<ForgedRoot, RepoError>) -> Self {
        Self::with_index(build, &mut |_segment| {})
    }

    pub(crate) fn with_index(
        build: impl Fn(&mut Forge<'_>) -> Result<ForgedRoot, RepoError>,
        distort: &mut dyn FnMut(&mut Segment),
    ) -> Self {
        let scratch = Scratch::new();
        let outside = scratch.path("outside");
        fs::create_dir(&outside).unwrap();
        put(outside.join("victim"), "untouched");
        put(scratch.source().join("honest"), "honest");
        scratch.snapshot();
        let repository = scratch.open();
        let template = Selector::parse(b"latest").unwrap().select(&repository).unwrap().manifest;
        let build = &mut |forge: &mut Forge<'_>| build(forge);
        let snapshot = forge_with_index(&repository, &template, build, distort).unwrap();
        Self { outside: tree(&outside), snapshot: snapshot.to_string(), scratch }
    }

    pub(crate) fn options(&self, keep_going: KeepGoing) -> RestoreOptions {
        let mut options = RestoreOptions::new(self.scratch.path("target"));
        options.keep_going = keep_going;
        options
    }

    pub(crate) fn restore(&self, keep_going: KeepGoing) -> Result<RestoreReport, OpError> {
        let result = self.scratch.try_restore(&self.snapshot, &self.options(keep_going));
        assert_same_trees(&self.outside, &tree(&self.scratch.path("outside")));
        result
    }

    /// What the target holds, sorted.
    pub(crate) fn restored(&self) -> Vec<String> {
        let found = tree(&self.scratch.path("target"));
        found.keys().skip(1).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    /// A restore ends with an error whose words hold `words`; going on restores only `rest`.
    #[track_caller]
    pub(crate) fn is_refused(&self, words: &str, rest: &[&str]) {
        let error = self.restore(KeepGoing::Stop).unwrap_err();
        let text = chain(&error);
        assert!(text.contains(words), "{text}");
        let report = self.restore(KeepGoing::Continue);
        match report {
            Ok(report) => assert!(report.failed_count > 0, "{report:?}"),
            Err(error) => assert!(matches!(error, OpError::Refused { .. }), "{error:?}"),
        }
        assert_eq!(self.restored(), rest);
        assert!(self.scratch.check().is_damaged(), "a check says so, too");
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
