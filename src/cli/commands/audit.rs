//! `audit`: what was done with the repository, and whether the log of it is whole.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Form;
use crate::cli::words;
use crate::cli::words::Table;
use crate::cli::words::short_time;
use crate::ops::audit::export::AuditProof;
use crate::ops::audit::export::audit_export;
use crate::ops::audit::list::AuditFilter;
use crate::ops::audit::list::AuditRow;
use crate::ops::audit::list::audit_list;
use crate::ops::audit::verify::VerifyReport;
use crate::ops::audit::verify::Witness;
use crate::ops::audit::verify::audit_verify;
use crate::ops::finding::Finding;
use crate::ops::finding::Severity;
use crate::ops::finding::any_loss;
use crate::ops::words::parse_time;
use clap::Args;
use clap::Subcommand;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Show, verify and export the audit log
#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    List(ListArguments),
    Verify(VerifyArguments),
    Export(ExportArguments),
}

/// List the runs that the log has
///
/// A run without an exit code still goes on, or was killed. The command ends with 5 if a record cannot be read, or is missing between
/// others; whether the log is whole, `audit verify` says.
#[derive(Debug, Args)]
struct ListArguments {
    /// Only of clients whose ids begin so
    #[arg(long, value_name = "DIGITS")]
    client: Option<String>,
    /// Only this operation, as `restore`
    #[arg(long, value_name = "WORD")]
    operation: Option<String>,
    /// Only runs that began on this day or later, as `2026-10-14`, or at this time; both in UTC
    #[arg(long, value_name = "DATE", value_parser = since)]
    since: Option<i64>,
}

/// Verify that no record was removed, replaced, put in another order or damaged
///
/// Reads every record of every client and compares with what this host remembers, with what others
/// recorded, and with heads that you give. If all is well, it records the heads, so that nobody can cut
/// off what was there without being seen.
///
/// What cannot be seen: records at the end of a client's log that were removed before this host, another
/// client's record or a head that you give named them; and whatever was removed, if this host has no
/// memory (its state directory is new, or whoever removed it could write there, too). Keep the heads that
/// `-v` and `--json` print on another machine.
#[derive(Debug, Args)]
struct VerifyArguments {
    /// A head that some run printed; may be repeated
    #[arg(long, value_name = "CLIENT:NUMBER:SHA256")]
    head: Vec<Witness>,
    /// Record nothing
    #[arg(long)]
    no_record: bool,
}

/// Export the log for people without a key of the repository
///
/// FILE gets the statements, a line each. Beside it stand `FILE.signatures` (a line each, with the
/// signature for `ssh-keygen -Y verify -n sbf-repo-audit`), `FILE.checkpoint` (a signed note that names
/// number, Merkle root and heads), `FILE.checkpoint.sig` (for `-n sbf-repo-evidence`) and
/// `FILE.allowed_signers`. With `-` only the statements are written.
#[derive(Debug, Args)]
struct ExportArguments {
    /// The file, which must not be there; `-` for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl AuditArguments {
    /// The word for it in the audit log; `None` if it is not recorded.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match self.command {
            AuditCommand::List(_) | AuditCommand::Verify(_) => None,
            AuditCommand::Export(_) => Some("audit-export"),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &AuditArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        AuditCommand::List(arguments) => list(context, arguments),
        AuditCommand::Verify(arguments) => verify(context, arguments),
        AuditCommand::Export(arguments) => export(context, arguments),
    }
}

fn list(context: &Context, arguments: &ListArguments) -> Result<Exit, Failure> {
    let mut filter = AuditFilter::new();
    filter.client.clone_from(&arguments.client);
    filter.operation.clone_from(&arguments.operation);
    filter.since = arguments.since;
    let list = audit_list(&context.open()?, &filter)?;
    let headings =
        ["TIME", "OPERATION", "EXIT", "TOOK", "CLIENT", "USER", "HOST", "RECORDS", "NOTES"];
    let mut table = Table::new(&headings);
    for row in &list.runs {
        table.push(cells(context, row));
    }
    context.output.line(format_args!("{table}"));
    context.output.warn_of(&list.findings);
    let exit = if any_loss(&list.findings) { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&list, exit))
}

