//! `report`: what signed records say of a month or a year, for owners and auditors.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::ops::finding::any_loss;
use crate::ops::report::Asked;
use crate::ops::report::ReportOptions;
use crate::ops::report::report;
use crate::ops::report::sign;
use crate::repo::repository::Repository;
use crate::report::csv::csv;
use crate::report::model::Report;
use crate::report::page::page;
use crate::report::text::text;
use clap::ArgGroup;
use clap::Args;
use jiff::civil::Date;
use serde_json::json;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// Tell from signed records how backups went in a month or a year
///
/// A summary for the terminal, a page for people and printers, a table for those who draw samples. Everybody who may read
/// the records gets the same bytes: the configuration file and the clock of this host have no word in it. What is damaged is told in
/// the report; the command ends with 5 then.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("period").required(true).args(["month", "year", "from"])))]
pub(crate) struct ReportArguments {
    /// Of this month, as `2026-10`
    #[arg(long, value_name = "MONTH", value_parser = month)]
    month: Option<(i16, i8)>,
    /// Of this year, as `2026`: the annual review
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i16).range(1970..=9000))]
    year: Option<i16>,
    /// From this day on, as `2026-10-14`
    #[arg(long, value_name = "DATE", requires = "to")]
    from: Option<Date>,
    /// To this day, it included
    #[arg(long, value_name = "DATE", requires = "from")]
    to: Option<Date>,
    /// Tell of the period to its end even if no record is as new: what was due by then and did not come is missed
    #[arg(long)]
    whole: bool,
    /// Write the page to this file, in place of the summary; it is replaced if it is there
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write expected runs and snapshots, a row each, to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Sign the files that are written, each in `FILE.sig`, for `ssh-keygen -Y verify -n sbf-repo-evidence`
    #[arg(long)]
    sign: bool,
}

impl ReportArguments {
    fn asked(&self) -> Result<Asked, Failure> {
        match (self.month, self.year, self.from.zip(self.to)) {
            (Some((year, month)), _, _) => Ok(Asked::Month(year, month)),
            (None, Some(year), _) => Ok(Asked::Year(year)),
            (None, None, Some((from, to))) => Ok(Asked::Days(from, to)),
            (None, None, None) => Err(Failure::usage("name a month or a year".to_owned())),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ReportArguments) -> Result<Exit, Failure> {
    let files = [(&arguments.html, "page"), (&arguments.csv, "table")];
    if arguments.sign && files.iter().all(|(file, _)| file.is_none()) {
        let why = "`--sign` signs files: name one with `--html` or `--csv`";
        return Err(Failure::usage(why.to_owned()));
    }
    let options = ReportOptions { asked: arguments.asked()?, whole: arguments.whole };
    let repository = context.open()?;
    let (report, findings) = report(&repository, &options)?;
    context.output.warn_of(&findings);
    let texts: [fn(&Report) -> String; 2] = [page, csv];
    for ((file, what), make) in files.into_iter().zip(texts) {
        if let Some(path) = file {
            write(&repository, path, &make(&report), arguments.sign)?;
            context.output.note(format_args!("{what} written to {}", path.display()));
        }
    }
    if arguments.html.is_none() {
        context.output.text(&text(&report));
    }
    let exit = if any_loss(&findings) { Exit::Damage } else { Exit::Success };
    let told = json!({ "report": report, "html": arguments.html, "csv": arguments.csv });
    Ok(context.output.finish(&told, exit))
}

/// Writes a file, and its signature beside it if it is to be signed. The signature is replaced first: one that does not fit is
/// noticed, one that fits an older file is not.
fn write(repository: &Repository, path: &Path, text: &str, signed: bool) -> Result<(), Failure> {
    if signed {
        let signature = sign(repository, text.as_bytes().to_vec())?;
        replace(&beside(path, ".sig"), &signature)?;
    }
    replace(path, text)
}

/// Replaces a file whole, whoever reads it meanwhile.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let staged = beside(path, ".new");
    let write = || {
        let mut file = File::create(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&staged, path)
    };
    write().map_err(|source| Failure::local("write", path, source))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// A month, as `2026-10`.
fn month(text: &str) -> Result<(i16, i8), String> {
    let wrong = || format!("`{text}` is not a month such as `2026-10`");
    if text.len() != MONTH_LETTERS {
        return Err(wrong());
    }
    let first: Date = format!("{text}-01").parse().map_err(|_source| wrong())?;
    Ok((first.year(), first.month()))
}

const MONTH_LETTERS: usize = 7;
