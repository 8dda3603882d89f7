//! Recipes as functions of bytes alone: the vectors, the tests and the fuzz targets share them.
//! Invariant: how bytes arrive does not matter, and what was unwrapped comes back.

use crate::crypto::hash::blake3;
use crate::format::FormatError;
use crate::rewrap::Begun;
use crate::rewrap::Needs;
use crate::rewrap::Rewrapper;
use crate::rewrap::Stated;
use crate::rewrap::Unwrapper;
use crate::testing::opened::Refusal;
use crate::units::to_u64;
use std::io::Read as _;

/// Makes a compressed file again from its recipe and the plain bytes.
pub fn rewrap(recipe: &[u8], plain: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (out, stated) = rewrap_in_pieces(recipe, plain, usize::MAX)?;
    if stated.length != to_u64(out.len()) || blake3(&out) != stated.digest {
        return Err(Refusal::Auth);
    }
    Ok(out)
}

/// Takes bytes for a recipe and for the plain bytes, which their first one divides.
///
/// # Panics
///
/// If it matters how they arrive, or if much more comes out than such bytes can give.
pub fn fuzz_rewrap(bytes: &[u8]) {
    let Some((share, rest)) = bytes.split_first() else { return };
    let (plain, recipe) = rest.split_at(rest.len() * usize::from(*share) / 255);
    // What has no magic is soon refused.
    let recipe = [crate::rewrap::RECIPE_MAGIC.as_slice(), recipe].concat();
    let whole = rewrap_in_pieces(&recipe, plain, usize::MAX);
    assert_eq!(rewrap_in_pieces(&recipe, plain, 1 + plain.len() / 3), whole, "in pieces");
    if let Ok((out, _stated)) = whole {
        // No symbol takes more than six bytes with what follows it, and a block a few beside them.
        assert!(out.len() <= 6 * plain.len() + 8 * recipe.len(), "{} bytes", out.len());
    }
}

/// Takes bytes for a stream that is to be unwrapped; with the header of gzip, which they need not have.
///
/// # Panics
///
/// If it does not come back.
pub fn fuzz_unwrap(bytes: &[u8]) {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for file in [bytes.to_vec(), [header.as_slice(), bytes].concat()] {
        let Ok(begun) = Unwrapper::begin(&file[..]) else { unreachable!("a slice can be read") };
        match begun {
            Begun::AsItIs { mut kept, mut input, damage: _ } => {
                let read = input.read_to_end(&mut kept);
                assert!(
                    read.is_ok() && kept == file,
                    "a stream that is not unwrapped stays as it is"
                );
            }
            Begun::Wrapped(unwrapper) => comes_back(*unwrapper, &file),
        }
    }
}

fn comes_back(mut unwrapper: Unwrapper<&[u8]>, file: &[u8]) {
    let (mut plain, mut recipe, mut buffer) = (Vec::new(), Vec::new(), [0; 1000]);
    loop {
        let Ok(length) = unwrapper.read(&mut buffer) else {
            unreachable!("what was made is unlike")
        };
        recipe.append(unwrapper.recipe());
        if length == 0 {
            break;
        }
        plain.extend_from_slice(&buffer[..length]);
    }
    let (length, plain_length) = (to_u64(file.len()), to_u64(plain.len()));
    recipe.extend(Stated { length, digest: blake3(file), plain_length }.part());
    let made = rewrap(&recipe, &plain);
    assert!(made.is_ok_and(|made| made == file), "the file does not come back");
}

fn rewrap_in_pieces(
    recipe: &[u8],
    plain: &[u8],
    step: usize,
) -> Result<(Vec<u8>, Stated), FormatError> {
    let (mut plain, mut recipe) = (plain.chunks(step), recipe.chunks(step));
    let (mut out, mut rewrapper) = (Vec::new(), Rewrapper::default());
    loop {
        let mut made = Vec::new();
        let needs = rewrapper.make(&mut made)?;
        out.append(&mut made);
        let is_given = match needs {
            None => true,
            Some(Needs::Recipe) => {
                recipe.next().map(|bytes| rewrapper.take_recipe(bytes)).is_some()
            }
            Some(Needs::Plain) => plain.next().map(|bytes| rewrapper.take_plain(bytes)).is_some(),
            Some(Needs::Nothing) => false,
        };
        if !is_given {
            break;
        }
    }
    plain.for_each(|bytes| rewrapper.take_plain(bytes));
    recipe.for_each(|bytes| rewrapper.take_recipe(bytes));
    Ok((out, rewrapper.finish()?))
}
