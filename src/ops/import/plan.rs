//! Which old copies there are, of which source and time, and which were taken over already.

use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::import::name;
use crate::ops::import::name::Undated;
use crate::ops::look::SnapshotFilter;
use crate::ops::look::SnapshotState;
use crate::ops::look::snapshots;
use crate::ops::snapshot::options::is_source_name;
use crate::ops::words::path_words;
use crate::ops::words::time_words;
use crate::repo::content_digest::ContentDigest;
use crate::repo::repository::Repository;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::fs::Metadata;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Says of a path below the directory that it is wanted.
pub type Include<'a> = &'a dyn Fn(&Path) -> bool;

/// Where old copies are, and which are wanted.
#[expect(missing_debug_implementations, reason = "a function has no words")]
#[non_exhaustive]
pub struct Wanted<'a> {
    /// The directory.
    pub directory: PathBuf,
    /// The source of all of them, if not each is named after its file.
    pub source: Option<String>,
    /// Which files are wanted, if not those whose names end as copies do.
    pub include: Option<Include<'a>>,
}

impl Wanted<'_> {
    /// Every copy in this directory.
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory, source: None, include: None }
    }
}

/// Where the time of a copy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DatedBy {
    /// In its name.
    Name,
    /// It is when the file was last modified.
    Modified,
}

/// An old copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OldCopy {
    /// Where it is.
    pub path: PathBuf,
    /// The same below the directory, in words.
    pub words: String,
    /// Its size.
    pub size: u64,
    /// The time of its data in RFC 3339.
    pub time: String,
    /// Where that stands.
    pub dated_by: DatedBy,
    /// The source whose snapshot it becomes.
    pub source: String,
    /// Its name in the snapshot, before it is unwrapped.
    pub name: String,
    /// Whether it is compressed.
    pub is_compressed: bool,
    /// Whether a snapshot of it is there.
    pub is_there: bool,
    /// Why it cannot be imported, as far as that is seen before it is read.
    pub refused: Option<String>,
    pub(crate) tag: String,
    pub(crate) modified: (i64, i64),
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ImportPlan {
    /// All copies, oldest first.
    pub copies: Vec<OldCopy>,
    /// Files that are no copies.
    pub others: Vec<String>,
    /// Snapshots that cannot be read: what they hold may be imported again.
    pub findings: Vec<Finding>,
}

/// Finds the copies below a directory; nothing is written, and of each file the beginning and the end are read.
///
/// Errors: the directory cannot be listed; [`OpError::Usage`] if one source is asked for and the copies
/// are of several things.
pub fn plan(repository: &Repository, wanted: &Wanted<'_>) -> Result<ImportPlan, OpError> {
    if let Some(source) = wanted.source.as_ref().filter(|source| !is_source_name(source)) {
        let why = format!("`{}` cannot be the name of a source", path_words(source.as_bytes()));
        return Err(OpError::Usage { why });
    }
    let mut plan = ImportPlan::default();
    let mut found = Vec::new();
    let not_after = repository.environment.now().0 + DAY_SECONDS;
    for (path, metadata) in files_below(&wanted.directory)? {
        let below = path.strip_prefix(&wanted.directory).unwrap_or(&path);
        let words = path_words(below.as_os_str().as_encoded_bytes());
        match copy_of(wanted, below, not_after) {
            Some((folder, undated)) => found.push((path, metadata, words, folder, undated)),
            None => plan.others.push(words),
        }
    }
    let known = Known::load(repository, &mut plan)?;
    let groups = found.iter().map(|(.., folder, undated)| Group::of(folder, &undated.name));
    let sources = sources(groups.collect(), wanted, &known)?;
    let numbered = found.iter().filter(|(.., undated)| undated.is_numbered);
    let numbered = numbered.map(|(.., folder, undated)| Group::of(folder, &undated.name));
    let rotated: BTreeSet<Group> = numbered.collect();
    for (path, metadata, words, folder, undated) in found {
        let Undated { name, seconds, is_numbered: _ } = undated;
        let group = Group::of(&folder, &name);
        let source = sources.get(&group).cloned().unwrap_or_default();
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let (dated_by, time) = match seconds {
            Some(seconds) => (DatedBy::Name, (seconds, 0)),
            None => (DatedBy::Modified, (modified.0, u32::try_from(modified.1).unwrap_or(0))),
        };
        let (size, time) = (metadata.len(), time_words(time.0, time.1));
        // Its number, its ending and its size change with the next rotation, and its time does not.
        let is_rotated = seconds.is_none() && rotated.contains(&group);
        let tag = if is_rotated {
            tag_of(&group.path(), ROTATED)
        } else {
            tag_of(&words, format_args!("{size}-{}", sample_digest(&path, size)))
        };
        let is_there = known.copies.contains(&(tag.clone(), time.clone()));
        let is_compressed = name::is_compressed(&name);
        let refused = refused(size, &source);
        let copy = OldCopy {
            path,
            words,
            size,
            time,
            dated_by,
            source,
            name,
            is_compressed,
            is_there,
            refused,
            tag,
            modified,
        };
        plan.copies.push(copy);
    }
    plan.copies
        .sort_by_cached_key(|copy| (crate::ops::words::parse_time(&copy.time), copy.words.clone()));
    Ok(plan)
}

