//! The files of a bundle: their names, and writing them so that none is forgotten in the sums.

use crate::ops::error::OpError;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::message::sha256_of;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// A bundle that is being written.
#[derive(Debug)]
pub(crate) struct BundleWriter {
    root: PathBuf,
    sums: BTreeMap<String, String>,
    pub(crate) bytes: u64,
}

impl BundleWriter {
    /// Begins a bundle in a directory that is empty or not there.
    pub(crate) fn new(root: &Path) -> Result<Self, OpError> {
        fs::create_dir_all(root).map_err(|source| local("create", root, source))?;
        let mut entries = fs::read_dir(root).map_err(|source| local("list", root, source))?;
        if entries.next().is_some() {
            let why = format!(
                "{} is not empty; evidence goes into a directory of its own",
                root.display()
            );
            return Err(OpError::Refused { why });
        }
        Ok(Self { root: root.to_owned(), sums: BTreeMap::new(), bytes: 0 })
    }

    /// Adds a file that the sums list.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), OpError> {
        self.write(name, bytes)?;
        self.sums.insert(name.to_owned(), sha256_of(bytes).to_string());
        Ok(())
    }

    /// Adds what was signed, and beside it the signature.
    pub(crate) fn add_signed(&mut self, name: &str, signed: &SignedMessage) -> Result<(), OpError> {
        self.add(name, &signed.message)?;
        self.add(&signature_name(name), signed.signature.encode().as_bytes())
    }

    /// Writes the sums, signed by `sign`, and makes everything durable.
    pub(crate) fn finish(
        mut self,
        sign: impl FnOnce(Vec<u8>) -> SignedMessage,
    ) -> Result<u64, OpError> {
        let mut text = String::new();
        for (name, sum) in &self.sums {
            // Writing into a string does not fail.
            let _ignored = writeln!(text, "{sum}  {name}");
        }
        let signed = sign(text.into_bytes());
        self.write(SUMS, &signed.message)?;
        self.write(&signature_name(SUMS), signed.signature.encode().as_bytes())?;
        let root = File::open(&self.root).map_err(|source| local("open", &self.root, source))?;
        rustix::fs::syncfs(&root)
            .map_err(|source| local("make durable", &self.root, source.into()))?;
        Ok(self.bytes)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), OpError> {
        let path = self.root.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| local("create", parent, source))?;
        }
        let file = File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        file.map_err(|source| local("write", &path, source))?;
        self.bytes += crate::units::to_u64(bytes.len());
        Ok(())
    }
}

/// The file of the signature of a file.
pub(crate) fn signature_name(name: &str) -> String {
    format!("{name}{SIGNATURE}")
}

/// A failure of one of the bundle's files.
pub(crate) fn local(call: &'static str, path: &Path, source: std::io::Error) -> OpError {
    OpError::Local { call, path: path.to_owned(), source }
}

/// What the name of a signature ends with.
pub(crate) const SIGNATURE: &str = ".sig";
/// Sums of all files but itself and its signature, as `sha256sum --check` reads them.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// What the bundle is, and of when.
pub(crate) const ABOUT: &str = "bundle.json";
/// The authority's key, to compare with the one that came another way.
pub(crate) const AUTHORITY: &str = "authority.pub";
/// Whose signatures count for what and when, as `ssh-keygen` reads it.
pub(crate) const SIGNERS: &str = "allowed_signers";
/// When the store received what names no time.
pub(crate) const RECEIVED: &str = "received.txt";
/// One row a snapshot.
pub(crate) const POPULATION: &str = "population.csv";
/// What records say of the period, for people.
pub(crate) const REPORT: &str = "report.html";
/// The audit logs of all clients, a statement a line.
pub(crate) const AUDIT: &str = "audit.jsonl";
/// A line for each of them, with its signature.
pub(crate) const AUDIT_SIGNATURES: &str = "audit.signatures.jsonl";
/// How many there are, their Merkle root, and the heads of all logs.
pub(crate) const CHECKPOINT: &str = "checkpoint.txt";
/// Folder of certificates and revocations.
pub(crate) const IDENTITIES: &str = "identities";
/// Folder of statements of snapshots.
pub(crate) const MANIFESTS: &str = "manifests";
/// Folder of outcomes that committed them.
pub(crate) const COMMITS: &str = "commits";
/// Folder of bases that list them.
pub(crate) const BASES: &str = "bases";
/// Folder of records.
pub(crate) const RECORDS: &str = "records";
/// Folder of inventories.
pub(crate) const INVENTORY: &str = "inventory";
