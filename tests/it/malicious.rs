//! Snapshots that were forged with the right keys: a restore refuses them or stays inside its target.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::scratch::Scratch;
use crate::scratch::Tree;
use crate::scratch::assert_same_trees;
use crate::scratch::is_root;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use crate::scratch::tree;
use sbf_repo::RepoError;
use sbf_repo::format::content::Content;
use sbf_repo::format::content::Extent;
use sbf_repo::format::content::ListNode;
use sbf_repo::format::content::ListReference;
use sbf_repo::format::index::Segment;
use sbf_repo::format::tree::DeviceNumber;
use sbf_repo::format::tree::DirectoryEntry;
use sbf_repo::format::tree::EntryKind;
use sbf_repo::format::tree::FileEntry;
use sbf_repo::format::tree::InodeNumber;
use sbf_repo::format::tree::Leaf;
use sbf_repo::format::tree::Listing;
use sbf_repo::format::tree::Metadata;
use sbf_repo::format::tree::NodeReference;
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
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

const ENOUGH: Totals =
    Totals { files: 1 << 50, directories: 1 << 50, others: 1 << 50, bytes: 1 << 62 };

fn named(name: &[u8], node: EntryKind) -> TreeEntry {
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

fn leaf(entries: Vec<TreeEntry>) -> Vec<u8> {
    let (user_id, group_id) =
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let owner = Owner { user_id, group_id, user_name: Vec::new(), group_name: Vec::new() };
    let owners = if entries.is_empty() { Vec::new() } else { vec![owner] };
    TreeNode::Leaf(Leaf { owners, entries }).encode()
}

/// What a directory of these entries declares.
fn totals(entries: &[TreeEntry]) -> Totals {
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
fn stored(forge: &mut Forge<'_>, entries: Vec<TreeEntry>) -> Result<EntryKind, RepoError> {
    let totals = totals(&entries);
    let listing = Listing::Node { node: forge.tree_chunk(&leaf(entries))?, height: 0 };
    Ok(EntryKind::Directory(DirectoryEntry { listing, totals }))
}

fn inline(entries: Vec<TreeEntry>) -> EntryKind {
    let totals = totals(&entries);
    EntryKind::Directory(DirectoryEntry { listing: Listing::Inline(leaf(entries)), totals })
}

fn link(target: &Path) -> EntryKind {
    EntryKind::Symlink { target: target.as_os_str().as_encoded_bytes().to_vec() }
}

fn empty_file() -> EntryKind {
    file(0, Content::Inline(Vec::new()))
}

fn file(size: u64, content: Content) -> EntryKind {
    let many = match &content {
        Content::Inline(extents) => extents.len() > 1,
        Content::List { .. } => true,
    };
    let digest = many.then(|| Digest::new([0; 32]));
    EntryKind::File(FileEntry { size, content, digest, sparse: false })
}

fn whole(id: ChunkId, length: u32) -> EntryKind {
    file(u64::from(length), Content::Inline(vec![Extent::Chunk { id, length }]))
}

fn root_of(forge: &mut Forge<'_>, entries: Vec<TreeEntry>) -> Result<ForgedRoot, RepoError> {
    let totals = totals(&entries);
    Ok(ForgedRoot { node: forge.tree_chunk(&leaf(entries))?, height: 0, totals })
}

/// A repository whose newest snapshot is forged, and something outside the target that must stay.
struct Trap {
    scratch: Scratch,
    /// The forged snapshot.
    snapshot: String,
    outside: Tree,
}

impl Trap {
    fn of(entries: impl Fn(&mut Forge<'_>) -> Result<Vec<TreeEntry>, RepoError>) -> Self {
        Self::new(|forge| {
            let entries = entries(forge)?;
            root_of(forge, entries)
        })
    }

    fn new(build: impl Fn(&mut Forge<'_>) -> Result<ForgedRoot, RepoError>) -> Self {
        Self::with_index(build, &mut |_segment| {})
    }

    fn with_index(
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

    fn options(&self, keep_going: KeepGoing) -> RestoreOptions {
        let mut options = RestoreOptions::new(self.scratch.path("target"));
        options.keep_going = keep_going;
        options
    }

    fn restore(&self, keep_going: KeepGoing) -> Result<RestoreReport, OpError> {
        let result = self.scratch.try_restore(&self.snapshot, &self.options(keep_going));
        assert_same_trees(&self.outside, &tree(&self.scratch.path("outside")));
        result
    }

    /// What the target holds, sorted.
    fn restored(&self) -> Vec<String> {
        let found = tree(&self.scratch.path("target"));
        found.keys().skip(1).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    /// A restore ends with an error whose words hold `words`; going on restores only `rest`.
    #[track_caller]
    fn is_refused(&self, words: &str, rest: &[&str]) {
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

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = [b'x'; 256];
    let names: [&[u8]; 9] = [
        b"../outside/victim",
        b"..",
        b".",
        b"",
        b"/",
        b"a/b",
        b"nul\0",
        b"/etc/sbf-repo-was-here",
        &long,
    ];
    for name in names {
        for kind in [empty_file(), inline(vec![named(b"victim", empty_file())])] {
            let trap = Trap::of(|_forge| Ok(vec![named(name, kind.clone())]));
            trap.is_refused("cannot decode", &[]);
        }
    }
    assert!(!Path::new("/etc/sbf-repo-was-here").exists());
}

#[test]
fn entries_out_of_order_and_twice_are_refused() {
    for names in [[b"b", b"a"], [b"a", b"a"]] {
        let trap = Trap::of(|_forge| {
            Ok(names.into_iter().map(|name| named(name, empty_file())).collect())
        });
        trap.is_refused("cannot decode", &[]);
    }
}

#[test]
fn a_link_and_a_directory_of_one_name_are_refused() {
    // In two leaves, each of which is well by itself.
    let trap = Trap::new(|forge| {
        let outside = std::env::temp_dir();
        let first = forge.tree_chunk(&leaf(vec![named(b"x", link(&outside))]))?;
        let inside = inline(vec![named(b"victim", empty_file())]);
        let second = forge.tree_chunk(&leaf(vec![named(b"x", inside)]))?;
        let children = [(b"x", first), (b"y", second)];
        let children =
            children.map(|(name, node)| NodeReference { last_name: name.to_vec(), node }).to_vec();
        let node = forge.tree_chunk(&TreeNode::Internal(children).encode())?;
        Ok(ForgedRoot { node, height: 1, totals: ENOUGH })
    });
    trap.is_refused("cannot decode", &["/x"]);
    let made = fs::symlink_metadata(trap.scratch.path("target/x")).unwrap();
    assert!(made.is_symlink());
}

#[test]
fn a_node_that_repeats_in_a_directory_ends_it() {
    // Eight levels of thirty children would be 6·10¹¹ entries.
    let trap = Trap::new(|forge| {
        let names: Vec<Vec<u8>> = (10..40).map(|number| format!("{number}").into_bytes()).collect();
        let mut node = forge.tree_chunk(&leaf(vec![named(&names[0], empty_file())]))?;
        for _level in 0..8 {
            let children = names.iter().map(|name| NodeReference { last_name: name.clone(), node });
            let children = TreeNode::Internal(children.collect());
            node = forge.tree_chunk(&children.encode())?;
        }
        Ok(ForgedRoot { node, height: 8, totals: ENOUGH })
    });
    let error = trap.restore(KeepGoing::Stop).unwrap_err();
    assert!(chain(&error).contains("cannot decode tree chunk"), "{}", chain(&error));
    let report = trap.restore(KeepGoing::Continue).unwrap();
    assert!((1..10).contains(&report.failed_count), "{report:?}");
    assert!(trap.scratch.check().findings_count < 10);
}

#[test]
fn missing_nodes_that_repeat_end_a_directory() {
    let missing = ChunkId::new([7; 32]);
    let trap = Trap::new(|forge| {
        let mut node = missing;
        for _level in 0..8 {
            let name = |number: u32| format!("{number:05}").into_bytes();
            let children = (0..2000).map(|number| NodeReference { last_name: name(number), node });
            node = forge.tree_chunk(&TreeNode::Internal(children.collect()).encode())?;
        }
        Ok(ForgedRoot { node, height: 8, totals: ENOUGH })
    });
    let report = trap.restore(KeepGoing::Continue).unwrap();
    assert!(report.failed_count < 5000, "{}", report.failed_count);
    assert!(trap.scratch.check().findings_count < 5000);
}

#[test]
fn directories_that_repeat_are_counted_against_the_totals() {
    // Sixty directories that hold the same one twice: 2⁶⁰ entries in sixty chunks.
    let trap = Trap::new(|forge| {
        let mut inside = stored(forge, vec![named(b"end", empty_file())])?;
        for _level in 0..60 {
            inside = stored(forge, vec![named(b"a", inside.clone()), named(b"b", inside)])?;
        }
        let totals = Totals { files: 10, directories: 300, others: 0, bytes: 0 };
        Ok(ForgedRoot { totals, ..root_of(forge, vec![named(b"top", inside)])? })
    });
    for keep_going in [KeepGoing::Stop, KeepGoing::Continue] {
        let error = trap.restore(keep_going).unwrap_err();
        assert!(
            matches!(&error, OpError::Refused { why } if why.contains("declares")),
            "{error:?}"
        );
    }
    assert!(trap.restored().len() < 320);
    let report = trap.scratch.check();
    assert_eq!(report.findings_count, 1, "each directory is walked once: {:?}", report.findings);
}

#[test]
fn a_damaged_directory_that_repeats_does_not_keep_a_check_busy() {
    let trap = Trap::new(|forge| {
        let lost = Extent::Chunk { id: ChunkId::new([9; 32]), length: 5 };
        let lost = named(b"lost", file(5, Content::Inline(vec![lost])));
        let mut inside = stored(forge, vec![lost])?;
        for _level in 0..60 {
            inside = stored(forge, vec![named(b"a", inside.clone()), named(b"b", inside)])?;
        }
        root_of(forge, vec![named(b"top", inside)])
    });
    let report = trap.scratch.check();
    assert!(report.is_damaged() && report.findings_count < 2000, "{}", report.findings_count);
}

#[test]
fn trees_deeper_than_any_real_one_end() {
    let trap = Trap::new(|forge| {
        let mut inside = stored(forge, vec![named(b"end", empty_file())])?;
        for _level in 0..100_000 {
            inside = stored(forge, vec![named(b"d", inside)])?;
        }
        root_of(forge, vec![named(b"d", inside)])
    });
    let report = trap.restore(KeepGoing::Continue).unwrap();
    assert_eq!(report.failed_count, 1, "{report:?}");
    assert_eq!(report.failed[0].code, "tree.too_deep");
    assert_eq!(trap.scratch.check().findings_count, 1);
    // `TempDir` cannot remove what is deeper than a path.
    let removed = Command::new("rm").arg("-rf").arg(trap.scratch.path("target")).status();
    assert!(removed.unwrap().success());
}

#[test]
fn inline_listings_within_each_other_end() {
    let trap = Trap::of(|_forge| {
        let mut inner = named(b"x", empty_file());
        while let EntryKind::Directory(DirectoryEntry { listing: Listing::Inline(bytes), .. }) =
            inline(vec![inner.clone()])
        {
            if bytes.len() > 4000 {
                break;
            }
            inner = named(b"x", inline(vec![inner]));
        }
        Ok(vec![inner])
    });
    let report = trap.restore(KeepGoing::Stop).unwrap();
    assert!(report.totals.directories > 20, "{report:?}");
    trap.scratch.check_is_clean();
}

#[test]
fn heights_that_lie_are_refused() {
    for height in [0, 2, 8] {
        let trap = Trap::new(|forge| {
            let node = forge.tree_chunk(&leaf(vec![named(b"x", empty_file())]))?;
            let children = vec![NodeReference { last_name: b"x".to_vec(), node }];
            let node = forge.tree_chunk(&TreeNode::Internal(children).encode())?;
            Ok(ForgedRoot { node, height, totals: ENOUGH })
        });
        trap.is_refused("cannot decode", &[]);
    }
    // A chunk of data is no node, whatever its bytes.
    let trap = Trap::new(|forge| {
        let node = forge.data_chunk(&leaf(vec![named(b"x", empty_file())]))?;
        Ok(ForgedRoot { node, height: 0, totals: ENOUGH })
    });
    let error = trap.restore(KeepGoing::Stop).unwrap_err();
    assert!(trap.restored().is_empty(), "{error:?}");
}

#[test]
fn contents_whose_extents_do_not_add_up_are_refused() {
    type Make = fn(&mut Forge<'_>) -> Result<EntryKind, RepoError>;
    let cases: [(&str, Make); 6] = [
        ("the extents are shorter than the file", |forge| {
            let id = forge.data_chunk(b"0123456789")?;
            Ok(file(11, Content::Inline(vec![Extent::Chunk { id, length: 10 }])))
        }),
        ("the chunk is longer than its extent", |forge| {
            let id = forge.data_chunk(b"0123456789")?;
            let extents = vec![Extent::Chunk { id, length: 5 }, Extent::Chunk { id, length: 5 }];
            Ok(file(10, Content::Inline(extents)))
        }),
        ("the chunk is shorter than its extent", |forge| {
            Ok(whole(forge.data_chunk(b"0123456789")?, 100))
        }),
        ("a list that is shorter than the file", |forge| {
            let id = forge.data_chunk(b"0123456789")?;
            let extents = vec![Extent::Chunk { id, length: 10 }; 20];
            let node = forge.tree_chunk(&ListNode::Leaf(extents).encode())?;
            Ok(file(201, Content::List { node, height: 0, extents: 20 }))
        }),
        ("a list that is longer than the file", |forge| {
            let id = forge.data_chunk(b"0123456789")?;
            let extents = vec![Extent::Chunk { id, length: 10 }; 20];
            let node = forge.tree_chunk(&ListNode::Leaf(extents).encode())?;
            Ok(file(199, Content::List { node, height: 0, extents: 20 }))
        }),
        ("lengths that pass 64 bits", |forge| {
            let holes = vec![Extent::Hole { length: u64::MAX / 2 + 2 }];
            let node = forge.tree_chunk(&ListNode::Leaf(holes).encode())?;
            let twice = vec![ListReference { node, bytes: u64::MAX / 2 + 2 }; 2];
            let node = forge.tree_chunk(&ListNode::Internal(twice).encode())?;
            Ok(file(2, Content::List { node, height: 1, extents: 20 }))
        }),
    ];
    for (claim, make) in cases {
        let trap = Trap::of(|forge| Ok(vec![named(b"file", make(forge)?)]));
        assert!(trap.restore(KeepGoing::Stop).is_err(), "{claim}");
        let report = trap.restore(KeepGoing::Continue).unwrap();
        assert!(report.failed_count > 0, "{claim}");
        assert!(trap.restored().is_empty(), "{claim}");
        assert!(trap.scratch.check().is_damaged(), "{claim}");
        let output = trap.scratch.command(&["dump", &trap.snapshot]).output().unwrap();
        assert!(!output.status.success(), "{claim}");
    }
}

#[test]
fn lists_that_repeat_do_not_keep_a_check_busy() {
    // 1000⁵ extents of one byte each in five chunks.
    let trap = Trap::of(|forge| {
        let id = forge.data_chunk(b"x")?;
        let extents = vec![Extent::Chunk { id, length: 1 }; 1000];
        let mut node = forge.tree_chunk(&ListNode::Leaf(extents).encode())?;
        let mut bytes = 1000;
        for _level in 0..4 {
            let children = vec![ListReference { node, bytes }; 1000];
            node = forge.tree_chunk(&ListNode::Internal(children).encode())?;
            bytes *= 1000;
        }
        let content = Content::List { node, height: 4, extents: bytes };
        // What follows is not looked at if the file in front is longer than it says.
        Ok(vec![named(b"bomb", file(bytes, content.clone())), named(b"short", file(5, content))])
    });
    let report = trap.scratch.check();
    assert_eq!(report.findings_count, 1, "{:?}", report.findings);
}

#[test]
fn holes_in_a_list_are_holes_whatever_the_entry_says() {
    let trap = Trap::of(|forge| {
        let id = forge.data_chunk(b"0123456789")?;
        let mut extents = vec![Extent::Chunk { id, length: 10 }; 20];
        extents.push(Extent::Hole { length: 1 << 30 });
        let node = forge.tree_chunk(&ListNode::Leaf(extents).encode())?;
        Ok(vec![named(
            b"file",
            file(200 + (1 << 30), Content::List { node, height: 0, extents: 21 }),
        )])
    });
    trap.restore(KeepGoing::Stop).unwrap();
    let made = fs::metadata(trap.scratch.path("target/file")).unwrap();
    assert_eq!(made.len(), 200 + (1 << 30));
    assert!(made.blocks() < 100);
}

#[test]
fn an_untrusted_restore_gives_no_rights() {
    let kinds = [0o4755, 0o2755, 0o6777].map(|mode| {
        let mut entry = named(format!("set-id-{mode:o}").as_bytes(), empty_file());
        entry.metadata.mode = mode;
        entry
    });
    let trap = Trap::of(|_forge| {
        let device = DeviceNumber { major: 1, minor: 3 };
        let mut entries = vec![
            named(b"block", EntryKind::BlockDevice(device)),
            named(b"character", EntryKind::CharacterDevice(device)),
        ];
        entries.extend(kinds.clone());
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    });
    let report = trap.restore(KeepGoing::Stop).unwrap();
    assert!(report.not_applied_count >= 5, "{report:?}");
    assert_eq!(trap.restored(), ["/set-id-2755", "/set-id-4755", "/set-id-6777"]);
    for (_path, entry) in tree(&trap.scratch.path("target")) {
        assert_eq!(entry.mode & 0o6000, 0, "{entry:?}");
    }
}

#[test]
fn an_untrusted_restore_gives_no_foreign_owner_even_as_root() {
    if !is_root() {
        return skip("only root can give files away");
    }
    let trap = Trap::new(|forge| {
        let owner = Owner {
            user_id: 4242,
            group_id: 4242,
            user_name: b"daemon".to_vec(),
            group_name: Vec::new(),
        };
        let entries = vec![named(b"file", empty_file()), named(b"folder", inline(Vec::new()))];
        let bytes = TreeNode::Leaf(Leaf { owners: vec![owner], entries }).encode();
        Ok(ForgedRoot { node: forge.tree_chunk(&bytes)?, height: 0, totals: ENOUGH })
    });
    trap.restore(KeepGoing::Stop).unwrap();
    assert!(tree(&trap.scratch.path("target")).values().all(|entry| entry.owner == (0, 0)));
}

#[test]
fn a_hard_link_leads_nowhere_but_to_what_was_restored() {
    // The first name of the inode is lost; an older file of that name must not be linked.
    let trap = Trap::of(|_forge| {
        let lost = Extent::Chunk { id: ChunkId::new([9; 32]), length: 5 };
        let mut first = named(b"a", file(5, Content::Inline(vec![lost])));
        let mut second = named(b"b", file(5, Content::Inline(vec![lost])));
        first.metadata.links = 2;
        second.metadata.links = 2;
        Ok(vec![first, second])
    });
    let target = trap.scratch.path("target");
    fs::create_dir(&target).unwrap();
    symlink(trap.scratch.path("outside/victim"), target.join("a")).unwrap();
    let report = trap.restore(KeepGoing::Continue).unwrap();
    assert_eq!(report.failed_count, 2, "{report:?}");
    assert_eq!(trap.restored(), ["/a"]);
    fs::remove_file(target.join("a")).unwrap();
    put(target.join("a"), "older");
    trap.restore(KeepGoing::Continue).unwrap();
    assert_eq!(trap.restored(), ["/a"]);
}

#[test]
fn frames_that_hold_more_than_they_say_are_refused() {
    for raw_length in [60_u32, 4096, 2 << 20, 16 << 20] {
        let trap = Trap::with_index(
            |forge| {
                let id = forge.data_chunk(&vec![b'z'; 1 << 20])?;
                root_of(forge, vec![named(b"bomb", whole(id, 1 << 20))])
            },
            &mut |segment| {
                for block in segment.packs.iter_mut().flat_map(|pack| &mut pack.blocks) {
                    if block.raw_length == 1 << 20 {
                        block.stored_length = block.stored_length.min(raw_length + 15);
                        block.raw_length = raw_length;
                        block.chunks[0].length = raw_length;
                    }
                }
            },
        );
        let target = trap.scratch.path("target");
        let arguments =
            ["restore", &trap.snapshot, "--keep-going", "--target", target.to_str().unwrap()];
        let output = limited(&trap.scratch, &arguments);
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(trap.restored().is_empty());
    }
}

/// Runs the program with an address space of one GiB.
fn limited(scratch: &Scratch, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1048576 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sbf-repo")]);
    command.args(arguments);
    for (name, value) in scratch.command(&[]).get_envs() {
        command.env(name, value.unwrap());
    }
    command.output().unwrap()
}

#[test]
fn an_honest_bomb_takes_the_memory_of_its_blocks() {
    // 256 MiB of zeros in a few kilobytes.
    let trap = Trap::of(|forge| {
        let id = forge.data_chunk(&vec![0; 16 << 20])?;
        let extents = vec![Extent::Chunk { id, length: 16 << 20 }; 16];
        let node = forge.tree_chunk(&ListNode::Leaf(extents).encode())?;
        Ok(vec![named(b"bomb", file(256 << 20, Content::List { node, height: 0, extents: 16 }))])
    });
    let target = trap.scratch.path("target");
    let arguments = ["restore", &trap.snapshot, "--target", target.to_str().unwrap()];
    let output = limited(&trap.scratch, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(target.join("bomb")).unwrap().len(), 256 << 20);
}

#[test]
fn an_index_that_lies_is_refused() {
    type Lie = fn(&mut Segment);
    let lies: [(&str, Lie); 7] = [
        ("blocks beyond the pack", |segment| {
            for pack in &mut segment.packs {
                pack.length = u64::MAX;
                pack.blocks.iter_mut().for_each(|block| block.stored_length = u32::MAX);
            }
        }),
        ("a header beyond the pack", |segment| {
            segment.packs.iter_mut().for_each(|pack| pack.header_length = u32::MAX);
        }),
        ("blocks that overlap", |segment| {
            for pack in &mut segment.packs {
                let first = pack.blocks.first().cloned();
                pack.blocks.splice(0..0, first);
            }
        }),
        ("blocks in another order", |segment| {
            segment.packs.iter_mut().for_each(|pack| pack.blocks.reverse());
            segment.packs.iter_mut().for_each(|pack| {
                pack.blocks.iter_mut().for_each(|block| block.chunks.reverse());
            });
        }),
        ("chunks of huge length", |segment| {
            for block in segment.packs.iter_mut().flat_map(|pack| &mut pack.blocks) {
                block.raw_length = u32::MAX;
                block.chunks.iter_mut().for_each(|chunk| chunk.length = u32::MAX);
            }
        }),
        ("chunks under each other's names", |segment| {
            for block in segment.packs.iter_mut().flat_map(|pack| &mut pack.blocks) {
                let count = block.chunks.len();
                if count > 1 {
                    let first = block.chunks[0].id;
                    block.chunks[0].id = block.chunks[count - 1].id;
                    block.chunks[count - 1].id = first;
                }
            }
        }),
        ("packs of another key", |segment| {
            segment.packs.iter_mut().for_each(|pack| pack.header.key.commitment = [1; 32]);
        }),
    ];
    for (claim, lie) in lies {
        let trap = Trap::with_index(
            |forge| {
                let mut entries = Vec::new();
                for number in 0..30_u8 {
                    let id = forge.data_chunk(&noise(u64::from(number), 100_000))?;
                    entries.push(named(&[b'a' + number], whole(id, 100_000)));
                }
                root_of(forge, entries)
            },
            &mut |segment| lie(segment),
        );
        let target = trap.scratch.path("target");
        let arguments =
            ["restore", &trap.snapshot, "--keep-going", "--target", target.to_str().unwrap()];
        let output = limited(&trap.scratch, &arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{claim}: {words}");
        assert!(!words.contains("panicked"), "{claim}: {words}");
        // What came back is what was stored.
        for (path, entry) in tree(&target) {
            if let Some(letter) = path.get(1) {
                let content = blake3::hash(&noise(u64::from(letter - b'a'), 100_000));
                assert_eq!(entry.content, content.as_bytes(), "{claim}");
            }
        }
        assert!(trap.scratch.check().is_damaged(), "{claim}");
    }
}

#[test]
fn a_restore_stays_inside_while_directories_become_links() {
    let scratch = Scratch::new();
    let outside = scratch.path("outside");
    fs::create_dir(&outside).unwrap();
    put(outside.join("sentinel"), "untouched");
    for folder in ["a", "b/c", "b/d"] {
        fs::create_dir_all(scratch.source().join(folder)).unwrap();
        for number in 0..6_u64 {
            put(scratch.source().join(folder).join(format!("{number}")), noise(number, 2000));
        }
        symlink("target", scratch.source().join(folder).join("link")).unwrap();
    }
    scratch.snapshot();
    let expected = tree(&outside);
    let repository = scratch.open();
    let selected = Selector::parse(b"latest").unwrap().select(&repository).unwrap();
    let target = scratch.below("target");
    fs::create_dir_all(&target).unwrap();
    let stop = AtomicBool::new(false);
    let mut swaps = 0_u64;
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut count = 0_u64;
            let places = ["a", "b", "b/c", "b/d"].map(|name| target.join(name));
            let aside = scratch.path("aside");
            while !stop.load(Ordering::Relaxed) {
                for place in &places {
                    if fs::rename(place, &aside).is_ok() {
                        symlink(&outside, place).ok();
                        std::thread::yield_now();
                        fs::remove_file(place).ok();
                        if fs::rename(&aside, place).is_err() {
                            fs::remove_dir_all(&aside).ok();
                            fs::remove_file(&aside).ok();
                        }
                        count += 1;
                    }
                }
            }
            count
        });
        for _round in 0..RACE_ROUNDS {
            let mut options = RestoreOptions::new(scratch.path("target"));
            options.keep_going = KeepGoing::Continue;
            options.threads = 2;
            // Errors are what somebody who moves directories away gets.
            let _ignored = sbf_repo::ops::restore::restore(
                &repository,
                &selected,
                &options,
                &sbf_repo::ops::progress::NoProgress::new(),
            );
        }
        stop.store(true, Ordering::Relaxed);
        swaps = swapper.join().unwrap();
    });
    assert!(swaps > RACE_ROUNDS, "{swaps} swaps in {RACE_ROUNDS} rounds");
    assert_same_trees(&expected, &tree(&outside));
}

const RACE_ROUNDS: u64 = 2000;
