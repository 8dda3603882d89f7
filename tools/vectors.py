#!/usr/bin/env python3
"""Makes the test vectors of format-spec/vectors/ from the pages alone. Form of the files: format-spec/vectors/README.md.

vectors.py [--out DIR]            write the vectors
vectors.py --check [--out DIR]    make them again in memory, fail if a file differs; restore a small repository with the reader
vectors.py --repository DIR       write that repository, with its key file at DIR.key and its passphrase at DIR.passphrase
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import zlib

from sbfreader import chunking, crypto, envelope, keyslot, pack, parity, records, statement, tree
from sbfreader.codec import encode_varint
from sbfreader.example import (
    AUTHORITY, CLIENT, CLIENT_KEY, CONFIG, CREATED, DATA_KEY, DATA_SEED, EMPTY_TOTALS, GEAR_KEY, ID_KEY, INDEX_KEY, LATER_SESSION,
    LIMITS, MAINTENANCE, MANIFEST_KEY, NO_FEATURES, OTHER_CLIENT, PASSPHRASE, PASSPHRASE_SLOT, PROFILE, PUBLIC_SLOT, REPOSITORY,
    SECRET, SESSION, SLOT, TREE_KEY, TREE_SEED, COST, Example, PackMaker, chunk_extent, clear, directory, entry, file, fixed,
    hole_extent, hpke_seal, inline_listing, key_file_slot, key_file_text, leaf, list_content, manifest, node_listing,
    passphrase_slot, public_key_slot, reader_keys, record_statement, renewal_of, sealed, slot_header, wrap_slot, audit_members)
from sbfreader.repository import Repository
from sbfreader.restore import Restore
from sbfreader.check import Check
from sbfreader.recipe import BITS, BLOCK, END, LEVEL, LITERAL, PART_BYTES_MAX, RECIPE_MAGIC, rewrap
from sbfreader.unwrap import end_part, number, part, recipe_of, stream_parts
from sbfreader.vectorfile import Vector, content_bytes, parse_vector, verdict, write_vector

SPEC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "format-spec")
BODY_BYTES_MAX = 4096
# An inline listing beyond its limit of 4096 bytes needs a longer body.
BODY_BYTES_LONGEST = 4400
AUTH = "auth error"
CLIENT_PUBLIC = crypto.public_key_of(CLIENT_KEY)
AUTHORITY_PUBLIC = crypto.public_key_of(AUTHORITY)
KIND = {word: kind.number for word, kind in envelope.KINDS.items()}


class Vectors:
    """All vectors by path; each is read again and judged as soon as it is made."""

    def __init__(self):
        self.files = {}

    def add(self, path, word, body, note, rule=None, expect=None, released=None, **inputs):
        headers = {"expect": expect or ("ok" if rule is None else f"format error {rule}")}
        if rule:
            headers["rule"] = rule
        headers["input"] = word
        headers.update({name.replace("_", "-"): value for name, value in inputs.items()})
        if released is not None:
            headers["plaintext-sha256"] = hashlib.sha256(released).digest()
        headers["note"] = note
        assert len(body) <= (BODY_BYTES_LONGEST if path == "tree/inline_4097" else BODY_BYTES_MAX), f"{path}: {len(body)} bytes"
        text = write_vector(Vector(headers, body))
        parsed = parse_vector(text)
        assert parsed.body == body and parsed.headers["input"] == word, path
        found = verdict(parsed)
        assert found == headers["expect"], f"{path}: {found} and not {headers['expect']}"
        assert path + ".vec" not in self.files, path
        self.files[path + ".vec"] = text


def make_vectors():
    vectors = Vectors()
    for make in (encoding, layout, envelopes, config, keyslots, packs, blocks, index, trees, content, manifests, sessions, outcomes,
                 signed_records, collections, mirrors, inventories, sidecars, recipes, crypto_functions, chunks):
        make(vectors.add)
    return vectors.files


def replaced(data, offset, piece):
    return data[:offset] + piece + data[offset + len(piece):]


def flipped(data, offset):
    offset %= len(data)
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1:]


# README.md

def segment_name(session, sequence=0, epoch=0):
    return records.SEGMENT_NAME(CLIENT, epoch, session, sequence, fixed(f"segment {sequence}"))


def commit(subject=None, segments=(), heads=(), number=0):
    subject = subject or records.COMMIT_SUBJECT.Maintenance
    seen = records.VERDICT_SEEN(number, fixed("verdict") if number else bytes(32))
    value = records.COMMIT(subject, list(segments), list(heads), seen, fixed("outcome nonce", 16))
    return records.OUTCOME.encode(records.OUTCOME.Commit(value))


def encoding(add):
    bounds = [0, 250, 251, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]
    names = [records.PACK_NAME(CLIENT, value, SESSION, min(value, (1 << 32) - 1), fixed(f"pack {value}")) for value in bounds]
    plan = records.PLAN.encode(records.PLAN(7, names, [], []))
    add("encoding/integers", "plan", plan, "every width and its bounds, as epochs (u64) and sequences (u32)", number=7)
    received = [0, -1, 1, -126, 125, -127, 1 << 31, -(1 << 63), (1 << 63) - 1]
    snapshots = [records.BASE_SNAPSHOT(value.to_bytes(16, "big"), CLIENT, fixed("manifest"), "ü", time)
                 for value, time in enumerate(received)]
    base = records.BASE.encode(records.BASE(7, snapshots, [], []))
    add("encoding/integers_signed", "base", base, "negative and large times, as i64", number=7)
    add("encoding/integer_too_long", "heartbeat", bytes.fromhex("fb0500"), "5 in three bytes", "RECORD-1", number=5)
    add("encoding/integer_too_long_32", "heartbeat", bytes.fromhex("fcffff0000"), "65535 in five bytes", "RECORD-1", number=65535)
    add("encoding/integer_too_wide", "heartbeat", bytes.fromhex("fd0000000001000000"), "2^32 in a u32", "RECORD-1", number=0)
    add("encoding/integer_reserved", "heartbeat", bytes.fromhex("fe") + bytes(16), "0xfe as the first byte", "RECORD-1", number=0)
    add("encoding/trailing_byte", "heartbeat", bytes.fromhex("0500"), "one byte after the record", "RECORD-1", number=5)
    add("encoding/cut_off", "heartbeat", bytes.fromhex("fb05"), "an integer that ends early", "RECORD-1", number=5)
    add("encoding/empty", "heartbeat", b"", "no byte at all", "RECORD-1", number=5)
    add("encoding/count_past_end", "plan", encode_varint(7) + encode_varint(1 << 62), "a list of 2^62 items in no bytes",
        "RECORD-1", number=7)
    until = records.IDENTITY.encode(certificate())
    add("encoding/option_two", "identity", until[:-1] + b"\x02", "an option of 2", "RECORD-1")
    add("encoding/bool_two", "tree-node", sparse_flag(2), "the flag `sparse` of 2", "RECORD-1")
    add("encoding/variant_unknown", "identity", b"\x04", "an identity of variant 4", "RECORD-1")
    revocation = records.IDENTITY.encode(records.IDENTITY.Revocation(records.REVOCATION(CLIENT, 1, "x")))
    add("encoding/text_not_utf8", "identity", revocation[:-1] + b"\xff", "a reason that is no text", "RECORD-1")
    first, second = sorted([segment_name(SESSION), segment_name(LATER_SESSION)])
    add("encoding/list_unsorted", "outcome", commit(segments=[second, first]), "segments in descending order", "RECORD-2")
    add("encoding/list_repeats", "outcome", commit(segments=[first, first]), "a segment twice", "RECORD-2")
    limits = LIMITS._replace(data_block_bytes=4095)
    add("encoding/limits_out_of_range", "config", records.CONFIG.encode(CONFIG._replace(limits=limits)), "data blocks of 4095 bytes",
        "RECORD-3")
    limits = LIMITS._replace(compression_level=-8)
    add("encoding/level_out_of_range", "config", records.CONFIG.encode(CONFIG._replace(limits=limits)), "compression level -8",
        "RECORD-3")
    header = slot_header(SLOT, records.UNLOCK.KeyFile, SECRET, "l" * 256)
    slot = keyslot.encode_slot(header, wrap_slot(header, SECRET, reader_keys()))
    add("encoding/label_too_long", "slot", slot, "a label of 256 bytes", "RECORD-3", repository=REPOSITORY, slot=SLOT)


def sparse_flag(value):
    """A leaf with one empty file, whose flag `sparse` is any byte."""
    plain = tree.TREE_NODE.encode(leaf(entry(b"a", file([]))))
    marked = tree.TREE_NODE.encode(leaf(entry(b"a", file([], sparse=True))))
    at = next(at for at in range(len(plain)) if plain[at] != marked[at])
    return replaced(plain, at, bytes([value]))


# 01-layout.md

def layout(add):
    client, session, digest = CLIENT.hex(), SESSION.hex(), fixed("id").hex()
    keys = [
        "config", "amendments/00000001", "amendments/mirror/00000001", f"keys/{SLOT.hex()}", "ids/00000001", "ids/99999999", "ids/100000000",
        f"sessions/{client}/000000000000/{session}", f"sessions/{client}/18446744073709551615/{session}",
        f"heartbeats/{client}/{session}/00000001", f"packs/{client}/000000000012/{session}/000000-{digest}",
        f"packs/{client}/000000000012/{session}/4294967295-{digest}", f"index/{client}/000000000012/{session}/000001-{digest}",
        f"manifests/{client}/{session}", f"outcomes/{client}/000000000012/{session}", f"forget/{session}",
        f"audit/{client}/00000001", f"records/hold/{client}/00000001", f"records/later-kind/{client}/00000001",
        "inventory/000000000001", "gc/000000000001/plan", "gc/000000000001/verdict", "gc/000000000001/done",
        f"gc/1000000000000/{digest}"]

    def bad(name, key, note):
        add(f"layout/{name}", "object-key", key.encode(), note, "LAYOUT-1")

    add("layout/keys", "object-key", "\n".join(keys).encode(), "every form; a line feed between keys")
    bad("number_too_short", "ids/0000001", "a number of seven digits for eight")
    bad("number_leading_zero", "ids/012345678", "a number of nine digits that starts with zero")
    bad("number_beyond_type", "ids/4294967296", "a number beyond u32")
    bad("number_sign", "ids/+0000001", "a sign")
    bad("hash_upper_case", f"keys/{SLOT.hex().upper()}", "upper-case digits")
    bad("hash_too_short", f"keys/{SLOT.hex()[:-1]}", "an identifier of 31 digits")
    bad("segment_missing", f"sessions/{client}/{session}", "a session without epoch")
    bad("segment_extra", "config/config", "one segment too many")
    bad("segment_empty", f"keys//{SLOT.hex()}", "an empty segment")
    bad("segment_dot", f"keys/.{SLOT.hex()}", "a segment that starts with a dot")
    bad("folder_unknown", f"other/{SLOT.hex()}", "a folder that the page does not name")
    bad("pack_without_sequence", f"packs/{client}/000000000012/{session}/{digest}", "a pack without sequence")


# 02-envelope.md

def envelopes(add):
    key = f"sessions/{CLIENT.hex()}/000000000003/{SESSION.hex()}"
    body = records.ANNOUNCEMENT.encode(records.ANNOUNCEMENT(records.PURPOSE.Write, "sbf-repo 0.1.0", "host", 4711, "home", CREATED, fixed("nonce", 16)))
    kind = envelope.KINDS["session"]
    signed = envelope.sign_body(kind, CLIENT_KEY, REPOSITORY, key, body)
    nonce = fixed("envelope nonce", 24)
    raw = envelope.seal(kind, signed, MANIFEST_KEY, 1, nonce, REPOSITORY, key)
    inputs = dict(kind=kind.number, repository=REPOSITORY, place=key, master_key=MANIFEST_KEY, public_key=CLIENT_PUBLIC)

    def opened(name, data, note, expect=None, rule=None, released=None, **changes):
        add(f"envelope/{name}", "envelope-open", data, note, rule, expect, released, **{**inputs, **changes})

    opened("sealed_raw", raw, "an announcement, codec 0", released=signed)
    plan_place = "gc/000000000007/body"
    plan = records.PLAN.encode(records.PLAN(7, [records.PACK_NAME(CLIENT, 1, SESSION, number, fixed(f"pack {number}"))
                                                for number in range(20)], [], []))
    plan_kind = envelope.KINDS["gc-plan"]
    plan_signed = envelope.sign_body(plan_kind, MAINTENANCE, REPOSITORY, plan_place, plan)
    plan_sealed = envelope.seal(plan_kind, plan_signed, MANIFEST_KEY, 1, nonce, REPOSITORY, plan_place, codec=1)
    opened("sealed_zstd", plan_sealed, "a plan, codec 1", released=plan_signed, kind=plan_kind.number, place=plan_place,
           public_key=crypto.public_key_of(MAINTENANCE))
    place = f"index/{CLIENT.hex()}/000000000003/{SESSION.hex()}/000000"
    segment = records.SEGMENT.encode(records.SEGMENT.make([]))
    opened("sealed_segment", sealed("segment", None, segment, place=place), "an empty segment: the place ends before the hash",
           released=envelope.sign_body(envelope.KINDS["segment"], CLIENT_KEY, REPOSITORY, place, segment),
           kind=KIND["segment"], place=place, master_key=INDEX_KEY)
    other_key = key.replace("000000000003", "000000000004")
    opened("other_place", raw, "the object under a key of another epoch", AUTH, place=other_key)
    opened("other_repository", raw, "the object in another repository", AUTH, repository=fixed("other repository", 16))
    opened("tag_flipped", flipped(raw, -1), "one bit of the tag", AUTH)
    opened("header_flipped", flipped(raw, 20), "one bit of the nonce", AUTH)
    opened("other_generation", flipped(raw, 8), "one bit of the generation, opened with the same key", AUTH)
    forged = flipped(signed, 20)
    opened("signature_flipped", envelope.seal(kind, forged, MANIFEST_KEY, 1, nonce, REPOSITORY, key), "one bit of R", AUTH)
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = replaced(signed, 48, (int.from_bytes(signed[48:80], "little") + order).to_bytes(32, "little"))
    opened("signature_beyond_order", envelope.seal(kind, malleable, MANIFEST_KEY, 1, nonce, REPOSITORY, key),
           "S plus the order of the group", AUTH)
    as_statement = envelope.sign_body(kind._replace(statement=True), CLIENT_KEY, REPOSITORY, key, body)
    opened("signed_without_place", envelope.seal(kind, as_statement, MANIFEST_KEY, 1, nonce, REPOSITORY, key),
           "the body signed without repository and place", AUTH)
    opened("raw_length_differs", envelope.seal(kind, signed, MANIFEST_KEY, 1, nonce, REPOSITORY, key, raw_length=len(signed) + 1),
           "one byte more stated than there is", rule="ENVELOPE-4")
    for name, stated, note in (("frame_longer", -1, "a frame of one byte more than stated"),
                               ("frame_shorter", 1, "a frame of one byte less than stated")):
        data = envelope.seal(plan_kind, plan_signed, MANIFEST_KEY, 1, nonce, REPOSITORY, plan_place, codec=1,
                             raw_length=len(plan_signed) + stated)
        opened(name, data, note, rule="ENVELOPE-4", kind=plan_kind.number, place=plan_place,
               public_key=crypto.public_key_of(MAINTENANCE))

    def header(name, data, note, rule=None, kind=kind.number):
        add(f"envelope/{name}", "envelope", data, note, rule, kind=kind)

    header("header", raw, "the header of a sealed object")
    header("other_kind", raw, "an announcement where a heartbeat is expected", "ENVELOPE-1", KIND["heartbeat"])
    header("other_magic", b"SBFC" + raw[4:], "the magic of a clear object", "ENVELOPE-1")
    header("other_version", replaced(raw, 4, b"\x02"), "version 2", "ENVELOPE-1")
    header("suite_unknown", replaced(raw, 6, b"\x02"), "suite 2", "ENVELOPE-2")
    header("codec_unknown", replaced(raw, 7, b"\x02"), "codec 2", "ENVELOPE-2")
    header("too_short", raw[:55], "55 bytes: no room for a tag", "ENVELOPE-3")
    header("raw_length_too_long", replaced(raw, 12, (4097).to_bytes(4, "little")), "4097 bytes for a kind of at most 4096", "ENVELOPE-3")
    add("envelope/too_long", "envelope", raw[:40] + bytes(2), "more ciphertext than the kind allows", "ENVELOPE-3",
        kind=kind.number, repeat=1660)

    configuration = clear("config", "config", records.CONFIG.encode(CONFIG))

    def clear_object(name, data, note, rule=None, kind=KIND["config"]):
        add(f"envelope/{name}", "clear", data, note, rule, kind=kind)

    clear_object("clear", configuration, "a config")
    clear_object("clear_reserved_not_zero", replaced(configuration, 6, b"\x01"), "byte 6 of 1", "ENVELOPE-5")
    clear_object("clear_other_magic", b"SBFE" + configuration[4:], "the magic of a sealed object", "ENVELOPE-5")
    clear_object("clear_other_version", replaced(configuration, 4, b"\x02"), "version 2", "ENVELOPE-5")
    clear_object("clear_other_kind", configuration, "a config where an amendment is expected", "ENVELOPE-5", KIND["amendment"])
    clear_object("clear_too_short", configuration[:7], "7 bytes", "ENVELOPE-5")
    add("envelope/signed_body", "signed-body", signed, "an announcement")
    add("envelope/signed_too_short", "signed-body", signed[:79], "79 bytes", "SIGNED-1")
    add("envelope/signed_message", "signed-message", envelope.signed_message(kind, REPOSITORY, key, body),
        "repository, length of the place, place, body", kind=kind.number, repository=REPOSITORY, place=key, message=body)
    text = b'{"_type":"x"}'
    add("envelope/signed_message_statement", "signed-message", text, "a statement is signed as it stands", kind=KIND["manifest"],
        repository=REPOSITORY, place="manifests/x", message=text)
    namespace = "sbf-repo-manifest"
    add("envelope/sshsig", "sshsig", crypto.ssh_signed_data(namespace, text) + crypto.sign(CLIENT_KEY, namespace, text),
        "the bytes that Ed25519 signs, then the signature", seed=CLIENT_KEY, namespace=namespace, message=text)


# 03-config.md

def config(add):
    def configuration(path, note, rule=None, /, **changes):
        add(f"config/{path}", "config", records.CONFIG.encode(CONFIG._replace(**changes)), note, rule)

    def profile(path, note, /, **changes):
        configuration(path, note, "CONFIG-2", profiles=[PROFILE._replace(**changes)])

    stream = PROFILE._replace(name="stream", min_bytes=4096, average_bytes=16384, max_bytes=65536)
    configuration("config", "two profiles and a feature to prune", profiles=[PROFILE, stream],
                  features=records.FEATURES([], [], ["x"]), store=records.STORE_MODE.NoRegisters)
    configuration("format_two", "format 2", "CONFIG-1", format=2)
    add("config/format_two_other_fields", "config", b"\x02\xff", "format 2 before bytes that format 1 cannot decode", "CONFIG-1")
    profile("size_odd", "an odd average", average_bytes=65537)
    profile("mask_zero", "a mask of zero", mask_small=0)
    profile("mask_top_bit", "a mask of 2^63", mask_large=1 << 63)
    profile("first_not_default", "a first profile of another name", name="stream")
    profile("min_not_below_average", "min equal to average", min_bytes=65536)
    profile("average_not_below_max", "average equal to max", average_bytes=262144)
    profile("min_too_small", "min of 254", min_bytes=254)
    profile("max_too_large", "max of 8388610", max_bytes=8388610)
    profile("algorithm_unknown", "algorithm 2", algorithm=2)
    configuration("no_profile", "no profile", "CONFIG-2", profiles=[])
    changes = [records.CHANGE.Features(NO_FEATURES), records.CHANGE.Profile(stream), records.CHANGE.Limits(LIMITS),
               records.CHANGE.Store(records.STORE_MODE.Registers), records.CHANGE.Copy(records.COPY("away", "s3://bucket/copy")),
               records.CHANGE.Promote(records.PROMOTE(fixed("history", 16), fixed("first note")))]
    amendment = records.AMENDMENT(1, CREATED, changes)
    add("config/amendment", "amendment", records.AMENDMENT.encode(amendment), "every change", number=1)
    odd = records.AMENDMENT(1, CREATED, [records.CHANGE.Profile(stream._replace(min_bytes=4097))])
    add("config/amendment_size_odd", "amendment", records.AMENDMENT.encode(odd), "an odd size", "CONFIG-2", number=1)
    stored = clear("config", "config", records.CONFIG.encode(CONFIG))
    inputs = dict(kind=KIND["config"], repository=REPOSITORY, place="config")
    add("config/signed", "clear-open", stored, "a config and its authority", released=stored[8:], public_key=AUTHORITY_PUBLIC, **inputs)
    add("config/other_authority", "clear-open", stored, "signed by another key than the one of the slot", expect=AUTH,
        public_key=crypto.public_key_of(MAINTENANCE), **inputs)


# 04-keyslot.md

def certificate(subject=None, until=None):
    subject = subject or records.SUBJECT.Client(CLIENT)
    return records.IDENTITY.Certificate(records.CERTIFICATE(subject, CLIENT_PUBLIC, records.ROLE.Writer, CREATED, until))


def keyslots(add):
    def opened(name, data, note, expect=None, slot=SLOT, **secret):
        released = records.SLOT_KEYS.encode(reader_keys()) if expect is None else None
        add(f"keyslot/{name}", "slot-open", data, note, expect=expect, released=released, repository=REPOSITORY, slot=slot, **secret)

    def slot(name, data, note, rule=None):
        add(f"keyslot/{name}", "slot", data, note, rule, repository=REPOSITORY, slot=SLOT)

    stored = key_file_slot()
    opened("passphrase", passphrase_slot(), "Argon2id with 64 MiB", slot=PASSPHRASE_SLOT, passphrase=PASSPHRASE)
    opened("key_file", stored, "the secret of a key file", secret=SECRET)
    opened("public_key", public_key_slot(), "a secret sealed to the X-Wing key of the seed `secret`", slot=PUBLIC_SLOT, secret=SECRET)
    opened("wrong_secret", stored, "the commitment differs: a wrong key", AUTH, secret=fixed("other secret"))
    header = slot_header(SLOT, records.UNLOCK.KeyFile, SECRET)
    wrapped = wrap_slot(header, SECRET, reader_keys())
    opened("wrapped_flipped", keyslot.encode_slot(header, flipped(wrapped, 5)), "one bit of the wrapped keys: damage", AUTH, secret=SECRET)
    other = header._replace(role=records.ROLE.Admin)
    opened("role_changed", keyslot.encode_slot(other, wrapped), "another role in the header", AUTH, secret=SECRET)
    slot("slot", stored, "a slot")
    slot("reserved_not_zero", key_file_slot(reserved=b"\0\0\x01"), "byte 7 of 1", "SLOT-1")
    slot("wrapped_length_differs", key_file_slot(wrapped_length=len(wrapped) + 1), "one byte more than there is", "SLOT-1")
    slot("header_length_past_end", key_file_slot_with_header_length(1 << 20), "a header beyond the end", "SLOT-1")
    slot("bit_flipped", flipped(stored, 60), "one bit of the header", "SLOT-2")
    add("keyslot/other_slot", "slot", stored, "the slot under another key", "SLOT-1", repository=REPOSITORY, slot=PUBLIC_SLOT)
    add("keyslot/other_repository", "slot", stored, "the slot of another repository", "SLOT-1", repository=fixed("other repository", 16), slot=SLOT)
    for name, note, changes in (("memory_too_small", "65535 KiB", dict(memory_kib=65535)), ("passes_too_few", "2 passes", dict(passes=2)),
                                ("memory_too_large", "4194305 KiB", dict(memory_kib=4194305)), ("passes_too_many", "65 passes", dict(passes=65)),
                                ("lanes_too_many", "17 lanes", dict(lanes=17)), ("lanes_none", "no lanes", dict(lanes=0))):
        cost = slot_header(SLOT, records.UNLOCK.Passphrase(COST._replace(**changes)), SECRET)
        slot(name, keyslot.encode_slot(cost, wrap_slot(cost, SECRET, reader_keys())), note, "SLOT-3")
    add("keyslot/slot_keys", "slot-keys", records.SLOT_KEYS.encode(reader_keys()), "the keys of a reader")
    add("keyslot/slot_keys_auditor", "slot-keys", records.SLOT_KEYS.encode(auditor_keys([1, 2])), "the keys of an auditor, two generations")
    add("keyslot/generations_unsorted", "slot-keys", records.SLOT_KEYS.encode(auditor_keys([2, 1])), "generation 2 before 1", "RECORD-2")
    add("keyslot/generations_none", "slot-keys", records.SLOT_KEYS.encode(auditor_keys([])), "no generation", "RECORD-2")
    add("keyslot/generation_zero", "slot-keys", records.SLOT_KEYS.encode(auditor_keys([0])), "generation 0", "RECORD-3")
    add("keyslot/certificate", "identity", records.IDENTITY.encode(certificate()), "of a client, without end")
    maintenance = certificate(records.SUBJECT.Maintenance, CREATED + 86400)
    add("keyslot/certificate_maintenance", "identity", records.IDENTITY.encode(maintenance), "of the maintenance key, for a day")
    revocation = records.REVOCATION(crypto.key_id(CLIENT_PUBLIC), CREATED, "lost")
    add("keyslot/revocation", "identity", records.IDENTITY.encode(records.IDENTITY.Revocation(revocation)), "of a client's key")
    holder = records.HOLDER(CLIENT, records.ROLE.Reader, crypto.xwing_public(keyslot.renewal_seed(CLIENT_KEY)), 1, [])
    add("keyslot/holder", "identity", records.IDENTITY.encode(records.IDENTITY.Holder(holder)), "the pair of a reader's client")
    pruner_keys = sorted(crypto.key_id(crypto.public_key_of(seed)) for seed in (CLIENT_KEY, MAINTENANCE))
    pruner = records.IDENTITY.Holder(holder._replace(role=records.ROLE.Pruner, signing=pruner_keys))
    add("keyslot/holder_pruner", "identity", records.IDENTITY.encode(pruner), "of a pruner's client, with the keys that sign for it")
    unsorted = records.IDENTITY.Holder(holder._replace(signing=pruner_keys[::-1]))
    add("keyslot/holder_keys_unsorted", "identity", records.IDENTITY.encode(unsorted), "the keys in descending order", "RECORD-2")
    renewed = reader_keys().generations[0]._replace(generation=2)
    renewal = records.IDENTITY.encode(records.IDENTITY.Renewal(renewal_of(renewed)))
    add("keyslot/renewal", "identity", renewal, "generation 2 for that client")
    opened_keys = records.GENERATION.encode(renewed)
    add("keyslot/renewal_opened", "renewal-open", renewal, "the same, opened with the key of the client", released=opened_keys,
        repository=REPOSITORY, secret=CLIENT_KEY)
    add("keyslot/renewal_of_other_client", "renewal-open", renewal, "opened with the key of another client", expect=AUTH,
        repository=REPOSITORY, secret=fixed("other client key"))
    short = wire_with_length(records.IDENTITY, records.IDENTITY.Holder(holder), holder.public_key)
    add("keyslot/holder_key_too_short", "identity", short, "a public key of 1215 bytes", "RECORD-3")
    short = wire_with_length(records.IDENTITY, records.IDENTITY.Renewal(renewal_of(renewed)), renewal_of(renewed).encapsulated)
    add("keyslot/renewal_encapsulated_too_short", "identity", short, "an encapsulated key of 1119 bytes", "RECORD-3")
    add("keyslot/key_file_text", "key-file", key_file_text(), "a comment and the four lines")
    authority = f"authority {crypto.public_key_of(AUTHORITY).hex()}\n".encode()
    add("keyslot/key_file_authority", "key-file", key_file_text() + authority, "with the authority that the slot must name")


def wire_with_length(kind, value, long):
    """The record with the last byte of a list of bytes left out."""
    encoded = kind.encode(value)
    marked = encode_varint(len(long)) + long
    assert encoded.count(marked) == 1
    return encoded.replace(marked, encode_varint(len(long) - 1) + long[:-1])


def auditor_keys(generations):
    keys = [records.GENERATION(number, None, MANIFEST_KEY, None, None, b"", b"", None, None) for number in generations]
    return reader_keys()._replace(id_key=None, gear_key=None, generations=keys)


def key_file_slot_with_header_length(length):
    data = replaced(key_file_slot()[:-32], 8, length.to_bytes(4, "little"))
    return data + crypto.digest(data)


# 05-pack.md

NOISE, TEXT = fixed("pack noise", 300), b"some text that is repeated; " * 30
DATA_INPUTS = dict(repository=REPOSITORY, id_key=ID_KEY, index_key=INDEX_KEY, wrap_key=DATA_KEY)


def two_blocks():
    maker = PackMaker("two blocks")
    maker.add([NOISE[:100], NOISE[100:]])
    maker.add([TEXT[:400], TEXT[400:]], "Zstd")
    return maker


def packs(add):
    def opened(name, data, note, expect=None, rule=None, released=None, **changes):
        add(f"pack/{name}", "pack-open", data, note, rule, expect, released, **{**DATA_INPUTS, **changes})

    maker = two_blocks()
    data = maker.finish()
    opened("two_blocks", data, "a raw block and a zstd block of two chunks each", released=NOISE + TEXT)
    node = tree.TREE_NODE.encode(leaf(entry(b"a", file([]))))
    nodes = PackMaker("tree pack", "Tree")
    nodes.add([node])
    opened("tree_pack", nodes.finish(), "a pack of kind Tree with one tree node", released=node, wrap_key=TREE_KEY)
    secret = PackMaker("sealed key", wrap="Sealed")
    secret.add([NOISE])
    sealed_inputs = {name: value for name, value in DATA_INPUTS.items() if name != "wrap_key"}
    add("pack/sealed_key", "pack-open", secret.finish(), "the key sealed to the data key of the generation", released=NOISE,
        seal_seed=DATA_SEED, **sealed_inputs)
    zeros = PackMaker("directory zstd")
    zeros.add([bytes(64)] * 16, "Zstd")
    opened("directory_zstd", zeros.finish("Zstd"), "a directory that is one zstd frame", released=bytes(1024))
    empty = PackMaker("no blocks")
    opened("no_blocks", empty.finish(), "a directory without blocks", released=b"")
    copy = PackMaker("foreign block")
    copy.add([NOISE])
    copy.add_foreign(maker, 1)
    opened("foreign_block", copy.finish(), "block 1 is block 1 of another pack, with its key", released=NOISE + TEXT)
    again = PackMaker("foreign block again")
    again.add_foreign(copy, 1)
    opened("foreign_block_again", again.finish(), "copied twice: number 0 here, 1 where it was sealed", released=TEXT)
    delta = PackMaker("delta block")
    changed = TEXT[:300] + b"changed" + TEXT[300:]
    delta.add([changed], "Delta", [TEXT[:400], TEXT[400:]])
    opened("delta_block", delta.finish(), "a delta against two base chunks of other packs", released=changed,
           base=[TEXT[:400], TEXT[400:]])

    header = pack.header_bytes(maker.header)
    add("pack/header", "pack-header", header, "the header of a pack")
    add("pack/other_magic", "pack-header", b"SBFE" + header[4:], "the magic of a sealed object", "PACK-1")
    add("pack/other_version", "pack-header", replaced(header, 4, b"\x02"), "version 2", "PACK-1")
    add("pack/suite_unknown", "pack-header", replaced(header, 5, b"\x02"), "suite 2", "PACK-1")
    add("pack/header_past_end", "pack-header", header[:-1], "one byte less than the header's length", "PACK-1")
    wrap = records.WRAP.Sealed(records.SEALED(bytes(1119), bytes(48)))
    short = maker.header._replace(key=maker.wrapped._replace(wrap=wrap))
    add("pack/encapsulated_too_short", "pack-header", pack.header_bytes(short), "an encapsulated key of 1119 bytes", "PACK-1")

    def trailer(name, directory, raw, note, rule=None, end=pack.PACK_END_MAGIC, length=4096, cut=0):
        body = (directory.to_bytes(4, "little") + raw.to_bytes(4, "little") + end)[cut:]
        add(f"pack/{name}", "pack-trailer", body, note, rule, length=length, header_length=150)

    trailer("trailer", 1000, 984, "the trailer of a pack")
    trailer("trailer_magic", 1000, 984, "another magic", "PACK-2", end=b"SBFPEND2")
    trailer("shorter_than_trailer", 1000, 984, "an object of 15 bytes", "PACK-2", length=15, cut=1)
    trailer("directory_over_header", 4096 - 16 - 149, 4000, "a directory that begins one byte before the header ends", "PACK-3")
    trailer("directory_shorter_than_tag", 15, 0, "a directory of 15 bytes", "PACK-3")
    trailer("directory_too_long", 67108865, 67108864, "a directory of 67108865 bytes", "PACK-3", length=1 << 28)
    trailer("directory_raw_too_short", 1000, 983, "a raw length below the opened length", "PACK-3")
    trailer("directory_raw_too_long", 1000, 67108865, "a raw length of 67108865", "PACK-3")
    opened("directory_past_end", maker.finish(directory_length=1 << 20), "a directory longer than the pack", rule="PACK-3")
    frame = len(records.PACK_DIRECTORY.encode(records.PACK_DIRECTORY(zeros.entries)))
    opened("directory_frame_longer", zeros.finish("Zstd", raw_length=frame - 1), "a frame of one byte more than the raw length", rule="PACK-3")
    opened("gap_before_directory", maker.finish(gap=b"\0"), "one byte between the last block and the directory", rule="PACK-4")
    damaged = two_blocks()
    damaged.header = damaged.header._replace(key=damaged.wrapped._replace(commitment=fixed("other commitment")))
    opened("other_commitment", damaged.finish(), "a commitment of another key", AUTH)
    opened("header_flipped", flipped(data, 10), "one bit of the pack's uid", AUTH)
    opened("block_flipped", flipped(data, len(header) + 3), "one bit of block 0", AUTH)
    opened("directory_flipped", flipped(data, -40), "one bit of the directory", AUTH)
    opened("other_repository", data, "the pack in another repository", AUTH, repository=fixed("other repository", 16))


def blocks(add):
    def directory_of(name, note, rule=None, **changes):
        block = records.BLOCK_ENTRY(116, 100, records.BLOCK_CODEC.Raw, None, [records.CHUNK_ENTRY(fixed("chunk"), 100)])
        value = records.PACK_DIRECTORY([block._replace(**changes)])
        add(f"block/{name}", "pack-directory", records.PACK_DIRECTORY.encode(value), note, rule)

    chunk = records.CHUNK_ENTRY(fixed("chunk"), 100)
    directory_of("directory", "one raw block of one chunk")
    directory_of("raw_not_stored", "a raw block whose stored length is not raw length + 16", "BLOCK-1", stored_length=115)
    directory_of("zstd_not_shorter", "a zstd block as long as a raw one", "BLOCK-1", codec=records.BLOCK_CODEC.Zstd)
    directory_of("raw_length_zero", "a block of no bytes", "BLOCK-1", stored_length=16, raw_length=0, chunks=[])
    directory_of("stored_length_16", "a block that is only a tag", "BLOCK-1", stored_length=16, codec=records.BLOCK_CODEC.Zstd)
    directory_of("raw_length_too_long", "16777217 bytes", "BLOCK-1", stored_length=100, raw_length=16777217,
                 codec=records.BLOCK_CODEC.Zstd, chunks=[chunk._replace(length=16777217)])
    directory_of("chunks_too_short", "chunks of 99 bytes in a block of 100", "BLOCK-2", chunks=[chunk._replace(length=99)])
    directory_of("chunks_too_long", "chunks of 101 bytes in a block of 100", "BLOCK-2", chunks=[chunk, chunk._replace(length=1)])
    directory_of("chunk_empty", "a chunk of no bytes", "BLOCK-2", chunks=[chunk, chunk._replace(length=0)])
    directory_of("chunks_none", "no chunks", "BLOCK-2", chunks=[])
    directory_of("delta", "a delta block with a base", stored_length=50, codec=records.BLOCK_CODEC.Delta([fixed("base")]))
    directory_of("delta_without_bases", "a delta block of no bases", "BLOCK-3", stored_length=50, codec=records.BLOCK_CODEC.Delta([]))
    origin = records.BLOCK_ORIGIN(fixed("origin", 16), 3, PackMaker("origin").wrapped)
    directory_of("foreign", "a block of another pack", origin=origin)

    def opened(name, maker, note, expect=None, rule=None):
        add(f"block/{name}", "pack-open", maker.finish(), note, rule, expect, **DATA_INPUTS)

    longer = PackMaker("frame longer")
    longer.add([TEXT], "Zstd")
    entry_of = longer.entries[0]
    longer.entries[0] = entry_of._replace(raw_length=len(TEXT) - 1, chunks=[entry_of.chunks[0]._replace(length=len(TEXT) - 1)])
    opened("frame_longer", longer, "a frame of one byte more than the raw length", rule="BLOCK-1")
    longer.entries[0] = entry_of._replace(raw_length=len(TEXT) + 1, chunks=[entry_of.chunks[0]._replace(length=len(TEXT) + 1)])
    opened("frame_shorter", longer, "a frame of one byte less than the raw length", rule="BLOCK-1")
    named = PackMaker("other name")
    named.add([NOISE])
    named.entries[0] = named.entries[0]._replace(chunks=[records.CHUNK_ENTRY(fixed("other chunk"), len(NOISE))])
    opened("chunk_of_other_name", named, "a chunk under the id of other bytes", AUTH)
    tree_named = PackMaker("tree name")
    tree_named.add([NOISE])
    tree_named.entries[0] = tree_named.entries[0]._replace(
        chunks=[records.CHUNK_ENTRY(pack.chunk_id(ID_KEY, "tree", NOISE), len(NOISE))])
    opened("chunk_of_tree_name", tree_named, "a data chunk under the id of a tree chunk of the same bytes", AUTH)
    moved = PackMaker("moved block")
    moved.add([NOISE[:100]])
    moved.add([NOISE[100:200]])
    moved.entries.reverse()
    moved.stored.reverse()
    opened("moved_block", moved, "two blocks that changed places", AUTH)
    add("block/sealed", "block-seal", pack.seal_block(fixed("pack key"), REPOSITORY, 1, fixed("uid", 16), 258, NOISE),
        "ciphertext and tag of block 258", pack_key=fixed("pack key"), repository=REPOSITORY, kind=1, pack_uid=fixed("uid", 16),
        number=258, plaintext=NOISE)


# 06-index.md

def index(add):
    first, second = sorted([two_blocks().indexed(0, SESSION, 0), PackMaker("no blocks").indexed(0, SESSION, 1)])

    def segment(name, note, rule, *packs):
        add(f"index/{name}", "segment", records.SEGMENT.encode(records.SEGMENT.make(list(packs))), note, rule)

    segment("two_packs", "two packs of a session", None, first, second)
    segment("empty", "no packs", None)
    segment("packs_unsorted", "sequence 1 before 0", "INDEX-1", second, first)
    segment("pack_twice", "a pack twice", "INDEX-1", first, first)
    end = first.header_length + sum(block.stored_length for block in first.blocks)
    segment("blocks_past_length", "blocks that end after the pack", "INDEX-1", first._replace(length=end - 1))
    segment("length_too_long", "a pack of 268435457 bytes", "INDEX-1", first._replace(length=268435457))
    segment("header_length_differs", "a header length of one byte more", "INDEX-1", first._replace(header_length=first.header_length + 1))
    stored = sealed("segment", None, records.SEGMENT.encode(records.SEGMENT.make([first])),
                    place=f"index/{CLIENT.hex()}/000000000000/{SESSION.hex()}/000000")
    add("index/segment_id", "digest", stored, "a SegmentId is BLAKE3 of the stored bytes", digest=crypto.digest(stored))
    add("index/other_segment_id", "digest", stored, "the segment under another SegmentId", expect=AUTH, digest=fixed("other id"))


# 07-tree.md

def chunk_of(length, label="chunk"):
    return chunk_extent(fixed(label), length)


def trees(add):
    def node(name, value, note, rule=None, **inputs):
        add(f"tree/{name}", "tree-node", tree.TREE_NODE.encode(value), note, rule, **inputs)

    def one(name, note, rule=None, named=b"a", kind=None, owners=None, **fields):
        node(name, leaf(entry(named, kind or file([]), **fields), owners=owners), note, rule)

    def reference(name, label="node"):
        return tree.NODE_REFERENCE(name, fixed(label))

    owners = [tree.OWNER(0, 0, b"root", b"root"), tree.OWNER(1000, 100, b"\xff", b"")]
    several = leaf(entry(b"A", file([chunk_of(10)]), owner=0), entry(b"a", tree.ENTRY_KIND.Fifo, owner=1, seconds=-2),
                   entry(b"a.b", file([]), owner=0), entry(b"\xff\xfe", file([]), owner=1), owners=owners)
    node("leaf", several, "four entries, two owners, a name that is not UTF-8", height=0)
    node("internal", tree.TREE_NODE.Internal([reference(b"m"), reference(b"z")]), "two children", height=1)
    node("empty", leaf(), "a leaf without entries", height=0)
    device = tree.DEVICE_NUMBER(8, 1)
    listing = node_listing(fixed("node"), 8)
    kinds = [directory(listing, tree.TOTALS(1, 2, 3, 4)), file([chunk_of(5), hole_extent(4096)], fixed("digest")),
             tree.ENTRY_KIND.Symlink(b"../target"), tree.ENTRY_KIND.Fifo, tree.ENTRY_KIND.Socket,
             tree.ENTRY_KIND.CharacterDevice(device), tree.ENTRY_KIND.BlockDevice(device),
             file([], fixed("digest"), list_content(fixed("list"), 1, 9), size=9 << 20)]
    xattrs = [tree.XATTR(b"user.a", b""), tree.XATTR(b"user.b", bytes(3))]
    node("every_kind", leaf(*(entry(b"%d" % number, kind, mode=0o7777, xattrs=xattrs, links=2, inode=(1 << 64) - 1)
                              for number, kind in enumerate(kinds))), "every kind of entry, with attributes")
    inner = leaf(entry(b"b", directory(inline_listing(leaf()), EMPTY_TOTALS)), entry(b"c", file([])))
    node("inline_listing", leaf(entry(b"a", directory(inline_listing(inner), tree.TOTALS(1, 1, 0, 0)))), "listings in listings")
    add("tree/node_too_long", "tree-node", b"\0", "1048577 zeros", "TREE-1", repeat=1048577)
    node("names_unsorted", leaf(entry(b"b", file([])), entry(b"a", file([]))), "b before a", "TREE-2")
    node("name_twice", leaf(entry(b"a", file([])), entry(b"a", file([]))), "a twice", "TREE-2")
    node("last_names_unsorted", tree.TREE_NODE.Internal([reference(b"b"), reference(b"a")]), "b before a", "TREE-2")
    one("name_dot", "the name `.`", "TREE-3", b".")
    one("name_dot_dot", "the name `..`", "TREE-3", b"..")
    one("name_slash", "a slash", "TREE-3", b"a/b")
    one("name_nul", "a NUL", "TREE-3", b"a\0")
    one("name_empty", "no bytes", "TREE-3", b"")
    one("name_255", "255 bytes", None, b"a" * 255)
    one("name_256", "256 bytes", "TREE-3", b"a" * 256)
    node("last_name_slash", tree.TREE_NODE.Internal([reference(b"a/b")]), "a slash in a last name", "TREE-3")
    one("owner_unused", "the second owner is used by no entry", "TREE-4", owners=owners)
    node("owner_out_of_order", leaf(entry(b"a", file([]), owner=1), entry(b"b", file([]), owner=0), owners=owners),
         "owner 1 before owner 0", "TREE-4")
    one("owner_missing", "an owner that the leaf does not have", "TREE-4", owners=[])
    node("owner_twice", leaf(entry(b"a", file([]), owner=0), entry(b"b", file([]), owner=1), owners=owners[:1] * 2),
         "two equal owners", "TREE-4")
    one("mode_type_bits", "the type of a regular file in the mode", "TREE-5", mode=0o100644)
    one("nanoseconds", "10^9 nanoseconds", "TREE-6", nanoseconds=1000000000)
    one("nanoseconds_most", "999999999 nanoseconds before 1970", None, seconds=-1, nanoseconds=999999999)
    one("xattr_unsorted", "user.b before user.a", "TREE-7", xattrs=xattrs[::-1])
    one("xattr_twice", "user.a twice", "TREE-7", xattrs=xattrs[:1] * 2)
    one("xattr_name_empty", "an attribute without name", "TREE-7", xattrs=[tree.XATTR(b"", b"")])
    one("xattr_name_nul", "a NUL in a name", "TREE-7", xattrs=[tree.XATTR(b"a\0", b"")])
    one("xattr_name_256", "a name of 256 bytes", "TREE-7", xattrs=[tree.XATTR(b"a" * 256, b"")])
    one("target_empty", "a target of no bytes", "TREE-8", kind=tree.ENTRY_KIND.Symlink(b""))
    one("target_nul", "a NUL in a target", "TREE-8", kind=tree.ENTRY_KIND.Symlink(b"a\0b"))
    one("inline_4097", "an inline listing of 4097 bytes", "TREE-9", kind=directory(tree.LISTING.Inline(listing_of(4097)), EMPTY_TOTALS))
    one("inline_not_a_node", "an inline listing of other bytes", "RECORD-1", kind=directory(tree.LISTING.Inline(b"\x05"), EMPTY_TOTALS))
    internal = tree.TREE_NODE.Internal([reference(b"m")])
    one("inline_internal", "an inline listing that is an internal node", "TREE-10", kind=directory(inline_listing(internal), EMPTY_TOTALS))
    one("height_nine", "a listing of height 9", "TREE-10", kind=directory(node_listing(fixed("node"), 9), EMPTY_TOTALS))
    node("leaf_at_height_one", leaf(), "a leaf at height 1", "TREE-10", height=1)
    node("internal_at_height_zero", internal, "an internal node at height 0", "TREE-10", height=0)
    node("internal_empty", tree.TREE_NODE.Internal([]), "an internal node without children", "TREE-11")
    one("digest_missing", "two extents and no digest", "TREE-12", kind=file([chunk_of(5), chunk_of(5)]))
    one("digest_of_one_extent", "one extent and a digest", "TREE-12", kind=file([chunk_of(5)], fixed("digest")))
    one("digest_of_hole", "a hole alone, without digest", None, kind=file([hole_extent(4096)]))


def listing_of(length):
    """An encoded leaf of exactly `length` bytes, valid but for its length."""
    value = bytes(length - len(tree.TREE_NODE.encode(leaf(entry(b"a", file([]), xattrs=[tree.XATTR(b"a", bytes(300))])))) + 300)
    encoded = tree.TREE_NODE.encode(leaf(entry(b"a", file([]), xattrs=[tree.XATTR(b"a", value)])))
    assert len(encoded) == length
    return encoded


def content(add):
    def of_file(name, note, rule, kind):
        add(f"content/{name}", "tree-node", tree.TREE_NODE.encode(leaf(entry(b"a", kind))), note, rule)

    def node(name, value, note, rule=None, **inputs):
        add(f"content/{name}", "list-node", tree.LIST_NODE.encode(value), note, rule, **inputs)

    many = [chunk_of(100), hole_extent(1 << 40)] * 5
    node("list_leaf", tree.LIST_NODE.Leaf(many), "ten extents", height=0)
    references = [tree.LIST_REFERENCE(fixed("left"), 500), tree.LIST_REFERENCE(fixed("right"), (1 << 63) - 1)]
    node("list_internal", tree.LIST_NODE.Internal(references), "two children", height=1)
    digest = fixed("digest")
    of_file("inline_eight", "eight extents inline", None, file([chunk_of(1)] * 8, digest))
    of_file("list_of_nine", "a list of nine extents", None, file([], digest, list_content(fixed("list"), 8, 9), size=9))
    of_file("chunk_length_zero", "a chunk of no bytes", "CONTENT-1", file([chunk_of(0)]))
    of_file("chunk_too_long", "a chunk of 16777217 bytes", "CONTENT-1", file([chunk_of(16777217)]))
    of_file("hole_length_zero", "a hole of no bytes", "CONTENT-1", file([hole_extent(0)]))
    of_file("inline_nine", "nine extents inline", "CONTENT-1", file([chunk_of(1)] * 9, digest))
    of_file("list_of_eight", "a list of eight extents", "CONTENT-1", file([], digest, list_content(fixed("list"), 0, 8), size=8))
    of_file("list_height_nine", "a list of height 9", "CONTENT-1", file([], digest, list_content(fixed("list"), 9, 9), size=9))
    of_file("lengths_beyond_64_bits", "two holes of 2^63 bytes", "CONTENT-1", file([hole_extent(1 << 63)] * 2, digest, size=0))
    of_file("size_differs", "a chunk of 5 bytes in a file of 6", "CONTENT-2", file([chunk_of(5)], size=6))
    node("list_empty", tree.LIST_NODE.Leaf([]), "a leaf without extents", "CONTENT-1")
    node("list_internal_empty", tree.LIST_NODE.Internal([]), "an internal node without children", "CONTENT-1")
    node("list_child_empty", tree.LIST_NODE.Internal([references[0]._replace(bytes=0)]), "a child of no bytes", "CONTENT-1")
    node("list_leaf_at_height_one", tree.LIST_NODE.Leaf(many), "a leaf at height 1", "CONTENT-1", height=1)
    node("list_internal_at_height_zero", tree.LIST_NODE.Internal(references), "an internal node at height 0", "CONTENT-1", height=0)
    add("content/list_too_long", "list-node", b"\0", "262145 zeros", "CONTENT-3", repeat=262145)


# 08-manifest.md

def manifests(add):
    place = f"manifests/{CLIENT.hex()}/{SESSION.hex()}"

    def bytes_of(name, data, note, rule=None, **inputs):
        add(f"manifest/{name}", "manifest", data, note, rule, repository=REPOSITORY, place=place, **inputs)

    def changed(name, note, rule="MANIFEST-1", **changes):
        bytes_of(name, statement.encode_json(manifest(**changes)), note, rule)

    packs_of = [(fixed(f"pack {number}"), 1000 + number) for number in range(3)]
    files = manifest(root=fixed("root"), height=2, totals=(1, 2, 3, 1 << 40), packs=packs_of)
    data = statement.encode_json(files)
    bytes_of("files", data, "a snapshot of files", sha256=crypto.sha256(data))
    stream = manifest(kind="command", command={"argv": ["pg_dump", "-Fc"], "exit_status": -1}, parent=LATER_SESSION.hex(),
                      actor={"user_id": 0, "sudo_user": "u"}, paths=["dump"], skipped=[], skipped_count=0, incomplete=True,
                      verdict=(3, fixed("verdict")), packs=packs_of)
    bytes_of("stream", statement.encode_json(stream), "the output of a command, with every optional member")
    origin = {"repository": fixed("other repository", 16).hex(), "client": OTHER_CLIENT.hex(), "snapshot": LATER_SESSION.hex(),
              "manifest": fixed("manifest").hex()}
    bytes_of("copied", statement.encode_json(manifest(origin=origin)), "a copy of a snapshot of another repository")
    changed("origin_not_hex", "an origin whose snapshot is no id", origin={**origin, "snapshot": "g" * 32})
    changed("origin_member_missing", "an origin without `manifest`", origin={name: origin[name] for name in list(origin)[:3]})
    table = {"name": "public.\"Users\"", "rows": 3, "bytes": 40, "digest": fixed("rows").hex()}
    dump = {"form": "postgresql-cluster", "server": "15.4", "program": "15.4", "tables": [{"database": "app", **table}, table],
            "tables_count": 3, "rows": 7, "bytes": 90, "inserts": 0,
            "objects": [{"kind": "INDEX", "count": 1}, {"kind": "TABLE", "count": 3}]}

    def dumps(**other):
        return [{"name": "app.sql", "command": {"argv": ["pg_dump"], "exit_status": 0}, "dump": {**dump, **other}}, {"name": "x"}]

    bytes_of("dumps", statement.encode_json(manifest(kind="several", streams=dumps())), "two streams, one of them a dump")
    bytes_of("postgres", statement.encode_json(manifest(kind="postgres", streams=dumps(form="postgresql-plain"))), "a database")
    bytes_of("postgres_directory", statement.encode_json(manifest(kind="postgres", streams=dumps(form="postgresql-directory"))),
             "a database in a directory")
    changed("streams_empty", "`streams` that is empty", streams=[])
    changed("dump_form_unknown", "another form of a dump", streams=dumps(form="oracle"))
    changed("dump_digest_not_hex", "a digest of rows that is none", streams=dumps(tables=[{**table, "digest": "g" * 64}]))
    changed("dump_objects_unsorted", "kinds that are not sorted", streams=dumps(objects=dump["objects"][::-1]))
    strings = manifest(tags=["\"\\/\b\t\n\f\r\x00\x1f\x7fäß€😀"])
    bytes_of("strings", statement.encode_json(strings), "every escape, and what is not escaped")
    bytes_of("white_space", data.replace(b'","', b'", "', 1), "a space after a comma", "MANIFEST-1")
    bytes_of("line_feed_at_end", data + b"\n", "a line feed at the end", "MANIFEST-1")
    bytes_of("escaped_slash", data.replace(b"/home", b"\\/home", 1), "a slash that is escaped", "MANIFEST-1")
    bytes_of("number_fraction", data.replace(b'"count":3', b'"count":3.0'), "3.0", "MANIFEST-1")
    bytes_of("number_as_text", data.replace(b'"count":3', b'"count":"3"'), "a number in quotes", "MANIFEST-1")
    bytes_of("number_beyond_type", data.replace(b'"height":2', b'"height":256'), "a height of 256", "MANIFEST-1")
    bytes_of("not_utf8", data.replace("höst".encode(), b"h\xffst"), "a byte that is not UTF-8", "MANIFEST-1")
    bytes_of("member_twice", data.replace(b'"profile":"default"', b'"profile":"default","profile":"default"'), "a member twice", "MANIFEST-1")
    swapped = manifest()
    swapped["predicate"]["host"] = swapped["predicate"].pop("host")
    bytes_of("member_order", statement.encode_json(swapped), "`host` at the end", "MANIFEST-1")
    missing = manifest()
    del missing["predicate"]["tags"]
    bytes_of("member_missing", statement.encode_json(missing), "no `tags`", "MANIFEST-1")
    changed("member_unknown", "a member that the page does not name", other="x")
    bytes_of("optional_null", statement.encode_json(manifest()).replace(b'"profile"', b'"parent":null,"profile"'), "`parent` of null", "MANIFEST-1")
    two = manifest()
    two["subject"] *= 2
    bytes_of("two_subjects", statement.encode_json(two), "two subjects", "MANIFEST-1")
    other = manifest()
    other["subject"][0]["digest"]["sha256"] = fixed("other").hex()
    bytes_of("subject_digest_differs", statement.encode_json(other), "a digest that is not `packs.root`", "MANIFEST-1")
    not_hex = manifest()
    not_hex["predicate"]["root"]["node"] = "g" * 64
    bytes_of("root_not_hex", statement.encode_json(not_hex), "a root that is no ChunkId", "MANIFEST-1")
    upper = manifest()
    upper["predicate"]["root"]["node"] = fixed("root").hex().upper()
    bytes_of("root_upper_case", statement.encode_json(upper), "upper-case digits", "MANIFEST-1")
    changed("kind_unknown", "another kind", kind="disk")
    changed("time_without_zone", "a time without zone", times={name: "2023-11-14T22:13:20" for name in ("data", "started", "finished")})
    bytes_of("root_height_nine", statement.encode_json(manifest(height=9)), "a root of height 9", "TREE-10")
    bytes_of("other_snapshot", statement.encode_json(manifest(LATER_SESSION)), "another snapshot than that of the key", "MANIFEST-2")
    changed("other_client", "another client than that of the key", "MANIFEST-2", client=OTHER_CLIENT.hex())
    changed("other_repository", "another repository", "MANIFEST-2", repository=fixed("other repository", 16).hex())
    add("manifest/other_sha256", "manifest", data, "not the manifest that was committed", expect=AUTH, repository=REPOSITORY,
        place=place, sha256=fixed("other sha256"))
    named = [(fixed(f"pack {number}"), 1000 + number) for number in range(5)]
    roots = b"".join(statement.packs_root(named[:count]) for count in range(6))
    add("manifest/merkle_0_1_2_3_5", "merkle", roots, "the roots of the first 0 to 5 packs",
        pack=[f"{identifier.hex()} {length}" for identifier, length in named])


# 09-session.md

def sessions(add):
    value = records.ANNOUNCEMENT(records.PURPOSE.Collect, "sbf-repo 0.1.0", "", 0, "", -1, fixed("nonce", 16))
    add("session/announcement", "announcement", records.ANNOUNCEMENT.encode(value), "a collection that starts before 1970 and tells no host")
    value = records.ANNOUNCEMENT(records.PURPOSE.Write, "sbf-repo 0.1.0", "host", 4194304, "home", CREATED, fixed("nonce", 16))
    add("session/announcement_of_source", "announcement", records.ANNOUNCEMENT.encode(value), "a backup that tells host, process and source")
    add("session/heartbeat", "heartbeat", records.HEARTBEAT.encode(records.HEARTBEAT(251)), "number 251", number=251)


def outcomes(add):
    def outcome(name, data, note, rule=None):
        add(f"outcome/{name}", "outcome", data, note, rule)

    def snapshot(source):
        return records.COMMIT_SUBJECT.Snapshot(records.SNAPSHOT_SUBJECT(fixed("manifest"), source))

    heads = [records.HEAD(session, fixed("head")) for session in sorted([SESSION, LATER_SESSION])]
    segments = sorted([segment_name(SESSION, 1), segment_name(SESSION, 0), segment_name(LATER_SESSION, 0, 3)])
    outcome("snapshot", commit(snapshot("home"), segments, heads, 3), "a snapshot with three segments and two heads")
    roots = [records.CHECKPOINT_ROOT(fixed("node"), 8, records.PACK_KIND.Tree), records.CHECKPOINT_ROOT(fixed("other"), 0, records.PACK_KIND.Data)]
    checkpoint = records.COMMIT_SUBJECT.Checkpoint(records.CHECKPOINT_SUBJECT("home", roots))
    outcome("checkpoint", commit(checkpoint, segments[:1]), "a checkpoint with two roots")
    outcome("maintenance", commit(segments=segments[:1]), "segments only")
    for name, reason in (("own", records.FENCE_REASON.Own), ("collection", records.FENCE_REASON.Collection(7))):
        fence = records.OUTCOME.Fence(records.FENCE(reason, fixed("nonce", 16)))
        outcome(f"fence_{name}", records.OUTCOME.encode(fence), f"a fence: {name}")
    outcome("source_empty", commit(snapshot("")), "a snapshot without source", "OUTCOME-1")
    outcome("source_255", commit(snapshot("s" * 255)), "a source of 255 bytes")
    outcome("source_256", commit(snapshot("s" * 256)), "a source of 256 bytes", "OUTCOME-1")
    outcome("source_256_of_checkpoint", commit(records.COMMIT_SUBJECT.Checkpoint(records.CHECKPOINT_SUBJECT("s" * 256, []))),
            "a checkpoint's source of 256 bytes", "OUTCOME-1")
    outcome("heads_unsorted", commit(heads=heads[::-1]), "heads in descending order", "RECORD-2")
    outcome("head_twice", commit(heads=[heads[0], heads[0]._replace(digest=bytes([255]) * 32)]), "a session with two heads", "RECORD-2")


# 10-record.md

def signed_records(add):
    hold_key = f"records/hold/{CLIENT.hex()}/00000001"
    forget_key = f"forget/{fixed('forget', 16).hex()}"
    audit_key = f"audit/{CLIENT.hex()}/00000002"
    later_key = f"records/later-kind/{CLIENT.hex()}/00000003"
    snapshots = sorted([SESSION.hex(), LATER_SESSION.hex()])

    def record(name, key, value, note, rule=None):
        data = value if isinstance(value, bytes) else statement.encode_json(value)
        add(f"record/{name}", "record", data, note, rule, repository=REPOSITORY, place=key)

    forget = record_statement("forget", forget_key, snapshots=snapshots, reason="too old")
    data = statement.encode_json(forget)
    record("forget", forget_key, forget, "two snapshots")
    points = record_statement("forget", forget_key, checkpoints=snapshots, reason="abandoned")
    record("forget_checkpoints", forget_key, points, "two checkpoints and no snapshot")
    both = record_statement("forget", forget_key, checkpoints=snapshots[:1], snapshots=snapshots[1:])
    record("forget_both", forget_key, both, "a checkpoint and a snapshot")
    def audit(name, note, rule=None, leave_out=(), **members):
        members = audit_members(2, fixed("statement"), **dict(dict(phase="begin"), **members))
        members = {member: value for member, value in members.items() if member not in leave_out}
        record(name, audit_key, record_statement("audit", audit_key, **members), note, rule)

    audit("audit", "the second of a client, with one member more", count=-1)
    ends = dict(phase="end", exit_code=5, milliseconds=1500)
    audit("audit_end", "an end with everything that may be told", **ends, began=1, bytes=(1 << 64) - 1, error="object.hash", reason="drill",
          ticket="OPS-7", snapshots=snapshots, delivered="2023-11-15T22:13:20.5Z", accepted_rollback="record 7 was seen, 3 is there",
          actor=dict(client=CLIENT.hex(), sudo_user="operator", user_id=0))
    audit("audit_subject", "an end that says what it was of", **ends, subject="app-db")
    audit("audit_subject_number", "a subject that is a number", "STATEMENT-1", **ends, subject=7)
    audit("audit_end_without_code", "an end without exit code", "STATEMENT-1", ["exit_code"], **ends)
    audit("audit_without_actor", "no actor", "STATEMENT-1", ["actor"])
    audit("audit_other_actor", "an actor with another client than the key's", "STATEMENT-1",
          actor=dict(client=fixed("other client", 16).hex(), user_id=0))
    audit("audit_phase_unknown", "a phase that is neither begin nor end", "STATEMENT-1", phase="done")
    audit("audit_other_version", "version 2", "STATEMENT-1", version=2)
    audit("audit_snapshots_unsorted", "snapshots in descending order", "STATEMENT-1", snapshots=snapshots[::-1])
    record("hold", hold_key, record_statement("hold", hold_key, snapshots=snapshots), "two snapshots")
    origin = f"{fixed('other repository', 16).hex()}/{hold_key}"
    record("hold_of_copy", hold_key, record_statement("hold", hold_key, snapshots=snapshots[:1], origin=origin), "the hold of a copy")
    labels(record, snapshots)
    attested(record, snapshots)
    undo_key = f"records/undo/{CLIENT.hex()}/00000001"
    record("undo", undo_key, record_statement("undo", undo_key, forget=fixed("forget", 16).hex()), "a forget that no longer holds")
    some = record_statement("undo", undo_key, forget=fixed("forget", 16).hex(), snapshots=snapshots[:1])
    record("undo_some", undo_key, some, "a forget that no longer holds for one of its snapshots")
    release_key = f"records/release/{CLIENT.hex()}/00000001"
    release = record_statement("release", release_key, snapshots=snapshots, holds=[hold_key], reason="audit is over")
    record("release", release_key, release, "the hold of two snapshots ends")
    record("release_without_holds", release_key, record_statement("release", release_key, snapshots=snapshots), "no `holds`", "STATEMENT-1")
    policy = record_statement("forget", forget_key, snapshots=snapshots, source="db", time="2023-11-14T22:13:20Z",
                              policy={"keep": {"daily": 7}, "timezone": "UTC"})
    record("forget_by_policy", forget_key, policy, "two snapshots that a policy chose")
    policy_key = f"records/policy/{CLIENT.hex()}/00000001"
    accepted = record_statement("policy", policy_key, source="db", time="2023-11-14T22:13:20Z",
                                policy={"keep": {"daily": 7}, "tags": [], "timezone": "UTC", "within": {"last": "2d"}})
    record("policy", policy_key, accepted, "a policy that is accepted for a source")
    damage_key = f"records/damage/{CLIENT.hex()}/00000001"
    packs = sorted([fixed("pack one").hex(), fixed("pack two").hex()])
    record("damage", damage_key, record_statement("damage", damage_key, packs=packs), "two packs that were found damaged")
    record("damage_none", damage_key, record_statement("damage", damage_key, packs=[]), "no packs", "STATEMENT-1")
    nested = record_statement("later-kind", later_key, text="ü", list=[1, -1, True, {"a": "", "b": []}], object={"A": 1, "a": (1 << 64) - 1})
    nested["subject"] = [{"name": "x", "digest": {"sha256": fixed("subject").hex()}}]
    record("kind_unknown", later_key, nested, "a kind that this page does not describe")
    unsorted = record_statement("hold", hold_key, snapshots=snapshots)
    unsorted["predicate"] = dict(reversed(unsorted["predicate"].items()))
    record("members_unsorted", hold_key, unsorted, "members in descending order", "STATEMENT-1")
    inner = record_statement("later-kind", later_key, object={"b": 1, "a": 1})
    record("members_unsorted_inside", later_key, inner, "an object inside with members in descending order", "STATEMENT-1")
    missing = record_statement("forget", forget_key, snapshots=snapshots)
    del missing["predicate"]["place"]
    record("place_missing", forget_key, missing, "no `place`", "STATEMENT-1")
    other = record_statement("forget", f"forget/{SESSION.hex()}", snapshots=snapshots)
    record("place_differs", forget_key, other, "another key", "STATEMENT-1")
    elsewhere = record_statement("forget", forget_key, snapshots=snapshots, repository=fixed("other repository", 16).hex())
    record("repository_differs", forget_key, elsewhere, "another repository", "STATEMENT-1")
    prefix = dict(forget, predicateType="https://example.org/forget/v1")
    record("prefix_differs", forget_key, prefix, "another predicate", "STATEMENT-1")
    record("kind_differs", hold_key, record_statement("release", hold_key, snapshots=snapshots), "a release under a hold's key", "STATEMENT-1")
    record("white_space", forget_key, data.replace(b",", b", ", 1), "a space after a comma", "STATEMENT-1")
    record("number_fraction", later_key, record_statement_with(later_key, b"1.5"), "1.5", "STATEMENT-1")
    record("snapshots_unsorted", forget_key, record_statement("forget", forget_key, snapshots=snapshots[::-1]), "descending", "STATEMENT-1")
    record("snapshots_none", forget_key, record_statement("forget", forget_key, snapshots=[]), "no snapshot", "STATEMENT-1")
    record("forget_nothing", forget_key, record_statement("forget", forget_key), "neither `snapshots` nor `checkpoints`", "STATEMENT-1")
    descending = record_statement("forget", forget_key, checkpoints=snapshots[::-1])
    record("checkpoints_unsorted", forget_key, descending, "descending", "STATEMENT-1")
    none = record_statement("forget", forget_key, checkpoints=[], snapshots=snapshots)
    record("checkpoints_none", forget_key, none, "snapshots, and an empty list of checkpoints", "STATEMENT-1")
    check_key = f"records/check/{CLIENT.hex()}/00000001"
    sessions = sorted([SESSION.hex(), LATER_SESSION.hex()])

    def check(name, note, rule=None, **members):
        given = dict(time="2023-11-14T22:13:20Z", finished="2023-11-14T22:14:20.5Z", tool="sbf-repo 0.1.0", host="host", packs=9, bytes=1 << 40,
                     chunks=7, findings=1, snapshots=snapshots, snapshots_count=2, verdict=3, inventory=0, damaged=packs[:1],
                     covered=[f"{sessions[0]}:0-5,7", f"{sessions[1]}:4294967295"])
        record(name, check_key, record_statement("check", check_key, **dict(given, **members)), note, rule)

    check("check", "eight packs of two sessions that are sound, and a damaged one")
    check("check_ranges_split", "a range in two pieces", "STATEMENT-1", covered=[f"{sessions[0]}:0-5,6-7"])
    check("check_ranges_descending", "7 before 0", "STATEMENT-1", covered=[f"{sessions[0]}:7,0-6"])
    check("check_packs_differ", "nine packs that are called eight", "STATEMENT-1", packs=8)
    check("check_sessions_unsorted", "sessions in descending order", "STATEMENT-1", packs=3, covered=[f"{sessions[1]}:0", f"{sessions[0]}:0"])
    heads_key = f"records/heads/{CLIENT.hex()}/00000001"
    heads = [dict(client=client, seq=seq, sha256=fixed(f"head {seq}").hex())
             for seq, client in enumerate(sorted([CLIENT.hex(), OTHER_CLIENT.hex()]), 7)]
    record("heads", heads_key, record_statement("heads", heads_key, heads=heads), "the ends of two audit logs")
    record("heads_none", heads_key, record_statement("heads", heads_key, heads=[]), "no heads", "STATEMENT-1")
    record("heads_unsorted", heads_key, record_statement("heads", heads_key, heads=heads[::-1]), "clients in descending order", "STATEMENT-1")
    audit("audit_other_seq", "`seq` 3 under number 2", "STATEMENT-1", seq=3)


def attested(record, snapshots):
    """19-attest.md"""
    times = ["2023-11-14T22:13:20Z", "2023-11-15T22:13:20.5Z", "2024-02-29T23:59:59.123456789Z"]
    said = dict(time=times[0], host="host", tool="sbf-repo 0.1.0")
    given = {
        "plan": dict(said, jobs=[
            dict(name="a", source="files", trigger="deployment", grace_seconds=0),
            dict(name="b", source="db", schedule="*-*-* 02:00:00", rpo_seconds=93600, rto_seconds=7200, grace_seconds=(1 << 64) - 1)],
            copies=[dict(name="far", mode="mirror", location="gs://bucket/app", lag_seconds=1), dict(name="near", mode="snapshots", location="/srv")],
            drills=[dict(name="b", job="b", age_seconds=2678400), dict(name="kit")], keep={"daily": 7, "last": (1 << 32) - 1},
            within={"within-daily": "2w"}, timezone="Europe/Berlin", read_seconds=3024000, key_seconds=0, later=[{"x": 1}]),
        "state": dict(said, store=dict(kind="s3", versions=True, locked_days=30), snapshots=2, source_bytes=1 << 40, packs=9, stored_bytes=7,
                      read_packs=8, read_bytes=6, read_oldest=times[1],
                      copies=[dict(name="a", store=dict(kind="directory"), behind_seconds=0), dict(name="b", store=dict(kind="gs", versions=False),
                                                                                                   error="denied")]),
        "drill": dict(said, finished=times[1], name="app-db", job="app-db", source="app-db", snapshot=snapshots[0], manifest=fixed("manifest").hex(),
                      data_time=times[0], target="scratch", copy="far", cache="cold", from_kit=True, outcome="pass",
                      phases=[dict(name="restore", milliseconds=1500, confirmed_by="A. N. Other"), dict(name="assert", milliseconds=0)],
                      checks=[dict(name="rows", outcome="pass", detail="7 rows in one table")], rto_milliseconds=2000, rpo_seconds=60,
                      rto_target_seconds=7200, rpo_target_seconds=93600, bytes=4096, environment={"postgres": "17.2"}, scratch="wiped"),
        "sign-off": dict(time=times[0], drill=f"records/drill/{CLIENT.hex()}/00000001", sha256=fixed("statement").hex(), by="A. N. Other",
                         function="operations", words="seen"),
        "incident": dict(time=times[1], incident=fixed("incident", 16).hex(), phase="open", at=times[0], sources=["db", "assets"],
                         words="the disk\nis gone", ticket="OPS-8"),
        "erasure": dict(time=times[1], erasure=fixed("erasure", 16).hex(), erased_at=times[0], sources=["assets", "db"], subject="request 17",
                        reason="request", ticket="OPS-9"),
        "replay": dict(time=times[1], host="", erasures=sorted([fixed("erasure", 16).hex(), fixed("erasure two", 16).hex()]), snapshot=snapshots[0],
                       operation="restore", run=fixed("run", 16).hex(), is_done=True, words="the command ended with code 0"),
        "deletion": dict(said, verdict=3, phase="decided", packs=4, bytes=1 << 33, snapshots=[
            dict(snapshot=snapshot, client=CLIENT.hex(), source="db", manifest=fixed("manifest").hex(), data_time=times[0], started=times[0],
                 finished=times[1], files=3, bytes=(1 << 64) - 1, bytes_stored=5, incomplete=bool(number), by_policy=not number,
                 **(dict(unreadable=True) if number else dict(forgotten=times[2], reason="too old"))) for number, snapshot in enumerate(snapshots)]),
    }

    def attest(kind, name, note, rule=None, leave_out=(), **changed):
        key = f"records/{kind}/{CLIENT.hex()}/00000001"
        told = {member: value for member, value in dict(given[kind], **changed).items() if member not in leave_out}
        record(name, key, record_statement(kind, key, **sorted_inside(told)), note, rule)

    attest("plan", "plan", "two jobs, two copies, two drills, and a member that is not known")
    attest("plan", "plan_jobs_unsorted", "jobs in descending order", "STATEMENT-1", jobs=given["plan"]["jobs"][::-1])
    attest("plan", "plan_keep_zero", "none of the days", "STATEMENT-1", keep={"daily": 0})
    attest("plan", "plan_mode_unknown", "a copy of a mode that is none", "STATEMENT-1", copies=[dict(name="a", mode="tape", location="x")])
    attest("state", "state", "a repository and two copies")
    attest("state", "state_store_unknown", "a store of a kind that is none", "STATEMENT-1", store=dict(kind="tape"))
    attest("state", "state_without_copies", "no `copies`", "STATEMENT-1", ["copies"])
    attest("drill", "drill", "a drill that passed, with everything that may be told")
    optional = ["job", "snapshot", "manifest", "data_time", "copy", "rto_milliseconds", "rpo_seconds", "rto_target_seconds", "rpo_target_seconds"]
    checks = [dict(name="rows", outcome="not-verified", detail="no table"), dict(name="exit", outcome="fail", detail="1")]
    attest("drill", "drill_failed", "a drill that failed, with nothing that may be left out", None, optional, outcome="fail", checks=checks)
    attest("drill", "drill_pass_unverified", "a drill that passed with a check that could not run", "STATEMENT-1", checks=checks[:1])
    attest("drill", "drill_target_unknown", "a target that is none", "STATEMENT-1", target="tape")
    attest("sign-off", "sign_off", "somebody looked at a drill")
    attest("sign-off", "sign_off_without_name", "nobody", "STATEMENT-1", by="")
    attest("incident", "incident", "something was lost")
    attest("incident", "incident_closed", "it is back", phase="close", at=times[2], snapshots=snapshots[::-1], data_time=times[0])
    attest("incident", "incident_phase_unknown", "a phase that is none", "STATEMENT-1", phase="paused")
    attest("incident", "incident_without_words", "no words", "STATEMENT-1", words="")
    attest("incident", "incident_null", "a ticket that is `null`", "STATEMENT-1", ticket=None)
    attest("erasure", "erasure", "an erasure")
    origin = f"{fixed('other repository', 16).hex()}/records/erasure/{CLIENT.hex()}/00000001"
    attest("erasure", "erasure_of_copy", "of a copy", origin=origin, leave_out=["reason", "ticket"])
    attest("erasure", "erasure_subject_lines", "a subject of two lines", "STATEMENT-1", subject="one\ntwo")
    attest("erasure", "erasure_without_sources", "no source", "STATEMENT-1", sources=[])
    attest("erasure", "erasure_sources_unsorted", "sources in descending order", "STATEMENT-1", sources=["db", "assets"])
    attest("erasure", "erasure_no_such_day", "erased on a day that is none", "STATEMENT-1", erased_at="2023-02-29T00:00:00Z")
    attest("replay", "replay", "two erasures, erased again")
    attest("replay", "replay_null_inside", "a member that is not known, with `null` inside", "STATEMENT-1", later=[{"a": None}])
    attest("replay", "replay_operation_unknown", "an operation that is none", "STATEMENT-1", operation="mount")
    attest("replay", "replay_erasures_none", "no erasure", "STATEMENT-1", erasures=[])
    attest("deletion", "deletion", "two snapshots that go, one with a manifest that cannot be read")
    versions = dict(count=7, bytes=1 << 33, free_at=times[2], locked_until=times[1])
    attest("deletion", "deletion_gone", "what a bucket keeps of them", phase="gone", snapshots=[], versions=versions)
    attest("deletion", "deletion_phase_unknown", "a phase that is none", "STATEMENT-1", phase="planned")
    attest("deletion", "deletion_snapshots_unsorted", "snapshots in descending order", "STATEMENT-1", snapshots=given["deletion"]["snapshots"][::-1])
    attest("deletion", "deletion_without_verdict", "no `verdict`", "STATEMENT-1", ["verdict"])
    attest("deletion", "deletion_number_negative", "-1 packs", "STATEMENT-1", packs=-1)


def sorted_inside(value):
    """The same with the members of all objects sorted."""
    if isinstance(value, dict):
        return {name: sorted_inside(item) for name, item in sorted(value.items())}
    return [sorted_inside(item) for item in value] if isinstance(value, list) else value


def labels(record, snapshots):
    key = f"records/tag/{CLIENT.hex()}/00000001"

    def tag(name, note, rule=None, **members):
        members = dict(dict(snapshots=snapshots), **members)
        record(name, key, record_statement("tag", key, **{member: value for member, value in members.items() if value is not None}), note, rule)

    tag("tag", "two tags are added", add=["keep", "\u00fc" * 128], reason="audit", time="2023-11-15T22:13:20Z")
    tag("tag_removed", "one tag is added, and one of the record before is removed", add=["new"], remove=["keep"], records=[key])
    tag("tag_nothing", "neither `add` nor `remove`", "STATEMENT-1")
    tag("tag_both", "the same tag in both", "STATEMENT-1", add=["keep"], remove=["keep", "new"])
    tag("tag_empty", "a tag without bytes", "STATEMENT-1", add=[""])
    tag("tag_long", "a tag of 257 bytes", "STATEMENT-1", add=["a" + "\u00fc" * 128])
    tag("tag_unsorted", "descending", "STATEMENT-1", add=["b", "a"])
    tag("tag_without_snapshots", "no `snapshots`", "STATEMENT-1", add=["a"], snapshots=None)
    key_of_note = f"records/note/{CLIENT.hex()}/00000001"

    def note(name, words, rule=None, **members):
        record(name, key_of_note, record_statement("note", key_of_note, snapshots=snapshots[:1], **members), words, rule)

    note("note", "a line of text", text="before the migration\n", time="2023-11-15T22:13:20Z")
    note("note_of_copy", "of a copy", text="x", origin=f"{fixed('other repository', 16).hex()}/{key_of_note}")
    note("note_empty", "no text", "STATEMENT-1", text="")
    note("note_long", "2049 bytes", "STATEMENT-1", text="a" * 2049)
    note("note_without_text", "no member `text`", "STATEMENT-1")
    key_of_rewrite = f"records/rewrite/{CLIENT.hex()}/00000001"

    def rewrite(name, words, rule=None, **members):
        record(name, key_of_rewrite, record_statement("rewrite", key_of_rewrite, **members), words, rule)

    pair = dict(snapshot=snapshots[0], replaces=snapshots[1])
    rewrite("rewrite", "two files less", **pair, entries=2, bytes=(1 << 64) - 1, reason="erasure", time="2023-11-15T22:13:20Z")
    rewrite("rewrite_of_itself", "a snapshot that replaces itself", "STATEMENT-1", snapshot=snapshots[0], replaces=snapshots[0], entries=2, bytes=1)
    rewrite("rewrite_without_bytes", "no `bytes`", "STATEMENT-1", **pair, entries=2)


def record_statement_with(key, number):
    return statement.encode_json(record_statement("later-kind", key, number=7)).replace(b'"number":7', b'"number":' + number)


# 11-gc.md

def collections(add):
    nonce = fixed("nonce", 16)

    def register(name, value, note, rule=None, place="gc/000000000007/plan"):
        add(f"gc/{name}", "register", records.REGISTER.encode(value), note, rule, place=place)

    def body(name, word, kind, value, note, rule=None):
        add(f"gc/{name}", word, kind.encode(value), note, rule, number=7)

    plan_register = records.REGISTER(7, records.STEP.Plan, fixed("plan"), nonce)
    register("register", plan_register, "a plan's register")
    register("verdict_register", plan_register._replace(step=records.STEP.Verdict), "a verdict's register", place="gc/000000000007/verdict")
    register("done", records.REGISTER(7, records.STEP.Done, bytes(32), nonce), "a register without body", place="gc/000000000007/done")
    register("register_other_number", plan_register._replace(number=8), "number 8 under 7", "GC-1")
    register("register_other_step", plan_register._replace(step=records.STEP.Verdict), "a verdict as plan", "GC-1")
    names = [records.PACK_NAME(CLIENT, 3, SESSION, number, fixed(f"pack {number}")) for number in range(2)]
    snapshots = sorted([SESSION, LATER_SESSION])
    plan = records.PLAN(7, names, snapshots, [fixed("forget", 16)])
    body("plan", "plan", records.PLAN, plan, "two condemned packs, two roots, a forget")
    body("condemned_unsorted", "plan", records.PLAN, plan._replace(condemned=names[::-1]), "sequence 1 before 0", "RECORD-2")
    body("roots_unsorted", "plan", records.PLAN, plan._replace(roots=snapshots[::-1]), "descending", "RECORD-2")
    body("plan_other_number", "plan", records.PLAN, plan._replace(number=8), "number 8 under 7", "GC-1")
    folded = records.FOLDED(SESSION, CLIENT, 3, fixed("outcome"), CREATED)
    value = records.VERDICT(7, fixed("plan"), fixed("previous"), fixed("base"), names[:1], [SESSION], [folded], 7)
    body("verdict", "verdict", records.VERDICT, value, "a pack removed, a snapshot forgotten, an outcome folded")
    body("folded_twice", "verdict", records.VERDICT, value._replace(folded=[folded, folded._replace(epoch=4)]), "a session twice", "RECORD-2")
    snapshot = records.BASE_SNAPSHOT(SESSION, CLIENT, fixed("manifest"), "home", CREATED)
    root = records.CHECKPOINT_ROOT(fixed("node"), 1, records.PACK_KIND.Data)
    checkpoint = records.BASE_CHECKPOINT(LATER_SESSION, CLIENT, "home", [root], 1_700_000_001)
    base = records.BASE(7, [snapshot], [checkpoint], [segment_name(SESSION)])
    body("base", "base", records.BASE, base, "a snapshot, a checkpoint, a segment")
    body("snapshot_twice", "base", records.BASE, base._replace(snapshots=[snapshot, snapshot._replace(source="work")]), "a snapshot twice", "RECORD-2")
    stored = sealed("gc-plan", None, records.PLAN.encode(plan), MAINTENANCE, place="gc/000000000007/body")
    add("gc/body_of_other_digest", "digest", stored, "a body under another digest", expect=AUTH, digest=fixed("other digest"))


# 15-mirror.md

def mirrors(add):
    receipts = [records.RECEIPT(bytes([value] * 16), CREATED + value) for value in (1, 2)]

    def note(name, note, rule=None, number=2, **changed):
        value = records.MIRROR_NOTE(2, CREATED, "s3://bucket/source", receipts)._replace(**changed)
        add(f"mirror/{name}", "mirror-note", records.MIRROR_NOTE.encode(value), note, rule, number=number)

    add("mirror/first", "mirror-note", records.MIRROR_NOTE.encode(records.MIRROR_NOTE(1, CREATED, "", [])), "a first note", number=1)
    note("note", "two outcomes that no base has folded")
    note("other_number", "number 2 under the number 3", "RECORD-3", number=3)
    note("receipts_unsorted", "the later session first", "RECORD-2", receipts=receipts[::-1])
    note("receipt_twice", "one session twice", "RECORD-2", receipts=[receipts[0], receipts[0]._replace(received=0)])


# 12-inventory.md

def inventories(add):
    client, session = CLIENT.hex(), SESSION.hex()

    def line(sequence, length="1000"):
        identifier = fixed(f"pack {sequence}").hex()
        return f"{fixed(f'sha256 {sequence}').hex()} {identifier} {length} packs/{client}/000000000000/{session}/{sequence:06}-{identifier}"

    def inventory(name, lines, note, rule=None, number="7", count=None, end="\n", title="sbf-repo inventory 1", repository=None):
        head = [title, (repository or REPOSITORY).hex(), number, str(len(lines)) if count is None else count]
        add(f"inventory/{name}", "inventory", ("\n".join([*head, *lines]) + end).encode(), note, rule, repository=REPOSITORY,
            place="inventory/000000000007")

    rule = "INVENTORY-1"
    inventory("two_packs", [line(0), line(1)], "two packs")
    inventory("empty", [], "no packs")
    inventory("unsorted", [line(1), line(0)], "sequence 1 before 0", rule)
    inventory("pack_twice", [line(0), line(0)], "a pack twice", rule)
    inventory("count_differs", [line(0)], "2 packs and one line", rule, count="2")
    inventory("leading_zero", [line(0, "01000")], "a length with a leading zero", rule)
    inventory("number_leading_zero", [line(0)], "the number 07", rule, number="07")
    inventory("other_number", [line(0)], "number 8 under 7", rule, number="8")
    inventory("other_repository", [line(0)], "another repository", rule, repository=fixed("other repository", 16))
    inventory("other_title", [line(0)], "another title", rule, title="sbf-repo inventory 2")
    inventory("no_line_feed_at_end", [line(0)], "no line feed at the end", rule, end="")
    inventory("two_spaces", [line(0).replace(" ", "  ", 1)], "two spaces", rule)
    inventory("carriage_return", [line(0) + "\r"], "a carriage return", rule)
    inventory("upper_case", [line(0)[:64].upper() + line(0)[64:]], "a hash in upper case", rule)
    inventory("other_key", [line(0).replace("packs/", "index/")], "the key of a segment", rule)
    inventory("id_differs", [line(0)[:65] + fixed("other").hex() + line(0)[129:]], "a PackId that the key does not end in", rule)


# 17-parity.md

def sidecars(add):
    def encoded(pack, shard_bytes, count):
        shard = pack + bytes(shard_bytes - len(pack))
        hashes = [parity.shard_hash(shard)] * (1 + count)
        return parity.encode_sidecar(parity.PARITY_HEADER(len(pack), shard_bytes, hashes), shard * count)

    one = encoded(NOISE[:100], 128, 2)
    add("parity/one_shard", "parity", one, "a pack of 100 bytes, two parity shards")
    add("parity/zeros", "parity", parity.encode_sidecar(parity.PARITY_HEADER(200, 64, [parity.shard_hash(bytes(64))] * 5), bytes(64)),
        "a pack of 200 zero bytes in four shards, one parity shard")
    add("parity/shard_of_63", "parity", encoded(bytes(63), 63, 1), "shards of 63 bytes", "PARITY-1")
    add("parity/no_parity", "parity", encoded(bytes(64), 64, 0), "a data shard alone", "PARITY-1")
    middle = len(one) // 2
    add("parity/too_long", "parity", one[:middle] + b"x" + one[middle:], "a byte between the shards", "PARITY-1")
    add("parity/other_magic", "parity", flipped(one, -1), "another last byte", "PARITY-2")
    place = 8 + int.from_bytes(one[4:8], "little") - 1
    add("parity/headers_differ", "parity", flipped(one, place), "the last hash of the first header differs", "PARITY-2")
    add("parity/header_past_end", "parity", replaced(one, 4, (1 << 20).to_bytes(4, "little")), "a header of 1 MiB", "PARITY-2")


# 18-recipe.md

RECIPE_HEADER = bytes.fromhex("1f8b0800000000000003")


def zlib_streams():
    """Deflate streams that zlib 1.2.13 made, kept here since another version may make other ones."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "zlib_streams.txt"), encoding="ascii") as file:
        lines = (line.split() for line in file if not line.startswith("#"))
        streams = {name: bytes.fromhex(digits) for name, digits in lines}
    for name, stream in streams.items():
        plain = b"ab" * 600 if name == "runs" else recipe_text(40)[:300] if name == "fixed" else recipe_text(40)
        assert zlib.decompress(stream, -15) == plain, name
    return streams


