//! Blocks that lie side by side, read at once: over a network a request costs more than the bytes
//! between two blocks.

use crate::format::pack::PackKind;
use crate::key::ObjectKey;
use crate::repo::error::RepoError;
use crate::repo::index::BlockHandle;
use crate::repo::read::ChunkReader;
use crate::repo::read::OpenBlock;
use crate::units::to_usize;
use std::ops::Range;

/// Neighbours in a list of blocks that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Which of the list.
    pub(crate) blocks: Range<usize>,
    /// Where they are, if they are to be read together.
    span: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    key: ObjectKey,
    range: Range<u64>,
}

/// The stored bytes of some blocks.
#[derive(Debug)]
pub(crate) struct Fetched {
    start: u64,
    bytes: Vec<u8>,
}

impl Fetched {
    fn part(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = to_usize(range.start.checked_sub(self.start)?);
        let end = to_usize(range.end.checked_sub(self.start)?);
        self.bytes.get(start..end)
    }
}

impl ChunkReader {
    /// How many threads read data, where `threads` would compute: whoever waits for a network needs
    /// no processor.
    pub(crate) fn reading_threads(&self, threads: usize) -> usize {
        if self.repository.is_remote() { READS_AT_ONCE.max(threads) } else { threads }
    }

    /// Which of these blocks, sorted, are read together.
    pub(crate) fn join(&self, blocks: &[BlockHandle]) -> Vec<Joined> {
        let is_remote = self.repository.is_remote();
        let mut joined: Vec<Joined> = Vec::new();
        for (number, &block) in blocks.iter().enumerate() {
            let span = if is_remote { self.span(block) } else { None };
            if let Some(last) = joined.last_mut()
                && let (Some(so_far), Some(next)) = (&mut last.span, &span)
                && so_far.take(next)
            {
                last.blocks.end = number + 1;
            } else {
                joined.push(Joined { blocks: number..number + 1, span });
            }
        }
        joined
    }

    /// The stored bytes of blocks that are read together; `None` if each is to be read by itself.
    pub(crate) fn fetch_joined(&self, joined: &Joined) -> Option<Fetched> {
        let Span { key, range } = joined.span.as_ref()?;
        let mut bytes = Vec::new();
        // If this fails, it is seen which of them cannot be read.
        self.repository.store.read_range(key, range.clone(), &mut bytes).ok()?;
        Some(Fetched { start: range.start, bytes })
    }

    /// Opens a block of data, from what was fetched if it lies there.
    pub(crate) fn open_fetched(
        &self,
        block: BlockHandle,
        fetched: Option<&Fetched>,
    ) -> Result<OpenBlock, RepoError> {
        let range = fetched.and_then(|_| self.index.block(block)).map(|(_run, block)| block.range);
        let given = fetched.zip(range).and_then(|(fetched, range)| fetched.part(&range));
        self.open_block_given(PackKind::Data, block, given)
    }

    /// How many bytes reading these together asks of the store.
    pub(crate) fn joined_bytes(&self, joined: &Joined, blocks: &[BlockHandle]) -> u64 {
        if let Some(Span { range, .. }) = &joined.span {
            return range.end - range.start;
        }
        let inside = blocks.get(joined.blocks.clone()).unwrap_or_default();
        let length = |block: &BlockHandle| {
            let (_run, block) = self.index.block(*block)?;
            Some(block.range.end - block.range.start)
        };
        inside.iter().filter_map(length).sum()
    }

    fn span(&self, block: BlockHandle) -> Option<Span> {
        let (run, block) = self.index.block(block)?;
        let pack = run.packs().get(crate::units::to_usize32(block.pack))?;
        Some(Span { key: pack.reference().key(), range: block.range })
    }
}

impl Span {
    /// Takes in what follows, if that is near; says whether it did.
    fn take(&mut self, next: &Self) -> bool {
        let is_near = self.key == next.key
            && next.range.start >= self.range.end
            && next.range.start - self.range.end <= GAP_BYTES_MAX
            && next.range.end - self.range.start <= SPAN_BYTES_MAX;
        if is_near {
            self.range.end = next.range.end;
        }
        is_near
    }
}

/// Bytes between two blocks that are read and thrown away: less time than another request.
const GAP_BYTES_MAX: u64 = 256 * 1024;
/// Bytes that are read at once.
const SPAN_BYTES_MAX: u64 = 8 * crate::units::MIB;
/// Requests for data that run at once over a network.
const READS_AT_ONCE: usize = 16;

/// Calls `each` with every item, on several threads.
pub(crate) fn at_once<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(READS_AT_ONCE).max(1);
    let each = &each;
    std::thread::scope(|scope| {
        let run = |items: &'_ [T]| -> Vec<R> { items.iter().map(each).collect() };
        let running: Vec<_> =
            items.chunks(share).map(|items| scope.spawn(move || run(items))).collect();
        #[expect(clippy::unwrap_used, reason = "a panic goes on in the thread that waits")]
        let done = running.into_iter().flat_map(|thread| thread.join().unwrap());
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::GAP_BYTES_MAX;
    use super::SPAN_BYTES_MAX;
    use super::Span;
    use crate::key::ObjectKey;

    fn span(key: &str, start: u64, end: u64) -> Span {
        Span { key: ObjectKey::new(key).unwrap(), range: start..end }
    }

    #[test]
    fn near_ranges_of_one_pack_are_joined_up_to_a_limit() {
        let mut joined = span("packs/a", 10, 20);
        assert!(joined.take(&span("packs/a", 20, 30)));
        assert!(joined.take(&span("packs/a", 30 + GAP_BYTES_MAX, 31 + GAP_BYTES_MAX)));
        assert_eq!(joined.range, 10..31 + GAP_BYTES_MAX);
        let end = joined.range.end;
        assert!(!joined.take(&span("packs/b", end, end + 1)));
        assert!(!joined.take(&span("packs/a", end + GAP_BYTES_MAX + 1, end + GAP_BYTES_MAX + 2)));
        assert!(!joined.take(&span("packs/a", end, SPAN_BYTES_MAX + 11)));
        assert!(joined.take(&span("packs/a", end, SPAN_BYTES_MAX + 10)));
        // One that begins before the end belongs to no honest pack.
        assert!(!joined.take(&span("packs/a", 5, 9)));
    }
}
