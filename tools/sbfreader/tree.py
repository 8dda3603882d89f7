"""Tree nodes, content, list nodes. Spec: format-spec/07-tree.md."""

from .codec import BOOL, BYTES, I64, ID32, U8, U16, U32, U64
from .codec import Checked, Enum, List, Option, Struct
from .codec import decode_record, in_range, require, require_sorted

NAME_BYTES_MAX = 255
TARGET_BYTES_MAX = 4096
XATTR_VALUE_BYTES_MAX = 65536
TREE_NODE_BYTES_MAX = 1048576
INLINE_LISTING_BYTES_MAX = 4096
NODE_HEIGHT_MAX = 8
CHUNK_BYTES_MAX = 16777216
INLINE_EXTENTS_MAX = 8
LIST_HEIGHT_MAX = 8
LIST_NODE_BYTES_MAX = 262144


def _check_name(name):
    require(1 <= len(name) <= NAME_BYTES_MAX and b"/" not in name and b"\0" not in name and name not in (b".", b".."),
            "TREE-3", f"the name {name!r}")


def _check_target(target):
    require(1 <= len(target) <= TARGET_BYTES_MAX and b"\0" not in target, "TREE-8", f"a target of {len(target)} bytes")


def _check_xattrs(xattrs):
    for xattr in xattrs:
        require(1 <= len(xattr.name) <= NAME_BYTES_MAX and b"\0" not in xattr.name, "TREE-7", f"the attribute {xattr.name!r}")
        require(len(xattr.value) <= XATTR_VALUE_BYTES_MAX, "TREE-7", f"an attribute of {len(xattr.value)} bytes")
    require_sorted([xattr.name for xattr in xattrs], "TREE-7", "attributes")


def _check_extent(extent):
    if extent.name == "Chunk":
        require(1 <= extent.value.length <= CHUNK_BYTES_MAX, "CONTENT-1", f"a chunk of {extent.value.length} bytes")
    else:
        require(extent.value >= 1, "CONTENT-1", "an empty hole")


def _check_content(content):
    if content.name == "Inline":
        require(len(content.value) <= INLINE_EXTENTS_MAX, "CONTENT-1", f"{len(content.value)} extents inline")
    else:
        require(content.value.extents > INLINE_EXTENTS_MAX, "CONTENT-1", f"a list of {content.value.extents} extents")
        require(content.value.height <= LIST_HEIGHT_MAX, "CONTENT-1", f"a list of height {content.value.height}")


def extent_length(extent):
    return extent.value.length if extent.name == "Chunk" else extent.value


def total_length(lengths):
    total = sum(lengths)
    require(total < 1 << 64, "CONTENT-1", "lengths beyond 64 bits")
    return total


def _check_file(file):
    if file.content.name == "Inline":
        total = total_length(extent_length(extent) for extent in file.content.value)
        require(total == file.size, "CONTENT-2", f"extents of {total} bytes in a file of {file.size}")
        count = len(file.content.value)
    else:
        count = file.content.value.extents
    require((file.digest is not None) == (count > 1), "TREE-12", f"a file of {count} extents "
            f"{'with' if file.digest else 'without'} a digest")


def _check_listing(listing):
    if listing.name == "Inline":
        require(len(listing.value) <= INLINE_LISTING_BYTES_MAX, "TREE-9", f"an inline listing of {len(listing.value)} bytes")
        decode_tree_node(listing.value, 0)
    else:
        check_node_height(listing.value.height)


def check_node_height(height):
    require(height <= NODE_HEIGHT_MAX, "TREE-10", f"a listing of height {height}")


def _check_leaf(leaf):
    require_sorted([entry.name for entry in leaf.entries], "TREE-2", "names")
    known = 0
    for entry in leaf.entries:
        owner = entry.metadata.owner
        require(owner <= known, "TREE-4", f"owner {owner} before owner {known}")
        known = max(known, owner + 1)
    require(known == len(leaf.owners), "TREE-4", f"{known} owners used of {len(leaf.owners)}")
    require(len(set(leaf.owners)) == len(leaf.owners), "TREE-4", "an owner twice")


def _check_internal(references):
    require(references, "TREE-11", "an internal node without children")
    require_sorted([reference.last_name for reference in references], "TREE-2", "last names")


NAME = Checked(BYTES, _check_name)
CHUNK = Struct("Chunk", id=ID32, length=U32)
EXTENT = Checked(Enum(Chunk=CHUNK, Hole=U64), _check_extent)
CONTENT_LIST = Struct("ContentList", node=ID32, height=U8, extents=U64)
CONTENT = Checked(Enum(Inline=List(EXTENT), List=CONTENT_LIST), _check_content)
DEVICE_NUMBER = Struct("DeviceNumber", major=U32, minor=U32)
FILE = Checked(Struct("FileEntry", size=U64, content=CONTENT, digest=Option(ID32), sparse=BOOL), _check_file)
LISTING_NODE = Struct("ListingNode", node=ID32, height=U8)
LISTING = Checked(Enum(Inline=BYTES, Node=LISTING_NODE), _check_listing)
TOTALS = Struct("Totals", files=U64, directories=U64, others=U64, bytes=U64)
DIRECTORY = Struct("DirectoryEntry", listing=LISTING, totals=TOTALS)
ENTRY_KIND = Enum(File=FILE, Directory=DIRECTORY, Symlink=Checked(BYTES, _check_target), Fifo=None, Socket=None,
                  CharacterDevice=DEVICE_NUMBER, BlockDevice=DEVICE_NUMBER)
