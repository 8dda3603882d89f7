//! How fast content is cut and named.

mod content;
mod measure;

use crate::content::content;
use crate::measure::measure;
use sbf_repo::testing::stages;

fn main() {
    let bytes = content(64 << 20);
    for average_kib in [4, 16, 64, 256, 1024] {
        let name = format!("cut, {average_kib} KiB average");
        measure(&name, 64, "MiB", || stages::cut(&bytes, average_kib * 1024));
    }
    for chunk_kib in [4, 64, 1024] {
        let name = format!("name, chunks of {chunk_kib} KiB");
        measure(&name, 64, "MiB", || stages::name(&bytes, chunk_kib * 1024));
    }
}
