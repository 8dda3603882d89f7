//! Where in an older version the next new chunk stands, while chunks of it come again, or at least
//! cuts.
//!
//! Rows that went from every page, or came into it, move all cuts behind them. How many bytes of the
//! older version stand for a new one is therefore averaged, and the next cut is looked for where that
//! puts it: near, since one that is a little off by chance would be taken for it otherwise, and all
//! that follows would be looked for in the wrong place.

use crate::ops::snapshot::delta::older::OlderVersion;
use std::collections::VecDeque;
use std::ops::Range;

/// Where a new chunk stands in the older version.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bytes: Range<u64>,
    /// How far off its beginning and its end may be, in bytes.
    pub(crate) unsure: (u64, u64),
}

/// The place of what comes next.
#[derive(Debug)]
pub(crate) struct Track {
    at: u64,
    /// How far off that may be.
    unsure: u64,
    /// Where both versions agreed last, and how many new bytes came since.
    agreed_at: u64,
    lost_bytes: u64,
    /// Bytes of the older version for [`RATE_ONE`] new ones.
    rate: u64,
    /// Lengths of the last new chunks.
    recent: VecDeque<u32>,
    /// How many of the last chunks, out of [`FOUND_ALL`], ended at a cut of the older version.
    found: u32,
    /// New bytes before the next search for a place that was lost.
    search_after: u64,
    /// How many searches found nothing.
    searched: u32,
}

impl Track {
    /// At the beginning of both.
    pub(crate) const fn new() -> Self {
        Self {
            at: 0,
            unsure: 0,
            agreed_at: 0,
            lost_bytes: 0,
            rate: RATE_ONE,
            recent: VecDeque::new(),
            found: FOUND_ALL,
            search_after: 0,
            searched: 0,
        }
    }

    /// The byte of the older version at which the next chunk is expected.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// A hole of the new content.
    pub(crate) const fn skip(&mut self, length: u64) {
        self.at += length;
        self.lost_bytes += length;
        self.unsure = MARGIN_BYTES;
    }

    /// The next chunk, which came again and stood here, ended where it ended.
    pub(crate) fn came_again(&mut self, start: u64, length: u32) -> Place {
        let end = start + u64::from(length);
        self.agree(start);
        self.pass(length);
        self.lost_bytes = 0;
        (self.at, self.agreed_at) = (end, end);
        self.count(true);
        Place { bytes: start..end, unsure: (0, 0) }
    }

    /// The next chunk is new; says where it stands, and whether it ends where an old one ended.
    pub(crate) fn advance(&mut self, older: &OlderVersion<'_>, length: u32) -> (Place, bool) {
        let (start, unsure) = (self.at, self.unsure);
        self.pass(length);
        let expected = start + scaled(u64::from(length), self.rate);
        let reach = CUT_MOVES_BYTES + self.lost_bytes / CUT_MOVES_SHARE;
        let reach = reach.min(MARGIN_BYTES);
        let cut = older
            .nearest_cut(expected)
            .filter(|(cut, distance)| *cut > start && *distance <= reach);
        self.count(cut.is_some());
        if let Some((cut, distance)) = cut {
            self.agree(cut);
            self.unsure = distance;
        } else {
            (self.at, self.unsure) = (expected, MARGIN_BYTES);
        }
        (Place { bytes: start..self.at, unsure: (unsure, self.unsure) }, cut.is_some())
    }

    /// Looks for the place anew if it was lost.
    pub(crate) fn search(&mut self, older: &OlderVersion<'_>) {
        let is_lost = self.found < FOUND_MIN && self.recent.len() == RECENT_COUNT;
        if !is_lost || self.search_after > 0 {
            return;
        }
        let rates = (0..=2 * RATES_ASIDE).map(|step| self.rate * (100 - RATES_ASIDE + step) / 100);
        // Rarer from time to time, and farther.
        let aside = SEARCH_BYTES << (3 * self.searched.min(SEARCH_GROWTHS_MAX));
        let nearby = self.at.saturating_sub(aside)..self.at + aside;
        let ends: Vec<u64> = older.overlapping(nearby).map(|piece| piece.start).collect();
        let tried = rates.flat_map(|rate| ends.iter().map(move |end| (rate, *end)));
        let scored = tried.map(|(rate, end)| (self.agreeing(older, rate, end), rate, end));
        match scored.max_by_key(|(count, ..)| *count) {
            Some((count, rate, end)) if count >= AGREEING_MIN => {
                (self.at, self.agreed_at, self.lost_bytes) = (end, end, 0);
                (self.rate, self.unsure) = (rate, CUT_MOVES_BYTES);
                (self.found, self.searched) = (FOUND_ALL / 2, 0);
            }
            Some(_) | None => {
                self.search_after = SEARCH_PAUSE_BYTES << self.searched.min(SEARCH_PAUSES_MAX);
                self.searched += 1;
            }
        }
    }

