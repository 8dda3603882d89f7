//! Exporting evidence: statements with their signatures, and what makes them count.

use crate::format::layout;
use crate::format::manifest::Manifest;
use crate::format::record::Record;
use crate::format::redacted::RedactedManifest;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::ops::audit::export::audit_export;
use crate::ops::error::During as _;
use crate::ops::error::OpError;
use crate::ops::evidence::AuthorityKey;
use crate::ops::evidence::files;
use crate::ops::evidence::files::BundleWriter;
use crate::ops::evidence::population::Population;
use crate::ops::evidence::signers::allowed_signers;
use crate::ops::finding::Finding;
use crate::ops::finding::chain_words;
use crate::ops::progress::Progress;
use crate::ops::report::Asked;
use crate::ops::report::ReportOptions;
use crate::ops::report::report;
use crate::ops::select::Selector;
use crate::ops::unreadable::history_finding;
use crate::ops::unreadable::rollback_finding;
use crate::ops::words::parse_time;
use crate::ops::words::time_words;
use crate::repo::history::History;
use crate::repo::history::LiveSnapshot;
use crate::repo::proof::EVIDENCE_NAMESPACE;
use crate::repo::proof::gather;
use crate::repo::proof::message::SignedMessage;
use crate::repo::proof::trust::Trust;
use crate::repo::repository::Repository;
use crate::report::evidence::evidence_of;
use crate::report::model::Report;
use crate::report::moment::Moment;
use crate::report::moment::Zone;
use crate::report::page::page;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is exported, and where to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExportOptions {
    /// A directory that is empty or not there.
    pub target: PathBuf,
    /// Only these snapshots, and no other records; everything if there is none.
    pub selectors: Vec<Selector>,
    /// Only what is of this time.
    pub period: Period,
    /// Export the statements as they were signed, paths included.
    pub include_paths: bool,
}

impl ExportOptions {
    /// Exports everything, without paths.
    pub fn new(target: PathBuf) -> Self {
        let (selectors, period) = (Vec::new(), Period::default());
        Self { target, selectors, period, include_paths: false }
    }
}

/// A span of time in seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Period {
    /// The first second.
    pub from: Option<i64>,
    /// The last second.
    pub until: Option<i64>,
}

impl Period {
    /// From one second to another.
    pub const fn new(from: Option<i64>, until: Option<i64>) -> Self {
        Self { from, until }
    }

    /// Whether a time is of it.
    pub(crate) fn has(&self, time: i64) -> bool {
        self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time <= until)
    }
}

/// What was exported.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// Statements of snapshots.
    pub manifests: u64,
    /// Other records.
    pub records: u64,
    /// Records of the audit logs.
    pub audit_records: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Names of sources that hold paths and stand in the bundle all the same, if paths were to be left
    /// out: commits and bases name them.
    pub path_sources: BTreeSet<String>,
    /// What could not be exported.
    pub findings: Vec<Finding>,
}

