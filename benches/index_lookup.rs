//! How fast chunks are found in a run of the index, and found to be missing.

mod measure;

use crate::measure::measure;
use sbf_repo::testing::stages::BenchIndex;

fn main() {
    for (count, words) in
        [(10_000, "10 thousand"), (1_000_000, "1 million"), (4_000_000, "4 million")]
    {
        let index = BenchIndex::new(count);
        // Steps that share no factor with the counts: every lookup is somewhere else.
        let numbers = || (0..LOOKUPS).map(|number| number * 7919 % count);
        let name = format!("present, {words} chunks");
        measure(&name, u64::from(LOOKUPS), "lookups", || {
            numbers().filter(|number| index.contains(*number)).count()
        });
        let name = format!("absent, {words} chunks");
        measure(&name, u64::from(LOOKUPS), "lookups", || {
            numbers().filter(|number| index.contains(number + count)).count()
        });
    }
}

const LOOKUPS: u32 = 500_000;
