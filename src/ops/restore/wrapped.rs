//! `restore --rewrap`: compressed files that were unwrapped are restored as they were, and neither their plain
//! bytes nor their recipes.

use crate::format::tree::Totals;
use crate::localfs::apply::Target;
use crate::localfs::apply::file::Placed;
use crate::localfs::apply::path::TargetPath;
use crate::ops::error::OpError;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::restore::Delete;
use crate::ops::restore::Filter;
use crate::ops::restore::KeepGoing;
use crate::ops::restore::ReadBack;
use crate::ops::restore::RestoreOptions;
use crate::ops::restore::RestoreReport;
use crate::ops::restore::after::meta_of;
use crate::ops::restore::guard::open_target;
use crate::ops::restore::note_not_applied;
use crate::ops::restore::open_reader;
use crate::ops::restore::restore;
use crate::ops::restore::rewrap::WrappedFile;
use crate::ops::restore::way::Stands;
use crate::ops::restore::way::Way;
use crate::ops::select::Found;
use crate::ops::select::Selected;
use crate::ops::snapshot::unwrap::RECIPE_SUFFIX;
use crate::ops::snapshot::unwrap::plain_name;
use crate::ops::words::path_words;
use crate::repo::read::ChunkReader;
use crate::repo::repository::Repository;
use crate::repo::tree::reader::Entries;
use crate::repo::tree::reader::OwnedEntry;
use crate::units::to_u64;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compressed file that is stored in two.
struct Pair {
    /// As it was called.
    name: Vec<u8>,
    plain: OwnedEntry,
    recipe: OwnedEntry,
}

