//! Small sets of session numbers, pack numbers or chunk numbers.

use std::fmt;
use std::ops::BitAnd;
use std::ops::BitOr;
use std::ops::BitOrAssign;
use std::ops::Sub;
use std::ops::SubAssign;

/// A set of numbers below 16.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Set(u16);

impl Set {
    /// No number.
    pub(crate) const EMPTY: Self = Self(0);

    /// One number.
    pub(crate) const fn one(number: usize) -> Self {
        Self(1 << number)
    }

    /// Whether `number` is in it.
    pub(crate) const fn has(self, number: usize) -> bool {
        self.0 >> number & 1 == 1
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether both have a number in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether `other` has all of it.
    pub(crate) const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The lowest number.
    pub(crate) fn first(self) -> Option<usize> {
        self.iter().next()
    }

    /// The numbers, ascending.
    pub(crate) fn iter(self) -> Numbers {
        Numbers(self.0)
    }

    /// The numbers for which `wanted` holds.
    pub(crate) fn only(self, wanted: impl Fn(usize) -> bool) -> Self {
        self.iter().filter(|number| wanted(*number)).fold(Self::EMPTY, |all, n| all | Self::one(n))
    }

    /// All that `part` gives for the numbers.
    pub(crate) fn union(self, part: impl Fn(usize) -> Self) -> Self {
        self.iter().fold(Self::EMPTY, |all, number| all | part(number))
    }
}

/// Goes through the numbers of a set.
pub(crate) struct Numbers(u16);

impl Iterator for Numbers {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let number = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (number < u16::BITS).then(|| usize::try_from(number).unwrap_or(usize::MAX))
    }
}

impl BitOr for Set {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Set {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Set {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl SubAssign for Set {
    fn sub_assign(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
