//! What the encoders of zlib and gzip would do next. Spec: format-spec/18-recipe.md, "Prediction".

use crate::units::to_usize;

/// A step of a deflate stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// One byte as it is.
    Literal,
    /// Bytes that stood before.
    Match {
        /// How many, 3 to 258.
        length: u16,
        /// How far back, 1 to 32768.
        distance: u16,
    },
}

/// Plain bytes around the place of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// The bytes; everything that may be matched is among them.
    pub(crate) data: &'a [u8],
    /// Position in the member of the first of them.
    pub(crate) origin: u64,
}

impl View<'_> {
    fn end(&self) -> u64 {
        self.origin + crate::units::to_u64(self.data.len())
    }

    fn from(&self, at: u64) -> &[u8] {
        at.checked_sub(self.origin).and_then(|at| self.data.get(to_usize(at)..)).unwrap_or_default()
    }
}

/// How hard an encoder looks for matches.
#[derive(Debug, Clone, Copy)]
struct Effort {
    good: u64,
    lazy: u64,
    nice: u64,
    chain: u32,
}

/// A match that was found; a length below 3 is none.
#[derive(Debug, Clone, Copy)]
struct Found {
    length: u64,
    start: u64,
}

/// The match finder of one level, which follows a stream.
#[derive(Debug, Clone)]
pub(crate) struct Predictor {
    effort: Effort,
    is_lazy: bool,
    head: Vec<u64>,
    before: Vec<u64>,
    at: u64,
    here: Option<Found>,
    next: Found,
}

impl Predictor {
    /// The finder of a level from 1 to 9, at the start of a member.
    pub(crate) fn new(level: u8) -> Option<Self> {
        Some(Self {
            effort: effort_of(level)?,
            is_lazy: level > FAST_LEVEL_MAX,
            head: vec![0; HASHES],
            before: vec![0; WINDOW],
            at: 0,
            here: None,
            next: NOTHING,
        })
    }

    /// Goes on at another level, from 1 to 9, with all positions that were entered.
    pub(crate) fn set_level(&mut self, level: u8) -> Option<()> {
        self.effort = effort_of(level)?;
        self.is_lazy = level > FAST_LEVEL_MAX;
        self.here = None;
        Some(())
    }

    /// The position of the next token.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The next token of the encoder; [`Predictor::accept`] must follow.
    pub(crate) fn predict(&mut self, view: View<'_>) -> Token {
        let here = if let Some(here) = self.here {
            here
        } else {
            let first = self.insert(view, self.at);
            self.search(view, self.at, first, 2)
        };
        self.here = Some(here);
        if self.is_lazy {
            let first = self.insert(view, self.at + 1);
            self.next = if here.length < self.effort.lazy {
                self.search(view, self.at + 1, first, here.length)
            } else {
                NOTHING
            };
            if here.length < 3 || self.next.length > here.length {
                return Token::Literal;
            }
        } else if here.length < 3 {
            return Token::Literal;
        }
        let short = |value: u64| u16::try_from(value).unwrap_or_default();
        Token::Match { length: short(here.length), distance: short(self.at - here.start) }
    }

    /// Takes what the stream has in the place of what was predicted.
    pub(crate) fn accept(&mut self, view: View<'_>, token: Token) {
        let Token::Match { length, distance: _ } = token else {
            self.at += 1;
            self.here = self.is_lazy.then_some(self.next);
            return;
        };
        let length = u64::from(length);
        let end = self.at + length;
        let inserts = self.is_lazy || (length <= self.effort.lazy && end + 3 <= view.end());
        if inserts {
            for at in self.at + 1 + u64::from(self.is_lazy)..end {
                self.insert(view, at);
            }
        }
        self.at = end;
        self.here = None;
    }

    /// Passes bytes that were stored without tokens.
    pub(crate) fn skip(&mut self, view: View<'_>, length: u64) {
        for at in self.at..self.at + length {
            self.insert(view, at);
        }
        self.at += length;
        self.here = None;
    }

    /// Enters a position; returns the newest one before it that has the same hash, 0 for none.
    fn insert(&mut self, view: View<'_>, at: u64) -> u64 {
        let &[one, two, three, ..] = view.from(at) else { return 0 };
        let hash = (usize::from(one) << 10) ^ (usize::from(two) << 5) ^ usize::from(three);
        let first = std::mem::replace(&mut self.head[hash & (HASHES - 1)], at);
        // A position that was entered already has its chain.
        if first == at {
            return self.before[to_usize(at) & (WINDOW - 1)];
        }
        self.before[to_usize(at) & (WINDOW - 1)] = first;
        first
    }

    fn search(&self, view: View<'_>, at: u64, first: u64, shorter: u64) -> Found {
        let mut found = Found { length: shorter, start: 0 };
        let limit = at.saturating_sub(DISTANCE_MAX);
        let scan = view.from(at);
        let scan = &scan[..scan.len().min(MATCH_MAX)];
        let nice = to_usize(self.effort.nice).min(scan.len());
        let mut chain = self.effort.chain;
        if shorter >= self.effort.good {
            chain >>= 2;
        }
        let mut best = to_usize(shorter);
        let mut candidate = first;
        let mut is_first = true;
        while candidate != 0 && (candidate > limit || (is_first && candidate == limit)) {
            is_first = false;
            let other = view.from(candidate);
            // Longer than the best: the two bytes at its end are the same, too.
            let ends = |bytes: &[u8]| bytes.get(best - 1..)?.first_chunk::<2>().copied();
            if let (Some(one), Some(two)) = (ends(scan), ends(other))
                && one == two
            {
                let length = common(scan, other);
                if length > best {
                    best = length;
                    found = Found { length: crate::units::to_u64(length), start: candidate };
                    if length >= nice {
                        break;
                    }
                }
            }
            chain -= 1;
            if chain == 0 {
                break;
            }
            candidate = self.before[to_usize(candidate) & (WINDOW - 1)];
        }
        if found.start == 0 {
            return NOTHING;
        }
        if self.is_lazy && found.length == 3 && at - found.start > TOO_FAR {
            return NOTHING;
        }
        found
    }
}

fn effort_of(level: u8) -> Option<Effort> {
    let (good, lazy, nice, chain) = *EFFORTS.get(usize::from(level.checked_sub(1)?))?;
    Some(Effort { good, lazy, nice, chain })
}

/// How many bytes two texts have in common at their beginning; eight are compared at once.
fn common(one: &[u8], other: &[u8]) -> usize {
    let mut length = 0;
    for (one, other) in one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
        let differs = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differs != 0 {
            return length + to_usize(u64::from(differs.trailing_zeros() / 8));
        }
        length += 8;
    }
    let rest = one[length..].iter().zip(&other[length..]);
    length + rest.take_while(|(one, other)| one == other).count()
}

const NOTHING: Found = Found { length: 2, start: 0 };
/// `good`, `lazy`, `nice`, `chain` of the levels 1 to 9.
const EFFORTS: [(u64, u64, u64, u32); 9] = [
    (4, 4, 8, 4),
    (4, 5, 16, 8),
    (4, 6, 32, 32),
    (4, 4, 16, 16),
    (8, 16, 32, 32),
    (8, 16, 128, 128),
    (8, 32, 128, 256),
    (32, 128, 258, 1024),
    (32, 258, 258, 4096),
];
const FAST_LEVEL_MAX: u8 = 3;
const HASHES: usize = 32_768;
/// How far back matches may be.
pub(crate) const WINDOW: usize = 32_768;
const MATCH_MAX: usize = 258;
const DISTANCE_MAX: u64 = 32_768 - 262;
const TOO_FAR: u64 = 4096;
