//! What two dumps are compared by: digests of their pieces, without the lines that name versions.

use crate::id::Digest;
use crate::pgdump::DumpParser;
use crate::pgdump::DumpSummary;
use crate::repo::content_digest::ContentDigest;
use crate::units::to_u64;

/// Looks at a dump while it passes.
pub(crate) struct Prints {
    parser: DumpParser,
    head: Vec<u8>,
    is_head_over: bool,
    bytes: u64,
    pieces: Vec<Digest>,
    piece: ContentDigest,
    piece_bytes: usize,
}

/// What a dump was.
pub(crate) struct Printed {
    /// What it said; `None` if it was no dump.
    pub(crate) summary: Option<DumpSummary>,
    /// Bytes without the lines that name versions.
    bytes: u64,
    pieces: Vec<Digest>,
}

impl Prints {
    pub(crate) fn new(tables_max: usize) -> Self {
        Self {
            parser: DumpParser::new(tables_max),
            head: Vec::new(),
            is_head_over: false,
            bytes: 0,
            pieces: Vec::new(),
            piece: ContentDigest::default(),
            piece_bytes: 0,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.parser.update(bytes);
        if self.is_head_over {
            return self.add(bytes);
        }
        self.head.extend_from_slice(bytes);
        if self.head.len() >= HEAD_BYTES {
            self.end_head();
        }
    }

    pub(crate) fn finish(mut self) -> Printed {
        self.end_head();
        if self.piece_bytes > 0 {
            self.pieces.push(self.piece.finish());
        }
        Printed { summary: self.parser.finish(), bytes: self.bytes, pieces: self.pieces }
    }

    fn end_head(&mut self) {
        self.is_head_over = true;
        let head = std::mem::take(&mut self.head);
        let is_version = |line: &&[u8]| VERSIONS.iter().any(|begin| line.starts_with(begin));
        // A line that is cut here is not one of those, which stand at the very beginning.
        for line in head.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_version(line)) {
            self.add(line);
        }
    }

    fn add(&mut self, mut bytes: &[u8]) {
        self.bytes += to_u64(bytes.len());
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece_bytes));
            self.piece.update(now);
            self.piece_bytes += now.len();
            if self.piece_bytes == PIECE_BYTES {
                self.pieces.push(self.piece.finish());
                (self.piece, self.piece_bytes) = (ContentDigest::default(), 0);
            }
            bytes = later;
        }
    }
}

impl Printed {
    /// Where another dump first differs, in words that show nothing of either; `None` if it does not.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let pairs = self.pieces.iter().zip(&other.pieces);
        let same = pairs.take_while(|(one, other)| one == other).count();
        if same == self.pieces.len() && same == other.pieces.len() && self.bytes == other.bytes {
            return None;
        }
        let from = same * PIECE_BYTES;
        Some(format!(
            "{} bytes are stored and {} came of dumping again; they differ between byte {from} and byte {}",
            self.bytes,
            other.bytes,
            from + PIECE_BYTES
        ))
    }
}

/// The value of a line at the beginning of a dump, as the word behind `\restrict `.
pub(crate) fn head_word(head: &[u8], before: &str, after: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let value = text.lines().find_map(|line| line.strip_prefix(before)?.strip_suffix(after))?;
    Some(value.to_owned())
}

const VERSIONS: [&[u8]; 2] =
    [b"-- Dumped from database version ", b"-- Dumped by pg_dump version "];
/// The first lines of a dump.
pub(crate) const HEAD_BYTES: usize = 4096;
const PIECE_BYTES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(pieces: &[&[u8]]) -> Printed {
        let mut prints = Prints::new(10);
        for piece in pieces {
            prints.update(piece);
        }
        prints.finish()
    }

    #[test]
    fn dumps_are_the_same_but_for_versions_however_they_are_cut() {
        let (head, tail) = ("-- PostgreSQL database dump\n\n", vec![b'x'; 200_000]);
        let with =
            |version: &str| format!("{head}-- Dumped by pg_dump version {version}\n\nSET x;\n");
        let (one, other) = (with("15.1"), with("15.14"));
        let whole = prints(&[one.as_bytes(), &tail]);
        let cut =
            prints(&[&other.as_bytes()[..10], &other.as_bytes()[10..], &tail[..7], &tail[7..]]);
        assert_eq!(whole.difference(&cut), None);
        let mut changed = tail.clone();
        changed[100_000] = b'y';
        let words = whole.difference(&prints(&[one.as_bytes(), &changed])).unwrap();
        assert!(words.ends_with("between byte 65536 and byte 131072"), "{words}");
        assert!(whole.difference(&prints(&[one.as_bytes(), &tail[1..]])).is_some());
    }

    #[test]
    fn words_of_the_head_are_found() {
        let head = b"--\n\n\\restrict abc\n\nSET client_encoding = 'UTF8';\n";
        assert_eq!(head_word(head, "\\restrict ", "").as_deref(), Some("abc"));
        assert_eq!(head_word(head, "SET client_encoding = '", "';").as_deref(), Some("UTF8"));
        assert_eq!(head_word(head, "\\unrestrict ", ""), None);
    }
}
