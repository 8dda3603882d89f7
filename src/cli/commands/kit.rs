//! `key recovery-kit`: on paper, as a page, or as JSON.

use crate::cli::context::Context;
use crate::cli::failure::Exit;
use crate::cli::failure::Failure;
use crate::format::keyslot::Role;
use crate::ops::key::kit::RecoveryKit;
use crate::ops::key::kit::recovery_kit;
use crate::ops::location::Location;
use serde_json::json;
use std::fmt::Write as _;

/// Runs the command.
pub(crate) fn run(context: &Context, role: Role, html: bool) -> Result<Exit, Failure> {
    let repository = context.open()?;
    let location = absolute(&context.open_options()?.location);
    let kit = recovery_kit(&repository, role)?;
    let text = text(&kit, &location);
    if html {
        context.output.line(format_args!("{}", page(&text)));
    } else {
        context.output.line(format_args!("{}", text.trim_end()));
    }
    context.output.note(format_args!(
        "made key slot {} for this kit: whoever has the kit has its rights, until `sbf-repo key remove {}`",
        kit.slot.short(),
        kit.slot.short()
    ));
    let words = json!({
        "location": location,
        "repository": kit.repository.to_string(),
        "slot": kit.slot.to_string(),
        "role": kit.role.word(),
        "created": kit.created,
        "key_file": kit.key_file.as_str(),
        "authority": kit.authority,
        "steps": steps(&location),
    });
    Ok(context.output.finish(&words, Exit::Success))
}

/// The location as another directory and another machine would name it.
fn absolute(location: &Location) -> String {
    match location {
        Location::Local(path) => {
            std::path::absolute(path).unwrap_or_else(|_error| path.clone()).display().to_string()
        }
        #[cfg(feature = "cloud")]
        Location::Cloud(_) => location.to_string(),
    }
}

fn text(kit: &RecoveryKit, location: &str) -> String {
    let RecoveryKit { repository, slot, role, created, key_file, authority, .. } = kit;
    let mut text = format!(
        "RECOVERY KIT of a sbf-repo repository. SECRET: who has this has the rights of its key.\n\n\
         location    {location}\nrepository  {repository}\nkey slot    {slot}\nrole        {}\n\
         authority   {authority}\nmade        {created}\n\n\
         The key file, five lines:\n\n{}\nFirst steps:\n\n",
        role.word(),
        key_file.as_str(),
    );
    for (number, step) in (1..).zip(steps(location)) {
        // Writing into a string does not fail.
        let _ignored = writeln!(text, "{number}. {step}");
    }
    text
}

fn steps(location: &str) -> [String; 6] {
    [
        "Install sbf-repo on a machine that you trust.".to_owned(),
        "Write the five lines of the key file to a file `recovery.key` that only you can read \
         (`chmod 600 recovery.key`)."
            .to_owned(),
        "If the location is a bucket, set up credentials that can read it: they are not in this kit."
            .to_owned(),
        format!("See what there is: sbf-repo --repo '{location}' --key-file recovery.key snapshots"),
        format!(
            "Bring it back: sbf-repo --repo '{location}' --key-file recovery.key restore latest \
             --target DIRECTORY"
        ),
        "Afterwards, if the kit was seen by others: `sbf-repo key remove` its slot, then `sbf-repo key \
         rotate`."
            .to_owned(),
    ]
}

/// A page that prints on one sheet.
fn page(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>sbf-repo recovery kit</title>\n\
         <style>pre {{ font-size: 10pt; white-space: pre-wrap; overflow-wrap: anywhere }}</style>\n\
         </head>\n<body>\n<pre>\n{escaped}\n</pre>\n</body>\n</html>"
    )
}
