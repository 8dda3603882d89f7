//! `init`: makes a repository and keeps its key.

use crate::cli::commands::doctor::tell_probe;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::secrets;
use crate::cli::secrets::SecretSource;
use crate::format::keyslot::PASSPHRASE_MEMORY_KIB_MAX;
use crate::format::keyslot::PASSPHRASE_MEMORY_KIB_MIN;
use crate::format::keyslot::PassphraseCost;
use crate::format::parity::PARITY_PER_MILLE_MAX;
use crate::ops::init::FirstSecret;
use crate::ops::init::init;
use crate::ops::init::init_apart;
use crate::repo::first::InitOptions;
use crate::settings::quantities;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Create a repository
///
/// With `--key-file`, the file is created and opens the repository; without, a passphrase does.
/// Whoever loses the key loses the data: there is no other way in. With `--authority-file`, the key
/// that certifies all others is in that file alone.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Words that `key list` shows for the first key
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// Level of compression by zstd, from 1 to 19 [default: 2]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=19))]
    compression_level: Option<i32>,
    /// Average length of a chunk of files in KiB, a power of two from 4 to 2048 [default: 64]
    #[arg(long, value_name = "KIB", value_parser = chunk_average)]
    chunk_average: Option<u32>,
    /// Average length of a chunk of streams in KiB, a power of two from 4 to 2048 [default: 32]
    #[arg(long, value_name = "KIB", value_parser = chunk_average)]
    stream_chunk_average: Option<u32>,
    /// Store so much more with every pack that damage of up to this share of it can be undone, as `3%`; for disks, since clouds do
    /// that themselves
    #[arg(long, value_name = "PERCENT", value_parser = parity_per_mille)]
    parity: Option<u16>,
    #[command(flatten)]
    cost: CostArguments,
}

/// What guessing a passphrase costs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CostArguments {
    /// Memory that trying a passphrase takes, in KiB
    #[arg(
        long,
        value_name = "KIB",
        default_value_t = MEMORY_KIB,
        value_parser = clap::value_parser!(u32).range(MEMORY_RANGE.0..=MEMORY_RANGE.1),
    )]
    argon2_memory: u32,
}

impl CostArguments {
    /// The cost in the words of the format.
    pub(crate) const fn cost(self) -> PassphraseCost {
        PassphraseCost { memory_kib: self.argon2_memory, passes: PASSES, lanes: LANES }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &InitArguments) -> Result<Exit, Failure> {
    let options = context.open_options()?;
    let mut new = InitOptions::new();
    new.label.clone_from(&arguments.label);
    new.compression_level = arguments.compression_level.unwrap_or(new.compression_level);
    new.chunk_average_bytes = arguments.chunk_average.unwrap_or(new.chunk_average_bytes);
    let stream_average = arguments.stream_chunk_average;
    new.stream_chunk_average_bytes = stream_average.unwrap_or(new.stream_chunk_average_bytes);
    new.parity_per_mille = arguments.parity.unwrap_or(new.parity_per_mille);
    let source = context.secret()?;
    let (secret, file) = new_secret(&source, arguments.cost)?;
    let mut keep = |key: &_| match &file {
        Some(path) => secrets::keep_key_file(path, key),
        None => Ok(()),
    };
    let authority = context.authority_file();
    let report = match &authority {
        Some(path) => {
            secrets::check_key_file_absent(path)?;
            let mut keep_authority = |key: &_| secrets::keep_authority_file(path, key);
            init_apart(&options, new, &secret, &mut keep, &mut keep_authority)?
        }
        None => init(&options, new, &secret, &mut keep)?,
    };
    context.audit.made(&context.global, &report.opened);
    let place = options.location.to_string();
    context.output.note(format_args!(
        "created repository {} in {place}, opened by key slot {}",
        report.repository,
        report.slot.short()
    ));
    if !report.probe.has_registers() {
        tell_probe(context, &report.probe);
    }
    let key = file.as_ref().map_or_else(
        || "the passphrase".to_owned(),
        |file| format!("the key file {}", file.display()),
    );
    context.output.note(format_args!(
        "Keep {key} safe, and a copy of it elsewhere. Without it nobody can read the backups: \
         whoever loses the key loses the data."
    ));
    if let Some(path) = &authority {
        context.output.note(format_args!(
            "The authority key is in {} alone. Keep it offline: without it, no key can be added or removed.",
            path.display()
        ));
    }
    let words = json!({
        "authority_file": authority,
        "repository": report.repository.to_string(),
        "slot": report.slot.to_string(),
        "location": place,
        "key_file": file,
        "probe": report.probe,
    });
    Ok(context.output.finish(&words, Exit::Success))
}

/// What opens a new slot, and where its key file goes.
pub(crate) fn new_secret(
    source: &SecretSource,
    cost: CostArguments,
) -> Result<(FirstSecret, Option<PathBuf>), Failure> {
    if let SecretSource::KeyFile(path) = source {
        secrets::check_key_file_absent(path)?;
        return Ok((FirstSecret::KeyFile, Some(path.clone())));
    }
    let passphrase = secrets::new_passphrase(source)?;
    Ok((FirstSecret::Passphrase(passphrase, cost.cost()), None))
}

fn chunk_average(text: &str) -> Result<u32, String> {
    let kib: u32 = text.parse().map_err(|_error| "not a number".to_owned())?;
    if (4..=2048).contains(&kib) && kib.is_power_of_two() {
        return Ok(kib * 1024);
    }
    Err("not a power of two from 4 to 2048".to_owned())
}

const MEMORY_KIB: u32 = 262_144;
#[expect(clippy::as_conversions, reason = "clap wants a constant range of i64")]
const MEMORY_RANGE: (i64, i64) =
    (PASSPHRASE_MEMORY_KIB_MIN as i64, PASSPHRASE_MEMORY_KIB_MAX as i64);
const PASSES: u32 = 3;
const LANES: u32 = 4;

fn parity_per_mille(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is not a share from 0.1% to 50%");
    let hundredths = quantities::hundredths(text.strip_suffix('%').unwrap_or(text))?;
    let parts = u16::try_from(hundredths.div_ceil(10)).map_err(|_source| wrong())?;
    if (1..=PARITY_PER_MILLE_MAX).contains(&parts) { Ok(parts) } else { Err(wrong()) }
}
