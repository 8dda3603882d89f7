//! The one place that turns errors into words, hints and exit codes.

use crate::MirrorError;
use crate::Right;
use crate::StoreErrorKind;
use crate::cli::hints::AGAIN_HINT;
use crate::cli::hints::AUDIT_HINT;
use crate::cli::hints::AUTHORITY_FILE_HINT;
use crate::cli::hints::AUTHORITY_HINT;
use crate::cli::hints::DAMAGE_HINT;
use crate::cli::hints::GENERATION_HINT;
use crate::cli::hints::KEPT_HINT;
use crate::cli::hints::KEY_HINT;
use crate::cli::hints::LAPSED_HINT;
use crate::cli::hints::LEFT_OUT_HINT;
use crate::cli::hints::MACHINE_HINT;
use crate::cli::hints::MEMORY_HINT;
use crate::cli::hints::MIRROR_HINT;
use crate::cli::hints::NEWER_HINT;
use crate::cli::hints::NOT_EMPTY_HINT;
use crate::cli::hints::OTHER_REPOSITORY_HINT;
use crate::cli::hints::OTHER_STORE_HINT;
use crate::cli::hints::PLACE_HINT;
use crate::cli::hints::PROMOTED_HINT;
use crate::cli::hints::ROLE_HINT;
use crate::cli::hints::ROLLBACK_HINT;
use crate::cli::hints::TOO_LATE_HINT;
use crate::cli::hints::VERDICT_HINT;
use crate::cli::hints::WENT_BACK_HINT;
use crate::format::keyslot::Role;
use crate::ops::error::OpError;
use crate::ops::unreadable::remedy_of;
use crate::repo::error::RepoError;
use serde_json::Value;
use serde_json::json;
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

/// How the process ends. The numbers are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failure,
    Usage,
    Incomplete,
    SourceCommand,
    Damage,
    Missed,
    Unverified,
    OwnOutput,
    NoRepository,
    WrongKey,
    Store,
    Refused,
    RoleLacks,
    HungUp,
    Interrupted,
    ClosedPipe,
    Terminated,
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::SourceCommand => 4,
            Self::Damage => 5,
            Self::Missed => 6,
            Self::Unverified => 7,
            Self::OwnOutput => 8,
            Self::NoRepository => 10,
            Self::WrongKey => 12,
            Self::Store => 13,
            Self::Refused => 14,
            Self::RoleLacks => 15,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            // What a shell shows for a program that SIGPIPE ended.
            Self::ClosedPipe => 141,
            Self::Terminated => 143,
        }
    }
}

