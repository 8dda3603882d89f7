//! What comments and statements of a dump mean.

use crate::pgdump::rows::RowSum;
use std::collections::BTreeMap;
use std::collections::HashMap;

/// What a dump said of itself and held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DumpSummary {
    /// Whether it is one of a whole server, as `pg_dumpall` makes it.
    pub(crate) is_cluster: bool,
    /// Whether it ended as a whole one does.
    pub(crate) is_complete: bool,
    /// The server's version, as the dump says.
    pub(crate) server: String,
    /// The dumping program's.
    pub(crate) program: String,
    /// The tables whose rows were counted, in the order of the dump.
    pub(crate) tables: Vec<TableSum>,
    /// How many there were, also those that are not listed.
    pub(crate) tables_count: u64,
    /// Sums over all of them.
    pub(crate) all: RowSum,
    /// `INSERT` statements, whose rows are not counted.
    pub(crate) inserts: u64,
    /// How many objects of each kind the dump makes.
    pub(crate) objects: BTreeMap<String, u64>,
}

/// A table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSum {
    /// The database, if the dump changed it.
    pub(crate) database: Option<String>,
    /// Schema and name, quoted where SQL needs it.
    pub(crate) name: String,
    pub(crate) rows: RowSum,
}

/// Gathers a summary.
#[derive(Debug)]
pub(crate) struct Statements {
    summary: DumpSummary,
    places: HashMap<(Option<String>, String), usize>,
    names_bytes: usize,
    tables_max: usize,
    database: Option<String>,
    /// The key that `\restrict` gave and no `\unrestrict` took back.
    restricted: Option<Vec<u8>>,
    /// Whether plain strings have escapes.
    pub(crate) has_escapes: bool,
}

/// What follows a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Sql,
    /// The data of this table.
    Copy(String),
}

impl Statements {
    /// Lists at most so many tables.
    pub(crate) fn new(tables_max: usize) -> Self {
        Self {
            summary: DumpSummary::default(),
            places: HashMap::new(),
            names_bytes: 0,
            tables_max,
            database: None,
            restricted: None,
            has_escapes: false,
        }
    }

    pub(crate) fn finish(self) -> DumpSummary {
        let Self { mut summary, restricted, .. } = self;
        summary.is_complete &= restricted.is_none();
        summary
    }

    /// Nothing but the end may follow a dump's last comment.
    pub(crate) fn more_follows(&mut self) {
        self.summary.is_complete = false;
    }

    /// A comment between statements, without its dashes.
    pub(crate) fn comment(&mut self, text: &[u8]) {
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        let summary = &mut self.summary;
        summary.is_complete = match text {
            b"PostgreSQL database cluster dump" => {
                summary.is_cluster = true;
                false
            }
            b"PostgreSQL database dump complete" => !summary.is_cluster,
            b"PostgreSQL database cluster dump complete" => summary.is_cluster,
            _ => false,
        };
        let word = |prefix: &[u8]| {
            let value = text.strip_prefix(prefix)?;
            Some(String::from_utf8_lossy(&value[..value.len().min(VERSION_BYTES_MAX)]).into_owned())
        };
        if let Some(version) = word(b"Dumped from database version ") {
            summary.server = version;
        } else if let Some(version) = word(b"Dumped by pg_dump version ") {
            summary.program = version;
        } else if text.starts_with(b"Name: ") {
            self.object(text);
        }
    }

    fn object(&mut self, text: &[u8]) {
        let mark = b"; Type: ";
        // From behind: the name stands before it, and may hold anything but a line feed.
        let Some(at) = memchr::memmem::rfind(text, mark) else { return };
        let kind = text[at + mark.len()..].split(|byte| *byte == b';').next().unwrap_or_default();
        let is_kind = |byte: &u8| byte.is_ascii_uppercase() || *byte == b' ';
        if kind.is_empty() || kind.len() > KIND_BYTES_MAX || !kind.iter().all(is_kind) {
            return;
        }
        let kind = String::from_utf8_lossy(kind).into_owned();
        let objects = &mut self.summary.objects;
        if objects.len() < KINDS_COUNT_MAX || objects.contains_key(&kind) {
            let count = objects.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A line that begins with a backslash, without it.
    pub(crate) fn meta(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if let Some(key) = line.strip_prefix(b"restrict ") {
            self.restricted = Some(key.to_vec());
        } else if let Some(key) = line.strip_prefix(b"unrestrict ") {
            if self.restricted.as_deref() == Some(key) {
                self.restricted = None;
            }
            return;
        } else if let Some(arguments) = line.strip_prefix(b"connect ") {
            self.database = Some(database_of(&String::from_utf8_lossy(arguments)));
        }
        self.more_follows();
    }

    /// A statement without its semicolon.
    pub(crate) fn statement(&mut self, text: &[u8]) -> Next {
        self.more_follows();
        if text.starts_with(b"INSERT INTO ") {
            self.summary.inserts = self.summary.inserts.saturating_add(1);
        } else if let Some(value) = text.strip_prefix(b"SET standard_conforming_strings = ") {
            self.has_escapes = value == b"off";
        } else if let Some(rest) = text.strip_prefix(b"COPY ")
            && text.ends_with(b" FROM stdin")
        {
            let name = &rest[..name_length(rest)];
            return Next::Copy(String::from_utf8_lossy(name).into_owned());
        }
        Next::Sql
    }

    /// The data of a table.
    pub(crate) fn rows(&mut self, name: String, rows: &RowSum) {
        self.summary.all.add(rows);
        let key = (self.database.clone(), name);
        if let Some(table) = self.places.get(&key).and_then(|at| self.summary.tables.get_mut(*at)) {
            table.rows.add(rows);
            return;
        }
        self.summary.tables_count = self.summary.tables_count.saturating_add(1);
        let length = key.1.len() + key.0.as_ref().map_or(0, String::len);
        let fits = self.summary.tables.len() < self.tables_max
            && self.names_bytes + length <= self.tables_max * NAME_BYTES_MEAN;
        if fits {
            self.names_bytes += length;
            let (database, name) = key.clone();
            self.places.insert(key, self.summary.tables.len());
            self.summary.tables.push(TableSum { database, name, rows: *rows });
        }
    }
}

/// Where a name ends at the front of the text: at a space that is not in quotes.
fn name_length(text: &[u8]) -> usize {
    let mut quoted = false;
    let is_end = |byte: &u8| {
        quoted ^= *byte == b'"';
        !quoted && *byte == b' '
    };
    text.iter().position(is_end).unwrap_or(text.len())
}

/// The database of `\connect`, whose argument is a name or holds `dbname='…'`.
fn database_of(arguments: &str) -> String {
    let name = match arguments.split_once("dbname='") {
        Some((_, rest)) => rest.split('\'').next().unwrap_or_default(),
        None => arguments.trim(),
    };
    name.chars().take(DATABASE_CHARS_MAX).collect()
}

const VERSION_BYTES_MAX: usize = 128;
const KIND_BYTES_MAX: usize = 48;
/// More kinds than `PostgreSQL` has.
const KINDS_COUNT_MAX: usize = 64;
/// Names of tables that are longer on average than this are not all listed.
const NAME_BYTES_MEAN: usize = 100;
const DATABASE_CHARS_MAX: usize = 128;
