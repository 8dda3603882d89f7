//! Snapshots that were forged with the right keys: what a restore must not do with them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::forged::ENOUGH;
use crate::forged::Trap;
use crate::forged::empty_file;
use crate::forged::file;
use crate::forged::inline;
use crate::forged::named;
use crate::forged::root_of;
use crate::forged::whole;
use crate::scratch::Scratch;
use crate::scratch::SetAtEnd;
use crate::scratch::assert_same_trees;
use crate::scratch::is_root;
use crate::scratch::noise;
use crate::scratch::put;
use crate::scratch::skip;
use crate::scratch::tree;
use sbf_repo::format::content::Content;
use sbf_repo::format::content::Extent;
use sbf_repo::format::content::ListNode;
use sbf_repo::format::index::Segment;
use sbf_repo::format::tree::DeviceNumber;
use sbf_repo::format::tree::EntryKind;
use sbf_repo::format::tree::Leaf;
use sbf_repo::format::tree::Owner;
use sbf_repo::format::tree::TreeNode;
use sbf_repo::id::ChunkId;
use sbf_repo::ops::restore::KeepGoing;
use sbf_repo::ops::restore::RestoreOptions;
use sbf_repo::ops::select::Selector;
use sbf_repo::testing::forge::ForgedRoot;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

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
        let stops_it = SetAtEnd(&stop);
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
        drop(stops_it);
        swaps = swapper.join().unwrap();
    });
    assert!(swaps > RACE_ROUNDS, "{swaps} swaps in {RACE_ROUNDS} rounds");
    assert_same_trees(&expected, &tree(&outside));
}

const RACE_ROUNDS: u64 = 1000;
