//! Vector files: header lines, an empty line, the body in hexadecimal.
//! Form: format-spec/vectors/README.md.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use sbf_repo::id::from_hex;
use std::fs;
use std::path::PathBuf;

/// One vector.
pub(crate) struct Vector {
    /// The file below `format-spec/vectors/`.
    pub(crate) path: String,
    /// The bytes, repeated if a header says so.
    pub(crate) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// Every vector, in the order of their paths.
pub(crate) fn all_vectors() -> impl Iterator<Item = Vector> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(FOLDER)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "vec") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "there are no vectors in {FOLDER}");
    files.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(FOLDER).unwrap().to_str().unwrap().to_owned();
        Vector::parse(path, &text)
    })
}

impl Vector {
    fn parse(path: String, text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let headers: Vec<(String, String)> = head
            .lines()
            .map(|line| {
                let (name, value) =
                    line.split_once(':').unwrap_or_else(|| panic!("{path}: {line}"));
                (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
            })
            .collect();
        let names: Vec<&str> = headers.iter().map(|(name, _value)| name.as_str()).collect();
        assert_eq!((names.first(), names.last()), (Some(&"expect"), Some(&"note")), "{path}");
        for name in names.iter().filter(|name| !REPEATED.contains(name)) {
            let count = names.iter().filter(|other| other == &name).count();
            assert_eq!(count, 1, "{path}: the header `{name}`");
        }
        let mut vector = Self { path, body: Self::bytes_of(&body.replace('\n', "")), headers };
        if vector.find("repeat").is_some() {
            vector.body = vector.body.repeat(vector.number("repeat").try_into().unwrap());
        }
        vector
    }

    /// The bytes that hexadecimal digits stand for.
    pub(crate) fn bytes_of(digits: &str) -> Vec<u8> {
        let mut bytes = vec![0; digits.len() / 2];
        from_hex(digits, &mut bytes).unwrap();
        bytes
    }

    /// The value of a header, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a header that may stand several times.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        let headers = self.headers.iter().filter(move |(other, _value)| *other == name);
        headers.map(|(_name, value)| value.as_str())
    }

    /// The value of a header.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("{}: no header `{name}`", self.path))
    }

    /// The value of a header as a number, decimal or hexadecimal.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let text = self.text(name);
        let number = text
            .strip_prefix("0x")
            .map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
        number.unwrap_or_else(|_source| panic!("{}: `{name}` is no number", self.path))
    }

    /// The value of a header as bytes.
    pub(crate) fn hex(&self, name: &str) -> Vec<u8> {
        Self::bytes_of(self.text(name))
    }

    /// The value of a header as bytes, if there is one.
    pub(crate) fn find_hex(&self, name: &str) -> Option<Vec<u8>> {
        self.find(name).map(Self::bytes_of)
    }

    /// The values of a header that may stand several times, as bytes.
    pub(crate) fn all_hex(&self, name: &str) -> Vec<Vec<u8>> {
        self.all(name).map(Self::bytes_of).collect()
    }

    /// The value of a header as exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.hex(name).try_into().unwrap_or_else(|_bytes| panic!("{}: `{name}`", self.path))
    }

    /// The value of a header as a key.
    pub(crate) fn key(&self, name: &str) -> [u8; 32] {
        self.array(name)
    }

    /// The value of a header as a key, if there is one.
    pub(crate) fn find_key(&self, name: &str) -> Option<[u8; 32]> {
        self.find(name).map(|_value| self.key(name))
    }

    /// The headers besides those of every vector: the inputs of its case.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &str> {
        let names = self.headers.iter().map(|(name, _value)| name.as_str());
        names.filter(|name| !COMMON.contains(name))
    }
}

const FOLDER: &str = "format-spec/vectors";
const COMMON: &[&str] = &["expect", "rule", "input", "note", "plaintext-sha256", "repeat"];
const REPEATED: &[&str] = &["base", "pack"];
