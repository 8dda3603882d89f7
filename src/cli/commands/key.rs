//! `key`: who can open the repository, and what each may do.

use crate::cli::commands::init::CostArguments;
use crate::cli::commands::init::new_secret;
use crate::cli::commands::kit;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::cli::health::kept_words;
use crate::cli::secrets;
use crate::cli::secrets::SecretSource;
use crate::cli::words::Table;
use crate::format::keyslot::Role;
use crate::id::to_hex;
use crate::ops::kept_dumps::kept_dumps;
use crate::ops::key;
use crate::ops::key::SlotContent;
use crate::ops::key::SlotRow;
use crate::ops::key::add::AddOptions;
use crate::ops::key::add::HoldsAuthority;
use crate::ops::key::add::add as add_slot;
use crate::ops::key::add::change_passphrase;
use crate::ops::key::authority::export;
use crate::ops::key::pair::pair as make_pair;
use crate::ops::key::remove::Guard;
use crate::ops::key::remove::RemoveOptions;
use crate::ops::key::remove::Removed;
use crate::ops::key::remove::remove as remove_slot;
use crate::ops::key::rotate::RotateReport;
use crate::ops::key::rotate::rotate as begin_generation;
use crate::repo::repository::Repository;
use crate::settings::quantities;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::json;
use std::path::Path;
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
    ///
    /// A slot is `valid`; or `expired` or `revoked`: what its holder signs no longer counts; or
    /// `behind`: it lacks the newest generation of keys, and another `key rotate` gives it to it.
    List,
    /// Add a key slot
    Add(AddArguments),
    /// Create a key file whose slot somebody else adds, who never sees the secret
    ///
    /// Prints the public key, which is no secret: whoever administers the repository makes the slot
    /// with `key add --public-key`. The file also names the authority that the repository claims now,
    /// and opens no slot of another one.
    Pair {
        /// Create this key file
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
    /// Remove a key slot, and revoke what its holder signs from now on
    ///
    /// Whoever opened the slot before, or copied it and knows its secret, keeps the keys and can
    /// still read every copy of the repository that they can reach, as far as it was stored before the
    /// next `key rotate`. In a bucket with versions the slot stays as an old version.
    Remove(RemoveArguments),
    /// Begin a new generation of keys: what is stored from now on is sealed for those who hold a slot now
    ///
    /// Nothing that is stored is read or written again, and every slot stays as it is: it opens the new
    /// keys, too. Hosts that run keep the old keys until their command ends; what they store is valid.
    Rotate,
    /// Print what a new machine needs, with the secret of a slot that is made for it
    ///
    /// Print it on paper, and keep it where the backups are not. Credentials of a bucket are not in it.
    RecoveryKit {
        /// What the holder of the kit may do
        #[arg(long, value_enum, default_value = "admin")]
        role: RoleName,
        /// Write a page of HTML
        #[arg(long, conflicts_with = "json")]
        html: bool,
    },
    /// Take the authority key, which certifies all others, out of the machines that need it rarely
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Replace the passphrase in use by another one
    ChangePassword {
        #[command(flatten)]
        new: NewPasswordArguments,
        #[command(flatten)]
        cost: CostArguments,
    },
}