TIMESTAMP = Struct("Timestamp", seconds=I64, nanoseconds=in_range(U32, 0, 999999999, "TREE-6"))
INODE = Struct("InodeNumber", device=U64, inode=U64)
XATTR = Struct("ExtendedAttribute", name=BYTES, value=BYTES)
METADATA = Struct("Metadata", mode=in_range(U16, 0, 0o7777, "TREE-5"), owner=U32, modified=TIMESTAMP, changed=TIMESTAMP,
                  born=Option(TIMESTAMP), inode=INODE, links=U32, flags=U32, xattrs=Checked(List(XATTR), _check_xattrs))
TREE_ENTRY = Struct("TreeEntry", name=NAME, node=ENTRY_KIND, metadata=METADATA)
OWNER = Struct("Owner", user_id=U32, group_id=U32, user_name=BYTES, group_name=BYTES)
LEAF = Checked(Struct("Leaf", owners=List(OWNER), entries=List(TREE_ENTRY)), _check_leaf)
NODE_REFERENCE = Struct("NodeReference", last_name=NAME, node=ID32)
TREE_NODE = Enum(Leaf=LEAF, Internal=Checked(List(NODE_REFERENCE), _check_internal))


def _check_list_leaf(extents):
    require(extents, "CONTENT-1", "a list node without extents")
    total_length(extent_length(extent) for extent in extents)


def _check_list_internal(references):
    require(references, "CONTENT-1", "a list node without children")
    require(all(reference.bytes >= 1 for reference in references), "CONTENT-1", "a child of no bytes")
    total_length(reference.bytes for reference in references)


LIST_REFERENCE = Struct("ListReference", node=ID32, bytes=U64)
LIST_NODE = Enum(Leaf=Checked(List(EXTENT), _check_list_leaf), Internal=Checked(List(LIST_REFERENCE), _check_list_internal))


def decode_tree_node(data, height=None):
    """Without a height the node's place in the tree is not checked."""
    require(len(data) <= TREE_NODE_BYTES_MAX, "TREE-1", f"a tree node of {len(data)} bytes")
    node = decode_record(TREE_NODE, data)
    if height is not None:
        require((node.name == "Leaf") == (height == 0), "TREE-10", f"a node of the form {node.name} at height {height}")
    return node


def decode_list_node(data, height=None):
    require(len(data) <= LIST_NODE_BYTES_MAX, "CONTENT-3", f"a list node of {len(data)} bytes")
    node = decode_record(LIST_NODE, data)
    if height is not None:
        require((node.name == "Leaf") == (height == 0), "CONTENT-1", f"a list node of the form {node.name} at height {height}")
    return node


class TreeWalk:
    """Reads listings and extents; `tree_chunk(id)` gives the verified plaintext of a tree chunk."""

    def __init__(self, tree_chunk):
        self.tree_chunk = tree_chunk

    def listing(self, listing):
        """The entries of a directory with their owners, in order."""
        if listing.name == "Inline":
            leaf = decode_tree_node(listing.value, 0).value
            for entry in leaf.entries:
                yield entry, leaf.owners[entry.metadata.owner]
        else:
            yield from self.node(listing.value.node, listing.value.height)

    def node(self, node, height):
        check_node_height(height)
        for entry, owner in self._node(node, height, None, None):
            yield entry, owner

    def _node(self, node, height, after, last):
        """The entries below a node: all after `after`, the last one being `last`."""
        decoded = decode_tree_node(self.tree_chunk(node), height)
        if decoded.name == "Internal":
            references = decoded.value
            require(last is None or references[-1].last_name == last, "TREE-2", "a last name that is not the one stated")
            for reference in references:
                yield from self._node(reference.node, height - 1, after, reference.last_name)
                after = reference.last_name
            return
        leaf = decoded.value
        if leaf.entries and after is not None:
            require(leaf.entries[0].name > after, "TREE-2", "names of two nodes are not in order")
        if last is not None:
            require(leaf.entries and leaf.entries[-1].name == last, "TREE-2", "a last name that is not the one stated")
        for entry in leaf.entries:
            yield entry, leaf.owners[entry.metadata.owner]

    def extents(self, file):
        """The extents of a file, in order; the sums are checked when the last one was taken."""
        if file.content.name == "Inline":
            yield from file.content.value
            return
        content = file.content.value
        count = 0
        for extent in self._extents(content.node, content.height, file.size):
            count += 1
            require(count <= content.extents, "CONTENT-2", "more extents than stated")
            yield extent
        require(count == content.extents, "CONTENT-2", f"{count} extents and not {content.extents}")

    def _extents(self, node, height, size):
        decoded = decode_list_node(self.tree_chunk(node), height)
        if decoded.name == "Leaf":
            total = total_length(extent_length(extent) for extent in decoded.value)
            require(total == size, "CONTENT-2", f"extents of {total} bytes and not {size}")
            yield from decoded.value
            return
        total = total_length(reference.bytes for reference in decoded.value)
        require(total == size, "CONTENT-2", f"children of {total} bytes and not {size}")
        for reference in decoded.value:
            yield from self._extents(reference.node, height - 1, reference.bytes)
