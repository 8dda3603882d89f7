//! The constants of the format's pages equal those of the program.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::vectors::pages;
use sbf_repo::format::attest;
use sbf_repo::format::audit;
use sbf_repo::format::block;
use sbf_repo::format::config;
use sbf_repo::format::content;
use sbf_repo::format::coverage;
use sbf_repo::format::dump;
use sbf_repo::format::envelope;
use sbf_repo::format::index;
use sbf_repo::format::inventory;
use sbf_repo::format::keyslot;
use sbf_repo::format::label;
use sbf_repo::format::layout;
use sbf_repo::format::manifest;
use sbf_repo::format::outcome;
use sbf_repo::format::pack;
use sbf_repo::format::parity;
use sbf_repo::format::record;
use sbf_repo::format::tree;
use sbf_repo::key;
use sbf_repo::testing::fuzz_decode;
use std::collections::BTreeMap;
use std::fmt;

#[test]
fn constants_of_the_pages_equal_those_of_the_program() {
    let stated = constants_of_the_pages();
    let known: BTreeMap<String, String> = constants_of_the_program()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, value) in &stated {
        assert_eq!(known.get(name), Some(value), "{name}: the program (left), the page (right)");
    }
    for name in known.keys() {
        assert!(stated.contains_key(name), "no page states {name}");
    }
}

