//! `dump --archive`: what stands at a path of a snapshot as one stream that stock tools unpack.
//!
//! An archive that is not whole is not well-formed either: whoever unpacks it is told.

mod member;
mod pax;
mod sparse;
mod stream;
mod tar;
mod walk;
mod zip;

use crate::ops::archive::member::Archive;
use crate::ops::archive::stream::Stream;
use crate::ops::archive::tar::TarArchive;
use crate::ops::archive::walk::ArchiveWalk;
use crate::ops::archive::zip::ZipArchive;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::dump::not_written;
use crate::ops::restore::open_reader;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use std::io::Write;

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveForm {
    /// tar with extended headers of POSIX.
    Tar,
    /// The same, compressed by zstd.
    TarZstd,
    /// zip: no hard links, owners, attributes or special files, and names in UTF-8.
    Zip,
}

/// What an archive holds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of the files in it.
    pub bytes: u64,
    /// Entries that archives of the form do not hold, and why; at most [`LEFT_OUT_COUNT_MAX`].
    pub left_out: Vec<String>,
    /// How many there were in all.
    pub left_out_count: u64,
}

/// Writes what is selected as an archive. The entries of a directory are at its top; anything else
/// is its one entry.
///
/// Every chunk is verified before it is written. Memory: one node for each level of directories,
/// the names of files with several names, and, for a zip archive, its directory.
/// Errors: damage, after which `output` is no well-formed archive; [`OpError::Usage`] if the form
/// cannot hold a name.
pub fn dump_archive(
    repository: &Repository,
    selected: &Selected,
    form: ArchiveForm,
    output: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<ArchiveReport, OpError> {
    let reader = open_reader(repository)?;
    let found = selected.find(&reader)?;
    let mut archive: Box<dyn Archive + '_> = match form {
        ArchiveForm::Tar => Box::new(TarArchive::new(Stream::plain(output))),
        ArchiveForm::TarZstd => {
            Box::new(TarArchive::new(Stream::zstd(output).map_err(not_written)?))
        }
        ArchiveForm::Zip => Box::new(ZipArchive::new(output)),
    };
    let walked = ArchiveWalk::new(&reader, archive.as_mut(), progress).run(&found);
    match walked {
        Ok(report) => {
            archive.finish()?;
            Ok(report)
        }
        Err(error) => {
            archive.abort();
            Err(error)
        }
    }
}

/// Most entries that a report names as left out.
pub const LEFT_OUT_COUNT_MAX: usize = 100;
