"""Restores a snapshot, and lists its tree. Spec: format-spec/07-tree.md, 08-manifest.md."""

import base64
import json
import os
import stat
import sys

from blake3 import blake3

from .codec import require
from .errors import AuthError, FormatError, LimitError, Refused
from .recipe import rewrap
from .tree import extent_length

DEPTH_MAX = 4096


class Counts:
    """What a walk saw, to be compared with stated totals."""

    def __init__(self):
        self.files = self.directories = self.others = self.bytes = 0

    def add(self, entry):
        if entry.node.name == "File":
            self.files += 1
            self.bytes += entry.node.value.size
        elif entry.node.name == "Directory":
            self.directories += 1
        else:
            self.others += 1

    def add_counts(self, other):
        self.files += other.files
        self.directories += other.directories
        self.others += other.others
        self.bytes += other.bytes

    def as_tuple(self):
        return self.files, self.directories, self.others, self.bytes


class Visitor:
    """Walks a snapshot depth first and checks the totals; subclasses say what to do with each entry."""

    def __init__(self, repository):
        self.repository = repository
        self.walk = repository.walk()

    def run(self, manifest):
        root = manifest["predicate"]["root"]
        entries = self.walk.node(bytes.fromhex(root["node"]), root["height"])
        counts = self._directory((), entries)
        stated = tuple(manifest["predicate"]["totals"][name] for name in ("files", "directories", "others", "bytes"))
        if counts.as_tuple() != stated:
            raise FormatError("TOTALS", f"the snapshot has {counts.as_tuple()} and not {stated}")

    def _directory(self, path, entries):
        if len(path) > DEPTH_MAX:
            raise LimitError(f"a path of more than {DEPTH_MAX} components")
        counts = Counts()
        for entry, owner in entries:
            counts.add(entry)
            below = path + (entry.name,)
            if entry.node.name == "Directory":
                self.enter(below, entry, owner)
                inner = self._directory(below, self.walk.listing(entry.node.value.listing))
                if inner.as_tuple() != tuple(entry.node.value.totals):
                    raise FormatError("TOTALS", f"{show(below)} has {inner.as_tuple()} and not {tuple(entry.node.value.totals)}")
                counts.add_counts(inner)
                self.leave(below, entry, owner)
            else:
                self.visit(below, entry, owner)
        return counts

    def enter(self, path, entry, owner):
        """Before the entries of a directory."""

    def leave(self, path, entry, owner):
        """After the entries of a directory."""

    def visit(self, path, entry, owner):
        """An entry that is no directory."""

    def content(self, path, file, write=None):
        """Reads and verifies a file's content; `write(offset, bytes)` gets each chunk."""
        hasher, offset = blake3(), 0
        for extent in self.walk.extents(file):
            length = extent_length(extent)
            if extent.name != "Hole":
                chunk = self.repository.chunk("data", extent.value.id)
                require(len(chunk) == length, "CONTENT-2", f"a chunk of {len(chunk)} bytes and not {length} in {show(path)}")
                if file.digest is not None:
                    hasher.update(chunk)
                if write:
                    write(offset, chunk)
            offset += length
        if file.digest is not None and hasher.digest() != file.digest:
            raise AuthError(f"the content of {show(path)} has another digest")


def show(path):
    return repr(b"/".join(path).decode("utf-8", "backslashreplace"))


class Verify(Visitor):
    """Reads everything and keeps nothing."""

    def visit(self, path, entry, owner):
        if entry.node.name == "File":
            self.content(path, entry.node.value)


class Rewrap(Visitor):
    """Makes a compressed file again that is stored as plain bytes and a recipe, both at the top of the tree."""

    def file(self, manifest, name):
        plain = name[:-3] if name.endswith(b".gz") else name[:-3] + b"tar" if name.endswith(b".tgz") else name
        recipe = (name + b".gz" if plain == name else name) + b".recipe"
        self.found = {plain: None, recipe: None}
        self.run(manifest)
        for name, content in self.found.items():
            if content is None:
                raise Refused(f"the snapshot has no {show((name,))}")
        return rewrap(bytes(self.found[recipe]), bytes(self.found[plain]))

    def visit(self, path, entry, owner):
        if len(path) == 1 and path[0] in self.found and entry.node.name == "File":
            content = self.found[path[0]] = bytearray()
            self.content(path, entry.node.value, lambda _offset, chunk: content.extend(chunk))