def trailer(plain):
    return zlib.crc32(plain).to_bytes(4, "little") + len(plain).to_bytes(4, "little")


def recipe_text(rows):
    return b"".join(b"%d\tcustomer %d\tcity %d\n" % (row, row * row % 89, row % 7) for row in range(rows))


def recipes(add):
    def give(name, pieces, plain, note):
        recipe, compressed = recipe_of(pieces, plain)
        assert rewrap(recipe, plain) == compressed
        add(f"recipe/{name}", "rewrap", recipe, note, released=compressed, plaintext=plain)

    def refuse(name, recipe, note, rule="RECIPE-2", plain=None):
        add(f"recipe/{name}", "rewrap", recipe, note, rule, plaintext=text if plain is None else plain)

    text, streams = recipe_text(40), zlib_streams()
    usual, flushed = streams["level6"], streams["flushed"]
    give("usual", [RECIPE_HEADER, (usual, text, 6), trailer(text)], text, "a file of gzip, level 6, all as predicted")
    for level in (1, 3, 4, 9):
        give(f"level_{level}", [(streams[f"level{level}"], text, level)], text, f"a deflate stream of level {level}")
    give("corrections", [(usual, text, 1)], text, "a stream of level 6 as corrections to level 1")
    give("stored", [(streams["level0"], text, 6)], text, "a stored block")
    give("fixed", [(streams["fixed"], text[:300], 6)], text[:300], "a block with fixed codes")
    runs = b"ab" * 600
    give("longest_match", [(streams["runs"], runs, 9)], runs, "matches of 258")
    give("as_bits", [(usual, text, 6, (0,))], text, "a block that is kept as its bits")
    give("blocks", [(flushed, text, 6)], text, "five blocks, two of them stored and empty")
    give("blocks_and_bits", [(flushed, text, 6, (2,))], text, "the same, the third kept as its bits")
    give("members", [RECIPE_HEADER, (usual, text, 6), trailer(text), RECIPE_HEADER, (usual, text, 6), trailer(text), b"behind"], text * 2,
         "two members and six bytes behind them")
    give("empty", [b""], b"", "a file of no bytes")
    other = RECIPE_MAGIC + part(LEVEL, b"\1") + stream_parts(usual, text, 6) + end_part(usual, text)
    add("recipe/level_again", "rewrap", other, "a level inside a stream", released=usual, plaintext=text)

    whole = recipe_of([(usual, text, 6)], text)[0]
    begun = RECIPE_MAGIC + part(LEVEL, b"\6")
    closed = end_part(usual, text)
    refuse("other_magic", flipped(whole, 7), "another last byte of the magic", "RECIPE-1")
    refuse("no_parts", RECIPE_MAGIC, "no part at all", "RECIPE-1")
    refuse("cut_off", whole[:-1], "the last byte is not there", "RECIPE-1")
    refuse("part_unknown", RECIPE_MAGIC + part(5, b"") + closed, "a part of kind 5", "RECIPE-1")
    refuse("part_too_long", RECIPE_MAGIC + bytes([LITERAL]) + number(PART_BYTES_MAX + 1), "a part of 4 MiB and a byte", "RECIPE-1")
    refuse("number_too_long", RECIPE_MAGIC + bytes([LITERAL, 0x80, 0]) + closed, "the length 0 in two bytes", "RECIPE-1")
    refuse("level_zero", RECIPE_MAGIC + part(LEVEL, b"\0") + closed, "level 0", "RECIPE-1")
    refuse("level_ten", RECIPE_MAGIC + part(LEVEL, b"\x0a") + closed, "level 10", "RECIPE-1")
    refuse("level_of_two_bytes", RECIPE_MAGIC + part(LEVEL, b"\6\6") + closed, "a level of two bytes", "RECIPE-1")
    refuse("block_outside", RECIPE_MAGIC + part(BLOCK, b"\0\0\4\0\0") + closed, "a block outside a stream", "RECIPE-1")
    refuse("literal_inside", begun + part(LITERAL, b"") + closed, "a literal inside a stream", "RECIPE-1")
    refuse("end_inside", begun + closed, "the end inside a stream", "RECIPE-1")
    refuse("end_too_short", RECIPE_MAGIC + part(END, bytes(47)), "an end of 47 bytes", "RECIPE-1", plain=b"")
    refuse("behind_the_end", whole + b"x", "a byte behind the end")
    refuse("plain_too_short", whole, "the last plain byte is not there", plain=text[:-1])
    refuse("plain_too_long", whole, "a plain byte that is not used", plain=text + b"x")
    refuse("plain_other", whole, "a plain byte without a code", plain=b"\xff" + text[1:])
    refuse("plain_length_differs", flipped(whole, -1), "the end says another length of the plain bytes")
    for name, body, note in [
        ("block_too_long", number((1 << 24) + 1) + b"\0\4\0\0", "a block of 16 MiB and a byte"),
        ("ahead_too_long", number(0) + number(1025) + b"\4\0\0", "1025 bytes ahead"),
        ("type_three", b"\0\0\3", "a block of type 3"),
        ("type_eight", b"\0\0\x08\0", "a block of type 0 with another flag"),
        ("behind_a_block", b"\0\0\4\0\0\0", "a byte behind a block"),
        ("token_missing", b"\2\0\5\1\0\0", "one token for two bytes"),
        ("token_behind", b"\1\0\5\2\0\0", "two tokens for a byte"),
        ("correction_behind", b"\1\0\5\1\1\1\0\0", "a correction behind the last token"),
        ("match_too_long", number(600) + b"\0\5\2\1\1" + number(257) + b"\1\0", "a match of 259 bytes"),
        ("match_before_the_stream", b"\4\0\5\2\1\1\1\2\0", "a distance of 2 behind one byte"),
        ("match_beyond_the_block", b"\3\0\5\2\1\1\1\1\0", "a match of 3 where two bytes are left"),
        ("codes_cut_off", b"\0\0\6" + number(20) + bytes(3) + b"\0\0\0", "20 bits of codes"),
    ]:
        refuse(name, begun + part(BLOCK, body) + closed, note)
    refuse("bits_missing", begun + part(BITS, b"\0" + number(9) + b"\4\0") + closed, "nine bits in one byte")
    refuse("bits_within_a_byte", begun + part(BITS, b"\0\3\4\3") + closed, "a stream of three bits")
    refuse("bits_flag", begun + part(BITS, b"\0\x08\1\0") + closed, "another flag than 4")
    other = RECIPE_MAGIC + stream_parts(usual, text, 6)
    wrong = (len(usual) + 1).to_bytes(8, "little") + closed[10:]
    add("recipe/length_differs", "rewrap", other + closed[:2] + wrong, "the end says another length of the file", expect=AUTH, plaintext=text)
    add("recipe/digest_differs", "rewrap", other + flipped(closed, 12), "the end says another digest", expect=AUTH, plaintext=text)


