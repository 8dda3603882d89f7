//! What manifests state of streams and of the dumps of databases in them. Spec: format-spec/08-manifest.md,
//! "Streams and dumps".

use crate::format::manifest::SourceCommand;
use crate::id::Digest;
use serde::Deserialize;
use serde::Serialize;

/// A stream of a snapshot, which is a file at its top; a directory if its dump has that form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedStream {
    /// Its name in the snapshot.
    pub name: String,
    /// The command that gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<SourceCommand>,
    /// What it is, if it is a dump that was understood.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dump: Option<StatedDump>,
}

/// The fingerprint of a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedDump {
    /// How it was written.
    pub form: DumpForm,
    /// Version of the server, as the dump says.
    pub server: String,
    /// Version of the program that wrote it, as the dump says.
    pub program: String,
    /// Tables whose rows were counted, in the order of the dump; at most [`TABLES_COUNT_MAX`] of all streams.
    pub tables: Vec<StatedTable>,
    /// How many tables had rows that were counted, also those that are not listed.
    pub tables_count: u64,
    /// Rows of all of them.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Rows that stand in `INSERT` statements: they are not counted, only the statements are.
    pub inserts: u64,
    /// How many objects of each kind, sorted by kind.
    pub objects: Vec<ObjectCount>,
}

/// How a dump was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DumpForm {
    /// SQL of one database of `PostgreSQL`.
    PostgresqlPlain,
    /// SQL of a server of `PostgreSQL`, as `pg_dumpall` writes it.
    PostgresqlCluster,
    /// A directory of one database of `PostgreSQL`: a file for each table's rows.
    PostgresqlDirectory,
}

/// A table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedTable {
    /// The database, if the dump is of several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub database: Option<String>,
    /// Schema and name, in quotes where SQL needs them.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keyed digest over the sum of the rows' hashes, hexadecimal.
    pub digest: String,
}

/// How many objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectCount {
    /// `TABLE`, `INDEX`, `FUNCTION` and so on, as the dump names it.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// The dump of this name among those of another snapshot, or that of the same database in the other form.
pub(crate) fn same_database<'a>(
    streams: &'a [StatedStream],
    name: &str,
    form: DumpForm,
) -> Option<&'a StatedDump> {
    let dump = |name: &str| streams.iter().find(|stream| stream.name == name)?.dump.as_ref();
    let in_form = |name: &str, form| dump(name).filter(|dump| dump.form == form);
    dump(name).or_else(|| match form {
        DumpForm::PostgresqlDirectory => in_form(&format!("{name}.sql"), DumpForm::PostgresqlPlain),
        DumpForm::PostgresqlPlain => {
            in_form(name.strip_suffix(".sql")?, DumpForm::PostgresqlDirectory)
        }
        DumpForm::PostgresqlCluster => None,
    })
}

/// Whether the streams of a statement keep the rules of the page.
pub(crate) fn are_valid(streams: &[StatedStream]) -> bool {
    let dumps = || streams.iter().filter_map(|stream| stream.dump.as_ref());
    let tables = || dumps().flat_map(|dump| &dump.tables);
    let is_sorted = |dump: &StatedDump| {
        dump.objects.is_sorted_by(|one, other| one.kind < other.kind)
            && dump.objects.len() <= KINDS_COUNT_MAX
    };
    streams.len() <= STREAMS_COUNT_MAX
        && tables().count() <= TABLES_COUNT_MAX
        && tables().all(|table| table.digest.parse::<Digest>().is_ok())
        && dumps().all(is_sorted)
}

/// Most tables that a manifest lists.
pub const TABLES_COUNT_MAX: usize = 8192;
/// Most streams of a snapshot.
pub const STREAMS_COUNT_MAX: usize = 256;
/// Most kinds of objects of a dump.
pub const KINDS_COUNT_MAX: usize = 64;
