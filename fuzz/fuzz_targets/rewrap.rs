//! Any bytes taken for a recipe and the plain bytes beside it.
#![no_main]

use sbf_repo::testing::recipes::fuzz_rewrap;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_rewrap(bytes));