# 13-crypto.md

def crypto_functions(add):
    add("crypto/derive", "derive", crypto.derive("sbf-repo 1 slot wrap", SECRET + GEAR_KEY, 64), "64 bytes of output",
        context="sbf-repo 1 slot wrap", material=SECRET + GEAR_KEY, length=64)
    add("crypto/chunk_ids", "chunk-id", pack.chunk_id(ID_KEY, "data", NOISE) + pack.chunk_id(ID_KEY, "tree", NOISE),
        "the id as a data chunk, then as a tree chunk", id_key=ID_KEY, plaintext=NOISE)
    words = [kind.word for kind in envelope.KINDS.values() if kind.wrapper != "clear"]
    keys = b"".join(crypto.derive(f"sbf-repo 1 envelope {word}", MANIFEST_KEY) for word in words)
    add("crypto/envelope_keys", "envelope-keys", keys, "one key a word", master_key=MANIFEST_KEY, words=" ".join(words))
    maker = PackMaker("pack keys")
    wrap = maker.wrapped.wrap.value
    add("crypto/pack_keys", "pack-keys", maker.key + maker.wrapped.commitment + pack.directory_key(maker.header, INDEX_KEY),
        "the pack key, its commitment, the directory's key", repository=REPOSITORY, kind=1, pack_uid=maker.uid, wrap_key=DATA_KEY,
        nonce=wrap.nonce, sealed=wrap.sealed, index_key=INDEX_KEY)
    salt = fixed("salt")
    add("crypto/slot_keys", "slot-keys-derive", crypto.derive("sbf-repo 1 slot commitment", SECRET + salt)
        + crypto.derive("sbf-repo 1 slot wrap", SECRET + salt), "the commitment, the wrapping key", secret=SECRET, salt=salt)
    add("crypto/key_id", "key-id", crypto.key_id(CLIENT_PUBLIC), "of an Ed25519 public key", public_key=CLIENT_PUBLIC)
    add("crypto/xwing_public", "xwing-public", crypto.xwing_public(TREE_SEED), "of a seed", seed=TREE_SEED)
    info, associated = "sbf-repo 1 pack key seal", pack.key_associated(REPOSITORY, 1, fixed("uid", 16))
    encapsulated, secret = hpke_seal(DATA_SEED, info.encode(), associated, SECRET, "hpke")
    inputs = dict(seed=DATA_SEED, info=info)
    add("crypto/hpke_open", "hpke-open", encapsulated + secret, "the encapsulated key, then 32 bytes sealed", released=SECRET,
        associated_data=associated, **inputs)
    add("crypto/hpke_other_place", "hpke-open", encapsulated + secret, "the associated data of another pack", expect=AUTH,
        associated_data=pack.key_associated(REPOSITORY, 1, fixed("other uid", 16)), **inputs)
    add("crypto/hpke_other_seed", "hpke-open", encapsulated + secret, "another seed", expect=AUTH, associated_data=associated,
        **{**inputs, "seed": TREE_SEED})


