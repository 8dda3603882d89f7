//! Snapshots that were forged with the right keys: trees and contents that break the rules.

use crate::forged::ENOUGH;
use crate::forged::Trap;
use crate::forged::chain;
use crate::forged::empty_file;
use crate::forged::file;
use crate::forged::inline;
use crate::forged::leaf;
use crate::forged::link;
use crate::forged::named;
use crate::forged::root_of;
use crate::forged::stored;
use crate::forged::whole;
use sbf_repo::RepoError;
use sbf_repo::format::content::Content;
use sbf_repo::format::content::Extent;
use sbf_repo::format::content::ListNode;
use sbf_repo::format::content::ListReference;
use sbf_repo::format::tree::DirectoryEntry;
use sbf_repo::format::tree::EntryKind;
use sbf_repo::format::tree::Listing;
use sbf_repo::format::tree::NodeReference;
use sbf_repo::format::tree::Totals;
use sbf_repo::format::tree::TreeNode;
use sbf_repo::id::ChunkId;
use sbf_repo::ops::error::OpError;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::testing::forge::Forge;
use sbf_repo::testing::forge::ForgedRoot;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

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
