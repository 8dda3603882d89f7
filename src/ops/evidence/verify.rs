//! Verifying a bundle of evidence by the authority's public key alone, without a repository.

use crate::format::envelope::ObjectKind;
use crate::format::gc::Base;
use crate::format::identity::Subject;
use crate::format::inventory::Inventory;
use crate::format::layout;
use crate::format::layout::SessionRef;
use crate::format::manifest::Manifest;
use crate::format::manifest::SnapshotPredicate;
use crate::format::outcome::Outcome;
use crate::format::outcome::Subject as Committed;
use crate::format::record::Record;
use crate::format::redacted::RedactedManifest;
use crate::format::sshsig::SshSignature;
use crate::id::ClientId;
use crate::id::RepoId;
use crate::id::Sha256;
use crate::id::SnapshotId;
use crate::key::ObjectKey;
use crate::ops::error::OpError;
use crate::ops::evidence::AuthorityKey;
use crate::ops::evidence::exporter::About;
use crate::ops::evidence::exporter::Exporter;
use crate::ops::evidence::files;
use crate::ops::evidence::logs::StatedEnd;
use crate::ops::evidence::population::KnownCells;
use crate::ops::finding::Finding;
use crate::ops::words::parse_time;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::message::sha256_of;
use crate::repo::proof::trust::Signatory;
use crate::repo::proof::trust::Trust;
use crate::repo::proof::trust::Untrusted;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::path::Path;

/// What a verification of a bundle came to.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct BundleReport {
    /// The repository, hexadecimal.
    pub repository: String,
    /// Who exported it, if its signature counts.
    pub exporter: Option<Exporter>,
    /// Files whose sums are right.
    pub files: u64,
    /// Certificates and revocations that the authority signed.
    pub identities: u64,
    /// Statements of snapshots that verify and that a commit or verdict accepts.
    pub manifests: u64,
    /// Other records that verify.
    pub records: u64,
    /// Records of audit logs that verify.
    pub audit_records: u64,
    /// Inventories that verify.
    pub inventories: u64,
    /// What does not verify.
    pub findings: Vec<Finding>,
    /// What somebody says that nothing else bears out.
    pub notices: Vec<Finding>,
}

/// Verifies a bundle.
///
/// Errors: it is none, or a file cannot be read. What does not verify is in the report.
pub fn verify_bundle(root: &Path, authority: AuthorityKey) -> Result<BundleReport, OpError> {
    let files = read_files(root)?;
    if !files.contains_key(files::SUMS) {
        let why = format!("{} is no bundle of evidence: it has no {}", root.display(), files::SUMS);
        return Err(OpError::Usage { why });
    }
    let report = BundleReport::default();
    let trust = Trust::new(RepoId::new([0; 16]), authority.0);
    let about = About::of(&files);
    let (stated, rows) = (Vec::new(), Vec::new());
    let mut bundle = Bundle { about, files, trust, report, stated, rows };
    bundle.check_identities(authority);
    bundle.check_sums();
    let accepted = bundle.accepted();
    bundle.check_manifests(&accepted);
    bundle.check_population();
    bundle.check_records();
    bundle.check_inventories();
    bundle.check_audit();
    bundle.tell_left_out();
    Ok(bundle.report)
}

/// The bytes of every file by its name.
fn read_files(root: &Path) -> Result<BTreeMap<String, Vec<u8>>, OpError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let list = |source| files::local("list", &folder, source);
        for entry in std::fs::read_dir(&folder).map_err(list)? {
            let entry = entry.map_err(list)?;
            let path = entry.path();
            let kind =
                entry.file_type().map_err(|source| files::local("look at", &path, source))?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let name = inside.to_string_lossy().into_owned();
            let read = |source| files::local("read", &path, source);
            let length = entry.metadata().map_err(read)?.len();
            // What is no file, or too long to be one of a bundle, has no right sum.
            let is_read = kind.is_file() && length <= FILE_BYTES_MAX;
            let bytes = if is_read { std::fs::read(&path).map_err(read)? } else { Vec::new() };
            files.insert(name, bytes);
        }
    }
    Ok(files)
}

pub(super) struct Bundle {
    pub(super) about: About,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) trust: Trust,
    pub(super) report: BundleReport,
    /// Ends of audit logs as records state them that verify.
    pub(super) stated: Vec<StatedEnd>,
    /// What the table of snapshots says of those whose statements verify.
    pub(super) rows: Vec<KnownCells>,
}