fn cells(context: &Context, row: &AuditRow) -> Vec<String> {
    let user = match &row.sudo_user {
        Some(caller) => format!("{} ({})", row.user_id, caller.escape_debug()),
        None => row.user_id.to_string(),
    };
    let exit = row.exit_code.map_or_else(|| "no end".to_owned(), |code| code.to_string());
    let took = row.milliseconds.map(|time| words::duration(Duration::from_millis(time)));
    let records = match row.end_seq.filter(|end| *end != row.seq) {
        Some(end) => format!("{}, {end}", row.seq),
        None => row.seq.to_string(),
    };
    let mut notes: Vec<String> = row.snapshots.iter().map(|id| context.id(id)).collect();
    notes.extend(row.error.clone());
    for (word, text) in [
        ("reason", &row.reason),
        ("ticket", &row.ticket),
        ("stored later", &row.delivered),
        ("accepted a rollback", &row.accepted_rollback),
    ] {
        notes.extend(text.as_ref().map(|text| format!("{word}: {}", text.escape_debug())));
    }
    vec![
        short_time(&row.time),
        row.operation.clone(),
        exit,
        took.unwrap_or_default(),
        context.id(&row.client),
        user,
        row.host.escape_debug().to_string(),
        records,
        notes.join(", "),
    ]
}

fn verify(context: &Context, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let report = audit_verify(&context.open()?, &arguments.head, !arguments.no_record)?;
    for finding in &report.findings {
        let Finding { object, effect, severity, .. } = finding;
        match severity {
            Severity::Loss => context.output.line(format_args!("damage: {object}: {effect}")),
            Severity::Notice => context.output.note(format_args!("notice: {object}: {effect}")),
        }
    }
    let mut findings = report.findings.iter();
    if let Some(finding) = findings.find(|finding| finding.severity == Severity::Loss) {
        context.output.line(format_args!("remedy: {}", finding.remedy));
    }
    tell_limits(context, &report);
    let exit = if report.is_damaged() { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&report, exit))
}

/// Says what was verified, and what nobody can.
fn tell_limits(context: &Context, report: &VerifyReport) {
    let output = &context.output;
    for chain in &report.chains {
        let sha256 = chain.sha256.as_deref().unwrap_or("unreadable");
        output.line(format_args!("head {}:{}:{sha256}", chain.client, chain.seq));
        if chain.witnessed < chain.seq {
            output.note(format_args!(
                "what was after record {} of client {} before today: nobody remembered it; had its end \
                 been cut off, that could not be seen",
                chain.witnessed,
                context.id(&chain.client),
            ));
        }
    }
    if !report.has_memory {
        output.note(format_args!(
            "this host has no memory of the repository: that all of it was put back to an older state \
             can be seen by other hosts only, or with `--head`"
        ));
    }
    let verdict = if report.is_damaged() { "damage was found" } else { "no damage was found" };
    output.note(format_args!(
        "verified {} of {}: {verdict}",
        words::count(report.records, "record"),
        words::count(crate::units::to_u64(report.chains.len()), "client"),
    ));
    if let Some(why) = &report.unrecorded {
        output.note(format_args!("the heads are not recorded: {why}"));
    }
}

fn export(context: &Context, arguments: &ExportArguments) -> Result<Exit, Failure> {
    let repository = context.open()?;
    if arguments.file == Path::new("-") {
        if context.output.form() == Form::Json {
            let why =
                "`audit export -` writes the log to standard output, where `--json` has no room";
            return Err(Failure::usage(why.to_owned()));
        }
        let proof = audit_export(&repository, &mut &*context.output)?;
        context.output.warn_of(&proof.lapsed);
        return Ok(Exit::Success);
    }
    let path = &arguments.file;
    let mut output = BufWriter::new(create(path)?);
    let proof = audit_export(&repository, &mut output)?;
    context.output.warn_of(&proof.lapsed);
    let written = output.into_inner().map_err(std::io::IntoInnerError::into_error);
    written
        .and_then(|file| file.sync_all())
        .map_err(|source| Failure::local("write", path, source))?;
    let AuditProof {
        records, signatures, checkpoint, checkpoint_signature, allowed_signers, ..
    } = &proof;
    for (end, text) in [
        ("signatures", signatures),
        ("checkpoint", checkpoint),
        ("checkpoint.sig", checkpoint_signature),
        ("allowed_signers", allowed_signers),
    ] {
        let mut name = path.clone().into_os_string();
        name.push(format!(".{end}"));
        let path = PathBuf::from(name);
        let written = create(&path)?.write_all(text.as_bytes());
        written.map_err(|source| Failure::local("write", &path, source))?;
    }
    let path = path.display();
    context.output.note(format_args!(
        "exported {} to {path}, with {path}.signatures, .checkpoint, .checkpoint.sig and \
         .allowed_signers",
        words::count(*records, "record"),
    ));
    Ok(context.output.finish(&proof, Exit::Success))
}

fn create(path: &Path) -> Result<std::fs::File, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    opened.map_err(|source| Failure::local("create", path, source))
}

fn since(text: &str) -> Result<i64, String> {
    let time = parse_time(text).or_else(|| parse_time(&format!("{text}T00:00:00Z")));
    let wrong = || format!("`{text}` is no day; write it like `2026-10-14`");
    time.map(|(seconds, _nanoseconds)| seconds).ok_or_else(wrong)
}
