//! `config`: the configuration file.

use crate::cli::configuration;
use crate::cli::configuration::Checked;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::secrets::SecretSource;
use crate::cli::sourced::Origin;
use crate::cli::sourced::Sourced;
use crate::cli::words;
use crate::cli::words::Table;
use crate::settings;
use crate::settings::At;
use crate::settings::copy::CopySection;
use crate::settings::said::Said;
use crate::units::to_u64;
use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;
use std::path::PathBuf;

/// Check, show or explain the configuration file
///
/// It is looked for in this order: `--config FILE`, `$SBF_REPO_CONFIG`,
/// `$XDG_CONFIG_HOME/sbf-repo/config.toml`, `/etc/sbf-repo/config.toml`. The first one counts, alone;
/// options of the command line come before it, and so does the environment.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with the configuration file
    ///
    /// Nothing is opened, and no secret is looked up.
    Check,
    /// Show what the configuration file says
    Show {
        /// Show what counts, and where each value comes from
        #[arg(long)]
        effective: bool,
    },
    /// Print a configuration file that explains itself
    Example,
    /// Print what a configuration file may say, as JSON Schema, for editors
    Schema,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &ConfigArguments) -> Result<Exit, Failure> {
    match arguments.command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show { effective } => show(context, effective),
        ConfigCommand::Example => {
            context.output.line(format_args!("{}", settings::EXAMPLE.trim_end()));
            Ok(context.output.finish(&json!({ "example": settings::EXAMPLE }), Exit::Success))
        }
        ConfigCommand::Schema => {
            context.output.text(settings::SCHEMA);
            let schema: Value = serde_json::from_str(settings::SCHEMA).unwrap_or_default();
            Ok(context.output.finish(&json!({ "schema": schema }), Exit::Success))
        }
    }
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let Some(path) = configuration::find(context.global.config.as_deref())? else {
        let places: Vec<String> = configuration::places().iter().map(shown).collect();
        let why = "there is no configuration file".to_owned();
        let hint = format!("name it with `--config FILE`, or put it into {}", places.join(" or "));
        return Err(Failure::usage(why).with_hint(hint));
    };
    let Checked { path, settings: _, problems } = configuration::read(path)?;
    for problem in &problems {
        context.output.line(format_args!("{}: {problem}", path.display()));
    }
    let exit = if problems.is_empty() { Exit::Success } else { Exit::Usage };
    context.output.note(format_args!(
        "{}: {}",
        path.display(),
        if problems.is_empty() {
            "nothing is wrong".to_owned()
        } else {
            words::count(to_u64(problems.len()), "problem")
        }
    ));
    let problem = |problem: &settings::problem::Problem| json!({ "line": problem.line, "what": problem.what });
    let problems: Vec<Value> = problems.iter().map(problem).collect();
    Ok(context.output.finish(&json!({ "path": shown(&path), "problems": problems }), exit))
}

fn show(context: &Context, effective: bool) -> Result<Exit, Failure> {
    let mut rows = Rows::default();
    rows.add_global(context)?;
    rows.add_copies(context)?;
    rows.add_said(context)?;
    rows.add_channels(context)?;
    if !effective {
        rows.0.retain(|row| matches!(row.origin, Origin::File { .. }));
    }
    let path = context.configuration()?.path.as_ref().map(shown);
    match &path {
        Some(path) => context.output.note(format_args!("configuration file: {path}")),
        None => context.output.note(format_args!("there is no configuration file")),
    }
    let mut table = Table::new(&["NAME", "VALUE", "FROM"]);
    for Sourced { value: (name, words, _value), origin } in &rows.0 {
        table.push(vec![name.clone(), words.clone(), origin.to_string()]);
    }
    if !rows.0.is_empty() {
        context.output.line(format_args!("{table}"));
    }
    let values: Vec<Value> = rows.0.iter().map(Row::json).collect();
    Ok(context.output.finish(&json!({ "path": path, "values": values }), Exit::Success))
}

/// A name, its value for people, and for programs.
type Row = Sourced<(String, String, Value)>;

impl Row {
    fn json(&self) -> Value {
        let Sourced { value: (name, _words, value), origin } = self;
        json!({ "name": name, "value": value, "origin": origin.json() })
    }
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add<T>(&mut self, name: &str, sourced: Sourced<T>, words: impl Fn(&T) -> String) {
        let Sourced { value, origin } = sourced;
        let words = words(&value);
        let value = (name.to_owned(), words.clone(), words.into());
        self.0.push(Sourced { value, origin });
    }

    fn add_global(&mut self, context: &Context) -> Result<(), Failure> {
        if let Some(location) = context.location_if_named()? {
            self.add("repository.url", location, String::clone);
        }
        let secret = SecretSource::find(&context.global, context.configuration()?)?;
        self.add("repository.secret", secret, SecretSource::words);
        if let Some(directory) = context.cache_directory()? {
            self.add("cache.directory", directory, shown);
            let Sourced { value, origin } = context.cache_bytes_max()?;
            let value = ("cache.size".to_owned(), crate::units::human_bytes(value), value.into());
            self.0.push(Sourced { value, origin });
            let keeping = context.dump_keeping()?;
            self.add("cache.delta_cache", keeping, |keeping| keeping.word().to_owned());
        }
        Ok(())
    }

    fn add_copies(&mut self, context: &Context) -> Result<(), Failure> {
        let configuration = context.configuration()?;
        for copy in &configuration.settings.copies {
            let CopySection { name, url, mode, secret, keep_last, lag_max } = copy;
            let key = |key: &str| format!("copy.{}.{key}", name.value);
            self.add(&key("url"), configuration.sourced(url), String::clone);
            let mode = configuration.sourced(mode);
            self.add(&key("mode"), mode, |mode| mode.word().to_owned());
            if let Some(at) = secret {
                let Sourced { value, origin } = configuration.sourced(at);
                let secret = Sourced { value: SecretSource::Named(value), origin };
                self.add(&key("secret"), secret, SecretSource::words);
            }
            if let Some(at) = keep_last {
                let Sourced { value, origin } = configuration.sourced(at);
                let value = (key("keep_last"), value.to_string(), value.into());
                self.0.push(Sourced { value, origin });
            }
            if let Some(at) = lag_max {
                let lag = configuration.sourced(at);
                self.add(&key("max_lag"), lag, |lag| words::duration(*lag));
            }
        }
        Ok(())
    }

    /// What only the file says.
    fn add_said(&mut self, context: &Context) -> Result<(), Failure> {
        let configuration = context.configuration()?;
        for Said { name, words, line } in &configuration.settings.said {
            let at = At { value: words.clone(), line: *line };
            self.add(name, configuration.sourced(&at), String::clone);
        }
        Ok(())
    }

    fn add_channels(&mut self, context: &Context) -> Result<(), Failure> {
        let configuration = context.configuration()?;
        for channel in &configuration.settings.notify.channels {
            let key = |key: &str| format!("notify.channel.{}.{key}", channel.name.value);
            let At { value: _, line } = channel.name;
            let kind = At { value: channel.kind.word().to_owned(), line };
            self.add(&key("kind"), configuration.sourced(&kind), String::clone);
            self.add(&key("level"), configuration.sourced(&channel.level), u32::to_string);
        }
        Ok(())
    }
}

#[expect(clippy::ptr_arg, reason = "the type of values that are shown")]
fn shown(path: &PathBuf) -> String {
    path.display().to_string()
}
