//! `key`: who can open the repository.

use crate::cli::commands::init::CostArguments;
use crate::cli::commands::init::new_secret;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::secrets;
use crate::cli::secrets::SecretSource;
use crate::cli::words::Table;
use crate::format::keyslot::Role;
use crate::ops::key;
use crate::ops::key::AddOptions;
use crate::ops::key::Guard;
use crate::ops::key::SlotContent;
use crate::ops::key::SlotRow;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::json;
use std::path::PathBuf;

/// Show and change who can open the repository
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List the key slots; a star marks the one in use
    List,
    /// Add a key slot
    Add(AddArguments),
    /// Remove a key slot
    ///
    /// Whoever opened the slot before, or copied it and knows its secret, keeps the keys and can
    /// still read every copy of the repository that they can reach.
    Remove(RemoveArguments),
    /// Replace the passphrase in use by another one
    ChangePassword {
        #[command(flatten)]
        new: NewPasswordArguments,
        #[command(flatten)]
        cost: CostArguments,
    },
}

#[derive(Debug, Args)]
struct AddArguments {
    /// What the holder of the key may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// Words for `key list`
    #[arg(long, default_value = "")]
    label: String,
    /// Create this key file instead of asking for a passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_file")]
    new_key_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPasswordArguments,
    #[command(flatten)]
    cost: CostArguments,
}

#[derive(Debug, Args)]
struct NewPasswordArguments {
    /// Read the new passphrase from this file, without its last line break
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RemoveArguments {
    /// The first four or more digits of the slot's id
    slot: String,
    /// Also remove the slot in use, or the last slot of an admin
    #[arg(long)]
    force: bool,
}

/// Names of roles.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Everything
    Admin,
    /// Makes snapshots; cannot read what it wrote
    Writer,
    /// Restores and checks
    Reader,
    /// Forgets and prunes; cannot read contents
    Pruner,
    /// Verifies statements; cannot read contents
    Auditor,
}

impl KeyArguments {
    /// The word for it in the audit log; `None` if nothing is changed.
    pub(crate) const fn operation(&self) -> Option<&'static str> {
        match self.command {
            KeyCommand::List => None,
            KeyCommand::Add(_) => Some("key-add"),
            KeyCommand::Remove(_) => Some("key-remove"),
            KeyCommand::ChangePassword { .. } => Some("key-change-password"),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: KeyArguments) -> Result<Exit, Failure> {
    match arguments.command {
        KeyCommand::List => list(context),
        KeyCommand::Add(arguments) => add(context, arguments),
        KeyCommand::Remove(arguments) => remove(context, &arguments),
        KeyCommand::ChangePassword { new, cost } => change_password(context, new, cost),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let rows = key::list(&context.open()?)?;
    let mut table = Table::new(&["SLOT", "ROLE", "OPENED BY", "CREATED", "LABEL"]);
    for SlotRow { slot, in_use, content, .. } in &rows {
        let star = if *in_use { "*" } else { "" };
        let slot = format!("{}{star}", context.id(slot));
        table.push(match content {
            SlotContent::Header { role, kind, label, created, .. } => {
                let [role, kind] = [role, kind].map(|word| (*word).to_owned());
                vec![slot, role, kind, created.clone(), label.escape_debug().to_string()]
            }
            SlotContent::Damaged(why) => vec![slot, format!("damaged: {why}")],
        });
    }
    context.output.line(format_args!("{table}"));
    let damaged = rows.iter().any(|row| matches!(row.content, SlotContent::Damaged(_)));
    let exit = if damaged { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&json!({ "slots": rows }), exit))
}

fn add(context: &Context, arguments: AddArguments) -> Result<Exit, Failure> {
    let AddArguments { role, label, new_key_file, new, cost } = arguments;
    let repository = context.open()?;
    let source = new_key_file.map_or_else(|| new.source(), SecretSource::KeyFile);
    let (secret, file) = new_secret(&source, cost)?;
    let mut keep = |key: &_| match &file {
        Some(path) => secrets::keep_key_file(path, key),
        None => Ok(()),
    };
    let role = role.role();
    let options = AddOptions::new(role, label, secret);
    let slot = key::add(&repository, &options, &mut keep)?;
    let word = role.word();
    context.output.note(format_args!("added key slot {} with the role {word}", slot.short()));
    let words = json!({ "slot": slot.to_string(), "role": word, "key_file": file });
    Ok(context.output.finish(&words, Exit::Success))
}

fn remove(context: &Context, arguments: &RemoveArguments) -> Result<Exit, Failure> {
    let guard = if arguments.force { Guard::Off } else { Guard::On };
    let removed = key::remove(&context.open()?, &arguments.slot, guard);
    let slot = removed.map_err(|error| {
        let failure = Failure::from(error);
        let guarded = failure.exit == Exit::Refused;
        if guarded { failure.with_hint("`--force` removes it all the same") } else { failure }
    })?;
    context.output.note(format_args!("removed key slot {}", context.id(&slot)));
    context.output.note(format_args!(
        "This takes nothing back: whoever opened the slot before, or has a copy of it and its \
         secret, still has the keys."
    ));
    Ok(context.output.finish(&json!({ "slot": slot }), Exit::Success))
}

fn change_password(
    context: &Context,
    new: NewPasswordArguments,
    cost: CostArguments,
) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let passphrase = secrets::new_passphrase(&new.source())?;
    let slot = key::change_passphrase(&repository, &passphrase, cost.cost())?;
    context.output.note(format_args!(
        "the new passphrase opens key slot {}; the old slot is removed",
        slot.short()
    ));
    Ok(context.output.finish(&json!({ "slot": slot.to_string() }), Exit::Success))
}

impl NewPasswordArguments {
    fn source(self) -> SecretSource {
        self.new_password_file.map_or(SecretSource::Terminal, SecretSource::PasswordFile)
    }
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::Admin => Role::Admin,
            Self::Writer => Role::Writer,
            Self::Reader => Role::Reader,
            Self::Pruner => Role::Pruner,
            Self::Auditor => Role::Auditor,
        }
    }
}
