"""Reads everything of a repository and verifies it. Spec: all pages."""

import hashlib

from . import crypto, keyslot, pack, parity, records, statement
from .codec import decode_record, require
from .errors import AuthError, Missing, NoKey, ReadError
from .layout import pack_key, parse_key, register_key
from .restore import Visitor
from .tree import FILE, decode_list_node

TOP_LEVEL = ("amendments", "keys", "ids", "sessions", "heartbeats", "packs", "index", "manifests", "outcomes", "forget", "audit",
             "records", "inventory", "gc", "parity")


class ContentOnce(Visitor):
    """Verifies the content of every file of a snapshot; equal content that was verified before is not read again."""

    def __init__(self, repository, verified):
        super().__init__(repository)
        self.verified = verified
        self.chunks = set()

    def visit(self, path, entry, owner):
        if entry.node.name != "File":
            return
        file = entry.node.value
        for extent in self.walk.extents(file):
            if extent.name == "Chunk":
                self.chunks.add(("data", extent.value.id))
        encoded = FILE.encode(file)
        if encoded not in self.verified:
            self.content(path, file)
            self.verified.add(encoded)


class Check:
    """Collects findings in the repository; what the slot cannot read is a note."""

    def __init__(self, repository):
        self.repository = repository

    def run(self):
        repository = self.repository
        for folder in TOP_LEVEL:
            repository.listed(folder)
        self.slots()
        self.each("sessions", "session", self.announcement)
        self.each("heartbeats", "heartbeat", self.heartbeat)
        self.each("inventory", "inventory", self.inventory)
        self.each("parity", "parity", self.sidecar)
        self.each("forget", "forget", lambda key: repository.read_statement("forget", key))
        self.each("records", "record", lambda key: repository.read_statement("record", key))
        self.audit()
        self.collections()
        self.commits()
        for indexed in repository.packs:
            self.guard(pack_key(indexed), lambda: self.pack(indexed))
        self.snapshots()

    def sidecar(self, key):
        """Nobody needs a sidecar as long as its pack is whole."""
        if not parity.is_sound(self.repository.store.read(key)):
            self.repository.note(f"{key}: damaged parity")

    def guard(self, key, check):
        try:
            return check()
        except NoKey as error:
            self.repository.note(f"{key}: not verified: {error}")
        except ReadError as error:
            self.repository.finding(key, error)

    def each(self, folder, kind, check):
        for key in self.repository.listed(folder, kind):
            self.guard(key, lambda: check(key))

    def slots(self):
        repository = self.repository
        self.each("keys", "slot", lambda key: keyslot.decode_slot(repository.store.read(key), repository.id, parse_key(key)[1]["slot"]))

    def announcement(self, key):
        signed, _ = self.repository.open_sealed("session", key, [parse_key(key)[1]["client"]])
        decode_record(records.ANNOUNCEMENT, signed.body)

    def heartbeat(self, key):
        _, parts = parse_key(key)
        signed, _ = self.repository.open_sealed("heartbeat", key, [parts["client"]])
        records.decode_numbered(records.HEARTBEAT, signed.body, parts["number"], "RECORD-3")

    def inventory(self, key):
        body = self.repository.open_clear("inventory", key)
        statement.decode_inventory(body, self.repository.id, parse_key(key)[1]["number"])

    def audit(self):
        previous = {}
        for key in self.repository.listed("audit", "audit"):
            _, parts = parse_key(key)
            client, number = parts["client"], parts["number"]

            def link():
                value, signed = self.repository.read_statement("audit", key)
                before = previous.get((client, number - 1), bytes(32) if number == 1 else None)
                previous[client, number] = crypto.sha256(signed.body)
                if before is None:
                    raise Missing(f"audit record {number - 1} of client {client.hex()} is missing")
                if value["predicate"]["prev"] != before.hex():
                    raise AuthError("the chain of audit records is broken")
            self.guard(key, link)

    def collections(self):
        """Registers and bodies: verdicts for ever, plans as long as their collection runs."""
        repository = self.repository
        before = bytes(32)
        numbers = sorted({parse_key(key)[1]["number"] for key in repository.listed("gc", "plan", "verdict", "done")})
        for last, number in zip([0, *numbers], numbers):
            plan = None

            def follows(number=number, last=last):
                if number != last + 1:
                    raise Missing(f"nothing is there of collection {number - 1}")

            def read_plan(number=number):
                nonlocal plan
                register = repository.read_register(number, "plan")
                if repository.store.has(f"gc/{number:012}/{register.body.hex()}"):
                    repository.read_body("gc-plan", records.PLAN, number, register.body)
                plan = register.body

            def step(number=number):
                nonlocal before
                if not repository.store.has(register_key(number, "verdict")):
                    return
                register = repository.read_register(number, "verdict")
                verdict = repository.read_verdict(number)
                if verdict.plan != bytes(32) or verdict.removed or verdict.forgotten:
                    if plan is not None and verdict.plan != plan:
                        raise AuthError("the verdict is not of the plan")
                if verdict.previous != before:
                    raise AuthError("the chain of verdicts is broken")
                before = register.body
                if repository.store.has(register_key(number, "done")):
                    repository.read_register(number, "done")
            self.guard(f"gc/{number:012}", follows)
            self.guard(f"gc/{number:012}/plan", read_plan)
            self.guard(f"gc/{number:012}", step)

    def commits(self):
        repository = self.repository
        for key, (parts, commit) in repository.commits.items():
            def seen(parts=parts, commit=commit):
                self.verdict_seen(commit.verdict.number, commit.verdict.digest)
                for head in commit.heads:
                    if repository.outcome_digests.get(head.session, head.digest) != head.digest:
                        raise AuthError(f"the commit saw another outcome of session {head.session.hex()}")
                if commit.subject.name == "Checkpoint":
                    for root in commit.subject.value.roots:
                        self.checkpoint_root(root)
            self.guard(key, seen)

    def verdict_seen(self, number, digest):
        if number == 0:
            if digest != bytes(32):
                raise AuthError("a verdict 0 with a digest")
        elif self.repository.read_register(number, "verdict").body != digest:
            raise AuthError(f"verdict {number} is not the one that was seen")

    def checkpoint_root(self, root):
        kind = "tree" if root.kind.name == "Tree" else "data"

        def extents(node, height):
            decoded = decode_list_node(self.repository.chunk("tree", node), height)
            if decoded.name == "Leaf":
                yield from decoded.value
            else:
                for reference in decoded.value:
                    yield from extents(reference.node, height - 1)

        for extent in extents(root.node, root.height):
            require(extent.name == "Chunk", "CONTENT-1", "a hole in a checkpoint")
            chunk = self.repository.chunk(kind, extent.value.id)
            require(len(chunk) == extent.value.length, "CONTENT-2", "a chunk of another length in a checkpoint")

    def pack(self, indexed):
        """The whole pack: hashes, directory, every block and every chunk."""
        repository = self.repository
        key = pack_key(indexed)
        if repository.name_of(indexed) in repository.removed and not repository.store.has(key):
            return
        data = repository.store.read(key)
        if len(data) != indexed.length or crypto.digest(data) != indexed.id or hashlib.sha256(data).digest() != indexed.sha256:
            raise AuthError("the pack's bytes do not hash to its name")
        header, header_length, directory = pack.open_directory(data, repository.id, lambda generation: repository.key_of(generation, "index"))
        if header != indexed.header or header_length != indexed.header_length or directory.blocks != indexed.blocks:
            raise AuthError("the segment does not agree with the pack")
        kind = "tree" if header.kind.name == "Tree" else "data"
        at = header_length
        for number, block in enumerate(directory.blocks):
            stored = data[at:at + block.stored_length]
            at += block.stored_length
            plaintext = repository.open_block(header, number, block, stored)
            offset = 0
            for chunk in block.chunks:
                if pack.chunk_id(repository.keys.id_key, kind, plaintext[offset:offset + chunk.length]) != chunk.id:
                    raise AuthError(f"chunk {chunk.id.hex()} of block {number} has other bytes")
                offset += chunk.length

    def snapshots(self):
        verified = set()
        for snapshot in self.repository.snapshots.values():
            def one(snapshot=snapshot):
                manifest = self.repository.manifest(snapshot)
                self.verdict_seen(manifest["predicate"]["verdict"]["number"],
                                  bytes.fromhex(manifest["predicate"]["verdict"]["digest"]))
                if manifest["predicate"]["profile"] not in self.repository.profiles:
                    self.repository.note(f"snapshot {snapshot.id.hex()} names the unknown profile {manifest['predicate']['profile']}")
                walk = ContentOnce(self.repository, verified)
                chunks = walk.chunks
                walk.walk.tree_chunk = lambda chunk: (chunks.add(("tree", chunk)), self.repository.chunk("tree", chunk))[1]
                walk.run(manifest)
                self.merkle(snapshot, manifest["predicate"]["packs"], chunks)
            self.guard(f"snapshot {snapshot.id.hex()}", one)

    def merkle(self, snapshot, packs, chunks):
        """A repack changes which packs hold the chunks, so a difference is a finding only before the first verdict."""
        if self.repository.verdict:
            return
        if packs["scope"] == "session":
            named = {(each.id, each.length) for each in self.repository.packs if each.session == snapshot.id}
        else:
            named = {(each.id, each.length) for chunk in chunks for location in self.repository.locations[chunk]
                     for each in [self.repository.packs[location.pack]]}
        root = statement.packs_root(named).hex()
        if (root, len(named)) != (packs["root"], packs["count"]):
            self.repository.note(f"snapshot {snapshot.id.hex()}: packs of scope {packs['scope']}: {len(named)} with root {root}, "
                                 f"the manifest states {packs['count']} with root {packs['root']}")
