//! What the fuzz targets promise, on every vector and on seeded changes of each, so that the
//! targets cannot rot between long runs. Inputs that once failed are in `fuzz/regressions/`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use crate::memory::peak_bytes_of;
use crate::vector_file::all_vectors;
use sbf_repo::testing::SplitMix;
use sbf_repo::testing::fuzz_decode::Input;
use sbf_repo::testing::fuzz_decode::fuzz_chunk_cuts;
use sbf_repo::testing::fuzz_decode::fuzz_decode;
use sbf_repo::testing::fuzz_decode::fuzz_dump;
use sbf_repo::testing::recipes;
use sbf_repo::testing::recipes::fuzz_rewrap;
use sbf_repo::testing::recipes::fuzz_unwrap;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The random numbers of this file begin here.
const SEED: u64 = 0x5bf0_0001;
/// How many changed bodies each input is tried with.
const MUTATIONS_COUNT: usize = 4000;
/// What a decoder may hold for bytes of no more than a vector's length; the longest tables of
/// records are bounded by three times the longest plaintext of their kind.
const MEMORY_MAX: usize = 3 * 64 * 1_048_576 + 1_048_576;
/// What making a short file again may hold: the tables of a predictor and of codes, and its parts.
const RECIPE_MEMORY_MAX: usize = 4 * 1_048_576;
/// What decoders of small objects may hold: config, sessions, slots, registers, keys.
const SMALL_MEMORY_MAX: usize = 1_048_576 + 65_536;

#[test]
fn changed_bytes_never_break_a_decoder() {
    let mut random = SplitMix::new(SEED);
    for (input, bodies) in bodies() {
        for number in 0..MUTATIONS_COUNT {
            let body = &bodies[number % bodies.len()];
            let other = &bodies[below(&mut random, bodies.len())];
            let mutated = mutate(&mut random, body, other);
            check(input, &mutated, &format!("seed {SEED:#x}, {input:?}, mutation {number}"));
        }
    }
}

#[test]
fn cuts_follow_the_page_for_any_bytes() {
    let mut random = SplitMix::new(SEED);
    for _ in 0..300 {
        let length = below(&mut random, 3000);
        // Few different bytes, so that the hash repeats itself and meets the masks' edges.
        let bytes: Vec<u8> = (0..length).map(|_| byte(&mut random) & 0x83).collect();
        fuzz_chunk_cuts(&bytes);
    }
}

#[test]
fn dumps_may_be_of_any_bytes_that_arrive_anyhow() {
    let mut random = SplitMix::new(SEED);
    let head = b"--\n-- PostgreSQL database dump\n";
    let letters = b"'\"$-/*;\\.\n\tE aCOPY t FROM stdin;\n$$a$";
    for _ in 0..300 {
        let (length, step) = (below(&mut random, 2000), byte(&mut random) & 31);
        let tail = (0..length).map(|_| letters[usize::from(byte(&mut random)) % letters.len()]);
        let bytes: Vec<u8> = [step].into_iter().chain(*head).chain(tail).collect();
        fuzz_dump(&bytes);
    }
}

#[test]
fn changed_recipes_give_no_more_than_their_bytes_can() {
    let mut random = SplitMix::new(SEED);
    let vectors: Vec<_> = all_vectors().filter(|one| one.text("input") == "rewrap").collect();
    for number in 0..MUTATIONS_COUNT {
        let (vector, other) =
            (&vectors[number % vectors.len()], &vectors[below(&mut random, vectors.len())]);
        let mutated = mutate(&mut random, &vector.body, &other.body);
        let plain = vector.hex("plaintext");
        let peak = peak_bytes_of(|| drop(recipes::rewrap(&mutated, &plain)));
        assert!(peak < RECIPE_MEMORY_MAX, "mutation {number} of {}: {peak} bytes", vector.path);
        let parts = mutated.get(8..).unwrap_or_default();
        let share = u8::try_from(255 * plain.len() / (plain.len() + parts.len()).max(1)).unwrap();
        fuzz_rewrap(&[&[share], &*plain, parts].concat());
    }
}

#[test]
fn changed_streams_come_back() {
    let mut random = SplitMix::new(SEED);
    let vectors: Vec<_> = all_vectors().filter(|one| one.text("input") == "rewrap").collect();
    let files: Vec<_> = vectors
        .iter()
        .filter_map(|vector| recipes::rewrap(&vector.body, &vector.hex("plaintext")).ok())
        .collect();
    assert!(files.len() > 10);
    for number in 0..MUTATIONS_COUNT / 4 {
        let other = &files[below(&mut random, files.len())];
        fuzz_unwrap(&mutate(&mut random, &files[number % files.len()], other));
    }
}

