"""Where content is cut. Spec: format-spec/14-chunking.md."""

from . import crypto

GEAR_TABLE_BYTES = 2048


def gear_table(gear_key):
    return crypto.derive("sbf-repo 1 gear table", gear_key, GEAR_TABLE_BYTES)


def spread(count):
    return sum(1 << 62 - 47 * bit // count for bit in range(count))


def first_cut(data, gear, least, average, most, mask_small, mask_large):
    """The length of the first chunk of `data`."""
    if len(data) <= least:
        return len(data)
    end = min(len(data), most)
    center = min(len(data), average)
    value = 0
    for at in range(least, 2 * (end // 2)):
        value = 2 * value + gear[data[at]] & 0xFFFFFFFFFFFFFFFF
        if value & (mask_small if at < 2 * (center // 2) else mask_large) == 0:
            return at
    return end


def cuts(data, gear_key, *profile):
    """The lengths of all chunks."""
    table = gear_table(gear_key)
    gear = [int.from_bytes(table[at:at + 8], "little") for at in range(0, GEAR_TABLE_BYTES, 8)]
    lengths, at = [], 0
    while at < len(data):
        lengths.append(first_cut(data[at:at + profile[2]], gear, *profile))
        at += lengths[-1]
    return lengths
