"""The binary records and their rules. Spec: format-spec/03, 04, 05, 06, 09, 11."""

from .codec import BYTES, I32, I64, ID16, ID32, TEXT, U8, U16, U32, U64
from .codec import Checked, Cursor, Enum, Fixed, List, Option, Struct
from .codec import decode_record, in_range, of_length, require, require_sorted, sorted_list
from .crypto import TAG_LEN, XWING_ENCAPSULATED_LEN, XWING_PUBLIC_LEN

# Config and amendments (03)

FORMAT_VERSION = 1
CHUNKER_FASTCDC = 1
CHUNK_MIN_BYTES_MIN = 256
CHUNK_MAX_BYTES_MAX = 8388608
BLOCK_TARGET_BYTES_MAX = 8388608
PACK_TARGET_BYTES_MAX = 134217728


def _check_profile(profile):
    sizes = (profile.min_bytes, profile.average_bytes, profile.max_bytes)
    require(profile.algorithm == CHUNKER_FASTCDC, "CONFIG-2", f"unknown algorithm {profile.algorithm}")
    require(all(size % 2 == 0 for size in sizes), "CONFIG-2", "an odd size")
    require(CHUNK_MIN_BYTES_MIN <= sizes[0] < sizes[1] < sizes[2] <= CHUNK_MAX_BYTES_MAX, "CONFIG-2", f"sizes {sizes}")
    for mask in (profile.mask_small, profile.mask_large):
        require(1 <= mask < 1 << 63, "CONFIG-2", f"a mask of {mask:#x}")


def _check_config(config):
    require(config.profiles and config.profiles[0].name == "default", "CONFIG-2", "the first profile is not `default`")


FEATURES = Struct("Features", read=List(TEXT), write=List(TEXT), prune=List(TEXT))
PROFILE = Checked(Struct("ChunkerProfile", name=TEXT, algorithm=U8, min_bytes=U32, average_bytes=U32, max_bytes=U32,
                         mask_small=U64, mask_large=U64), _check_profile)
LIMITS = Struct("Limits",
                data_block_bytes=in_range(U32, 4096, BLOCK_TARGET_BYTES_MAX),
                tree_block_bytes=in_range(U32, 4096, BLOCK_TARGET_BYTES_MAX),
                data_pack_bytes=in_range(U32, 65536, PACK_TARGET_BYTES_MAX),
                tree_pack_bytes=in_range(U32, 65536, PACK_TARGET_BYTES_MAX),
                compression_level=in_range(I32, -7, 19),
                parity_per_mille=in_range(U16, 0, 500))
STORE_MODE = Enum(Registers=None, NoRegisters=None)
FORMAT = Checked(U32, lambda version: require(version == FORMAT_VERSION, "CONFIG-1", f"format {version} is not known"))
CONFIG = Checked(Struct("Config", format=FORMAT, repository=ID16, created=I64, authority=ID32, features=FEATURES,
                        profiles=List(PROFILE), limits=LIMITS, store=STORE_MODE), _check_config)
COPY = Struct("Copy", name=TEXT, url=TEXT)
PROMOTE = Struct("Promote", history=ID16, mirror=ID32)
CHANGE = Enum(Features=FEATURES, Profile=PROFILE, Limits=LIMITS, Store=STORE_MODE, Copy=COPY, Promote=PROMOTE)
AMENDMENT = Struct("Amendment", number=U32, created=I64, changes=List(CHANGE))

# Slots and identities (04)

LABEL_BYTES_MAX = 255
PASSPHRASE_MEMORY_KIB_MIN = 65536
PASSPHRASE_MEMORY_KIB_MAX = 4194304
PASSPHRASE_PASSES_MIN = 3
PASSPHRASE_PASSES_MAX = 64
PASSPHRASE_LANES_MAX = 16

ROLE = Enum(Admin=None, Writer=None, Reader=None, Pruner=None, Auditor=None)
PASSPHRASE_COST = Struct("PassphraseCost",
                         memory_kib=in_range(U32, PASSPHRASE_MEMORY_KIB_MIN, PASSPHRASE_MEMORY_KIB_MAX, "SLOT-3"),
                         passes=in_range(U32, PASSPHRASE_PASSES_MIN, PASSPHRASE_PASSES_MAX, "SLOT-3"),
                         lanes=in_range(U32, 1, PASSPHRASE_LANES_MAX, "SLOT-3"))
UNLOCK = Enum(Passphrase=PASSPHRASE_COST, KeyFile=None,
              PublicKey=of_length(BYTES, XWING_ENCAPSULATED_LEN, XWING_ENCAPSULATED_LEN))
SLOT_HEADER = Struct("SlotHeader", repository=ID16, slot=ID16, client=ID16, role=ROLE, label=of_length(TEXT, 0, LABEL_BYTES_MAX),
                     created=I64, unlock=UNLOCK, salt=ID32, commitment=ID32, nonce=Fixed(24))

SEAL_PUBLIC = Checked(BYTES, lambda key: require(len(key) in (0, XWING_PUBLIC_LEN), "RECORD-3",
                                                 f"a sealing key of {len(key)} bytes"))