# 14-chunking.md

def chunks(add):
    add("chunking/gear_table", "gear-table", chunking.gear_table(GEAR_KEY), "all 256 entries", gear_key=GEAR_KEY)
    default = (PROFILE.min_bytes, PROFILE.average_bytes, PROFILE.max_bytes, PROFILE.mask_small, PROFILE.mask_large)
    small = (256, 1024, 4096, 0x4891122444880000, 0x4444222211100000)

    def cuts(name, profile, text, note):
        lengths = chunking.cuts(content_bytes(text), GEAR_KEY, *profile)
        add(f"chunking/{name}", "chunk-cuts", b"".join(length.to_bytes(4, "little") for length in lengths), note, gear_key=GEAR_KEY,
            min=profile[0], average=profile[1], max=profile[2], mask_small=f"{profile[3]:#018x}", mask_large=f"{profile[4]:#018x}",
            content=text)
        return lengths

    cuts("cuts_default", default, f"blake3 {fixed('content').hex()} 1000000", "a profile made by `init`")
    cuts("cuts_small", small, f"blake3 {fixed('content').hex()} 100001", "a small profile, an odd length")
    cuts("cuts_zeros", default, "zeros 600000", "one byte repeated")
    odd = odd_end()
    assert cuts("cuts_odd_end", odd[0], odd[1], "the last byte of an odd end would cut, and is not tested") == [odd[2]]
    least = cuts("cuts_at_min", (256, 512, 1024, 2, 2), f"blake3 {fixed('content').hex()} 5000", "masks of one bit: cuts at the minimum")
    assert 256 in least[:-1]
    cuts("shorter_than_min", default, "zeros 16384", "as long as the minimum: one chunk")
    cuts("empty", default, "zeros 0", "no content, no chunks")
    counts = [11, 13, 15, 17]
    add("chunking/spread_masks", "spread-masks", b"".join(chunking.spread(count).to_bytes(8, "little") for count in counts),
        "one u64 a count", masks=" ".join(map(str, counts)))


