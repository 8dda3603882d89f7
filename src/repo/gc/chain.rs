//! The registers of collections, as a listing shows them.

use crate::repo::error::RepoError;
use crate::repo::registers::Registers;
use crate::repo::registers::Stray;
use crate::repo::repository::Repository;

/// The newest plan, verdict and end of a collection; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GcChain {
    pub(crate) plan: u64,
    pub(crate) verdict: u64,
    pub(crate) done: u64,
    /// What no collection can have left, among the newest.
    pub(crate) stray: Option<Stray>,
}

/// What the machine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make plan n.
    Start(u64),
    /// Close every session before plan n, then decide.
    Drain(u64),
    /// Delete what verdict n removed.
    Sweep(u64),
}

impl GcChain {
    /// Lists the registers.
    pub(crate) fn load(repository: &Repository) -> Result<Self, RepoError> {
        let Registers { plan, verdict, done, stray } = Registers::load(repository)?;
        // A listing may miss registers that come while it is made, and show those that follow.
        let verdict = verdict.max(done);
        Ok(Self { plan: plan.max(verdict), verdict, done, stray })
    }

    /// The step that no register has decided.
    pub(crate) const fn step(self) -> Step {
        if self.verdict < self.plan {
            return Step::Drain(self.plan);
        }
        if self.done < self.plan {
            return Step::Sweep(self.plan);
        }
        Step::Start(self.plan + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_the_one_that_no_register_decided() {
        let chain = |plan, verdict, done| GcChain { plan, verdict, done, stray: None }.step();
        assert_eq!(chain(0, 0, 0), Step::Start(1));
        assert_eq!(chain(3, 2, 2), Step::Drain(3));
        assert_eq!(chain(3, 3, 2), Step::Sweep(3));
        assert_eq!(chain(3, 3, 3), Step::Start(4));
    }
}
