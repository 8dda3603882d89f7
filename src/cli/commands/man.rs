//! `man`: the manual, one page a command, made from what `--help` says.

use crate::cli::arguments::Arguments;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::words;
use crate::units::to_u64;
use clap::Args;
use clap::Command;
use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::Roff;
use clap_mangen::roff::bold;
use clap_mangen::roff::roman;
use serde_json::json;
use std::io;
use std::io::Write as _;
use std::path::PathBuf;

/// Write the manual pages into a directory
///
/// One page a command, `sbf-repo.1`, `sbf-repo-snapshot.1` and so on; they are the same whenever and
/// wherever the same version writes them. `man -l DIRECTORY/sbf-repo.1` shows one, and
/// /usr/local/share/man/man1 is where `man sbf-repo` finds them.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Where to; made if it is missing, and pages of other versions in it are replaced
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ManArguments) -> Result<Exit, Failure> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory)
        .map_err(|source| Failure::local("create", directory, source))?;
    let mut names = Vec::new();
    for (name, bytes) in pages() {
        let path = directory.join(&name);
        let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|source| Failure::local("write", &path, source))?;
        names.push(name);
    }
    let (count, place) = (words::count(to_u64(names.len()), "page"), directory.display());
    context.output.note(format_args!("wrote {count} to {place}"));
    let report = json!({ "directory": directory.to_string_lossy(), "pages": names });
    Ok(context.output.finish(&report, Exit::Success))
}

/// Every page with the name of its file.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    // Hands the options of every command down, to which others refer.
    root.build();
    let mut pages = Vec::new();
    add_page(&mut pages, &root, &[root.get_name().to_owned()]);
    pages.sort();
    pages
}

fn add_page(pages: &mut Vec<(String, Vec<u8>)>, command: &Command, path: &[String]) {
    let page = path.join("-");
    let mut named = command.clone().display_name(page.as_str()).bin_name(path.join(" "));
    if path.len() > 1 {
        // The first page has them.
        named = named.mut_args(|argument| {
            let is_everywhere = argument.is_global_set() || argument.get_id() == "help";
            argument.hide(is_everywhere)
        });
    }
    let mut bytes = Vec::new();
    // Writing into memory does not fail.
    let _ignored = write_page(named, path, &mut bytes);
    pages.push((format!("{page}.1"), bytes));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let mut longer = path.to_vec();
        longer.push(below.get_name().to_owned());
        add_page(pages, below, &longer);
    }
}

fn write_page(mut command: Command, path: &[String], bytes: &mut Vec<u8>) -> io::Result<()> {
    let has_commands = command.has_subcommands();
    let usage = command.render_usage().to_string();
    let extra = command.get_after_long_help().map(ToString::to_string);
    let man = Man::new(command.subcommand_help_heading("COMMANDS"));
    // No date: a page is the same whenever it is made.
    let (page, version) = (path.join("-"), env!("CARGO_PKG_VERSION"));
    writeln!(bytes, ".TH {page} 1 \"\" \"sbf-repo {version}\" \"Backup repositories\"")?;
    man.render_name_section(bytes)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.control("nf", []);
    for line in usage.trim_start_matches("Usage:").lines() {
        synopsis.text([bold(line.trim())]);
    }
    synopsis.control("fi", []);
    synopsis.to_writer(bytes)?;
    man.render_description_section(bytes)?;
    man.render_options_section(bytes)?;
    if has_commands {
        man.render_subcommands_section(bytes)?;
    }
    let mut rest = Roff::new();
    add_extra(&mut rest, extra.as_deref().unwrap_or_default());
    if let Some((_, above)) = path.split_last()
        && !above.is_empty()
    {
        rest.control("SH", ["SEE ALSO"]);
        let names = (1..=above.len()).filter_map(|length| path.get(..length));
        let names: Vec<String> = names.map(|names| format!("{}(1)", names.join("-"))).collect();
        let said = "options of every command, environment and exit codes";
        rest.text([roman(format!("{}; sbf-repo(1) has the {said}.", names.join(", ")))]);
    }
    rest.to_writer(bytes)
}

/// Adds what stands below a help's options: each paragraph begins with its heading, and keeps its lines.
fn add_extra(page: &mut Roff, text: &str) {
    for paragraph in text.split("\n\n") {
        let Some((heading, lines)) = paragraph.split_once('\n') else { continue };
        let heading = heading.split([':', '(']).next().unwrap_or_default();
        page.control("SH", [heading.trim().to_uppercase().as_str()]);
        page.control("nf", []);
        for line in lines.lines() {
            page.text([roman(line)]);
        }
        page.control("fi", []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["sbf-repo.1", "sbf-repo-snapshot.1", "sbf-repo-key-add.1", "sbf-repo-man.1"] {
            assert!(names.contains(&name), "no {name} in {names:?}");
        }
    }
}