/// Why a copy of this size and source cannot be imported.
fn refused(size: u64, source: &str) -> Option<String> {
    if size == 0 {
        return Some("it is empty".to_owned());
    }
    let words = || path_words(source.as_bytes());
    let why =
        || format!("`{}` cannot be the name of a source: choose one with `--source`", words());
    (!is_source_name(source)).then(why)
}

/// What copies of one thing have in common: their folder, and the name of their plain bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    folder: String,
    plain: String,
}

impl Group {
    fn of(folder: &str, name: &str) -> Self {
        Self { folder: folder.to_owned(), plain: name::plain(name) }
    }

    /// Where its copies are, without what they have of their own.
    fn path(&self) -> String {
        let Self { folder, plain } = self;
        if folder.is_empty() { plain.clone() } else { format!("{folder}/{plain}") }
    }

    /// Names for its source, the ones that say most last.
    fn names(&self) -> [String; 3] {
        let stem = name::stem(&self.plain);
        let below = |name: &str| match self.folder.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        [stem.clone(), below(&stem), below(&self.plain)].map(|name| name.replace('@', "-"))
    }
}

/// The snapshots that are there already.
#[derive(Debug, Default)]
struct Known {
    /// Their tags and times.
    copies: BTreeSet<(String, String)>,
    /// The sources that folders and names had.
    sources: BTreeMap<Group, String>,
}

impl Known {
    fn load(repository: &Repository, plan: &mut ImportPlan) -> Result<Self, OpError> {
        let mut known = Self::default();
        for state in [SnapshotState::Live, SnapshotState::Forgotten] {
            let mut filter = SnapshotFilter::new();
            filter.state = state;
            let list = snapshots(repository, &filter)?;
            if state == SnapshotState::Live {
                plan.findings = list.findings;
            }
            for row in list.rows {
                let Some(manifest) = row.manifest else { continue };
                let stated = manifest.predicate;
                for tag in stated.tags {
                    let Some(copy) = tag.strip_prefix(TAG) else { continue };
                    if let Some((words, _size)) = copy.rsplit_once(':') {
                        let (folder, name) = words.rsplit_once('/').unwrap_or(("", words));
                        let undated = name::undated(name, last_of(folder), i64::MAX);
                        let group = Group::of(folder, &undated.name);
                        known.sources.insert(group, stated.source.clone());
                    }
                    known.copies.insert((tag, stated.times.data.clone()));
                }
            }
        }
        Ok(known)
    }
}

