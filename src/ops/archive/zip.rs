//! zip: for those who have nothing else. Contents are compressed; lengths and checksums follow
//! them, since nobody goes back in a stream.

use crate::format::tree::FileEntry;
use crate::format::tree::Timestamp;
use crate::ops::archive::member::Added;
use crate::ops::archive::member::Archive;
use crate::ops::archive::member::Body;
use crate::ops::archive::member::Contents;
use crate::ops::archive::member::Member;
use crate::ops::error::OpError;
use crate::ops::restore::ahead::Piece;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::dump::read_file;
use crate::ops::restore::dump::write_zeros;
use crate::ops::words::path_words;
use std::io;
use std::io::Write;
use std::mem::ManuallyDrop;
use zip::CompressionMethod;
use zip::DateTime;
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::FullFileOptions;
use zip::write::StreamWriter;

/// A zip archive that is being written.
pub(crate) struct ZipArchive<'o> {
    /// Never dropped before it is finished: dropping would write a directory, with which an archive
    /// that is cut off passes for whole.
    writer: ManuallyDrop<ZipWriter<StreamWriter<&'o mut dyn Write>>>,
}

impl<'o> ZipArchive<'o> {
    /// Begins an archive.
    pub(crate) fn new(output: &'o mut dyn Write) -> Self {
        Self { writer: ManuallyDrop::new(ZipWriter::new_stream(output)) }
    }
}

impl Archive for ZipArchive<'_> {
    fn has_hard_links(&self) -> bool {
        false
    }

    fn add(&mut self, member: &Member<'_>, body: Body<'_>) -> Result<Added, OpError> {
        let options = options(member, 0)?;
        match body {
            Body::Directory => {
                let name = text(member.path, member.path)?;
                self.writer.add_directory(name, options).map_err(failed)?;
            }
            Body::Symlink(target) => {
                let (name, target) = (text(member.path, member.path)?, text(target, member.path)?);
                self.writer.add_symlink(name, target, options).map_err(failed)?;
            }
            Body::HardLink(_) => return Ok(Added::LeftOut("zip archives hold no hard links")),
            Body::Fifo => return Ok(Added::LeftOut("zip archives hold no named pipes")),
            Body::Socket => return Ok(Added::LeftOut("zip archives hold no sockets")),
            Body::CharacterDevice(_) | Body::BlockDevice(_) => {
                return Ok(Added::LeftOut("zip archives hold no devices"));
            }
        }
        Ok(Added::Yes)
    }

    fn add_file(
        &mut self,
        member: &Member<'_>,
        file: &FileEntry,
        contents: Contents<'_>,
    ) -> Result<(), OpError> {
        let name = text(member.path, member.path)?;
        self.writer.start_file(name, options(member, file.size)?).map_err(failed)?;
        let Contents { reader, progress } = contents;
        read_file(reader, file, progress, &mut |piece| match piece {
            Piece::Bytes(bytes) => self.writer.write_all(bytes).map_err(not_written),
            Piece::Hole(length) => write_zeros(&mut *self.writer, length),
        })?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), OpError> {
        let writer = ManuallyDrop::into_inner(self.writer);
        let output = writer.finish().map_err(failed)?;
        output.into_inner().flush().map_err(not_written)
    }

    /// Without its directory no program takes it for an archive.
    fn abort(self: Box<Self>) {}
}

fn options(member: &Member<'_>, size: u64) -> Result<FullFileOptions<'static, 'static>, OpError> {
    let modified = member.metadata.modified;
    let options = FullFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(u32::from(member.metadata.mode))
        .last_modified_time(date_of(modified))
        .large_file(size >= LARGE_BYTES_MIN);
    // Whole seconds in UTC, beside the time without a zone that every archive has.
    match u32::try_from(modified.seconds) {
        Ok(seconds) => options.with_extended_timestamp(Some(seconds), None, None).map_err(failed),
        Err(_too_early_or_late) => Ok(options),
    }
}

/// The time in UTC, or the nearest that a zip archive can say.
fn date_of(time: Timestamp) -> DateTime {
    let time = jiff::Timestamp::from_second(time.seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
    let small = |number: i8| u8::try_from(number).unwrap_or(0);
    let date = DateTime::from_date_and_time(
        u16::try_from(zoned.year()).unwrap_or(0),
        small(zoned.month()),
        small(zoned.day()),
        small(zoned.hour()),
        small(zoned.minute()),
        small(zoned.second()),
    );
    date.unwrap_or_default()
}

/// A name or target as text.
fn text(bytes: &[u8], path: &[u8]) -> Result<String, OpError> {
    String::from_utf8(bytes.to_vec()).map_err(|_not_text| OpError::Usage {
        why: format!(
            "a zip archive cannot hold `/{}`, which is not UTF-8; `--archive tar` can",
            path_words(path)
        ),
    })
}

fn failed(error: ZipError) -> OpError {
    not_written(if let ZipError::Io(source) = error { source } else { io::Error::other(error) })
}

/// Files of this size get lengths of 64 bits: well below 4 GiB, as what does not compress grows.
const LARGE_BYTES_MIN: u64 = 4_000_000_000;
