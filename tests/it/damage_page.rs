//! The table of `docs/damage.md`: its rows, and how it is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    Missing,
    Flipped,
    CutShort,
    Empty,
    Replaced,
    Unreadable,
    Denied,
}

/// All of them.
pub(crate) const DAMAGES: [Damage; 7] = [
    Damage::Missing,
    Damage::Flipped,
    Damage::CutShort,
    Damage::Empty,
    Damage::Replaced,
    Damage::Unreadable,
    Damage::Denied,
];

impl Damage {
    /// What the page calls it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Flipped => "a bit flipped",
            Self::CutShort => "cut short",
            Self::Empty => "empty",
            Self::Replaced => "another of its kind",
            Self::Unreadable => "a read error",
            Self::Denied => "no permission",
        }
    }
}

/// What each command made of a damage.
pub(crate) type Cells = [String; 7];

const COMMANDS: [&str; 7] = [
    "`check`",
    "`check --read-data`",
    "`snapshot`",
    "`restore`",
    "`prune`",
    "`repair`",
    "`check --heal`",
];

/// Damages with the same outcome share a row.
pub(crate) fn table(rows: &BTreeMap<(usize, Damage), Cells>, names: &[&'static str]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| object | damage | {} |", COMMANDS.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(COMMANDS.len()));
    for (number, name) in names.iter().enumerate() {
        let mut groups: Vec<(&Cells, Vec<&str>)> = Vec::new();
        for damage in DAMAGES {
            let Some(cells) = rows.get(&(number, damage)) else { continue };
            match groups.iter_mut().find(|(known, _)| *known == cells) {
                Some((_, damages)) => damages.push(damage.words()),
                None => groups.push((cells, vec![damage.words()])),
            }
        }
        for (cells, damages) in groups {
            let _ = writeln!(text, "| {name} | {} | {} |", damages.join(", "), cells.join(" | "));
        }
    }
    text
}