/// Which source each group is: the one it was before, else the shortest name that no other has.
fn sources(
    groups: BTreeSet<Group>,
    wanted: &Wanted<'_>,
    known: &Known,
) -> Result<BTreeMap<Group, String>, OpError> {
    if let Some(source) = &wanted.source {
        // Days, weeks and months of one thing are often in folders of their own.
        if groups.iter().map(|group| &group.plain).collect::<BTreeSet<_>>().len() > 1 {
            let names: Vec<_> = groups.iter().map(|group| group.names()[2].clone()).collect();
            let why = format!(
                "`--source` is for copies of one thing, and here are several: {}; choose one with `--include`",
                names.join(", ")
            );
            return Err(OpError::Usage { why });
        }
        return Ok(groups.into_iter().map(|group| (group, source.clone())).collect());
    }
    let has =
        |name: &String, at: usize| groups.iter().filter(|group| group.names()[at] == *name).count();
    let mut sources = BTreeMap::new();
    for group in &groups {
        let names = group.names();
        let alone = (0..2).find(|at| has(&names[*at], *at) == 1).unwrap_or(2);
        let source = known.sources.get(group).unwrap_or(&names[alone]).clone();
        sources.insert(group.clone(), source);
    }
    Ok(sources)
}

/// The folder and the undated name of a file, if it is a copy that is wanted.
fn copy_of(wanted: &Wanted<'_>, below: &Path, not_after: i64) -> Option<(String, Undated)> {
    let name = below.file_name()?.to_str()?;
    let folder = below.parent()?.to_str()?;
    let top = wanted.directory.file_name().and_then(|name| name.to_str()).unwrap_or("copies");
    let in_folder = if folder.is_empty() { top } else { last_of(folder) };
    let undated = name::undated(name, in_folder, not_after);
    let is_wanted = match wanted.include {
        Some(include) => include(below),
        None => name::is_copy(&undated.name),
    };
    is_wanted.then(|| (folder.to_owned(), undated))
}

fn last_of(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

/// Regular files that are not hidden, in the order of their paths. Links are not followed: what they
/// lead to is another copy, or none.
fn files_below(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, OpError> {
    let (mut files, mut folders) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let wrong = |source| OpError::Local { call: "list", path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let metadata = std::fs::symlink_metadata(&path);
            let wrong = |source| OpError::Local { call: "find", path: path.clone(), source };
            let metadata = metadata.map_err(wrong)?;
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                files.push((path, metadata));
            }
        }
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

/// Tells files of one name and size apart: a digest of the beginning and the end, where gzip has its sum.
///
/// A file that cannot be read has none; importing it says why.
fn sample_digest(path: &Path, size: u64) -> String {
    let sample = || {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        (&file).take(SAMPLE_BYTES).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(size.saturating_sub(SAMPLE_BYTES)))?;
        (&file).take(SAMPLE_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let mut digest = ContentDigest::default();
    digest.update(&sample().unwrap_or_default());
    let digits = crate::id::to_hex(digest.finish().as_bytes());
    digits.get(..SAMPLE_DIGITS).unwrap_or_default().to_owned()
}

/// The tag by which a copy is known, beside its time: its path below the directory, its size, and a digest.
fn tag_of(words: &str, size: impl std::fmt::Display) -> String {
    let tag = format!("{TAG}{words}:{size}");
    if tag.len() <= crate::format::label::TAG_BYTES_MAX {
        return tag;
    }
    let mut digest = ContentDigest::default();
    digest.update(words.as_bytes());
    format!("{TAG}{}:{size}", crate::id::to_hex(digest.finish().as_bytes()))
}

const TAG: &str = "imported:";
/// Of a beginning, and of an end.
const SAMPLE_BYTES: u64 = 65_536;
const SAMPLE_DIGITS: usize = 16;
/// In the place of a size.
const ROTATED: &str = "rotated";
/// Clocks of hosts that write names differ.
const DAY_SECONDS: i64 = 86_400;
