//! Bounded zstd: contexts that are reused, outputs whose length is known before.

use zstd_safe::CCtx;
use zstd_safe::CParameter;
use zstd_safe::DCtx;
use zstd_safe::ResetDirective;

/// A frame cannot be decoded, or its plaintext has not the length that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zstd frame does not decode to {expected_bytes} bytes")]
pub struct DecompressError {
    /// The length that was asked for.
    pub expected_bytes: usize,
}

/// Compresses with one level; keeps its tables between calls.
pub(crate) struct Compressor {
    context: CCtx<'static>,
    level: i32,
}

impl Compressor {
    /// A compressor for this level of zstd.
    pub(crate) fn new(level: i32) -> Self {
        Self { context: CCtx::create(), level }
    }

    /// Writes the frame of `plaintext` to `output`, which is cleared first; returns whether it is
    /// shorter than the plaintext. If it is not, `output` is left empty.
    pub(crate) fn compress(&mut self, plaintext: &[u8], output: &mut Vec<u8>) -> bool {
        let done = set_up(&mut self.context, self.level, plaintext.len()).is_ok()
            && write_frame(&mut self.context, plaintext, output);
        keep_if_shorter(done, plaintext, output)
    }
}

/// Compresses after prefixes; keeps its tables between calls, and borrows every prefix for as long.
pub(crate) struct DeltaCompressor<'a> {
    context: CCtx<'a>,
    level: i32,
}

impl<'a> DeltaCompressor<'a> {
    /// Compresses like this one.
    pub(crate) fn like(compressor: &Compressor) -> Self {
        Self { context: CCtx::create(), level: compressor.level }
    }

    /// As [`Compressor::compress`], with `prefix` as bytes that stood before the plaintext.
    pub(crate) fn compress(
        &mut self,
        prefix: &'a [u8],
        plaintext: &[u8],
        output: &mut Vec<u8>,
    ) -> bool {
        let bytes = prefix.len().saturating_add(plaintext.len());
        let done = set_up_delta(&mut self.context, self.level, bytes).is_ok()
            && self.context.ref_prefix(prefix).is_ok()
            && write_frame(&mut self.context, plaintext, output);
        keep_if_shorter(done, plaintext, output)
    }
}

/// Decodes frames; keeps its tables between calls.
pub(crate) struct Decompressor {
    context: DCtx<'static>,
}

impl Decompressor {
    /// A decompressor.
    pub(crate) fn new() -> Self {
        Self { context: DCtx::create() }
    }

    /// Decodes one frame of exactly `length` bytes into `output`, which is cleared first.
    ///
    /// Allocates `length` bytes, whatever the frame says of itself.
    pub(crate) fn decompress(
        &mut self,
        frame: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        output.clear();
        output.reserve_exact(length);
        let decoded = self.context.decompress(output, frame);
        finish(decoded, length, output)
    }

    /// As [`Self::decompress`], with `prefix` as bytes that stood before the plaintext.
    #[expect(clippy::unused_self, reason = "the prefix needs a context of its own")]
    pub(crate) fn decompress_after(
        &mut self,
        prefix: &[u8],
        frame: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        output.clear();
        output.reserve_exact(length);
        let mut context = DCtx::create();
        context.ref_prefix(prefix).map_err(|_code| DecompressError { expected_bytes: length })?;
        let decoded = context.decompress(output, frame);
        finish(decoded, length, output)
    }
}

fn set_up(context: &mut CCtx<'_>, level: i32, plaintext_bytes: usize) -> Result<(), usize> {
    context.reset(ResetDirective::SessionAndParameters)?;
    let level = level_for(level, plaintext_bytes);
    context.set_parameter(CParameter::CompressionLevel(level))?;
    // The length is authenticated elsewhere, and a checksum would only repeat the cipher's tag.
    context.set_parameter(CParameter::ContentSizeFlag(false))?;
    context.set_parameter(CParameter::ChecksumFlag(false))?;
    if plaintext_bytes <= LONG_BYTES_MIN {
        return Ok(());
    }
    // Low levels would forget the beginning of a long block, and the lowest overwrite most of
    // their small tables before they use them. A reader decodes into one buffer of the whole
    // block, so that a longer window costs it nothing.
    let log = plaintext_bytes.next_power_of_two().ilog2();
    context.set_parameter(CParameter::WindowLog(log.min(WINDOW_LOG_MAX)))?;
    if FAST_LEVELS.contains(&level) {
        context.set_parameter(CParameter::HashLog(FAST_HASH_LOG))?;
    }
    Ok(())
}