impl Exit {
    const ALL: [Self; 18] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Incomplete,
        Self::SourceCommand,
        Self::Damage,
        Self::Missed,
        Self::Unverified,
        Self::OwnOutput,
        Self::NoRepository,
        Self::WrongKey,
        Self::Store,
        Self::Refused,
        Self::RoleLacks,
        Self::HungUp,
        Self::Interrupted,
        Self::ClosedPipe,
        Self::Terminated,
    ];

    /// How a process ends that a signal asked to stop.
    pub(crate) const fn of_signal(signal: usize) -> Self {
        match signal {
            1 => Self::HungUp,
            15 => Self::Terminated,
            _interrupt => Self::Interrupted,
        }
    }

    /// What a process of this program meant by its exit code.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| exit.code() == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command failed, for people and programs.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable, for programs.
    code: &'static str,
    /// The error and what caused it, each level once.
    chain: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    /// Wrong arguments.
    pub(crate) fn usage(message: String) -> Self {
        Self { exit: Exit::Usage, code: "usage", chain: vec![message], hints: Vec::new() }
    }

    /// What is not done, as things are.
    pub(crate) fn refused(why: String) -> Self {
        OpError::Refused { why }.into()
    }

    /// A key whose role is not one that is needed.
    pub(crate) fn lacks_role(role: Role, why: &str) -> Self {
        let chain = vec![format!("the key in use has the role `{}`", role.word()), why.to_owned()];
        Self { exit: Exit::RoleLacks, code: "role.lacks", chain, hints: vec![ROLE_HINT.to_owned()] }
    }

    /// The same as from the error itself, which is used elsewhere, too.
    pub(crate) fn of_op(error: &OpError) -> Self {
        let (exit, code, hint) = judge(error);
        Self { exit, code, chain: chain(error), hints: hint.into_iter().collect() }
    }

    /// A local file that the command line itself needs.
    pub(crate) fn local(
        call: &'static str,
        path: &std::path::Path,
        source: std::io::Error,
    ) -> Self {
        OpError::Local { call, path: path.to_owned(), source }.into()
    }

    /// The same failure with a hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same failure, of what the arguments or the configuration name.
    pub(crate) fn with_exit_of_usage(self) -> Self {
        Self { exit: Exit::Usage, ..self }
    }

    /// The same failure; if the key is wrong, with this hint alone.
    pub(crate) fn with_key_hint(mut self, hint: &str) -> Self {
        if self.exit == Exit::WrongKey {
            self.hints = vec![hint.to_owned()];
        }
        self
    }

    /// The same failure, if it happened after a signal asked the process to stop.
    pub(crate) fn after(self, signal: Option<usize>) -> Self {
        // The terminal's signal goes to the source command too, which then fails.
        let stopped = matches!(self.exit, Exit::Interrupted | Exit::SourceCommand);
        match signal {
            Some(number) if stopped => {
                let is_told = self.exit == Exit::Interrupted;
                let interrupted = || Self::from(OpError::Interrupted);
                let mut failure = if is_told { self } else { interrupted() };
                failure.exit = Exit::of_signal(number);
                failure
            }
            Some(_) | None => self,
        }
    }

    /// The same failure; if it is a stop that was asked for, with this hint alone.
    pub(crate) fn with_hint_if_stopped(mut self, hint: &str) -> Self {
        if self.exit == Exit::Interrupted {
            self.hints = vec![hint.to_owned()];
        }
        self
    }

    /// The stable code, for programs.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// The error and what caused it, in one line.
    pub(crate) fn summary(&self) -> String {
        let chain = self.chain.iter().map(|line| line.trim_start_matches("error: "));
        chain.collect::<Vec<_>>().join(": ")
    }

    /// The lines for people, with hints.
    pub(crate) fn words(&self) -> String {
        let mut text = String::new();
        for (level, line) in self.chain.iter().enumerate() {
            let head = match level {
                0 if line.starts_with("error: ") => "",
                0 => "error: ",
                _ => "  caused by: ",
            };
            // Writing into a string does not fail.
            let _ignored = writeln!(text, "{head}{line}");
        }
        for hint in &self.hints {
            let _ignored = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// The object for programs.
    pub(crate) fn json(&self) -> Value {
        let Self { exit: _, code, chain, hints } = self;
        let message = chain.first().map(|first| first.trim_start_matches("error: "));
        let causes = chain.get(1..).unwrap_or_default();
        json!({ "code": code, "message": message, "chain": causes, "hints": hints })
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::of_op(&error)
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        let (exit, code, hint) = judge_repo(&error);
        let hints = hint.into_iter().collect();
        Self { exit, code, chain: chain(&error), hints }
    }
}

/// The error and its causes; a level that only repeats the one above it is left out.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut levels = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if levels.last() != Some(&words) {
            levels.push(words);
        }
        next = source.source();
    }
    levels
}