#[test]
fn inputs_that_once_failed_pass() {
    let Ok(folders) = fs::read_dir("fuzz/regressions") else { return };
    for folder in folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let word = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if let Some(input) = Input::from_word(&word) {
                check(input, &bytes, &path.display().to_string());
            } else {
                match word.as_str() {
                    "chunk-cuts" => fuzz_chunk_cuts(&bytes),
                    "dump" => fuzz_dump(&bytes),
                    "rewrap" => fuzz_rewrap(&bytes),
                    "unwrap" => fuzz_unwrap(&bytes),
                    _ => unreachable!("no target of the name {word}"),
                }
            }
        }
    }
}

#[test]
fn every_input_has_a_fuzz_target() {
    for (input, word) in Input::ALL {
        let path = format!("fuzz/fuzz_targets/{}.rs", word.replace('-', "_"));
        let target = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(target.contains(&format!("Input::{input:?}")), "{path} is about another input");
    }
    assert!(Path::new("fuzz/fuzz_targets/chunk_cuts.rs").exists());
    assert!(Path::new("fuzz/fuzz_targets/dump.rs").exists());
    assert!(Path::new("fuzz/fuzz_targets/rewrap.rs").exists());
    assert!(Path::new("fuzz/fuzz_targets/unwrap.rs").exists());
}

#[track_caller]
fn check(input: Input, bytes: &[u8], what: &str) {
    let outcome = std::panic::catch_unwind(|| peak_bytes_of(|| fuzz_decode(input, bytes)));
    let held = outcome.unwrap_or_else(|_panic| panic!("{what}: {}", sbf_repo::id::to_hex(bytes)));
    assert!(held <= memory_max(input), "{what}: {held} bytes held for {}", bytes.len());
}

fn memory_max(input: Input) -> usize {
    match input {
        Input::Plan
        | Input::Verdict
        | Input::Base
        | Input::MirrorNote
        | Input::Register
        | Input::Segment
        | Input::PackDirectory
        | Input::Outcome
        | Input::TreeNode
        | Input::ListNode
        | Input::Manifest
        | Input::Record
        | Input::Inventory
        | Input::IndexRun => MEMORY_MAX,
        Input::Config
        | Input::Amendment
        | Input::Slot
        | Input::SlotKeys
        | Input::Identity
        | Input::Announcement
        | Input::Heartbeat
        | Input::PackHeader
        | Input::PackTrailer
        | Input::Parity
        | Input::Envelope
        | Input::Clear
        | Input::SignedBody
        | Input::ObjectKey
        | Input::KeyFile => SMALL_MEMORY_MAX,
    }
}

/// The bodies of the vectors, by what they are decoded as; each input has at least one.
fn bodies() -> Vec<(Input, Vec<Vec<u8>>)> {
    let mut by_word: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for vector in all_vectors() {
        let word = match vector.text("input") {
            "slot-open" => "slot",
            "renewal-open" => "identity",
            "envelope-open" => "envelope",
            "clear-open" => "clear",
            "pack-open" => "pack-header",
            word => word,
        };
        by_word.entry(word.to_owned()).or_default().push(vector.body);
    }
    let inputs = Input::ALL.iter().map(|(input, word)| {
        let bodies = by_word.remove(*word).unwrap_or_else(|| vec![Vec::new()]);
        assert!(*input == Input::IndexRun || !bodies[0].is_empty() || bodies.len() > 1, "{word}");
        (*input, bodies)
    });
    inputs.collect()
}

/// One to four changes: flipped bits, edge values, cut, doubled or foreign pieces.
fn mutate(random: &mut SplitMix, body: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len() + 1);
        let end = at + below(random, (bytes.len() - at).min(40) + 1);
        match below(random, 8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let from = below(random, other.len() + 1);
                let until = from + below(random, (other.len() - from).min(40) + 1);
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            4 => {
                // Where a count or length stands: the longest forms of integers.
                let wide = [&[253][..], &[255; 8], &[252, 255, 255, 255, 127], &[251, 255, 255]];
                let piece = wide[below(random, wide.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => {
                let values = [0, 1, 127, 128, 250, 251, 252, 253, 254, 255];
                if let Some(place) = bytes.get_mut(at) {
                    *place = values[below(random, values.len())];
                }
            }
            6 => {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte(random);
                }
            }
            _ => {
                if let Some(place) = bytes.get_mut(at) {
                    *place ^= 1 << below(random, 8);
                }
            }
        }
    }
    bytes
}

fn below(random: &mut SplitMix, bound: usize) -> usize {
    usize::try_from(random.below(bound.try_into().unwrap())).unwrap()
}

fn byte(random: &mut SplitMix) -> u8 {
    u8::try_from(random.below(256)).unwrap()
}