GENERATION = Struct("GenerationKeys", generation=in_range(U32, 1, (1 << 32) - 1), index=Option(ID32), manifest=Option(ID32),
                    tree=Option(ID32), data=Option(ID32), tree_seal_public=SEAL_PUBLIC, data_seal_public=SEAL_PUBLIC,
                    tree_seal_secret=Option(ID32), data_seal_secret=Option(ID32))


def _check_generations(generations):
    require(generations, "RECORD-2", "a slot without generations")
    require_sorted([keys.generation for keys in generations], "RECORD-2", "generations")


SLOT_KEYS = Struct("SlotKeys", authority_public=ID32, authority=Option(ID32), maintenance=Option(ID32), client=ID16,
                   client_key=ID32, id_key=Option(ID32), gear_key=Option(ID32),
                   generations=Checked(List(GENERATION), _check_generations))

SUBJECT = Enum(Client=ID16, Maintenance=None)
CERTIFICATE = Struct("Certificate", subject=SUBJECT, public_key=ID32, role=ROLE, valid_from=I64, valid_until=Option(I64))
REVOCATION = Struct("Revocation", key=ID16, start=I64, reason=TEXT)
HOLDER = Struct("Holder", client=ID16, role=ROLE, public_key=of_length(BYTES, XWING_PUBLIC_LEN, XWING_PUBLIC_LEN), generation=U32,
                signing=sorted_list(ID16, "signing keys"))
RENEWAL = Struct("Renewal", client=ID16, generation=U32, encapsulated=of_length(BYTES, XWING_ENCAPSULATED_LEN, XWING_ENCAPSULATED_LEN),
                 sealed=Fixed(48), nonce=Fixed(24), wrapped=BYTES)
IDENTITY = Enum(Certificate=CERTIFICATE, Revocation=REVOCATION, Holder=HOLDER, Renewal=RENEWAL)

# Packs and segments (05, 06)

PACK_BYTES_MAX = 268435456
DIRECTORY_BYTES_MAX = 67108864
BLOCK_RAW_BYTES_MAX = 16777216
BASES_COUNT_MAX = 4096
BASE_BYTES_MAX = 4194304


def _check_block(block):
    require(1 <= block.raw_length <= BLOCK_RAW_BYTES_MAX, "BLOCK-1", f"a raw length of {block.raw_length}")
    require(block.stored_length > TAG_LEN, "BLOCK-1", f"a stored length of {block.stored_length}")
    if block.codec.name == "Raw":
        require(block.stored_length == block.raw_length + TAG_LEN, "BLOCK-1", "a raw block of another stored length")
    else:
        require(block.stored_length < block.raw_length + TAG_LEN, "BLOCK-1", "a compressed block that is not shorter")
    if block.codec.name == "Delta":
        require(1 <= len(block.codec.value) <= BASES_COUNT_MAX, "BLOCK-3", f"{len(block.codec.value)} bases")
    require(all(chunk.length >= 1 for chunk in block.chunks), "BLOCK-2", "an empty chunk")
    require(sum(chunk.length for chunk in block.chunks) == block.raw_length, "BLOCK-2", "chunks that do not fill the block")


PACK_KIND = Enum(Data=None, Tree=None)
ENCAPSULATED = of_length(BYTES, XWING_ENCAPSULATED_LEN, XWING_ENCAPSULATED_LEN, "PACK-1")
SYMMETRIC = Struct("Symmetric", nonce=Fixed(24), sealed=Fixed(48))
SEALED = Struct("Sealed", encapsulated=ENCAPSULATED, sealed=Fixed(48))
WRAP = Enum(Symmetric=SYMMETRIC, Sealed=SEALED)
WRAPPED_KEY = Struct("WrappedKey", generation=U32, commitment=ID32, wrap=WRAP)
PACK_HEADER = Struct("PackHeader", kind=PACK_KIND, pack_uid=ID16, key=WRAPPED_KEY, directory_generation=U32)
CHUNK_ENTRY = Struct("ChunkEntry", id=ID32, length=U32)
BLOCK_CODEC = Enum(Raw=None, Zstd=None, Delta=List(ID32))
BLOCK_ORIGIN = Struct("BlockOrigin", pack_uid=ID16, number=U32, key=WRAPPED_KEY)
BLOCK_ENTRY = Checked(Struct("BlockEntry", stored_length=U32, raw_length=U32, codec=BLOCK_CODEC, origin=Option(BLOCK_ORIGIN),
                             chunks=List(CHUNK_ENTRY)), _check_block)
PACK_DIRECTORY = Struct("PackDirectory", blocks=List(BLOCK_ENTRY))


def _check_indexed(pack):
    header_length = 8 + len(PACK_HEADER.encode(pack.header))
    require(pack.header_length == header_length, "INDEX-1", f"a header length of {pack.header_length}, not {header_length}")
    end = header_length + sum(block.stored_length for block in pack.blocks)
    require(end <= pack.length <= PACK_BYTES_MAX, "INDEX-1", f"blocks that end at {end} in a pack of {pack.length} bytes")


