//! Makes content: the same bytes each time, which compress as tables of a database do.

/// Repeatable bytes of which about a third is left after compression.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let line =
            format!("{:016x}\t{}\trow of a table\t{}\n", state, bytes.len() / 64, state % 97);
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.truncate(length);
    bytes
}
