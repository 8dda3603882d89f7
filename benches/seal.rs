//! How fast chunks become sealed blocks, with and without reading them back.

mod content;
mod measure;

use crate::content::content;
use crate::measure::measure;
use sbf_repo::testing::stages;
use sbf_repo::testing::stages::Readback;

fn main() {
    let bytes = content(64 << 20);
    for (level, words) in [(1, "level 1"), (3, "level 3"), (9, "level 9")] {
        for (readback, read) in [(Readback::No, "not read back"), (Readback::Yes, "read back")] {
            let name = format!("seal 1 MiB blocks, {words}, {read}");
            measure(&name, 64, "MiB", || stages::seal_blocks(&bytes, 1 << 20, level, readback));
        }
    }
}