#[derive(Debug, Subcommand)]
enum AuthorityCommand {
    /// Write the authority key to a new file
    ///
    /// The slots of admins that hold it still do: add others with `key add --role admin
    /// --without-authority`, and remove those.
    Export {
        /// Create this file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct AddArguments {
    /// What the holder of the key may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// Words for `key list`
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// Create this key file instead of asking for a passphrase
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_password_file", "public_key"])]
    new_key_file: Option<PathBuf>,
    /// Make the slot for the key file of which this is the public key, as `key pair` printed it
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_file")]
    public_key: Option<PathBuf>,
    /// What the holder signs counts until then: a date, a time, or so long from now, as `90d`
    #[arg(long, value_name = "TIME", value_parser = quantities::until)]
    valid_until: Option<quantities::Until>,
    /// Do not give a new admin the authority key
    #[arg(long)]
    without_authority: bool,
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
    /// Also remove the slot in use, or the last slot of an admin; with `--revoke-from`, also if
    /// snapshots no longer count then
    #[arg(long)]
    force: bool,
    /// What the holder signed since this date or time does not count either
    #[arg(long, value_name = "TIME", value_parser = quantities::moment)]
    revoke_from: Option<i64>,
    /// Why, for people; it is stored in clear
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Also begin a new generation of keys
    #[arg(long)]
    rotate: bool,
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
            // A pair is made without a repository.
            KeyCommand::List | KeyCommand::Pair { .. } => None,
            KeyCommand::Add(_) => Some("key-add"),
            KeyCommand::Remove(_) => Some("key-remove"),
            KeyCommand::ChangePassword { .. } => Some("key-change-password"),
            KeyCommand::Rotate => Some("key-rotate"),
            KeyCommand::RecoveryKit { .. } => Some("key-recovery-kit"),
            KeyCommand::Authority(_) => Some("key-authority-export"),
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: KeyArguments) -> Result<Exit, Failure> {
    match arguments.command {
        KeyCommand::List => list(context),
        KeyCommand::Add(arguments) => add(context, arguments),
        KeyCommand::Pair { new_key_file } => pair(context, &new_key_file),
        KeyCommand::Remove(arguments) => remove(context, arguments),
        KeyCommand::Rotate => rotate(context),
        KeyCommand::RecoveryKit { role, html } => kit::run(context, role.role(), html),
        KeyCommand::Authority(AuthorityCommand::Export { file }) => {
            export_authority(context, &file)
        }
        KeyCommand::ChangePassword { new, cost } => change_password(context, new, cost),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let rows = key::list(&repository)?;
    let titles = ["SLOT", "ROLE", "OPENED BY", "CREATED", "STATE", "UNTIL", "LABEL"];
    let mut table = Table::new(&titles);
    for SlotRow { slot, in_use, content, .. } in &rows {
        let star = if *in_use { "*" } else { "" };
        let slot = format!("{}{star}", context.id(slot));
        table.push(match content {
            SlotContent::Header {
                role,
                kind,
                label,
                created,
                state,
                valid_until,
                revoked_from,
                ..
            } => {
                let [role, kind, state] = [role, kind, state.word()].map(ToOwned::to_owned);
                let until = revoked_from.as_ref().or(valid_until.as_ref());
                let until = until.cloned().unwrap_or_else(|| "-".to_owned());
                let label = label.escape_debug().to_string();
                vec![slot, role, kind, created.clone(), state, until, label]
            }
            SlotContent::Damaged(why) => vec![slot, format!("damaged: {why}")],
        });
    }
    context.output.line(format_args!("{table}"));
    let kept = kept_dumps(&repository);
    if let Some(words) = kept_words(context, kept)? {
        context.output.note(format_args!("{words}"));
    }
    let damaged = rows.iter().any(|row| matches!(row.content, SlotContent::Damaged(_)));
    let exit = if damaged { Exit::Damage } else { Exit::Success };
    Ok(context.output.finish(&json!({ "slots": rows, "host_keeps": kept }), exit))
}

fn add(context: &Context, arguments: AddArguments) -> Result<Exit, Failure> {
    let AddArguments { role, label, new_key_file, public_key, new, cost, .. } = arguments;
    let role = role.role();
    let repository = context.open()?;
    let (mut options, file) = if let Some(path) = public_key {
        let public = secrets::read_public_key(&path)?;
        (AddOptions::for_public_key(role, label, public), None)
    } else {
        let source = new_key_file.map_or_else(|| new.source(), SecretSource::KeyFile);
        let (secret, file) = new_secret(&source, cost)?;
        (AddOptions::new(role, label, secret), file)
    };
    options.valid_until = arguments.valid_until.map(|until| until.after(Context::now()));
    if arguments.without_authority {
        options.authority = HoldsAuthority::No;
    }
    let mut keep = |key: &_| match &file {
        Some(path) => secrets::keep_key_file(path, key),
        None => Ok(()),
    };
    let slot = add_slot(&repository, &options, &mut keep)?;
    let word = role.word();
    context.output.note(format_args!("added key slot {} with the role {word}", slot.short()));
    let words = json!({ "slot": slot.to_string(), "role": word, "key_file": file });
    Ok(context.output.finish(&words, Exit::Success))
}

fn pair(context: &Context, path: &Path) -> Result<Exit, Failure> {
    secrets::check_key_file_absent(path)?;
    let mut keep = |key: &_| secrets::keep_key_file(path, key);
    let made = make_pair(&context.open_options()?, &mut keep)?;
    let (public, authority) = (made.public.to_text(), to_hex(&made.authority));
    context.output.line(format_args!("{}", public.trim_end()));
    context.output.note(format_args!(
        "Give this public key to whoever administers the repository, for `key add --public-key`, and \
         make sure that they know the same authority: {authority}"
    ));
    let slot = made.public.slot.to_string();
    let words = json!({
        "slot": slot, "key_file": path, "public_key": public, "authority": authority,
    });
    Ok(context.output.finish(&words, Exit::Success))
}

fn remove(context: &Context, arguments: RemoveArguments) -> Result<Exit, Failure> {
    let RemoveArguments { slot, force, revoke_from, reason, rotate } = arguments;
    let mut options = RemoveOptions::new(slot);
    options.guard = if force { Guard::Off } else { Guard::On };
    options.revoke_from = revoke_from;
    options.reason = reason;
    let repository = context.open()?;
    let removed = remove_slot(&repository, &options).map_err(|error| {
        let failure = Failure::from(error);
        let guarded = failure.exit == Exit::Refused;
        if guarded { failure.with_hint("`--force` removes it all the same") } else { failure }
    })?;
    tell_removed(context, &removed);
    let rotated = if rotate { Some(rotated(context, &repository)?) } else { None };
    if rotated.is_none() {
        context.output.note(format_args!(
            "`sbf-repo key rotate` makes new keys for what is stored from now on."
        ));
    }
    let words = json!({ "slot": removed.slot, "removed": removed, "rotated": rotated });
    Ok(context.output.finish(&words, Exit::Success))
}

fn tell_removed(context: &Context, removed: &Removed) {
    let output = &context.output;
    output.note(format_args!("removed key slot {}", context.id(&removed.slot)));
    let is_signer =
        |word: &str| [Role::Reader, Role::Auditor].iter().all(|role| role.word() != word);
    let signs = removed.revoked_keys > 0 && removed.role.is_some_and(is_signer);
    if let Some(from) = removed.revoked_from.as_ref().filter(|_from| signs) {
        output.note(format_args!(
            "What its holder signed before {from} still counts, and nothing that is signed later."
        ));
    }
    for snapshot in &removed.refused {
        output.warn(&format!("snapshot {} no longer counts", context.id(snapshot)));
    }
    output.note(format_args!(
        "This takes nothing back: whoever opened the slot before, or has a copy of it and its \
         secret, still has the keys, and reads what is stored now. A bucket with versions keeps the \
         slot as an old version."
    ));
    if removed.role == Some(Role::Admin.word()) {
        output.warn(
            "if that slot held the authority key, its holder can still certify keys: nothing but a new \
             repository ends that",
        );
    }
}

fn rotate(context: &Context) -> Result<Exit, Failure> {
    let report = rotated(context, &context.open()?)?;
    Ok(context.output.finish(&report, Exit::Success))
}

fn rotated(context: &Context, repository: &Repository) -> Result<RotateReport, Failure> {
    let report = begin_generation(repository)?;
    context.output.note(format_args!(
        "generation {} of the keys began; {} key slot{} open{} it",
        report.generation,
        report.renewed.len(),
        if report.renewed.len() == 1 { "" } else { "s" },
        if report.renewed.len() == 1 { "s" } else { "" },
    ));
    for slot in &report.left_out {
        context.output.warn(&format!(
            "key slot {} does not open what is stored from now on: its holder is revoked or not known",
            context.id(slot)
        ));
    }
    Ok(report)
}

fn export_authority(context: &Context, path: &Path) -> Result<Exit, Failure> {
    secrets::check_key_file_absent(path)?;
    let repository = context.open()?;
    let admins = export(&repository, &mut |file| secrets::keep_authority_file(path, file))?;
    context.output.note(format_args!("the authority key is in {}", path.display()));
    context.output.note(format_args!(
        "Slots of admins that hold it still do ({}): add others with `key add --role admin \
         --without-authority`, and remove those.",
        admins.iter().map(|slot| context.id(slot)).collect::<Vec<_>>().join(", ")
    ));
    let words = json!({ "authority_file": path, "admin_slots": admins });
    Ok(context.output.finish(&words, Exit::Success))
}

fn change_password(
    context: &Context,
    new: NewPasswordArguments,
    cost: CostArguments,
) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let passphrase = secrets::new_passphrase(&new.source())?;
    let slot = change_passphrase(&repository, &passphrase, cost.cost())?;
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
