"""Keys, derivations, ciphers, signatures. Spec: format-spec/13-crypto.md, 02-envelope.md."""

import hashlib
import hmac

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from nacl import bindings
from nacl.exceptions import CryptoError, RuntimeError as SodiumRuntimeError

from .errors import AuthError, FormatError

TAG_LEN = 16
XWING_ENCAPSULATED_LEN = 1120
XWING_PUBLIC_LEN = 1216
XWING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
HPKE_SUITE = b"HPKE" + bytes.fromhex("647a00010003")
ZSTD_MAGIC = bytes.fromhex("28b52ffd")


def derive(context, material, length=32):
    return blake3(material, derive_key_context=context).digest(length=length)


def digest(data):
    return blake3(data).digest()


def keyed_hash(key, data):
    return blake3(data, key=key).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def key_id(public_key):
    return hashlib.sha256(public_key).digest()[:16]


def seal_chacha(key, nonce, associated, plaintext):
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def open_chacha(key, nonce, associated, sealed, what):
    return _open(bindings.crypto_aead_chacha20poly1305_ietf_decrypt, key, nonce, associated, sealed, what)


def seal_xchacha(key, nonce, associated, plaintext):
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def open_xchacha(key, nonce, associated, sealed, what):
    return _open(bindings.crypto_aead_xchacha20poly1305_ietf_decrypt, key, nonce, associated, sealed, what)


def _open(decrypt, key, nonce, associated, sealed, what):
    if len(sealed) < TAG_LEN:
        raise AuthError(f"{what} is shorter than a tag")
    try:
        return decrypt(bytes(sealed), associated, nonce, key)
    except CryptoError:
        raise AuthError(f"{what} does not open") from None


def equal(left, right):
    return hmac.compare_digest(left, right)


def argon2id(passphrase, salt, memory_kib, passes, lanes):
    return argon2.low_level.hash_secret_raw(
        passphrase, salt, time_cost=passes, memory_cost=memory_kib, parallelism=lanes, hash_len=32,
        type=argon2.low_level.Type.ID, version=0x13)


# Signatures

def ssh_string(data):
    return len(data).to_bytes(4, "big") + data


def ssh_signed_data(namespace, message):
    """What Ed25519 signs."""
    return (b"SSHSIG" + ssh_string(namespace.encode()) + ssh_string(b"") + ssh_string(b"sha512")
            + ssh_string(hashlib.sha512(message).digest()))


def public_key_of(seed):
    return bindings.crypto_sign_seed_keypair(seed)[0]


def sign(seed, namespace, message):
    secret = bindings.crypto_sign_seed_keypair(seed)[1]
    return bindings.crypto_sign(ssh_signed_data(namespace, message), secret)[:64]


def verify(public_key, namespace, message, signature, what):
    """Strict: libsodium refuses S beyond the order, and keys and R of small order."""
    try:
        bindings.crypto_sign_open(signature + ssh_signed_data(namespace, message), public_key)
    except CryptoError:
        raise AuthError(f"the signature of {what} does not verify") from None


# zstd

def decode_frame(frame, raw_length, rule, what, prefix=None):
    """Decodes one frame that fills `frame` into exactly `raw_length` bytes."""
    if frame[:4] != ZSTD_MAGIC:
        raise FormatError(rule, f"{what} holds no zstd frame")
    try:
        stated = zstandard.get_frame_parameters(frame).content_size
        if stated not in (zstandard.CONTENTSIZE_UNKNOWN, raw_length):
            raise FormatError(rule, f"the frame of {what} states {stated} bytes and not {raw_length}")
        dictionary = None
        if prefix is not None:
            dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        decoder = zstandard.ZstdDecompressor(dict_data=dictionary)
        raw = decoder.decompress(frame, max_output_size=raw_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(rule, f"the frame of {what} does not decode: {error}") from None
    if len(raw) != raw_length:
        raise FormatError(rule, f"the frame of {what} decodes to {len(raw)} bytes and not {raw_length}")
    return raw


def encode_frame(raw, level=3, prefix=None):
    dictionary = None
    if prefix is not None:
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    encoder = zstandard.ZstdCompressor(level=level, dict_data=dictionary, write_content_size=False,
                                       write_checksum=False, write_dict_id=False)
    return encoder.compress(raw)


# X-Wing and HPKE

def xwing_expand(seed):
    """The ML-KEM key, the X25519 secret and the public key of a seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    secret = expanded[64:]
    public = kem.public_key().public_bytes_raw() + bindings.crypto_scalarmult_base(secret)
    return kem, secret, public


def xwing_public(seed):
    return xwing_expand(seed)[2]


def xwing_combine(shared_kem, shared_curve, curve_ciphertext, curve_public):
    return hashlib.sha3_256(shared_kem + shared_curve + curve_ciphertext + curve_public + XWING_LABEL).digest()


def xwing_decapsulate(seed, encapsulated):
    kem, secret, public = xwing_expand(seed)
    kem_ciphertext, curve_ciphertext = encapsulated[:1088], encapsulated[1088:]
    try:
        shared_curve = bindings.crypto_scalarmult(secret, curve_ciphertext)
    except (CryptoError, SodiumRuntimeError):
        # libsodium refuses points of small order, X25519 itself gives zeros.
        shared_curve = bytes(32)
    return xwing_combine(kem.decapsulate(kem_ciphertext), shared_curve, curve_ciphertext, public[1184:])


def hkdf_extract(salt, material):
    return hmac.digest(salt or bytes(32), material, "sha256")


def hkdf_expand(key, info, length):
    output, block, count = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([count]), "sha256")
        output += block
        count += 1
    return output[:length]


def hpke_key_and_nonce(shared, info):
    def extract(salt, label, material):
        return hkdf_extract(salt, b"HPKE-v1" + HPKE_SUITE + label + material)

    def expand(key, label, what, length):
        return hkdf_expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + HPKE_SUITE + label + what, length)

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


def hpke_open(seed, info, encapsulated, associated, sealed, what):
    if len(encapsulated) != XWING_ENCAPSULATED_LEN:
        raise AuthError(f"the encapsulated key of {what} has {len(encapsulated)} bytes")
    key, nonce = hpke_key_and_nonce(xwing_decapsulate(seed, encapsulated), info)
    return open_chacha(key, nonce, associated, sealed, what)
