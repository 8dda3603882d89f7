//! Where the bytes of an archive go: as they are, or compressed.

use std::io;
use std::io::Write;

/// An output that is compressed or not.
pub(crate) enum Stream<'o> {
    /// As it is.
    Plain(&'o mut dyn Write),
    /// One frame of zstd.
    Zstd(Box<zstd::stream::write::Encoder<'static, &'o mut dyn Write>>),
}

impl<'o> Stream<'o> {
    /// Bytes go out as they are.
    pub(crate) fn plain(output: &'o mut dyn Write) -> Self {
        Self::Plain(output)
    }

    /// Bytes are compressed.
    pub(crate) fn zstd(output: &'o mut dyn Write) -> io::Result<Self> {
        let mut encoder = zstd::stream::write::Encoder::new(output, ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self::Zstd(Box::new(encoder)))
    }

    /// Ends the stream, which is whole.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

const ZSTD_LEVEL: i32 = 3;