type Judgement = (Exit, &'static str, Option<String>);

fn judge(error: &OpError) -> Judgement {
    let hint = |text: &str| Some(text.to_owned());
    match error {
        OpError::Repo { source, .. } => judge_repo(source),
        OpError::Restore { source, .. } => {
            let (exit, code, first) = judge_repo(source);
            let go_on = "run `sbf-repo restore --keep-going` for everything else";
            let goes_on = source.is_damage() || source.is_read_failure();
            (exit, code, if goes_on { hint(go_on) } else { first })
        }
        OpError::Rewrite { source, .. } => {
            let (exit, code, first) = judge_repo(source);
            let heal = "restore what is missing from a copy with `sbf-repo check --heal-from`, or \
                        leave it out, too";
            (exit, code, if source.is_damage() { hint(heal) } else { first })
        }
        OpError::Local { source, .. } => {
            let is_full = matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            );
            let full = "make room there, then run the same command again: it goes on";
            (Exit::Failure, "local", is_full.then(|| full.to_owned()))
        }
        OpError::Interrupted => (
            Exit::Interrupted,
            "interrupted",
            hint("run the same command again: it uses what is already stored"),
        ),
        OpError::Refused { .. } => (Exit::Refused, "refused", None),
        OpError::NotUnwrapped { .. } => (Exit::OwnOutput, "output.unverified", hint(MACHINE_HINT)),
        OpError::Usage { .. } => (Exit::Usage, "usage", None),
        OpError::SourceCommand { .. } => (
            Exit::SourceCommand,
            "source.command",
            hint("no snapshot was made; run the source command alone to see why it fails"),
        ),
        OpError::Guard { remedy, .. } => (Exit::Refused, "guard", hint(remedy)),
        OpError::TargetCommand { .. } => (
            Exit::Failure,
            "target.command",
            hint("nothing is known to be restored; look at what the command printed"),
        ),
        OpError::NoSnapshot { .. } => {
            (Exit::Failure, "snapshot.none", hint("run `sbf-repo snapshots` to see what there is"))
        }
        OpError::MayBeMeant { .. } => (
            Exit::Damage,
            "manifest.damaged",
            hint("run `sbf-repo snapshots`, and give the id of another snapshot"),
        ),
        OpError::Hidden { remedy, .. } => (Exit::Damage, "outcome.damaged", hint(remedy)),
        OpError::Forgotten { snapshot } => {
            let text = format!("run `sbf-repo forget --undo {snapshot}` to bring it back");
            (Exit::Failure, "snapshot.forgotten", Some(text))
        }
        OpError::TooLate { .. } => (Exit::Failure, "forget.too_late", hint(TOO_LATE_HINT)),
        OpError::Committed { .. } => (
            Exit::Failure,
            "session.committed",
            hint(
                "`sbf-repo session list` shows what has not ended; `sbf-repo forget` drops a snapshot",
            ),
        ),
        OpError::NoPath { snapshot, .. } => {
            let text = format!("run `sbf-repo ls {snapshot}` to see what is in it");
            (Exit::Failure, "path.none", Some(text))
        }
    }
}

