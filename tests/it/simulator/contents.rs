//! What writers back up: streams and directories that share pieces, so that runs lean on each
//! other's packs and leave packs half needed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::Files;
use crate::support::bytes_of;
use crate::support::restored_form;
use crate::support::stream_form;
use crate::support::write_files;
use sbf_repo::testing::SplitMix;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What one snapshot is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A stream of these pieces.
    Stream(Vec<usize>),
    /// One of the directories.
    Folder(usize),
}

impl Content {
    /// Draws a content.
    pub(crate) fn draw(random: &mut SplitMix) -> Self {
        if random.below(3) == 0 {
            return Self::Folder(index(random, FOLDERS_COUNT));
        }
        let count = 1 + random.below(3);
        Self::Stream((0..count).map(|_| index(random, PIECES_COUNT)).collect())
    }

    /// The bytes of a stream.
    pub(crate) fn stream(pieces: &[usize]) -> Vec<u8> {
        pieces.iter().flat_map(|&number| piece(number)).collect()
    }

    /// Where a directory is.
    pub(crate) fn folder(number: usize) -> &'static Path {
        &folders()[number].0
    }

    /// What a snapshot of it restores to.
    pub(crate) fn form(&self, source: &str) -> Files {
        match self {
            Self::Stream(pieces) => stream_form(source, &Self::stream(pieces)),
            Self::Folder(number) => folders()[*number].1.clone(),
        }
    }
}

fn piece(number: usize) -> Vec<u8> {
    static PIECES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let pieces = PIECES.get_or_init(|| {
        let seeds = (0..PIECES_COUNT).map(|number| u64::try_from(number).unwrap() + 7_000);
        seeds.map(|seed| bytes_of(seed, PIECE_BYTES, 256)).collect()
    });
    pieces[number].clone()
}

fn folders() -> &'static [(PathBuf, Files)] {
    static FOLDERS: OnceLock<Vec<(PathBuf, Files)>> = OnceLock::new();
    FOLDERS.get_or_init(|| (0..FOLDERS_COUNT).map(folder).collect())
}

/// A directory that every run of the tests finds where the last one did: what is stored of those
/// above it is part of a snapshot, and a seed must give the same bytes again.
fn folder(number: usize) -> (PathBuf, Files) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulator-{number}"));
    if !place.is_dir() {
        let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (one, other) = (piece(number), piece((number + 1) % PIECES_COUNT));
        write_files(made.path(), &[("a", one), ("d/b", other), ("d/c", vec![7; 40])]);
        // Another process may be faster: its directory is the same.
        let _ignored = std::fs::rename(made.path(), &place);
    }
    let form = restored_form(&place);
    (place, form)
}

fn index(random: &mut SplitMix, count: usize) -> usize {
    usize::try_from(random.below(u64::try_from(count).unwrap())).unwrap()
}

const PIECES_COUNT: usize = 6;
const PIECE_BYTES: usize = 2_500;
const FOLDERS_COUNT: usize = 3;
