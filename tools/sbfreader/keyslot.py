"""Key slots and key files. Spec: format-spec/04-keyslot.md."""

import re
from collections import namedtuple

from . import crypto
from .codec import decode_record, require
from .errors import AuthError, FormatError, NoKey, WrongKey
from .records import GENERATION, SLOT_HEADER, SLOT_KEYS

SLOT_MAGIC = b"SBFK"
SLOT_VERSION = 1
SLOT_PREFIX_LEN = 12
SLOT_CHECKSUM_LEN = 32
SLOT_BYTES_MAX = 262144
SEALED_SECRET_LEN = 48

Slot = namedtuple("Slot", "header data wrapped")
KeyFile = namedtuple("KeyFile", "repository slot secret authority")


def decode_slot(data, repository, slot):
    require(SLOT_PREFIX_LEN + 4 + SLOT_CHECKSUM_LEN <= len(data) <= SLOT_BYTES_MAX, "SLOT-1", f"a slot of {len(data)} bytes")
    require(crypto.digest(data[:-32]) == data[-32:], "SLOT-2", "the checksum differs")
    require(data[:4] == SLOT_MAGIC, "SLOT-1", "another magic")
    require(data[4] == SLOT_VERSION, "SLOT-1", f"version {data[4]}")
    require(data[5:8] == b"\0\0\0", "SLOT-1", "reserved bytes that are not zero")
    header_length = int.from_bytes(data[8:12], "little")
    wrapped_at = SLOT_PREFIX_LEN + header_length + 4
    require(wrapped_at + SLOT_CHECKSUM_LEN <= len(data), "SLOT-1", f"a header of {header_length} bytes")
    wrapped_length = int.from_bytes(data[wrapped_at - 4:wrapped_at], "little")
    require(wrapped_at + wrapped_length + SLOT_CHECKSUM_LEN == len(data), "SLOT-1", f"{wrapped_length} bytes of wrapped keys")
    header = decode_record(SLOT_HEADER, data[SLOT_PREFIX_LEN:SLOT_PREFIX_LEN + header_length])
    require(header.repository == repository, "SLOT-1", "the slot of another repository")
    require(header.slot == slot, "SLOT-1", "another slot")
    return Slot(header, data[:SLOT_PREFIX_LEN + header_length], data[wrapped_at:-SLOT_CHECKSUM_LEN])


def slot_secret(slot, unlock_secret=None, passphrase=None):
    """The slot's secret and the wrapped keys that it opens."""
    unlock, wrapped = slot.header.unlock, slot.wrapped
    if unlock.name == "Passphrase":
        if passphrase is None:
            raise NoKey("the slot needs a passphrase")
        cost = unlock.value
        return crypto.argon2id(passphrase, slot.header.salt, cost.memory_kib, cost.passes, cost.lanes), wrapped
    if unlock_secret is None:
        raise NoKey("the slot needs a key file")
    if unlock.name == "KeyFile":
        return unlock_secret, wrapped
    try:
        secret = crypto.hpke_open(unlock_secret, b"sbf-repo 1 slot seal", unlock.value, slot.data,
                                  wrapped[:SEALED_SECRET_LEN], "the slot's secret")
    except AuthError as error:
        raise WrongKey(str(error)) from None
    return secret, wrapped[SEALED_SECRET_LEN:]


def open_slot(slot, unlock_secret=None, passphrase=None):
    """The encoded SlotKeys."""
    secret, wrapped = slot_secret(slot, unlock_secret, passphrase)
    material = secret + slot.header.salt
    if not crypto.equal(crypto.derive("sbf-repo 1 slot commitment", material), slot.header.commitment):
        raise WrongKey("the secret is not the one of the slot")
    return crypto.open_xchacha(crypto.derive("sbf-repo 1 slot wrap", material), slot.header.nonce, slot.data, wrapped,
                               "the slot's keys")


def renewal_seed(client_key):
    """The seed of the X-Wing pair for which later generations are sealed."""
    return crypto.derive("sbf-repo 1 renewal seed", client_key)


def renewal_data(repository, client, generation):
    return repository + client + generation.to_bytes(4, "little")


def open_renewal(renewal, repository, client_key):
    """The keys of a later generation, for the client of a slot."""
    associated = renewal_data(repository, renewal.client, renewal.generation)
    secret = crypto.hpke_open(renewal_seed(client_key), b"sbf-repo 1 renewal seal", renewal.encapsulated, associated, renewal.sealed,
                              "the renewal's secret")
    encoded = crypto.open_xchacha(crypto.derive("sbf-repo 1 renewal wrap", secret), renewal.nonce, associated, renewal.wrapped,
                                  "the renewed keys")
    keys = decode_record(GENERATION, encoded)
    require(keys.generation == renewal.generation, "RECORD-3", "a renewal of another generation")
    return keys


def decode_slot_keys(data):
    return decode_record(SLOT_KEYS, data)


def encode_slot(header, wrapped, header_length=None, wrapped_length=None, reserved=b"\0\0\0"):
    """The object; the lengths and the reserved bytes can be wrong on purpose."""
    encoded = SLOT_HEADER.encode(header)
    data = slot_data(header, header_length, reserved)
    assert data[SLOT_PREFIX_LEN:] == encoded
    data += (len(wrapped) if wrapped_length is None else wrapped_length).to_bytes(4, "little") + wrapped
    return data + crypto.digest(data)


def slot_data(header, header_length=None, reserved=b"\0\0\0"):
    encoded = SLOT_HEADER.encode(header)
    length = len(encoded) if header_length is None else header_length
    return SLOT_MAGIC + bytes([SLOT_VERSION]) + reserved + length.to_bytes(4, "little") + encoded


def parse_key_file(data):
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("KEY-FILE", "the key file is not UTF-8") from None
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    matched = re.fullmatch(r"sbf-repo key file 1\nrepository ([0-9a-f]{32})\nslot ([0-9a-f]{32})\nsecret ([0-9a-f]{64})\n"
                           r"(?:authority ([0-9a-f]{64})\n)?",
                           "\n".join(lines), re.ASCII)
    if not matched:
        raise FormatError("KEY-FILE", "the key file has another form")
    return KeyFile(*(part and bytes.fromhex(part) for part in matched.groups()))
