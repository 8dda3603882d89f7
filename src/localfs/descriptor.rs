//! Descriptors that are kept open in a bounded number.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// How many descriptors may still be kept.
#[derive(Debug)]
pub(crate) struct DescriptorBudget {
    left: AtomicUsize,
}

/// An open directory; gives its place in the budget back when it is closed.
#[derive(Debug)]
pub(crate) struct Descriptor {
    descriptor: OwnedFd,
    budget: Option<Arc<DescriptorBudget>>,
}

impl DescriptorBudget {
    /// A quarter of what this process may open, and at most `descriptors_max`.
    pub(crate) fn new(descriptors_max: usize) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let quarter = usize::try_from(limit.unwrap_or(u64::MAX) / 4).unwrap_or(usize::MAX);
        Self { left: AtomicUsize::new(quarter.min(descriptors_max)) }
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

impl Descriptor {
    /// A descriptor for the moment, outside the budget.
    pub(crate) fn passing(descriptor: OwnedFd) -> Self {
        Self { descriptor, budget: None }
    }

    /// Takes a place in the budget, so that the descriptor may be kept; false if none is left.
    pub(crate) fn keep(&mut self, budget: &Arc<DescriptorBudget>) -> bool {
        if self.budget.is_none() && budget.take() {
            self.budget = Some(Arc::clone(budget));
        }
        self.budget.is_some()
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}
