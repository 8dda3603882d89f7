"""Packs and blocks. Spec: format-spec/05-pack.md."""

from collections import namedtuple

from . import crypto
from .codec import decode_record, require
from .crypto import TAG_LEN
from .errors import AuthError
from .records import DIRECTORY_BYTES_MAX, PACK_BYTES_MAX, PACK_DIRECTORY, PACK_HEADER

PACK_MAGIC = b"SBFP"
PACK_END_MAGIC = b"SBFPEND1"
PACK_VERSION = 1
PACK_SUITE = 1
PACK_PREFIX_LEN = 8
PACK_TRAILER_LEN = 16

Trailer = namedtuple("Trailer", "directory_length raw_length")


def kind_number(header):
    return header.kind.number + 1


def header_bytes(header, magic=PACK_MAGIC, version=PACK_VERSION, suite=PACK_SUITE, record_length=None):
    encoded = PACK_HEADER.encode(header)
    length = len(encoded) if record_length is None else record_length
    return magic + bytes([version, suite]) + length.to_bytes(2, "little") + encoded


def decode_header(data):
    """The header at the front of `data`, and its length."""
    require(len(data) >= PACK_PREFIX_LEN, "PACK-1", f"a pack of {len(data)} bytes")
    require(data[:4] == PACK_MAGIC, "PACK-1", "another magic")
    require(data[4] == PACK_VERSION, "PACK-1", f"version {data[4]}")
    require(data[5] == PACK_SUITE, "PACK-1", f"suite {data[5]}")
    end = PACK_PREFIX_LEN + int.from_bytes(data[6:8], "little")
    require(end <= len(data), "PACK-1", f"a header of {end} bytes in a pack of {len(data)}")
    return decode_record(PACK_HEADER, data[PACK_PREFIX_LEN:end]), end


def decode_trailer(data, length, header_length):
    """`data` is the end of a pack of `length` bytes, at least its trailer."""
    require(len(data) >= PACK_TRAILER_LEN, "PACK-2", f"a pack of {len(data)} bytes")
    trailer = data[-PACK_TRAILER_LEN:]
    require(trailer[8:] == PACK_END_MAGIC, "PACK-2", "another magic at the end")
    require(length <= PACK_BYTES_MAX, "PACK-2", f"a pack of {length} bytes")
    directory, raw = int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:8], "little")
    require(TAG_LEN <= directory <= DIRECTORY_BYTES_MAX, "PACK-3", f"a directory of {directory} bytes")
    require(directory - TAG_LEN <= raw <= DIRECTORY_BYTES_MAX, "PACK-3", f"a raw directory of {raw} bytes")
    require(length - PACK_TRAILER_LEN - directory >= header_length, "PACK-3", "a directory over the header")
    return Trailer(directory, raw)


def directory_key(header, index_key):
    return crypto.derive("sbf-repo 1 pack directory", index_key + header.pack_uid)


def directory_associated(repository, header):
    return repository + b"directory" + header


def open_directory(data, repository, index_key_of):
    """Header, header length and directory of a whole pack; `index_key_of(generation)` gives the index key."""
    header, header_length = decode_header(data)
    trailer = decode_trailer(data, len(data), header_length)
    at = len(data) - PACK_TRAILER_LEN - trailer.directory_length
    opened = crypto.open_chacha(directory_key(header, index_key_of(header.directory_generation)), bytes(12),
                                directory_associated(repository, data[:header_length]), data[at:-PACK_TRAILER_LEN],
                                "the directory")
    if trailer.raw_length > len(opened):
        opened = crypto.decode_frame(opened, trailer.raw_length, "PACK-3", "the directory")
    directory = decode_record(PACK_DIRECTORY, opened)
    end = header_length + sum(block.stored_length for block in directory.blocks)
    require(end == at, "PACK-4", f"blocks that end at {end}, a directory at {at}")
    return header, header_length, directory


def key_associated(repository, kind, pack_uid):
    return repository + bytes([kind]) + pack_uid


def open_pack_key(wrapped, repository, kind, pack_uid, wrapping_key_of, seal_secret_of):
    """The pack key; `kind` is the number 1 or 2, the two functions give the keys of a generation."""
    associated = key_associated(repository, kind, pack_uid)
    wrap = wrapped.wrap.value
    if wrapped.wrap.name == "Symmetric":
        key = crypto.derive("sbf-repo 1 pack key wrap", wrapping_key_of(wrapped.generation))
        pack_key = crypto.open_xchacha(key, wrap.nonce, associated, wrap.sealed, "a pack's key")
    else:
        pack_key = crypto.hpke_open(seal_secret_of(wrapped.generation), b"sbf-repo 1 pack key seal", wrap.encapsulated,
                                    associated, wrap.sealed, "a pack's key")
    if not crypto.equal(crypto.derive("sbf-repo 1 pack key commitment", pack_key), wrapped.commitment):
        raise AuthError("the commitment of a pack's key differs")
    return pack_key


def block_associated(repository, kind, pack_uid, number):
    return repository + bytes([kind]) + pack_uid + number.to_bytes(4, "little")


def block_nonce(number):
    return number.to_bytes(4, "little") + bytes(8)


def seal_block(pack_key, repository, kind, pack_uid, number, opened):
    return crypto.seal_chacha(pack_key, block_nonce(number), block_associated(repository, kind, pack_uid, number), opened)


def open_block(block, stored, pack_key, repository, kind, pack_uid, number, prefix_of):
    """The plaintext; `pack_uid` and `number` are those of the origin, `prefix_of(bases)` gives the prefix of a delta."""
    if len(stored) != block.stored_length:
        raise AuthError("a block is cut off")
    opened = crypto.open_chacha(pack_key, block_nonce(number), block_associated(repository, kind, pack_uid, number), stored,
                                f"block {number}")
    if block.codec.name == "Raw":
        return opened
    prefix = prefix_of(block.codec.value) if block.codec.name == "Delta" else None
    return crypto.decode_frame(opened, block.raw_length, "BLOCK-1", f"block {number}", prefix)


def chunk_id(id_key, kind, plaintext):
    return crypto.keyed_hash(naming_key(id_key, kind), plaintext)


def naming_key(id_key, kind):
    """`kind` is `data` or `tree`."""
    return crypto.derive(f"sbf-repo 1 chunk id {kind}", id_key)