class Restore(Visitor):
    """Writes below `target`, which does not exist or is empty. `warnings` are what the system refused."""

    def __init__(self, repository, target):
        super().__init__(repository)
        self.target = os.fsencode(target)
        self.links = {}
        self.warnings = []
        if os.path.lexists(self.target) and (not os.path.isdir(self.target) or os.listdir(self.target)):
            raise Refused(f"the target {target} is not an empty directory")
        os.makedirs(self.target, exist_ok=True)

    def place(self, path):
        return os.path.join(self.target, *path)

    def enter(self, path, entry, owner):
        os.mkdir(self.place(path), 0o700)

    def leave(self, path, entry, owner):
        self.metadata(path, entry, owner)

    def visit(self, path, entry, owner):
        place, kind, value = self.place(path), entry.node.name, entry.node.value
        inode = entry.metadata.inode
        if entry.metadata.links > 1:
            first = self.links.setdefault(inode, place)
            if first != place:
                if kind == "File":
                    self.content(path, value)
                os.link(first, place, follow_symlinks=False)
                return
        if kind == "File":
            self.file(path, place, value)
        elif kind == "Symlink":
            os.symlink(value, place)
        else:
            mode = {"Fifo": stat.S_IFIFO, "Socket": stat.S_IFSOCK, "CharacterDevice": stat.S_IFCHR,
                    "BlockDevice": stat.S_IFBLK}[kind]
            device = os.makedev(value.major, value.minor) if value else 0
            try:
                os.mknod(place, mode | 0o600, device)
            except PermissionError as error:
                self.links.pop(inode, None)
                self.warnings.append(f"{show(path)}: {error}")
                return
        self.metadata(path, entry, owner)

    def file(self, path, place, value):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            self.content(path, value, lambda offset, chunk: write_all(descriptor, chunk, offset))
            os.ftruncate(descriptor, value.size)
        finally:
            os.close(descriptor)

    def metadata(self, path, entry, owner):
        place, metadata = self.place(path), entry.metadata
        if os.geteuid() == 0:
            self.attempt(path, lambda: os.chown(place, owner.user_id, owner.group_id, follow_symlinks=False))
        if entry.node.name != "Symlink":
            self.attempt(path, lambda: os.chmod(place, metadata.mode))
        for xattr in metadata.xattrs:
            self.attempt(path, lambda: os.setxattr(place, xattr.name, xattr.value, follow_symlinks=False))
        nanoseconds = metadata.modified.seconds * 10**9 + metadata.modified.nanoseconds
        self.attempt(path, lambda: os.utime(place, ns=(nanoseconds, nanoseconds), follow_symlinks=False))

    def attempt(self, path, call):
        try:
            call()
        except (OSError, OverflowError) as error:
            self.warnings.append(f"{show(path)}: {error}")


def write_all(descriptor, data, offset):
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


class Dump(Visitor):
    """One JSON line an entry, in the order of the walk."""

    def visit(self, path, entry, owner):
        print(json.dumps({**named("path", b"/".join(path)), **self.described(entry), **described_metadata(entry.metadata, owner)}))

    enter = visit

    def described(self, entry):
        kind, value = entry.node.name, entry.node.value
        if kind == "File":
            return {"kind": "file", "size": value.size, "sparse": value.sparse,
                    "digest": value.digest.hex() if value.digest else None, **self.extents(value)}
        if kind == "Directory":
            return {"kind": "directory", "totals": value.totals._asdict()}
        if kind == "Symlink":
            return {"kind": "symlink", **named("target", value)}
        device = {"major": value.major, "minor": value.minor} if value else {}
        return {"kind": {"Fifo": "fifo", "Socket": "socket", "CharacterDevice": "character-device",
                         "BlockDevice": "block-device"}[kind], **device}

    def extents(self, file):
        chunks, holes, offset = [], [], 0
        for extent in self.walk.extents(file):
            length = extent_length(extent)
            if extent.name == "Hole":
                holes.append([offset, length])
            else:
                chunks.append([offset, length, extent.value.id.hex()])
            offset += length
        return {"chunks": chunks, "holes": holes}


def named(member, name):
    """A text member, or a hexadecimal one when the bytes are not UTF-8."""
    try:
        return {member: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {member + "_hex": name.hex()}


def described_metadata(metadata, owner):
    def time(stamp):
        return [stamp.seconds, stamp.nanoseconds] if stamp else None
    return {"mode": f"{metadata.mode:04o}", "user_id": owner.user_id, "group_id": owner.group_id,
            **named("user_name", owner.user_name), **named("group_name", owner.group_name),
            "modified": time(metadata.modified), "changed": time(metadata.changed), "born": time(metadata.born),
            "device": metadata.inode.device, "inode": metadata.inode.inode, "links": metadata.links, "flags": metadata.flags,
            "xattrs": [{**named("name", xattr.name), "value": base64.b64encode(xattr.value).decode()}
                       for xattr in metadata.xattrs]}


def print_warnings(warnings):
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