/// Exports evidence.
///
/// Errors: the directory is not empty; the role lacks the manifest key. What is damaged is left out, and in the
/// report.
pub fn export(
    repository: &Repository,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<ExportReport, OpError> {
    if let Period { from: Some(from), until: Some(until) } = options.period
        && from > until
    {
        let [from, until] = [from, until].map(|seconds| time_words(seconds, 0));
        let why = format!("the period begins at {from}, after its end at {until}");
        return Err(OpError::Usage { why });
    }
    let history = History::load_readable(repository).during("cannot read what is valid")?;
    let chosen = chosen(repository, &history, options)?;
    let writer = BundleWriter::new(&options.target)?;
    let report = ExportReport::default();
    let received = String::new();
    let told = told(repository, options)?;
    let named = told.as_ref().map(evidence_of).unwrap_or_default();
    let mut export =
        Export { repository, options, history: &history, named, writer, received, report };
    export.report.findings.extend(history.unreadable.iter().map(history_finding));
    export.report.findings.extend(history.went_back.iter().map(rollback_finding));
    export.add_identities()?;
    export.add_snapshots(&chosen, progress)?;
    if options.selectors.is_empty() {
        export.add_records(progress)?;
        export.add_inventory()?;
        export.add_audit()?;
        if let Some(told) = told {
            export.writer.add(files::REPORT, page(&told).as_bytes())?;
        }
    }
    export.add_about()?;
    let Export { writer, mut report, .. } = export;
    report.bytes = writer.finish(|sums| gather::sign(repository, EVIDENCE_NAMESPACE, sums))?;
    Ok(report)
}

/// The snapshots that are wanted, those that were forgotten and are still stored included.
fn chosen(
    repository: &Repository,
    history: &History,
    options: &ExportOptions,
) -> Result<Vec<LiveSnapshot>, OpError> {
    if options.selectors.is_empty() {
        return Ok(history.snapshots.iter().chain(&history.forgotten).cloned().collect());
    }
    let mut chosen = Vec::new();
    for selector in &options.selectors {
        let live = selector.select_in(repository, history)?.live;
        if !chosen.contains(&live) {
            chosen.push(live);
        }
    }
    Ok(chosen)
}

struct Export<'a> {
    repository: &'a Repository,
    options: &'a ExportOptions,
    history: &'a History,
    /// Keys that the report of the period names: they are exported whatever time they are of.
    named: BTreeSet<String>,
    writer: BundleWriter,
    /// When the store received what names no time itself.
    received: String,
    report: ExportReport,
}