    /// How many of the last cuts were there before, if the last of them is the one at `end`.
    fn agreeing(&self, older: &OlderVersion<'_>, rate: u64, end: u64) -> usize {
        let mut at = Some(end);
        let agrees = |length: &&u32| {
            // Before the beginning there is no cut.
            at = at.and_then(|at| at.checked_sub(scaled(u64::from(**length), rate)));
            let cut = at.and_then(|at| older.nearest_cut(at));
            let cut = cut.filter(|(_cut, distance)| *distance <= CUT_MOVES_BYTES);
            at = cut.map_or(at, |(cut, _distance)| Some(cut));
            cut.is_some()
        };
        self.recent.iter().rev().filter(agrees).count()
    }

    /// Both versions agree that the next byte stands here.
    fn agree(&mut self, byte: u64) {
        let (new, stood) = (self.lost_bytes, byte.saturating_sub(self.agreed_at));
        let is_near =
            stood <= new.saturating_mul(RATE_MAX) && new <= stood.saturating_mul(RATE_MAX);
        if new > 0 && is_near {
            let sum = self.rate.saturating_mul(RATE_BYTES) + stood.saturating_mul(RATE_ONE);
            self.rate = sum / (RATE_BYTES + new);
        }
        (self.at, self.agreed_at, self.lost_bytes, self.unsure) = (byte, byte, 0, 0);
    }

    fn pass(&mut self, length: u32) {
        self.lost_bytes += u64::from(length);
        self.search_after = self.search_after.saturating_sub(u64::from(length));
        if self.recent.len() == RECENT_COUNT {
            self.recent.pop_front();
        }
        self.recent.push_back(length);
    }

    fn count(&mut self, is_found: bool) {
        let now = if is_found { FOUND_ALL / FOUND_MEMORY } else { 0 };
        self.found = self.found - self.found / FOUND_MEMORY + now;
    }
}

fn scaled(length: u64, rate: u64) -> u64 {
    length.saturating_mul(rate) / RATE_ONE
}

/// How far a cut is looked for from where it is expected, and how much farther for all bytes since
/// the last one.
const CUT_MOVES_BYTES: u64 = 1024;
const CUT_MOVES_SHARE: u64 = 32;
/// How much on either side may have moved into a place whose border is not known.
const MARGIN_BYTES: u64 = 24 * 1024;
/// One byte for one.
const RATE_ONE: u64 = 1 << 16;
/// What was longer or shorter by more than this factor was taken away or is new.
const RATE_MAX: u64 = 4;
/// Over how many bytes the rate is averaged.
const RATE_BYTES: u64 = 4 * 1_048_576;
/// A cut of a wrong place is taken for the right one once in five times; a right place has more than
/// half of them.
const FOUND_ALL: u32 = 1 << 16;
const FOUND_MIN: u32 = FOUND_ALL / 5 * 2;
const FOUND_MEMORY: u32 = 16;
const RECENT_COUNT: usize = 24;
/// A wrong place has ten of 24 cuts by chance once in a hundred million trials; there are fifty
/// thousand in the longest search.
const AGREEING_MIN: usize = 10;
/// How far the first search looks on either side; the next ones eight times as far each, up to
/// 64 MiB.
const SEARCH_BYTES: u64 = 1_048_576;
const SEARCH_GROWTHS_MAX: u32 = 2;
/// Percent.
const RATES_ASIDE: u64 = 12;
/// Before the second search; twice as long before each next one, up to 16 MiB.
const SEARCH_PAUSE_BYTES: u64 = 1_048_576;
const SEARCH_PAUSES_MAX: u32 = 4;
