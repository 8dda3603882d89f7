//! Asks on the terminal: for a passphrase, which it does not show, or for a yes.

use crate::cli::failure::Failure;
use crate::ops::error::OpError;
use crate::repo::slots::Passphrase;
use rustix::termios;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::Termios;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Asks once for each prompt; every answer must be the same.
pub(crate) fn passphrase(prompts: &[&str]) -> Result<Passphrase, Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(|_source| {
        Failure::usage("no key is named, and there is no terminal to ask on".to_owned()).with_hint(
            "name one with `--key-file`, `--password-file`, `--password-command` or SBF_REPO_KEY_FILE",
        )
    })?;
    let mut first: Option<Zeroizing<Vec<u8>>> = None;
    for prompt in prompts {
        let answer = ask(&terminal, prompt)?;
        if first.as_ref().is_some_and(|first| *first != answer) {
            return Err(Failure::usage("the two passphrases differ".to_owned()));
        }
        first = first.or(Some(answer));
    }
    Ok(Passphrase::new(first.map(|answer| answer.to_vec()).unwrap_or_default()))
}

/// Asks a question that is answered with yes or no; no is what anything else means.
pub(crate) fn yes(question: &str) -> Result<bool, Failure> {
    Ok(matches!(answer_to(question)?.as_slice(), b"y" | b"Y" | b"yes"))
}

/// Whether somebody can be asked.
pub(crate) fn has_terminal() -> bool {
    OpenOptions::new().read(true).write(true).open(TERMINAL).is_ok()
}

/// Asks for a line, which is shown.
pub(crate) fn line(question: &str) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&answer_to(question)?).trim().to_owned())
}

/// What a person types, which is shown.
fn answer_to(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let wrong = |source: io::Error| Failure::local("ask on", Path::new(TERMINAL), source);
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(wrong)?;
    let mut out = &terminal;
    out.write_all(question.as_bytes()).map_err(wrong)?;
    let answer = read_line(&terminal).map_err(wrong)?;
    answer.ok_or_else(|| OpError::Interrupted.into())
}

fn ask(terminal: &File, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let wrong = |source: io::Error| Failure::local("ask on", Path::new(TERMINAL), source);
    let silence = Silence::begin(terminal).map_err(wrong)?;
    let mut out = terminal;
    out.write_all(prompt.as_bytes()).map_err(wrong)?;
    let answer = read_line(terminal).map_err(wrong)?;
    out.write_all(b"\n").map_err(wrong)?;
    drop(silence);
    answer.ok_or_else(|| OpError::Interrupted.into())
}

/// One line, byte by byte; `None` if the person gave up.
fn read_line(mut terminal: &File) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES));
    let mut byte = [0];
    loop {
        if terminal.read(&mut byte)? == 0 {
            return Ok(Some(line));
        }
        match byte[0] {
            b'\n' | b'\r' | END_OF_TRANSMISSION => return Ok(Some(line)),
            END_OF_TEXT => return Ok(None),
            ERASE_LINE => line.clear(),
            BACKSPACE | DELETE => {
                while line.pop().is_some_and(|last| last & 0b1100_0000 == 0b1000_0000) {}
            }
            other => line.push(other),
        }
    }
}

/// A terminal that shows nothing and sends no signals, until this is dropped. Without signals a
/// Ctrl-C cannot leave the terminal silent.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        termios::tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ignored = termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

const TERMINAL: &str = "/dev/tty";
const LINE_BYTES: usize = 1024;
const END_OF_TEXT: u8 = 3;
const END_OF_TRANSMISSION: u8 = 4;
const BACKSPACE: u8 = 8;
const ERASE_LINE: u8 = 21;
const DELETE: u8 = 127;