INDEXED_PACK = Checked(Struct("IndexedPack", client=ID16, epoch=U64, session=ID16, sequence=U32, id=ID32, sha256=ID32,
                              length=U64, header=PACK_HEADER, header_length=U32, blocks=List(BLOCK_ENTRY)), _check_indexed)
SEGMENT = Struct("Segment", packs=sorted_list(INDEXED_PACK, "packs", "INDEX-1", key=lambda pack: pack[:5]))

# Sessions and outcomes (09)

SOURCE_BYTES_MAX = 255
LIST_HEIGHT_MAX = 8

PURPOSE = Enum(Write=None, Collect=None, Read=None)
ANNOUNCEMENT = Struct("Announcement", purpose=PURPOSE, tool=TEXT, host=TEXT, process=U32, source=TEXT, started=I64, nonce=ID16)
HEARTBEAT = Struct("Heartbeat", number=U32)
SOURCE = of_length(TEXT, 1, SOURCE_BYTES_MAX, "OUTCOME-1")
CHECKPOINT_ROOT = Struct("CheckpointRoot", node=ID32, height=in_range(U8, 0, LIST_HEIGHT_MAX, "CONTENT-1"), kind=PACK_KIND)
SNAPSHOT_SUBJECT = Struct("SnapshotSubject", manifest=ID32, source=SOURCE)
CHECKPOINT_SUBJECT = Struct("CheckpointSubject", source=SOURCE, roots=List(CHECKPOINT_ROOT))
COMMIT_SUBJECT = Enum(Snapshot=SNAPSHOT_SUBJECT, Checkpoint=CHECKPOINT_SUBJECT, Maintenance=None)
SEGMENT_NAME = Struct("SegmentName", client=ID16, epoch=U64, session=ID16, sequence=U32, id=ID32)
HEAD = Struct("Head", session=ID16, digest=ID32)
VERDICT_SEEN = Struct("VerdictSeen", number=U64, digest=ID32)
COMMIT = Struct("Commit", subject=COMMIT_SUBJECT, segments=sorted_list(SEGMENT_NAME, "segments"),
                heads=sorted_list(HEAD, "heads", key=lambda head: head.session), verdict=VERDICT_SEEN, nonce=ID16)
FENCE_REASON = Enum(Own=None, Collection=U64)
FENCE = Struct("Fence", reason=FENCE_REASON, nonce=ID16)
OUTCOME = Enum(Commit=COMMIT, Fence=FENCE)

# Collections (11)

STEP = Enum(Plan=None, Verdict=None, Done=None)
REGISTER = Struct("Register", number=U64, step=STEP, body=ID32, nonce=ID16)
PACK_NAME = Struct("PackName", client=ID16, epoch=U64, session=ID16, sequence=U32, id=ID32)
PLAN = Struct("Plan", number=U64, condemned=sorted_list(PACK_NAME, "condemned packs"), roots=sorted_list(ID16, "roots"),
              forgets=sorted_list(ID16, "forgets"))
FOLDED = Struct("FoldedOutcome", session=ID16, client=ID16, epoch=U64, digest=ID32, received=I64)
VERDICT = Struct("Verdict", number=U64, plan=ID32, previous=ID32, base=ID32, removed=sorted_list(PACK_NAME, "removed packs"),
                 forgotten=sorted_list(ID16, "forgotten snapshots"),
                 folded=sorted_list(FOLDED, "folded outcomes", key=lambda folded: folded.session), epoch_min=U64)
BASE_SNAPSHOT = Struct("BaseSnapshot", snapshot=ID16, client=ID16, manifest=ID32, source=TEXT, received=I64)
BASE_CHECKPOINT = Struct("BaseCheckpoint", session=ID16, client=ID16, source=TEXT, roots=List(CHECKPOINT_ROOT), received=I64)
BASE = Struct("Base", number=U64,
              snapshots=sorted_list(BASE_SNAPSHOT, "snapshots", key=lambda snapshot: snapshot.snapshot),
              checkpoints=List(BASE_CHECKPOINT), segments=sorted_list(SEGMENT_NAME, "segments"))

# Notes of mirrors (15)

RECEIPT = Struct("Receipt", session=ID16, received=I64)
MIRROR_NOTE = Struct("MirrorNote", number=U32, time=I64, source=TEXT,
                     receipts=sorted_list(RECEIPT, "receipts", key=lambda receipt: receipt.session))

STEP_WORDS = ["plan", "verdict", "done"]


def decode_config(data):
    # The version stands first, so that the records of other versions are told from damaged ones.
    FORMAT.decode(Cursor(data))
    return decode_record(CONFIG, data)


def decode_numbered(kind, data, number, rule):
    """A record whose `number` is the one of its key."""
    value = decode_record(kind, data)
    require(value.number == number, rule, f"number {value.number} under the number {number}")
    return value


def decode_register(data, number, step):
    register = decode_numbered(REGISTER, data, number, "GC-1")
    require(STEP_WORDS[register.step.number] == step, "GC-1", f"a register of step {register.step.name} as {step}")
    return register
