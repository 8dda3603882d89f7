//! Files with holes in tar, as GNU tar's format 1.0 has them: a map, then the bytes without holes.

use crate::format::content::Extent;
use crate::format::tree::FileEntry;
use crate::ops::error::OpError;
use crate::ops::restore::dump::damaged;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::window::wrong_size;
use crate::repo::read::ChunkReader;
use crate::repo::tree::content::visit_extents;
use crate::units::to_u64;
use std::io::Write;

/// How long the parts of a file with holes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SparseLengths {
    regions: u64,
    /// Length of the map, padded.
    pub(crate) map: u64,
    /// Bytes without holes.
    pub(crate) data: u64,
}

impl SparseLengths {
    /// Measures a file.
    pub(crate) fn of(reader: &ChunkReader, file: &FileEntry) -> Result<Self, OpError> {
        let mut lengths = Self::default();
        visit_regions(reader, file, &mut |offset, length| {
            lengths.regions += 1;
            lengths.data += length;
            lengths.map += to_u64(line(offset).len() + line(length).len());
            Ok(())
        })?;
        lengths.map += to_u64(line(lengths.regions).len());
        lengths.map = lengths.map.next_multiple_of(BLOCK_BYTES);
        Ok(lengths)
    }

    /// Writes the map.
    pub(crate) fn write_map(
        self,
        reader: &ChunkReader,
        file: &FileEntry,
        output: &mut dyn Write,
    ) -> Result<(), OpError> {
        let mut written = 0;
        let mut write = |number: u64| {
            let line = line(number);
            written += to_u64(line.len());
            output.write_all(line.as_bytes()).map_err(not_written)
        };
        write(self.regions)?;
        visit_regions(reader, file, &mut |offset, length| {
            write(offset)?;
            write(length)
        })?;
        crate::ops::restore::dump::write_zeros(output, self.map.saturating_sub(written))
    }
}

/// Visits the regions between holes in order; an empty one ends a file that ends with a hole.
fn visit_regions(
    reader: &ChunkReader,
    file: &FileEntry,
    visit: &mut dyn FnMut(u64, u64) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let (mut offset, mut region) = (0_u64, None);
    visit_extents(reader, &file.content, &mut |extent| {
        if extent.length() > file.size - offset {
            // A forged list may go on for longer than anybody can wait.
            return Err(damaged(wrong_size(&file.content)));
        }
        match extent {
            Extent::Chunk { .. } => {
                let (start, length) = region.unwrap_or((offset, 0));
                region = Some((start, length + extent.length()));
            }
            Extent::Hole { .. } => {
                if let Some((start, length)) = region.take() {
                    visit(start, length)?;
                }
            }
        }
        offset += extent.length();
        Ok(())
    })?;
    if offset != file.size {
        return Err(damaged(wrong_size(&file.content)));
    }
    let (start, length) = region.unwrap_or((file.size, 0));
    visit(start, length)
}

fn line(number: u64) -> String {
    format!("{number}\n")
}

const BLOCK_BYTES: u64 = 512;
