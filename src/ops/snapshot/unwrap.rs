//! Streams of gzip that are stored as their plain bytes, with a recipe beside them.

use crate::format::tree::is_valid_name;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::snapshot::guard::GZIP_MAGIC;
use crate::ops::snapshot::guard::compressed;
use crate::ops::snapshot::recipe::RecipeContent;
use crate::repo::content_digest::ContentDigest;
use crate::rewrap::Begun;
use crate::rewrap::Stated;
use crate::rewrap::UnwrapError;
use crate::rewrap::Unwrapper;
use crate::units::to_u64;
use std::collections::BTreeSet;
use std::io;
use std::io::Chain;
use std::io::Cursor;
use std::io::Read;
use std::path::PathBuf;

/// How an input is stored.
pub(crate) enum Unwrapping<'a> {
    /// As it is.
    AsItIs {
        /// All of it.
        input: Box<Chain<Cursor<Vec<u8>>, Tee<'a>>>,
        /// What is wrong with it.
        damage: Option<&'static str>,
    },
    /// As plain bytes and a recipe.
    Wrapped(Box<Wrapped<'a>>),
}

/// A stream of gzip that is unwrapped.
pub(crate) struct Wrapped<'a> {
    name: String,
    unwrapper: Box<Unwrapper<Tee<'a>>>,
}

/// Hashes what is read.
pub(crate) struct Tee<'a> {
    input: &'a mut dyn Read,
    digest: ContentDigest,
    length: u64,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.digest.update(&buffer[..length]);
        self.length += to_u64(length);
        Ok(length)
    }
}

/// Sees whether a stream can be unwrapped.
///
/// Errors: it cannot be read.
pub(crate) fn begin<'a>(
    name: &str,
    input: &'a mut dyn Read,
    progress: &dyn Progress,
) -> Result<Unwrapping<'a>, OpError> {
    let tee = Tee { input, digest: ContentDigest::default(), length: 0 };
    match Unwrapper::begin(tee).map_err(|error| failure(name, error))? {
        Begun::Wrapped(unwrapper) => {
            Ok(Unwrapping::Wrapped(Box::new(Wrapped { name: name.to_owned(), unwrapper })))
        }
        Begun::AsItIs { kept, input, damage } => {
            let is_gzip = kept.starts_with(GZIP_MAGIC);
            let why = if is_gzip { UNKNOWN_ENCODER } else { "it is no stream of gzip" };
            // What else is compressed is told with what can be done about it.
            if is_gzip || compressed(&kept).is_none() {
                progress.warn(&format!("{name} is not unwrapped but stored as it is: {why}"));
            }
            Ok(Unwrapping::AsItIs { input: Box::new(Cursor::new(kept).chain(input)), damage })
        }
    }
}

impl Wrapped<'_> {
    /// Fills a buffer with plain bytes, less only at the end; adds to the recipe what they gave.
    pub(crate) fn fill(
        &mut self,
        buffer: &mut [u8],
        recipe: &mut RecipeContent<'_>,
    ) -> Result<usize, OpError> {
        let mut done = 0;
        while done < buffer.len() {
            let read = self.unwrapper.read(&mut buffer[done..]);
            let length = read.map_err(|error| failure(&self.name, error))?;
            recipe.take(self.unwrapper.recipe())?;
            if length == 0 {
                break;
            }
            done += length;
        }
        Ok(done)
    }

    /// Ends, once every plain byte was read. Returns what is wrong with the stream.
    pub(crate) fn finish(
        mut self,
        plain_length: u64,
        recipe: &mut RecipeContent<'_>,
    ) -> Result<Option<&'static str>, OpError> {
        recipe.take(self.unwrapper.recipe())?;
        let damage = self.unwrapper.damage();
        let Tee { input: _, digest, length } = self.unwrapper.into_input();
        let digest = *digest.finish().as_bytes();
        recipe.take(&mut Stated { length, digest, plain_length }.part())?;
        Ok(damage)
    }
}

/// The names of the plain bytes and of the recipe of a compressed stream.
pub(crate) fn names(name: &str) -> (String, String) {
    let plain = plain_name(name.as_bytes());
    if plain == name.as_bytes() {
        return (name.to_owned(), format!("{name}.gz{RECIPE_SUFFIX}"));
    }
    (String::from_utf8_lossy(&plain).into_owned(), format!("{name}{RECIPE_SUFFIX}"))
}

/// The name of the plain bytes of a file that was compressed.
pub(crate) fn plain_name(name: &[u8]) -> Vec<u8> {
    for (suffix, plain) in [(b".gz", "".as_bytes()), (b"tgz", b"tar")] {
        if let Some(stem) = name.strip_suffix(suffix)
            && !stem.is_empty()
            && (plain.is_empty() || stem.ends_with(b"."))
        {
            return [stem, plain].concat();
        }
    }
    name.to_vec()
}

/// Refuses streams of one name, and names that are too long with what a recipe adds.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), OpError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_valid_name(name.as_bytes()) {
            return Err(OpError::Usage {
                why: format!("`{name}` is too long for the name of a file"),
            });
        }
        if !seen.insert(name) {
            let why = format!("two streams have the name `{name}` when they are unwrapped");
            return Err(OpError::Usage { why });
        }
    }
    Ok(())
}

fn failure(name: &str, error: UnwrapError) -> OpError {
    match error {
        UnwrapError::Read(source) => {
            OpError::Local { call: "read", path: PathBuf::from(name), source }
        }
        UnwrapError::Unlike => OpError::NotUnwrapped { name: name.to_owned() },
    }
}

/// What the name of a recipe ends with.
pub(crate) const RECIPE_SUFFIX: &str = ".recipe";
const UNKNOWN_ENCODER: &str = "no encoder that is known wrote it, and its recipe would be long";