/// Lines `NAME = value` of the pages: `7`, `"text"`.
fn constants_of_the_pages() -> BTreeMap<String, String> {
    let mut constants = BTreeMap::new();
    for (page, text) in pages() {
        for line in text.lines() {
            let Some((name, value)) = line.split_once(" = ") else { continue };
            let is_name = name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
            if !is_name || name.is_empty() {
                continue;
            }
            let before = constants.insert(name.to_owned(), value.to_owned());
            assert!(before.is_none_or(|before| before == value), "{page}: {name} stands twice");
        }
    }
    assert!(!constants.is_empty());
    constants
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn constants_of_the_program() -> Vec<(&'static str, String)> {
    vec![
        ("FORMAT_VERSION", number(config::FORMAT_VERSION)),
        ("CHUNKER_FASTCDC", number(config::CHUNKER_FASTCDC)),
        ("CHUNK_MIN_BYTES_MIN", number(config::CHUNK_MIN_BYTES_MIN)),
        ("CHUNK_MAX_BYTES_MAX", number(config::CHUNK_MAX_BYTES_MAX)),
        ("BLOCK_TARGET_BYTES_MAX", number(config::BLOCK_TARGET_BYTES_MAX)),
        ("PACK_TARGET_BYTES_MAX", number(config::PACK_TARGET_BYTES_MAX)),
        ("KEY_BYTES_MAX", number(key::KEY_BYTES_MAX)),
        ("CONFIG", text(layout::CONFIG)),
        ("AMENDMENTS", text(layout::AMENDMENTS)),
        ("MIRROR", text(layout::MIRROR)),
        ("KEYS", text(layout::KEYS)),
        ("IDENTITIES", text(layout::IDENTITIES)),
        ("SESSIONS", text(layout::SESSIONS)),
        ("HEARTBEATS", text(layout::HEARTBEATS)),
        ("PACKS", text(layout::PACKS)),
        ("INDEX", text(layout::INDEX)),
        ("MANIFESTS", text(layout::MANIFESTS)),
        ("OUTCOMES", text(layout::OUTCOMES)),
        ("FORGET", text(layout::FORGET)),
        ("AUDIT", text(layout::AUDIT)),
        ("RECORDS", text(layout::RECORDS)),
        ("INVENTORY", text(layout::INVENTORY)),
        ("GC", text(layout::GC)),
        ("ENVELOPE_MAGIC", ascii(envelope::ENVELOPE_MAGIC)),
        ("CLEAR_MAGIC", ascii(envelope::CLEAR_MAGIC)),
        ("ENVELOPE_VERSION", number(envelope::ENVELOPE_VERSION)),
        ("ENVELOPE_SUITE", number(envelope::ENVELOPE_SUITE)),
        ("ENVELOPE_HEADER_LEN", number(envelope::ENVELOPE_HEADER_LEN)),
        ("CLEAR_HEADER_LEN", number(envelope::CLEAR_HEADER_LEN)),
        ("SIGNED_HEADER_LEN", number(envelope::SIGNED_HEADER_LEN)),
        ("TAG_LEN", number(envelope::TAG_LEN)),
        ("SEALED_OVERHEAD_MAX", number(envelope::SEALED_OVERHEAD_MAX)),
        ("SLOT_MAGIC", ascii(keyslot::SLOT_MAGIC)),
        ("SLOT_VERSION", number(keyslot::SLOT_VERSION)),
        ("SLOT_PREFIX_LEN", number(keyslot::SLOT_PREFIX_LEN)),
        ("SLOT_CHECKSUM_LEN", number(keyslot::SLOT_CHECKSUM_LEN)),
        ("SLOT_BYTES_MAX", number(keyslot::SLOT_BYTES_MAX)),
        ("LABEL_BYTES_MAX", number(keyslot::LABEL_BYTES_MAX)),
        ("PASSPHRASE_MEMORY_KIB_MIN", number(keyslot::PASSPHRASE_MEMORY_KIB_MIN)),
        ("PASSPHRASE_MEMORY_KIB_MAX", number(keyslot::PASSPHRASE_MEMORY_KIB_MAX)),
        ("PASSPHRASE_PASSES_MIN", number(keyslot::PASSPHRASE_PASSES_MIN)),
        ("PACK_MAGIC", ascii(pack::PACK_MAGIC)),
        ("PACK_END_MAGIC", ascii(pack::PACK_END_MAGIC)),
        ("PACK_VERSION", number(pack::PACK_VERSION)),
        ("PACK_SUITE", number(pack::PACK_SUITE)),
        ("PACK_PREFIX_LEN", number(pack::PACK_PREFIX_LEN)),
        ("PACK_TRAILER_LEN", number(pack::PACK_TRAILER_LEN)),
        ("PACK_BYTES_MAX", number(pack::PACK_BYTES_MAX)),
        ("XWING_ENCAPSULATED_LEN", number(pack::XWING_ENCAPSULATED_LEN)),
        ("DIRECTORY_BYTES_MAX", number(pack::DIRECTORY_BYTES_MAX)),
        ("DIRECTORY_BYTES_TARGET", number(pack::DIRECTORY_BYTES_TARGET)),
        ("BLOCK_RAW_BYTES_MAX", number(block::BLOCK_RAW_BYTES_MAX)),
        ("BASES_COUNT_MAX", number(block::BASES_COUNT_MAX)),
        ("BASE_BYTES_MAX", number(block::BASE_BYTES_MAX)),
        ("SEGMENT_CHUNKS_TARGET", number(index::SEGMENT_CHUNKS_TARGET)),
        ("NAME_BYTES_MAX", number(tree::NAME_BYTES_MAX)),
        ("TARGET_BYTES_MAX", number(tree::TARGET_BYTES_MAX)),
        ("XATTR_VALUE_BYTES_MAX", number(tree::XATTR_VALUE_BYTES_MAX)),
        ("TREE_NODE_BYTES_MAX", number(tree::TREE_NODE_BYTES_MAX)),
        ("INLINE_LISTING_BYTES_MAX", number(tree::INLINE_LISTING_BYTES_MAX)),
        ("NODE_HEIGHT_MAX", number(tree::NODE_HEIGHT_MAX)),
        ("CHUNK_BYTES_MAX", number(content::CHUNK_BYTES_MAX)),
        ("INLINE_EXTENTS_MAX", number(content::INLINE_EXTENTS_MAX)),
        ("LIST_HEIGHT_MAX", number(content::LIST_HEIGHT_MAX)),
        ("LIST_NODE_BYTES_MAX", number(content::LIST_NODE_BYTES_MAX)),
        ("STATEMENT_TYPE", text(manifest::STATEMENT_TYPE)),
        ("SNAPSHOT_PREDICATE", text(manifest::SNAPSHOT_PREDICATE)),
        ("KINDS_COUNT_MAX", number(dump::KINDS_COUNT_MAX)),
        ("SKIPPED_COUNT_MAX", number(manifest::SKIPPED_COUNT_MAX)),
        ("STREAMS_COUNT_MAX", number(dump::STREAMS_COUNT_MAX)),
        ("TABLES_COUNT_MAX", number(dump::TABLES_COUNT_MAX)),
        ("CHECK_SNAPSHOTS_MAX", number(coverage::SNAPSHOTS_COUNT_MAX)),
        ("AUDIT_VERSION", number(audit::AUDIT_VERSION)),
        ("PREDICATE_PREFIX", text(record::PREDICATE_PREFIX)),
        ("TAG_BYTES_MAX", label::TAG_BYTES_MAX.to_string()),
        ("NOTE_BYTES_MAX", label::NOTE_BYTES_MAX.to_string()),
        ("WORD_BYTES_MAX", number(attest::WORD_BYTES_MAX)),
        ("SOURCE_BYTES_MAX", number(outcome::SOURCE_BYTES_MAX)),
        ("INVENTORY_TITLE", text(inventory::INVENTORY_TITLE)),
        ("PARITY", text(layout::PARITY)),
        ("PARITY_MAGIC", ascii(parity::PARITY_MAGIC)),
        ("PARITY_SHARDS_MAX", number(parity::PARITY_SHARDS_MAX)),
        ("SHARD_BYTES_UNIT", number(parity::SHARD_BYTES_UNIT)),
        ("SHARD_BYTES_MAX", number(parity::SHARD_BYTES_MAX)),
        ("PARITY_PER_MILLE_MAX", number(parity::PARITY_PER_MILLE_MAX)),
        ("GEAR_TABLE_BYTES", number(fuzz_decode::gear_table(&[0; 32]).len())),
    ]
}

fn number(value: impl fmt::Display) -> String {
    value.to_string()
}

fn text(value: &str) -> String {
    format!("\"{value}\"")
}

fn ascii(value: &[u8]) -> String {
    text(std::str::from_utf8(value).unwrap())
}
