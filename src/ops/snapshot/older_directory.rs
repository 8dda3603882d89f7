//! The dump of a directory in the snapshot before: which of its files held the rows of which table.
//! Numbers that name files move from dump to dump, and a table's rows are to be compared with its own.

use crate::format::content::Extent;
use crate::format::pack::PackKind;
use crate::ops::snapshot::delta::predecessor::Predecessor;
use crate::ops::snapshot::parent::Parent;
use crate::ops::snapshot::parent::ParentCursor;
use crate::repo::read::ChunkReader;
use crate::repo::tree::extents::Extents;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Tables by the numbers of their files, in words of `pg_restore --list`.
pub(crate) type Tables = BTreeMap<u32, Vec<u8>>;

/// A dump in a directory of the snapshot before.
pub(crate) struct OlderDirectory<'a> {
    parent: &'a Parent,
    reader: &'a ChunkReader,
    name: &'a [u8],
}

impl<'a> OlderDirectory<'a> {
    /// The directory of this name at the top.
    pub(crate) const fn new(
        (parent, reader): (&'a Parent, &'a ChunkReader),
        name: &'a [u8],
    ) -> Self {
        Self { parent, reader, name }
    }

    /// Puts its table of contents into a folder; whether there is one that can be read.
    pub(crate) fn write_contents(&self, folder: &Path) -> bool {
        let Some(bytes) = self.contents() else { return false };
        let written = fs::create_dir(folder)
            .and_then(|()| File::create_new(folder.join(CONTENTS)))
            .and_then(|mut file| file.write_all(&bytes));
        written.is_ok()
    }

    fn contents(&self) -> Option<Vec<u8>> {
        let found = self.cursor().find(CONTENTS.as_bytes())?;
        let file = found.entry.node.file().filter(|file| file.size <= CONTENTS_BYTES_MAX)?;
        let mut bytes = Vec::new();
        let mut extents = Extents::new(self.reader, &file.content);
        while let Some(extent) = extents.advance().ok()? {
            match extent {
                Extent::Chunk { id, .. } => {
                    bytes.extend(self.reader.read(PackKind::Data, &id).ok()?);
                }
                // Nobody writes one with holes.
                Extent::Hole { .. } => return None,
            }
            if to_u64(bytes.len()) > file.size {
                return None;
            }
        }
        Some(bytes)
    }

    /// What stood in the place of each of these files, by their names: of a table's rows, those of the same
    /// table, and otherwise what had the same name.
    pub(crate) fn predecessors(
        &self,
        files: &[OsString],
        before: Option<&Tables>,
        now: &Tables,
    ) -> HashMap<OsString, Predecessor<'a>> {
        let numbers: HashMap<_, _> =
            before.into_iter().flatten().map(|(number, table)| (table, number)).collect();
        let old_name = |file: &OsString| {
            let table = number_of(file).and_then(|number| now.get(&number));
            match (before, table) {
                (Some(_), Some(table)) => {
                    numbers.get(table).map(|number| OsString::from(format!("{number}.dat")))
                }
                _ => Some(file.clone()),
            }
        };
        let mut pairs: Vec<_> =
            files.iter().filter_map(|file| Some((old_name(file)?, file))).collect();
        // A cursor goes forwards alone.
        pairs.sort();
        let mut cursor = self.cursor();
        let found = pairs
            .into_iter()
            .filter_map(|(old, file)| Some((file.clone(), cursor.predecessor(old.as_bytes())?)));
        found.collect()
    }

    fn cursor(&self) -> ParentCursor<'a> {
        let mut cursor = self.parent.cursor(self.reader);
        let found = cursor.find(self.name);
        cursor.enter(found.as_ref());
        cursor
    }
}

/// The number that names a file of rows.
pub(crate) fn number_of(file: &OsStr) -> Option<u32> {
    file.to_str()?.strip_suffix(".dat")?.parse().ok()
}

/// What names the other files.
const CONTENTS: &str = "toc.dat";
/// One of a hundred thousand objects has less.
const CONTENTS_BYTES_MAX: u64 = 256 * 1_048_576;
