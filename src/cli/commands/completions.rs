//! `completions`: what a shell needs to complete this program's command lines.

use crate::cli::completion;
use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::output::Form;
use clap::Args;
use clap::ValueEnum;
use serde_json::json;
use std::io::Write as _;

/// Print the completions of a shell
///
/// `source <(sbf-repo completions bash)` in ~/.bashrc, the same with `zsh` in ~/.zshrc after
/// `compinit`, or `sbf-repo completions fish | source` in ~/.config/fish/config.fish; packages
/// install them for everybody.
///
/// Commands, options and files are completed, and so are snapshots and sources as this host listed
/// them last, and the names of copies in the configuration file. Completing asks no repository and
/// no passphrase.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// Whose completions
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &CompletionsArguments) -> Exit {
    let shell = arguments.shell.name();
    let script = completion::script(shell);
    if context.output.form() == Form::Words {
        // An error is remembered by the output, which tells it when it is closed.
        let _noted = (&*context.output).write_all(script.as_bytes());
    }
    let report = json!({ "shell": shell, "script": script });
    context.output.finish(&report, Exit::Success)
}
