//! What this host keeps of dumps, which makes it able to read what its key cannot.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::health::Looked;
use crate::cli::words;
use crate::ops::kept_dumps::KeptDumps;
use crate::ops::kept_dumps::kept_dumps;
use crate::ops::kept_dumps::needs_kept_dumps;
use crate::repo::repository::Repository;
use crate::settings::cache::DumpKeeping;
use crate::units::human_bytes;

/// What is kept, and whether it should be; nothing if there is nothing to say.
pub(crate) fn look(context: &Context, repository: &Repository) -> Result<Option<Looked>, Failure> {
    let what = "dumps for deltas";
    let kept = kept_dumps(repository);
    let keeping = context.dump_keeping()?.value;
    if let Some(words) = kept_words(context, kept)? {
        return Ok(Some(match keeping {
            DumpKeeping::Host if needs_kept_dumps(repository) => Looked::fine(what, words),
            DumpKeeping::Host | DumpKeeping::Off => Looked::doubtful(what, words),
        }));
    }
    let words = match keeping {
        DumpKeeping::Off => return Ok(None),
        DumpKeeping::Host if !needs_kept_dumps(repository) => {
            "`delta_cache` changes nothing for a key that reads contents, or makes no snapshots"
        }
        DumpKeeping::Host => {
            "none is kept yet; the next snapshot keeps its dumps, and makes this host able to read them"
        }
    };
    Ok(Some(Looked::fine(what, words)))
}

/// Says that this host can read dumps, if it keeps some.
pub(crate) fn kept_words(context: &Context, kept: KeptDumps) -> Result<Option<String>, Failure> {
    let KeptDumps { dumps, bytes, .. } = kept;
    if dumps == 0 {
        return Ok(None);
    }
    let dumps = words::count(dumps, "dump");
    let room = human_bytes(bytes);
    Ok(Some(match context.dump_keeping()?.value {
        DumpKeeping::Host => {
            format!(
                "this host keeps the last version of {dumps} in {room}, and can read it (`delta_cache = \"host\"`)"
            )
        }
        DumpKeeping::Off => format!(
            "this host keeps the last version of {dumps} in {room}, and can read it, though `delta_cache` is off: \
             `sbf-repo cache clean` removes it"
        ),
    }))
}
