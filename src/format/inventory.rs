//! Inventories: the live packs in clear, for those without keys. Spec: format-spec/12-inventory.md.

use crate::format::FormatError;
use crate::format::Rule;
use crate::id::PackId;
use crate::id::RepoId;
use crate::id::Sha256;
use crate::key::ObjectKey;
use crate::units::to_u64;
use std::fmt::Write as _;

/// The live packs of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The repository.
    pub repository: RepoId,
    /// The number in its key.
    pub number: u64,
    /// Sorted by key.
    pub packs: Vec<InventoryLine>,
}

/// One pack of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryLine {
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// BLAKE3 of its bytes.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// Its object key.
    pub key: ObjectKey,
}

impl Inventory {
    /// The inventory's text.
    pub fn encode(&self) -> Vec<u8> {
        let Self { repository, number, packs } = self;
        let mut text = format!("{INVENTORY_TITLE}\n{repository}\n{number}\n{}\n", packs.len());
        for InventoryLine { sha256, id, length, key } in packs {
            // Writing to a string cannot fail.
            let _ignored = writeln!(text, "{sha256} {id} {length} {key}");
        }
        text.into_bytes()
    }

    /// Decodes a text and checks its rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |line: usize| FormatError::new("inventory", Rule::InventoryForm, to_u64(line));
        let text = std::str::from_utf8(bytes).map_err(|_source| wrong(0))?;
        let mut lines = text.split_terminator('\n');
        if lines.next() != Some(INVENTORY_TITLE) {
            return Err(wrong(0));
        }
        let repository = parse(lines.next()).ok_or_else(|| wrong(1))?;
        let number = parse(lines.next()).ok_or_else(|| wrong(2))?;
        let count: usize = parse(lines.next()).ok_or_else(|| wrong(3))?;
        let mut packs = Vec::new();
        for (index, line) in lines.enumerate() {
            packs.push(decode_line(line).ok_or_else(|| wrong(index.saturating_add(4)))?);
        }
        let sorted = packs.is_sorted_by(|left, right| left.key < right.key);
        let inventory = Self { repository, number, packs };
        // Numbers have longer forms; signed text has one form only.
        if sorted && inventory.packs.len() == count && inventory.encode() == bytes {
            return Ok(inventory);
        }
        Err(wrong(3))
    }
}

fn decode_line(line: &str) -> Option<InventoryLine> {
    let mut words = line.split(' ');
    let sha256 = parse(words.next())?;
    let id = parse(words.next())?;
    let length = parse(words.next())?;
    let key = parse(words.next())?;
    words.next().is_none().then_some(InventoryLine { sha256, id, length, key })
}

fn parse<T: std::str::FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

/// First line of an inventory.
pub const INVENTORY_TITLE: &str = "sbf-repo inventory 1";
