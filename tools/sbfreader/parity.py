"""Sidecars of packs. Spec: format-spec/17-parity.md. Computing damaged shards is left to others."""

from . import crypto
from .codec import U32, U64, Checked, Fixed, List, Struct, decode_record, require
from .errors import FormatError

PARITY_MAGIC = b"SBFX"
PARITY_SHARDS_MAX = 1024
SHARD_BYTES_UNIT = 64
SHARD_BYTES_MAX = 262144


def data_count(header):
    return -(-header.pack_bytes // header.shard_bytes)


def parity_count(header):
    return len(header.hashes) - data_count(header)


def _check_header(header):
    size = header.shard_bytes
    require(SHARD_BYTES_UNIT <= size <= SHARD_BYTES_MAX and size % SHARD_BYTES_UNIT == 0, "PARITY-1", f"shards of {size} bytes")
    for count in (data_count(header), parity_count(header)):
        require(1 <= count <= PARITY_SHARDS_MAX, "PARITY-1", f"{count} shards")


PARITY_HEADER = Checked(Struct("ParityHeader", pack_bytes=U64, shard_bytes=U32, hashes=List(Fixed(8))), _check_header)


def shard_hash(shard):
    return crypto.digest(shard)[:8]


def encode_sidecar(header, shards):
    record = PARITY_HEADER.encode(header)
    length = len(record).to_bytes(4, "little")
    return PARITY_MAGIC + length + record + shards + record + length + PARITY_MAGIC


def decode_sidecar(data):
    """The header and the shards of a sidecar whose ends are both whole."""
    rule = "PARITY-2"
    header, place = _decode_at(data, front=True)
    other, _ = _decode_at(data, front=False)
    require(header == other, rule, "two headers that differ")
    return header, data[place]


def _decode_at(data, front):
    rule = "PARITY-2"
    magic, length = (data[:4], data[4:8]) if front else (data[-4:], data[-8:-4])
    require(len(data) >= 8 and magic == PARITY_MAGIC, rule, "another magic")
    length = int.from_bytes(length, "little")
    require(length + 8 <= len(data), rule, f"a header of {length} bytes")
    record = data[8:8 + length] if front else data[len(data) - 8 - length:len(data) - 8]
    header = decode_record(PARITY_HEADER, record)
    start, shards = 8 + length, parity_count(header) * header.shard_bytes
    require(2 * start + shards == len(data), "PARITY-1", f"{len(data)} bytes")
    return header, slice(start, start + shards)


def is_sound(data):
    """Whether each shard has its hash; also an error of form is a no."""
    try:
        header, shards = decode_sidecar(data)
    except FormatError:
        return False
    hashes = header.hashes[data_count(header):]
    size = header.shard_bytes
    return all(shard_hash(shards[at * size:(at + 1) * size]) == hashes[at] for at in range(len(hashes)))
