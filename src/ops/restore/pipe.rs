//! `restore --to-command`: one file of a snapshot into a process.

use crate::command::CommandEnd;
use crate::command::CommandOutcome;
use crate::command::CommandWriter;
use crate::command::ErrorOutput;
use crate::localfs::LocalError;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::restore::dump;
use crate::ops::select::Selected;
use crate::repo::repository::Repository;
use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

/// Writes a file of a snapshot to the input of `argv`; returns how many bytes it took.
///
/// If anything is wrong, the process is killed before its input is closed: an input that ends
/// early and cleanly looks like all of it, and a database would commit half of a dump.
pub fn restore_to_command(
    repository: &Repository,
    selected: &Selected,
    argv: &[OsString],
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let Some(program) = argv.first() else {
        return Err(OpError::Usage { why: "there is no command to run".to_owned() });
    };
    let wrong = |call, source| OpError::from(LocalError::new(program.as_bytes(), call, source));
    let child = CommandWriter::spawn(argv, ErrorOutput::Inherit)
        .map_err(|error| wrong(error.call, error.source))?;
    let mut input = ChildInput { child };
    let written = match dump(repository, selected, &mut input, progress) {
        Ok(written) => written,
        Err(error) => {
            // How it ends does not matter: it was killed because of the error that is reported.
            let _ignored = input.child.kill_before_close();
            return Err(error);
        }
    };
    let CommandOutcome { end, .. } =
        input.child.finish().map_err(|error| wrong(error.call, error.source))?;
    match end {
        end if end.is_success() => Ok(written),
        CommandEnd::Exited(code) => {
            Err(OpError::TargetCommand { how: format!("it exited with code {code}") })
        }
        CommandEnd::Signalled(signal) => {
            Err(OpError::TargetCommand { how: format!("signal {signal} ended it") })
        }
    }
}

struct ChildInput {
    child: CommandWriter,
}

impl Write for ChildInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.child.write_all(bytes).map_err(|error| error.source)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
