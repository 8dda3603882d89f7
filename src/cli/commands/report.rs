//! `report`: what signed records say of a month or a year, for owners and auditors.

use crate::cli::context::Context;
use crate::cli::destination::Destination;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::period::first_of_month;
use crate::ops::finding::Finding;
use crate::ops::finding::any_loss;
use crate::ops::report::Asked;
use crate::ops::report::ReportOptions;
use crate::ops::report::Reported;
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
use std::path::Path;
use std::path::PathBuf;

/// Tell from signed records how backups went in a month or a year
///
/// A summary for the terminal, a page for people and printers, a table for those who draw samples. Everybody who may read
/// the records gets the same bytes: the configuration file, the clock and the memory of this host have no word in it. What is damaged is
/// told in the report; the command ends with 5 then. It ends so, too, if the repository lacks what this host has seen, which is
/// not told in the report.
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
    /// Write the page to this file, in place of the summary; it is replaced if it is there, and a fifo or a device is
    /// written into
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
    let texts: [fn(&Report) -> String; 2] = [page, csv];
    let mut files = Vec::new();
    for (file, make) in [&arguments.html, &arguments.csv].into_iter().zip(texts) {
        files.push(OutputFile::of(file.as_deref(), arguments.sign)?.map(|file| (file, make)));
    }
    check(&files, arguments.sign)?;
    let options = ReportOptions { asked: arguments.asked()?, whole: arguments.whole };
    let repository = context.open()?;
    let Reported { report, findings, back } = report(&repository, &options)?;
    let all: Vec<Finding> = findings.into_iter().chain(back.clone()).collect();
    context.output.warn_of(&all);
    for (file, what) in files.iter().zip(["page", "table"]) {
        if let Some((file, make)) = file {
            file.write(&repository, &make(&report))?;
            context.output.note(format_args!("{what} written to {}", file.text.named().display()));
        }
    }
    if arguments.html.is_none() {
        context.output.text(&text(&report));
    }
    let exit = if any_loss(&all) { Exit::Damage } else { Exit::Success };
    let mut told = json!({ "report": report, "html": arguments.html, "csv": arguments.csv });
    if let (Some(back), Some(members)) = (back, told.as_object_mut()) {
        members.insert("findings".to_owned(), json!([back]));
    }
    Ok(context.output.finish(&told, exit))
}

/// Checks that files are named where some are signed, and that no name leads to the file of another.
fn check<T>(files: &[Option<(OutputFile, T)>], is_signed: bool) -> Result<(), Failure> {
    let files: Vec<&OutputFile> = files.iter().flatten().map(|(file, _make)| file).collect();
    if is_signed && files.is_empty() {
        let why = "`--sign` signs files: name one with `--html` or `--csv`";
        return Err(Failure::usage(why.to_owned()));
    }
    let places = files.iter().flat_map(|file| std::iter::once(&file.text).chain(&file.signature));
    let mut known: Vec<&Destination> = Vec::new();
    for place in places {
        if known.iter().any(|other| other.is(place)) {
            let why = format!("two files cannot both be written to {}", place.named().display());
            return Err(Failure::usage(why));
        }
        known.push(place);
    }
    Ok(())
}

/// A file that is asked for.
struct OutputFile {
    text: Destination,
    /// Where its signature goes, if it is to be signed.
    signature: Option<Destination>,
}

impl OutputFile {
    fn of(named: Option<&Path>, is_signed: bool) -> Result<Option<Self>, Failure> {
        let Some(named) = named else { return Ok(None) };
        let text = Destination::of(named.to_owned())?;
        if is_signed && text.is_stream() {
            let why = format!("`--sign` signs files, and {} is none", named.display());
            return Err(Failure::usage(why));
        }
        let signature = is_signed.then(|| text.beside(".sig")).transpose()?;
        Ok(Some(Self { text, signature }))
    }

    /// Writes it, and its signature beside it. The signature is replaced first: one that does not fit is noticed, one that fits
    /// an older file is not.
    fn write(&self, repository: &Repository, text: &str) -> Result<(), Failure> {
        if let Some(signature) = &self.signature {
            signature.write(&sign(repository, text.as_bytes().to_vec())?)?;
        }
        self.text.write(text)
    }
}

/// A month, as `2026-10`.
fn month(text: &str) -> Result<(i16, i8), String> {
    let first = first_of_month(text)?;
    Ok((first.year(), first.month()))
}