impl Export<'_> {
    fn add_identities(&mut self) -> Result<(), OpError> {
        let AuthorityKey(authority) = AuthorityKey::of(self.repository);
        let mut trust = Trust::new(self.repository.id(), authority);
        for (number, signed) in gather::identities(self.repository).during(IDENTITIES_WHAT)? {
            // Its signature was checked when it was read.
            if trust.add(number, &signed).is_ok() {
                self.writer.add_signed(&format!("{}/{number:08}", files::IDENTITIES), &signed)?;
            }
        }
        gather::check_signs(self.repository, &trust).during("cannot sign the evidence")?;
        self.writer.add(files::SIGNERS, allowed_signers(&trust).as_bytes())?;
        let line = authority_line(self.repository);
        self.writer.add(files::AUTHORITY, format!("{line}\n").as_bytes())
    }

    fn add_snapshots(
        &mut self,
        chosen: &[LiveSnapshot],
        progress: &dyn Progress,
    ) -> Result<(), OpError> {
        let mut population = Population::new();
        let mut bases = BTreeSet::new();
        progress.begin("exporting manifests", crate::units::to_u64(chosen.len()), 0);
        for live in chosen {
            if progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            progress.advance(1, 0);
            let signed = match gather::manifest(self.repository, live) {
                Ok(signed) => signed,
                Err(error) if self.repository.is_damage(&error) => {
                    let finding =
                        Finding::damaged_manifest(live.snapshot, "it is left out", &error);
                    self.report.findings.push(finding);
                    continue;
                }
                Err(error) => return Err(error).during("cannot read a manifest"),
            };
            let Ok(manifest) = Manifest::decode(&signed.message) else { continue };
            let data_time = parse_time(&manifest.predicate.times.data);
            let data_time = data_time.map_or(live.received, |(seconds, _nanoseconds)| seconds);
            let key = layout::manifest_key(live.client, live.snapshot);
            if !self.options.period.has(data_time) && !self.named.contains(key.as_str()) {
                continue;
            }
            let base = self.add_acceptance(live)?;
            bases.extend(base);
            let state = if self.history.forgotten.contains(live) { "forgotten" } else { "live" };
            population.add(live, &manifest, state);
            self.add_manifest(live, manifest, signed)?;
            self.report.manifests += 1;
        }
        for number in bases {
            let (key, signed) =
                gather::base(self.repository, number).during("cannot read a base")?;
            let name = format!("{}/{number:012}", files::BASES);
            self.writer.add_signed(&name, &signed)?;
            self.add_receipt(&name, &key)?;
        }
        self.writer.add(files::POPULATION, population.0.as_bytes())
    }

    /// Adds the outcome that committed a snapshot, or says which base lists it.
    fn add_acceptance(&mut self, live: &LiveSnapshot) -> Result<Option<u64>, OpError> {
        let is_of = |session: &&layout::SessionRef| {
            session.client == live.client && live.snapshot == session.session.into()
        };
        let Some(&session) = self.history.outcomes.iter().find(is_of) else {
            return Ok(Some(self.history.verdict.number));
        };
        let signed = gather::outcome(self.repository, session).during("cannot read an outcome")?;
        let name = format!("{}/{}", files::COMMITS, live.snapshot);
        self.writer.add_signed(&name, &signed)?;
        Ok(None)
    }

    fn add_manifest(
        &mut self,
        live: &LiveSnapshot,
        manifest: Manifest,
        signed: SignedMessage,
    ) -> Result<(), OpError> {
        let signed = if self.options.include_paths {
            signed
        } else {
            if manifest.predicate.source.contains('/') {
                self.report.path_sources.insert(manifest.predicate.source.clone());
            }
            let exporter = self.repository.client().to_string();
            let digest_of = |text: &str| gather::text_digest(self.repository, text);
            let redacted = RedactedManifest::new(manifest, exporter, signed.sha256(), digest_of)
                .during("cannot replace paths")?;
            gather::sign(self.repository, EVIDENCE_NAMESPACE, redacted.encode())
        };
        self.writer.add_signed(&format!("{}/{}.json", files::MANIFESTS, live.snapshot), &signed)
    }

    fn add_records(&mut self, progress: &dyn Progress) -> Result<(), OpError> {
        let keys = gather::record_keys(self.repository).during("cannot list the records")?;
        progress.begin("exporting records", crate::units::to_u64(keys.len()), 0);
        for key in keys {
            if progress.is_cancelled() {
                return Err(OpError::Interrupted);
            }
            progress.advance(1, 0);
            match gather::record(self.repository, &key) {
                Ok(signed) if self.is_wanted(&key, &signed) => {
                    let name =
                        format!("{}/{}.json", files::RECORDS, key.as_str().replace('/', "-"));
                    self.writer.add_signed(&name, &signed)?;
                    if time_of(&signed).is_none() {
                        self.add_receipt(&name, &key)?;
                    }
                    self.report.records += 1;
                }
                Ok(_of_another_time) => {}
                Err(error) if self.repository.is_damage(&error) => {
                    let effect = format!("it is left out: {}", chain_words(&error));
                    let finding = Finding::loss("record.damaged", key.to_string(), effect);
                    self.report.findings.push(finding);
                }
                Err(error) => return Err(error).during("cannot read a record"),
            }
        }
        Ok(())
    }

    /// Whether a record is of the period, as one that names no time is; or the report rests on it.
    fn is_wanted(&self, key: &ObjectKey, signed: &SignedMessage) -> bool {
        time_of(signed).is_none_or(|seconds| self.options.period.has(seconds))
            || self.named.contains(key.as_str())
    }

    /// Notes when the store received an object: its signature counts then, whatever became of the key later.
    fn add_receipt(&mut self, name: &str, key: &ObjectKey) -> Result<(), OpError> {
        let received = self.repository.receipt_of(key);
        if let Some(seconds) = received.during("cannot list what was received when")? {
            // Writing into a string does not fail.
            let _ignored = writeln!(self.received, "{name} {}", time_words(seconds, 0));
        }
        Ok(())
    }

    fn add_inventory(&mut self) -> Result<(), OpError> {
        let newest = gather::inventory(self.repository).during("cannot read an inventory")?;
        if let Some((number, signed)) = newest {
            let name = format!("{}/{number:012}", files::INVENTORY);
            self.writer.add_signed(&name, &signed)?;
            self.add_receipt(&name, &layout::inventory_key(number))?;
        }
        Ok(())
    }

    /// Adds the audit logs as a whole: a part of a chain would not verify.
    fn add_audit(&mut self) -> Result<(), OpError> {
        let mut statements = Vec::new();
        let proof = match audit_export(self.repository, &mut statements) {
            Err(OpError::Repo { what: _, source }) if self.repository.is_damage(&source) => {
                let effect = format!("the audit logs are left out: {}", chain_words(&*source));
                let object = "audit".to_owned();
                self.report.findings.push(Finding::loss("audit.damaged", object, effect));
                return Ok(());
            }
            proof => proof?,
        };
        self.report.audit_records = proof.records;
        self.report.findings.extend(proof.lapsed.iter().cloned());
        self.writer.add(files::AUDIT, &statements)?;
        self.writer.add(files::AUDIT_SIGNATURES, proof.signatures.as_bytes())?;
        self.writer.add(files::CHECKPOINT, proof.checkpoint.as_bytes())?;
        let signature = files::signature_name(files::CHECKPOINT);
        self.writer.add(&signature, proof.checkpoint_signature.as_bytes())
    }

    fn add_about(&mut self) -> Result<(), OpError> {
        let (now, _nanoseconds) = self.repository.environment.now();
        let Period { from, until } = self.options.period;
        let time = |seconds: i64| time_words(seconds, 0);
        let about = json!({
            "form": "sbf-repo evidence 1",
            "repository": self.repository.id().to_string(),
            "exporter": self.repository.client().to_string(),
            "created": time(now),
            "from": from.map(time),
            "until": until.map(time),
            "tool": concat!("sbf-repo ", env!("CARGO_PKG_VERSION")),
            "manifests": self.report.manifests,
            "records": self.report.records,
            "audit_records": self.report.audit_records,
            "paths": if self.options.include_paths { "included" } else { "digests" },
            "left_out": self.report.findings,
        });
        self.writer.add(files::RECEIVED, self.received.as_bytes())?;
        self.writer.add(files::ABOUT, format!("{about}\n").as_bytes())?;
        let read_me = READ_ME.replace("{repository}", &self.repository.id().to_string());
        self.writer.add("VERIFY.md", read_me.as_bytes())?;
        self.writer.add("verify.sh", SCRIPT.as_bytes())
    }
}