/// Restores as [`restore`] does, but each plain file with a recipe beside it as the compressed file that it
/// was. `selected` is a whole snapshot or names one compressed file.
///
/// What was stored as it is comes back as it is. A file that is there already is made anew, unless it is not to
/// be touched. A compressed file gets its name only when all of it was compared with what the recipe states.
/// Errors: those of [`restore`], which comes first; [`OpError::Usage`] if the options ask for what is not done
/// with such files.
pub fn restore_rewrapped(
    repository: &Repository,
    selected: &Selected,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, OpError> {
    if options.delete != Delete::Nothing || options.read_back != ReadBack::Nothing {
        let why = "compressed files that were unwrapped can be restored as they were, and not compared with a target";
        return Err(OpError::Usage { why: why.to_owned() });
    }
    let reader = open_reader(repository)?;
    let pairs = pairs_of(&reader, selected)?;
    if pairs.is_empty() {
        return restore(repository, selected, options, progress);
    }
    let mut report = RestoreReport::default();
    if selected.path.is_empty() {
        let plain_options =
            RestoreOptions { filter: Some(others(&pairs, options)), ..options.clone() };
        report = restore(repository, selected, &plain_options, progress)?;
    }
    let target = open_target(repository, options, false)?;
    for pair in &pairs {
        let path = [b"/".as_slice(), &pair.name].concat();
        if options.filter.as_ref().is_some_and(|filter| !filter(&path, false)) {
            continue;
        }
        match put(&reader, &target, (pair, options), &mut report, progress) {
            Ok(()) => {}
            Err(error) if may_go_on(&error, &reader, options) => {
                let object = path_words(&path);
                let effect = format!("not restored: {}", chain_words(&error));
                progress.warn(&format!("{object}: {effect}"));
                report.failed_count += 1;
                report.damaged_count += 1;
                report.failed.push(Finding::loss("file.damaged", object, effect));
            }
            Err(error) => return Err(error),
        }
    }
    let before = (std::mem::take(&mut report.not_applied), report.not_applied_count);
    note_not_applied(&mut report, &target.finish()?);
    report.not_applied.extend(before.0);
    report.not_applied_count += before.1;
    Ok(report)
}

fn may_go_on(error: &OpError, reader: &ChunkReader, options: &RestoreOptions) -> bool {
    let is_damage =
        matches!(error, OpError::Repo { source, .. } if reader.repository.is_damage(source));
    is_damage && options.keep_going == KeepGoing::Continue
}

/// The compressed files that are selected; none if what is selected was stored as it is.
///
/// Errors: [`OpError::Usage`] if the plain bytes of one are selected.
fn pairs_of(reader: &ChunkReader, selected: &Selected) -> Result<Vec<Pair>, OpError> {
    let Found::Root { node, height, .. } = selected.find_path(reader, &[])? else {
        return Ok(Vec::new());
    };
    let mut files = BTreeMap::new();
    for entry in Entries::of_node(reader, node, height) {
        let entry = entry?;
        if entry.entry.node.file().is_some() {
            files.insert(entry.entry.name.clone(), entry);
        }
    }
    let names = files.keys().filter_map(|name| name.strip_suffix(RECIPE_SUFFIX.as_bytes()));
    let names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    let pairs = names.into_iter().filter_map(|name| {
        let plain = files.get(&plain_name(&name))?.clone();
        let recipe = files.get(&[&name, RECIPE_SUFFIX.as_bytes()].concat())?.clone();
        Some(Pair { name, plain, recipe })
    });
    let wanted = match selected.path.as_slice() {
        [] => return Ok(pairs.collect()),
        [wanted] => wanted,
        _ => return Ok(Vec::new()),
    };
    let is_part =
        |pair: &Pair| pair.plain.entry.name == *wanted || pair.recipe.entry.name == *wanted;
    let pairs: Vec<Pair> = pairs.collect();
    if let Some(pair) = pairs.iter().find(|pair| is_part(pair)) {
        let why = format!(
            "`{}` is a part of `{}`, which `--rewrap` gives back: name that one, or leave out `--rewrap`",
            path_words(wanted),
            path_words(&pair.name)
        );
        return Err(OpError::Usage { why });
    }
    Ok(pairs.into_iter().filter(|pair| pair.name == *wanted).collect())
}

/// Lets everything pass that is wanted and is in no pair.
fn others(pairs: &[Pair], options: &RestoreOptions) -> Filter {
    let both = |pair: &Pair| [pair.plain.entry.name.clone(), pair.recipe.entry.name.clone()];
    let names = pairs.iter().flat_map(both).map(|name| [b"/".as_slice(), &name].concat());
    let names: BTreeSet<Vec<u8>> = names.collect();
    let filter = options.filter.clone();
    Arc::new(move |path: &[u8], is_directory| {
        !names.contains(path) && filter.as_ref().is_none_or(|filter| filter(path, is_directory))
    })
}

/// Makes one file.
fn put(
    reader: &ChunkReader,
    target: &Arc<Target>,
    (pair, options): (&Pair, &RestoreOptions),
    report: &mut RestoreReport,
    progress: &dyn Progress,
) -> Result<(), OpError> {
    let Pair { name, plain, recipe } = pair;
    let (Some(plain_file), Some(recipe_file)) = (plain.entry.node.file(), recipe.entry.node.file())
    else {
        return Ok(());
    };
    let (top, counts) = (TargetPath::root(), &mut report.counts);
    let way = Way { overwrite: options.overwrite, is_dry: false, from_disk: false };
    let is_there = match way.stands(target, &top, name)? {
        Stands::Nothing => false,
        Stands::Kept => {
            counts.kept += 1;
            return Ok(());
        }
        Stands::Entry(..) => true,
    };
    progress.begin("rewrapping", 1, plain_file.size + recipe_file.size);
    let file = target.create_file(&target.make_directory(&top)?, name)?;
    let mut written = 0;
    let wrapped =
        WrappedFile { recipe_name: &recipe.entry.name, recipe: recipe_file, plain: plain_file };
    wrapped.make(reader, progress, &mut |bytes| {
        file.write_at(written, bytes)?;
        written += to_u64(bytes.len());
        Ok(())
    })?;
    match file.finish(meta_of(plain).wanted())? {
        Placed::Kept => counts.kept += 1,
        Placed::New => {
            counts.created += u64::from(!is_there);
            counts.changed += u64::from(is_there);
            counts.bytes_written += written;
            let one = Totals { files: 1, bytes: written, ..Totals::default() };
            report.totals = report.totals.plus(one);
            progress.advance(1, 0);
        }
    }
    Ok(())
}