def odd_end():
    """A profile, a content and its odd length, at whose last byte the hash would cut."""
    table = chunking.gear_table(GEAR_KEY)
    gear = [int.from_bytes(table[at:at + 8], "little") for at in range(0, 2048, 8)]
    profile, length = (256, 512, 1024, 0x60000, 0x60000), 301
    for number in range(100000):
        text = f"blake3 {fixed(f'odd {number}').hex()} {length}"
        data = content_bytes(text)
        with_last = chunking.first_cut(data + b"\0", gear, *profile)
        if chunking.first_cut(data, gear, *profile) == length and with_last == length - 1:
            return profile, text, length
    raise AssertionError("no content found")


# The command

def listed_in_pages():
    """The vectors that the pages list, and the numbered rules."""
    names, rules = set(), set()
    for page in sorted(os.listdir(SPEC)):
        if not page.endswith(".md"):
            continue
        with open(os.path.join(SPEC, page), encoding="utf-8") as text:
            lines = text.read().split("\n")
        rules |= {match[1] for line in lines if (match := re.match(r"\* \*\*([A-Z]+-[0-9]+)\*\*", line))}
        for line in lines:
            folder = None
            if line.startswith("* `vectors/"):
                for name in re.findall(r"`((?:vectors/[a-z]+/)?[a-z0-9_]+)\.vec`", line):
                    if name.startswith("vectors/"):
                        folder, name = name.split("/")[1:]
                    names.add(f"{folder}/{name}.vec")
    return names, rules