fn judge_repo(error: &RepoError) -> Judgement {
    let hint = |text: &str| Some(text.to_owned());
    let damage = |code| (Exit::Damage, code, Some(damage_hint(error)));
    match error {
        RepoError::NoRepository { location } => (
            Exit::NoRepository,
            "repository.none",
            Some(format!("run `sbf-repo init --repo {location}` to create one")),
        ),
        RepoError::NotEmpty { .. } => (Exit::Failure, "repository.not_empty", hint(NOT_EMPTY_HINT)),
        RepoError::WrongKey { .. } => (Exit::WrongKey, "key.wrong", hint(KEY_HINT)),
        RepoError::KeyFile => (Exit::WrongKey, "key.file", None),
        RepoError::OtherRepository { .. } => {
            (Exit::WrongKey, "key.other_repository", hint(OTHER_REPOSITORY_HINT))
        }
        RepoError::NotAHolder { .. } => (Exit::Refused, "key.left_out", hint(LEFT_OUT_HINT)),
        RepoError::AuthorityFile => (Exit::WrongKey, "key.authority", None),
        RepoError::Generation { .. } => (Exit::WrongKey, "key.generation", hint(GENERATION_HINT)),
        RepoError::RoleLacks { role, right } => {
            (Exit::RoleLacks, "role.lacks", hint(role_hint(*role, *right)))
        }
        RepoError::Feature { .. } => (Exit::Failure, "repository.feature", hint(NEWER_HINT)),
        RepoError::WentBack { source } if source.is_memory_damaged => {
            (Exit::Damage, source.code(), hint(MEMORY_HINT))
        }
        RepoError::WentBack { source } => (Exit::Damage, source.code(), hint(ROLLBACK_HINT)),
        RepoError::AuditRequired { .. } => (Exit::Refused, "audit.required", hint(AUDIT_HINT)),
        RepoError::Store { source } => {
            let (exit, code, hint) = judge_store(source.kind);
            (exit, code, if exit == Exit::Damage { Some(damage_hint(error)) } else { hint })
        }
        RepoError::OpenSlot { .. } => damage("slot.damaged"),
        RepoError::OtherAuthority { .. } => (Exit::Damage, "slot.authority", hint(AUTHORITY_HINT)),
        RepoError::Decode { .. } => damage("object.malformed"),
        RepoError::NotARecord { .. } => (Exit::Usage, "record.invalid", None),
        RepoError::Open { .. } => damage("object.unauthentic"),
        RepoError::Decompress { .. } => damage("object.compression"),
        RepoError::Signature { .. } => damage("object.signature"),
        RepoError::Lapsed { .. } => damage("object.lapsed"),
        RepoError::MaySignNoMore { .. } => (Exit::RoleLacks, "key.lapsed", hint(LAPSED_HINT)),
        RepoError::WrongHash { .. } => damage("object.hash"),
        RepoError::UnknownChunk { .. } => damage("chunk.missing"),
        RepoError::OpenBlock { .. } => damage("block.unauthentic"),
        RepoError::WrongDigest => damage("file.wrong_digest"),
        RepoError::WrongChunk { .. } => damage("chunk.unauthentic"),
        RepoError::PlanUnreadable { .. } => damage("plan.damaged"),
        RepoError::Uncertified { source, .. } => judge_repo(source),
        RepoError::StrayRegister { .. } => damage("register.stray"),
        RepoError::NotGivenUp { .. } => (Exit::Refused, "object.kept", hint(KEPT_HINT)),
        RepoError::IndexDiffers { .. } => damage("index.differs"),
        RepoError::TreeNode { .. } => damage("tree.malformed"),
        RepoError::VerifyFailed { .. } => {
            (Exit::OwnOutput, "output.unverified", hint(MACHINE_HINT))
        }
        RepoError::Fenced { .. } => (Exit::Failure, "session.fenced", hint(AGAIN_HINT)),
        RepoError::Unsettled { .. } => (Exit::Failure, "repository.unsettled", hint(AGAIN_HINT)),
        RepoError::NoVerdict { .. } => (Exit::Usage, "verdict.none", hint(VERDICT_HINT)),
        RepoError::PastIsRead { .. } => (Exit::Usage, "verdict.past", None),
        RepoError::StoreInconsistent { .. } => {
            (Exit::Store, "store.inconsistent", hint(OTHER_STORE_HINT))
        }
        RepoError::Mirror { source } => judge_mirror(source),
        RepoError::WorkerLost => (Exit::Failure, "worker.lost", None),
        RepoError::Local { .. } => (
            Exit::Failure,
            "local",
            hint("set SBF_REPO_STATE_DIR and SBF_REPO_CACHE_DIR to directories you may write to"),
        ),
        RepoError::Interrupted => judge(&OpError::Interrupted),
    }
}

/// What helps whose role lacks a right: the authority's key may be in a file of its own.
fn role_hint(role: Role, right: Right) -> &'static str {
    if right.roles().contains(&role) { AUTHORITY_FILE_HINT } else { ROLE_HINT }
}

/// What a mirror is not to be used for.
fn judge_mirror(error: &MirrorError) -> Judgement {
    let (exit, code, hint) = match error {
        MirrorError::ReadOnly { .. } => (Exit::Damage, "mirror.read_only", MIRROR_HINT),
        MirrorError::NotAMirror { .. } => (Exit::Refused, "mirror.none", PLACE_HINT),
        MirrorError::Promoted { .. } => (Exit::Refused, "mirror.promoted", PROMOTED_HINT),
        MirrorError::OtherRepository { .. } => (Exit::Refused, "mirror.other", PLACE_HINT),
        MirrorError::WentBack { .. } => (Exit::Damage, "mirror.went_back", WENT_BACK_HINT),
        MirrorError::TwoBodies { .. } => (Exit::Damage, "mirror.two_bodies", WENT_BACK_HINT),
    };
    (exit, code, Some(hint.to_owned()))
}

/// What helps with a damaged object.
fn damage_hint(error: &RepoError) -> String {
    remedy_of(error).unwrap_or_else(|| DAMAGE_HINT.to_owned())
}