/// The statements that something accepts.
type Accepted = HashSet<(ClientId, SnapshotId, Sha256)>;

impl Bundle {
    pub(super) fn find(&mut self, code: &'static str, name: &str, why: &dyn std::fmt::Display) {
        let mut finding = Finding::loss(code, name.to_owned(), format!("it does not count: {why}"));
        REMEDY.clone_into(&mut finding.remedy);
        self.report.findings.push(finding);
    }

    /// The names of the signed files of a folder.
    fn names_in(&self, folder: &str) -> Vec<String> {
        let is_signed = |name: &&String| {
            name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
                && name.strip_suffix(files::SIGNATURE).is_none()
        };
        self.files.keys().filter(is_signed).cloned().collect()
    }

    /// A file with its signature.
    pub(super) fn signed(&self, name: &str) -> Result<SignedMessage, Untrusted> {
        let message = self.files.get(name).ok_or(Untrusted::Misplaced)?.clone();
        let armour = self.files.get(&files::signature_name(name)).ok_or(Untrusted::Signature)?;
        let text = std::str::from_utf8(armour).map_err(|_source| Untrusted::Signature)?;
        let signature = SshSignature::decode(text).ok_or(Untrusted::Signature)?;
        Ok(SignedMessage { message, signature })
    }

    fn check_identities(&mut self, authority: AuthorityKey) {
        let names = self.names_in(files::IDENTITIES);
        // What the authority signed names the repository first.
        let first = names.first().and_then(|name| self.files.get(name));
        let id = first.and_then(|message| message.first_chunk::<16>());
        let repository = id.map_or(RepoId::new([0; 16]), |id| RepoId::new(*id));
        self.trust = Trust::new(repository, authority.0);
        self.report.repository = repository.to_string();
        let mut last = None;
        for name in names {
            let number = name.rsplit('/').next().and_then(|number| number.parse().ok());
            if let (Some(last), Some(number)) = (last, number) {
                self.tell_gap(last, number);
            }
            last = number;
            let added = number.ok_or(Untrusted::Misplaced).and_then(|number| {
                let signed = self.signed(&name)?;
                self.trust.add(number, &signed)
            });
            match added {
                Ok(()) => self.report.identities += 1,
                Err(why) => self.find("evidence.identity", &name, &why),
            }
        }
        let stated = self.files.get(files::SIGNERS).cloned().unwrap_or_default();
        if stated != crate::ops::evidence::signers::allowed_signers(&self.trust).as_bytes() {
            self.find("evidence.signers", files::SIGNERS, &"the certificates say otherwise");
        }
    }