def missing_of_pages(files):
    names, rules = listed_in_pages()
    shown = {match[1] for text in files.values() if (match := re.search(r"^rule: (\S+)", text, re.MULTILINE))}
    return [f"no vector {name}" for name in sorted(names - set(files))] + [f"no vector for {rule}" for rule in sorted(rules - shown)]


def differences(files, out):
    found = []
    present = {os.path.relpath(os.path.join(directory, name), out) for directory, _, names in os.walk(out) for name in names
               if name.endswith(".vec")}
    for name in sorted(present | set(files)):
        if name not in files:
            found.append(f"{name} is not one of the vectors")
        elif name not in present:
            found.append(f"{name} is missing")
        else:
            with open(os.path.join(out, name), encoding="utf-8", newline="") as stored:
                if stored.read() != files[name]:
                    found.append(f"{name} differs")
    return found


def write(files, out):
    for name, text in files.items():
        path = os.path.join(out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as stored:
            stored.write(text)


def round_trip():
    """Writes the example, checks it and restores it with the reader; returns what is wrong."""
    example = Example()
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "repository")
        example.write(place)
        repository = Repository(place, key_file=key_file_text())
        repository.load()
        Check(repository).run()
        wrong = list(repository.findings)
        for snapshot in repository.snapshots.values():
            target = os.path.join(folder, snapshot.id.hex())
            Restore(repository, target).run(repository.manifest(snapshot))
        target = os.fsencode(os.path.join(folder, SESSION.hex()))
        for path, content_of in example.expected.items():
            with open(os.path.join(target, path), "rb") as restored:
                if restored.read() != content_of:
                    wrong.append(f"{path!r} was restored differently")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Makes the test vectors from the pages of format-spec/.")
    parser.add_argument("--out", default=os.path.join(SPEC, "vectors"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repository", metavar="DIR")
    options = parser.parse_args()
    if options.repository:
        Example().write(options.repository)
        for suffix, data in ((".key", key_file_text()), (".passphrase", PASSPHRASE)):
            with open(options.repository + suffix, "xb") as out:
                out.write(data)
        return 0
    files = make_vectors()
    wrong = missing_of_pages(files)
    if options.check:
        wrong += differences(files, options.out) + round_trip()
    else:
        write(files, options.out)
    for problem in wrong:
        print(problem, file=sys.stderr)
    print(f"{len(files)} vectors, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