/// What people read: the report of the days of a period that has both ends.
fn told(repository: &Repository, options: &ExportOptions) -> Result<Option<Report>, OpError> {
    let Period { from: Some(from), until: Some(until) } = options.period else {
        return Ok(None);
    };
    if !options.selectors.is_empty() {
        return Ok(None);
    }
    let [first, last] = [from, until].map(|seconds| Zone::utc().date(Moment(seconds)));
    let options = ReportOptions { asked: Asked::Days(first, last), whole: false };
    // What cannot be read is found by what exports it.
    Ok(Some(report(repository, &options)?.report))
}

/// When a record was made, as it says itself.
fn time_of(signed: &SignedMessage) -> Option<i64> {
    let record = Record::decode(&signed.message).ok()?;
    let time = record.predicate.get("time").and_then(Value::as_str)?;
    parse_time(time).map(|(seconds, _nanoseconds)| seconds)
}

/// The authority's key with the repository's name.
pub(crate) fn authority_line(repository: &Repository) -> String {
    AuthorityKey::of(repository).line(&authority_comment(repository.id()))
}

/// What is said beside the authority's key.
fn authority_comment(repository: RepoId) -> String {
    format!("sbf-repo-authority-{repository}")
}

const IDENTITIES_WHAT: &str = "cannot read who may sign";
const READ_ME: &str = include_str!("VERIFY.md");
const SCRIPT: &str = include_str!("verify.sh");