/// Levels below the least one hardly find what repeats the prefix, and their tables would lose most
/// of it.
fn set_up_delta(context: &mut CCtx<'_>, level: i32, bytes: usize) -> Result<(), usize> {
    set_up(context, level.max(DELTA_LEVEL_MIN), 0)?;
    let log = bytes.next_power_of_two().ilog2().clamp(DELTA_TABLE_LOG_MIN, WINDOW_LOG_MAX);
    context.set_parameter(CParameter::WindowLog(log))?;
    context.set_parameter(CParameter::HashLog(log.min(DELTA_TABLE_LOG_MAX)))?;
    context.set_parameter(CParameter::ChainLog(log.min(DELTA_TABLE_LOG_MAX)))?;
    Ok(())
}

/// Blocks are this long only where content compresses very well, and then a better level costs
/// little time.
const fn level_for(level: i32, plaintext_bytes: usize) -> i32 {
    if plaintext_bytes > GROWN_BYTES_MIN && level == 2 { 3 } else { level }
}

fn write_frame(context: &mut CCtx<'_>, plaintext: &[u8], output: &mut Vec<u8>) -> bool {
    output.clear();
    // A frame that is not shorter is of no use, so there is no room for one.
    output.reserve(plaintext.len());
    context.compress2(output, plaintext).is_ok()
}

fn keep_if_shorter(done: bool, plaintext: &[u8], output: &mut Vec<u8>) -> bool {
    let shorter = done && output.len() < plaintext.len();
    if !shorter {
        output.clear();
    }
    shorter
}

fn finish(
    decoded: Result<usize, usize>,
    length: usize,
    output: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    if decoded == Ok(length) && output.len() == length {
        return Ok(());
    }
    output.clear();
    Err(DecompressError { expected_bytes: length })
}

/// Longer blocks get parameters of their own.
const LONG_BYTES_MIN: usize = 524_288;
const GROWN_BYTES_MIN: usize = 4 * 1_048_576;
/// What every decoder takes: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;
const DELTA_LEVEL_MIN: i32 = 3;
const DELTA_TABLE_LOG_MIN: u32 = 16;
const DELTA_TABLE_LOG_MAX: u32 = 19;
/// The levels of zstd that look up one place in one table.
const FAST_LEVELS: std::ops::RangeInclusive<i32> = 1..=2;
/// Measured on blocks of 2 MiB: `benches/README.md`.
const FAST_HASH_LOG: u32 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_round_with_and_without_prefix() {
        // Bytes that do not compress by themselves: a frame after them must refer to them.
        let prefix: Vec<u8> =
            (0..3000_u32).map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes()[3]).collect();
        let plaintext = [&prefix[..], &prefix, b"and an end"].concat();
        let mut compressor = Compressor::new(3);
        let mut decompressor = Decompressor::new();
        let (mut frame, mut back) = (Vec::new(), Vec::new());
        assert!(compressor.compress(&plaintext, &mut frame));
        decompressor.decompress(&frame, plaintext.len(), &mut back).unwrap();
        assert_eq!(back, plaintext);
        let mut deltas = DeltaCompressor::like(&compressor);
        assert!(deltas.compress(&prefix, &plaintext, &mut frame));
        let once = frame.clone();
        // The tables know the prefix of the frame before, which no later one may refer to.
        assert!(deltas.compress(&plaintext[..5000], &plaintext, &mut frame));
        assert!(deltas.compress(&prefix, &plaintext, &mut frame));
        assert_eq!(frame, once);
        decompressor.decompress_after(&prefix, &frame, plaintext.len(), &mut back).unwrap();
        assert_eq!(back, plaintext);
        assert!(decompressor.decompress(&frame, plaintext.len(), &mut back).is_err());
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let mut frame = Vec::new();
        assert!(Compressor::new(3).compress(&vec![0; 100_000], &mut frame));
        let mut back = Vec::new();
        assert!(Decompressor::new().decompress(&frame, 50_000, &mut back).is_err());
        assert!(Decompressor::new().decompress(&frame, 200_000, &mut back).is_err());
        assert!(back.is_empty());
    }
}