fn judge_store(kind: StoreErrorKind) -> Judgement {
    let hint = |text: &str| Some(text.to_owned());
    match kind {
        StoreErrorKind::NotFound => (Exit::Damage, "object.missing", hint(DAMAGE_HINT)),
        StoreErrorKind::Corrupt => (Exit::Damage, "object.length", hint(DAMAGE_HINT)),
        StoreErrorKind::Denied => {
            (Exit::Store, "store.denied", hint("check the rights of this user on the store"))
        }
        StoreErrorKind::Unauthenticated => {
            (Exit::Store, "store.unauthenticated", hint("check the credentials of the store"))
        }
        StoreErrorKind::Unreadable => (
            Exit::Store,
            "store.unreadable",
            hint("look into the system's log for errors of the disk, and copy what can be read"),
        ),
        StoreErrorKind::Throttled => {
            (Exit::Store, "store.throttled", hint("run the same command again later"))
        }
        StoreErrorKind::Unavailable => {
            (Exit::Store, "store.unavailable", hint("run the same command again later"))
        }
        StoreErrorKind::Full => (
            Exit::Failure,
            "store.full",
            hint("make room in the store, then run the same command again: it goes on"),
        ),
        StoreErrorKind::AlreadyExists => (Exit::Failure, "store.exists", None),
        StoreErrorKind::Unsupported => (
            Exit::Store,
            "store.unsupported",
            hint("run `sbf-repo doctor` to see what the store can do"),
        ),
        StoreErrorKind::Other => (Exit::Store, "store.other", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::CryptoError;
    use crate::id::PackId;
    use crate::repo::error::BlockError;
    use crate::store::Operation;
    use crate::store::StoreError;

    #[track_caller]
    fn check(error: impl Into<Failure>, exit: u8, words: &str) {
        let failure = error.into();
        assert_eq!(failure.exit.code(), exit);
        assert_eq!(failure.words(), words);
    }

    fn store(kind: StoreErrorKind) -> RepoError {
        StoreError::new(Operation::Read, "config", "/r", kind, "why").into()
    }

    #[test]
    fn each_level_of_the_chain_is_told_once() {
        let pack = PackId::new([0x4d; 32]);
        let source = BlockError::Crypto(CryptoError::BadSignature);
        let told = source.to_string();
        let source = RepoError::OpenBlock { pack, block: 12, source }.into();
        let error = OpError::Restore { path: "a.jpg".to_owned(), source };
        let words = format!(
            "error: cannot restore `a.jpg`\n  caused by: cannot open block 12 of pack 4d4d4d4d\n  \
             caused by: {told}\nhint: run `sbf-repo restore --keep-going` for everything else\n"
        );
        check(error, 5, &words);
    }

    #[test]
    fn kinds_of_store_errors_have_their_codes() {
        for (kind, exit) in [
            (StoreErrorKind::NotFound, 5),
            (StoreErrorKind::Corrupt, 5),
            (StoreErrorKind::Denied, 13),
            (StoreErrorKind::Unauthenticated, 13),
            (StoreErrorKind::Throttled, 13),
            (StoreErrorKind::Unavailable, 13),
            (StoreErrorKind::Unreadable, 13),
            (StoreErrorKind::Full, 1),
            (StoreErrorKind::AlreadyExists, 1),
            (StoreErrorKind::Unsupported, 13),
            (StoreErrorKind::Other, 13),
        ] {
            assert_eq!(Failure::from(store(kind)).exit.code(), exit, "{kind:?}");
        }
    }

    #[test]
    fn rights_hardware_and_refusals_have_their_codes() {
        let lacks = RepoError::RoleLacks { role: Role::Writer, right: Right::ReadContents };
        assert_eq!(Failure::from(lacks).exit.code(), 15);
        assert_eq!(Failure::from(RepoError::VerifyFailed { block: 1 }).exit.code(), 8);
        let refused = OpError::Refused { why: "no".to_owned() };
        check(refused, 14, "error: no\n");
    }

    #[test]
    fn a_signal_explains_what_followed_from_it() {
        let interrupted = || Failure::from(OpError::Interrupted);
        assert_eq!(interrupted().after(Some(2)).exit.code(), 130);
        assert_eq!(interrupted().after(Some(15)).exit.code(), 143);
        let command = || Failure::from(OpError::SourceCommand { how: "signal 2".to_owned() });
        assert_eq!(command().after(Some(2)).exit.code(), 130);
        assert_eq!(command().after(None).exit.code(), 4);
    }
}
