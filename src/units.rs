//! Checked conversions between integer widths, and sizes in words.
//! Units: bytes unless a name says otherwise.

/// One kibibyte.
pub const KIB: u64 = 1 << 10;
/// One mebibyte.
pub const MIB: u64 = 1 << 20;
/// One gibibyte.
pub const GIB: u64 = 1 << 30;

/// Widens a length to 64 bits.
#[expect(clippy::as_conversions, reason = "usize has at most 64 bits on every supported target")]
pub const fn to_u64(length: usize) -> u64 {
    length as u64
}

/// Narrows a 64-bit length to this machine's `usize`; saturates, so that a check against a
/// slice's length fails instead of wrapping.
pub fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Narrows a 32-bit length to this machine's `usize`.
pub fn to_usize32(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Narrows a length that a constant bounds below 4 GiB; saturates above it.
pub fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A size for people, with a binary unit: `1.4 GiB`.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "shown with two digits")]
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        unit = next;
        if value < 1024.0 || next == "PiB" {
            break;
        }
        value /= 1024.0;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(human_bytes(3 * GIB), "3.0 GiB");
    }
}