    /// Compares every file with the sums, and checks their signature.
    fn check_sums(&mut self) {
        let checked = self.signed(files::SUMS).and_then(|signed| {
            self.check_exporter(&signed)?;
            Ok(Exporter::of(&self.trust, &signed))
        });
        match checked {
            Ok(exporter) => self.report.exporter = exporter,
            Err(why) => self.find("evidence.sums", files::SUMS, &why),
        }
        let text = self.files.get(files::SUMS).cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let listed: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, name)| (name, sum))
            .collect();
        let sums = [files::SUMS.to_owned(), files::signature_name(files::SUMS)];
        let present: BTreeSet<String> =
            self.files.keys().filter(|name| !sums.contains(name)).cloned().collect();
        for name in &present {
            let sum = self.files.get(name).map(|bytes| sha256_of(bytes).to_string());
            match listed.get(name.as_str()) {
                Some(stated) if Some(*stated) == sum.as_deref() => self.report.files += 1,
                Some(_other) => self.find("evidence.sum", name, &"its SHA-256 is another one"),
                None => self.find("evidence.unlisted", name, &"the sums do not list it"),
            }
        }
        for name in listed.keys().filter(|name| !present.contains(**name)) {
            self.find("evidence.missing", name, &"it is missing");
        }
    }

    /// What outcomes and bases accept whose signatures count.
    fn accepted(&mut self) -> Accepted {
        let mut accepted = Accepted::new();
        for name in self.names_in(files::COMMITS) {
            match self.signed(&name).and_then(|signed| self.committed(&signed)) {
                Ok(commit) => {
                    accepted.insert(commit);
                }
                Err(why) => self.find("evidence.commit", &name, &why),
            }
        }
        for name in self.names_in(files::BASES) {
            match self.signed(&name).and_then(|signed| self.based(&name, &signed)) {
                Ok(listed) => accepted.extend(listed),
                Err(why) => self.find("evidence.base", &name, &why),
            }
        }
        accepted
    }

    fn committed(
        &self,
        signed: &SignedMessage,
    ) -> Result<(ClientId, SnapshotId, Sha256), Untrusted> {
        let place = signed.place().ok_or(Untrusted::Misplaced)?;
        let key = ObjectKey::new(place.as_str()).map_err(|_source| Untrusted::Misplaced)?;
        let session = SessionRef::parse_outcome(&key).map_err(|_source| Untrusted::Misplaced)?;
        let by = Signatory::Of(Subject::Client(session.client));
        // The manifest that it names tells the time.
        self.trust.check(
            signed,
            &ObjectKind::Outcome.namespace(),
            by,
            self.time_of(session.session.into()),
        )?;
        let body = signed.body(self.trust.repository(), &place).ok_or(Untrusted::Misplaced)?;
        match Outcome::decode(body) {
            Ok(Outcome::Commit(commit)) => match commit.subject {
                Committed::Snapshot { manifest, source: _ } => {
                    Ok((session.client, session.session.into(), manifest))
                }
                Committed::Checkpoint { .. } | Committed::Maintenance => Err(Untrusted::Misplaced),
            },
            Ok(Outcome::Fence(_)) | Err(_) => Err(Untrusted::Misplaced),
        }
    }

    fn based(
        &self,
        name: &str,
        signed: &SignedMessage,
    ) -> Result<Vec<(ClientId, SnapshotId, Sha256)>, Untrusted> {
        let number = name.rsplit('/').next().unwrap_or_default();
        let place = format!("{}/{number}/body", layout::GC);
        let by = Signatory::Of(Subject::Maintenance);
        self.trust.check(signed, "sbf-repo-gc-base", by, self.received(name))?;
        let body = signed.body(self.trust.repository(), &place).ok_or(Untrusted::Misplaced)?;
        let base = Base::decode(body).map_err(|_source| Untrusted::Misplaced)?;
        let listed = base.snapshots.into_iter();
        Ok(listed.map(|listed| (listed.client, listed.snapshot, listed.manifest)).collect())
    }

    /// When the store received what a file holds, as the exporter says.
    fn received(&self, name: &str) -> Option<i64> {
        let lines = std::str::from_utf8(self.files.get(files::RECEIVED)?).ok()?;
        let times = lines.lines().filter_map(|line| line.split_once(' '));
        let (_name, time) = times.into_iter().find(|(stated, _time)| *stated == name)?;
        parse_time(time).map(|(seconds, _nanoseconds)| seconds)
    }

    /// When a snapshot was finished, as its statement in the bundle says.
    fn time_of(&self, snapshot: SnapshotId) -> Option<i64> {
        let name = format!("{}/{snapshot}.json", files::MANIFESTS);
        let statement = Statement::decode(self.files.get(&name)?)?;
        parse_time(&statement.stated.times.finished).map(|(seconds, _nanoseconds)| seconds)
    }

    fn check_manifests(&mut self, accepted: &Accepted) {
        for name in self.names_in(files::MANIFESTS) {
            match self.check_manifest(&name, accepted) {
                Ok(row) => {
                    self.report.manifests += 1;
                    self.rows.push(row);
                }
                Err(why) => self.find("evidence.manifest", &name, &why),
            }
        }
    }

    fn check_manifest(&self, name: &str, accepted: &Accepted) -> Result<KnownCells, String> {
        let words = |why: Untrusted| why.to_string();
        let message = self.signed(name).map_err(words)?;
        let statement =
            Statement::decode(&message.message).ok_or("it is no statement of a snapshot")?;
        let Statement { stated, original, exporter } = statement;
        let misplaced = || words(Untrusted::Misplaced);
        let client: ClientId = stated.client.parse().map_err(|_source| misplaced())?;
        let snapshot: SnapshotId = stated.snapshot.parse().map_err(|_source| misplaced())?;
        let is_here = stated.repository == self.report.repository
            && name == format!("{}/{snapshot}.json", files::MANIFESTS);
        if !is_here {
            return Err(misplaced());
        }
        let time = parse_time(&stated.times.finished).map(|(seconds, _nanoseconds)| seconds);
        if let Some(exporter) = exporter {
            if self.about.exporter.map(|known| known.to_string()) != Some(exporter) {
                return Err(misplaced());
            }
            self.check_exporter(&message).map_err(words)?;
        } else {
            let by = Signatory::Of(Subject::Client(client));
            let namespace = ObjectKind::Manifest.namespace();
            self.trust.check(&message, &namespace, by, time).map_err(words)?;
        }
        if accepted.contains(&(client, snapshot, original)) {
            return Ok(KnownCells::of(&stated, original));
        }
        Err("no commit and no verdict in the bundle accepts it".to_owned())
    }

    fn check_records(&mut self) {
        for name in self.names_in(files::RECORDS) {
            let signed = self.signed(&name);
            match signed.and_then(|signed| self.check_record(&name, &signed).map(|()| signed)) {
                Ok(signed) => {
                    self.report.records += 1;
                    self.add_stated(&name, &signed);
                }
                Err(why) => self.find("evidence.record", &name, &why),
            }
        }
    }

    fn check_record(&self, name: &str, signed: &SignedMessage) -> Result<(), Untrusted> {
        let record = Record::decode(&signed.message).map_err(|_source| Untrusted::Misplaced)?;
        let text = |member: &str| record.predicate.get(member).and_then(Value::as_str);
        let place = text("place").ok_or(Untrusted::Misplaced)?;
        let is_here = name == format!("{}/{}.json", files::RECORDS, place.replace('/', "-"));
        if !is_here || text("repository") != Some(self.report.repository.as_str()) {
            return Err(Untrusted::Misplaced);
        }
        let time = text("time").and_then(parse_time).map(|(seconds, _nanoseconds)| seconds);
        let time = time.or_else(|| self.received(name));
        let mut parts = place.split('/');
        let (namespace, by) = match (parts.next(), parts.nth(1)) {
            (Some(layout::RECORDS), Some(client)) => {
                let client = client.parse().map_err(|_source| Untrusted::Misplaced)?;
                (ObjectKind::Record.namespace(), Signatory::Of(Subject::Client(client)))
            }
            (Some(layout::FORGET), _) => {
                (ObjectKind::Forget.namespace(), Signatory::Of(Subject::Maintenance))
            }
            _ => return Err(Untrusted::Misplaced),
        };
        self.trust.check(signed, &namespace, by, time)
    }

    fn check_inventories(&mut self) {
        for name in self.names_in(files::INVENTORY) {
            let checked = self.signed(&name).and_then(|signed| {
                let by = Signatory::Of(Subject::Maintenance);
                let time = self.received(&name);
                self.trust.check(&signed, &ObjectKind::Inventory.namespace(), by, time)?;
                let inventory = Inventory::decode(&signed.message);
                let is_here = inventory.is_ok_and(|inventory| {
                    inventory.repository == self.trust.repository()
                        && name == format!("{}/{:012}", files::INVENTORY, inventory.number)
                });
                if is_here { Ok(()) } else { Err(Untrusted::Misplaced) }
            });
            match checked {
                Ok(()) => self.report.inventories += 1,
                Err(why) => self.find("evidence.inventory", &name, &why),
            }
        }
    }
}

/// The statement of a snapshot, as it was signed or without paths.
struct Statement {
    stated: SnapshotPredicate,
    /// SHA-256 of the statement as it was signed.
    original: Sha256,
    /// Who signed a statement without paths.
    exporter: Option<String>,
}

impl Statement {
    fn decode(bytes: &[u8]) -> Option<Self> {
        if let Ok(manifest) = Manifest::decode(bytes) {
            let (stated, original) = (manifest.predicate, sha256_of(bytes));
            return Some(Self { stated, original, exporter: None });
        }
        let redacted = RedactedManifest::decode(bytes).ok()?.predicate;
        let original = redacted.original.parse().ok()?;
        Some(Self { stated: redacted.statement, original, exporter: Some(redacted.exporter) })
    }
}

const REMEDY: &str =
    "ask for the evidence again, and for the authority's public key by another way";
/// Longest file of a bundle that is read.
const FILE_BYTES_MAX: u64 = 80 * 1_048_576;
