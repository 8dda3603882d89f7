//! What can be wrong with stored bytes: one rule of the format's pages each.

/// Stored bytes break a rule of the format. Never says more than the place: the bytes are hostile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} breaks rule {} at {at}: {}", .rule.code(), .rule.words())]
#[non_exhaustive]
pub struct FormatError {
    /// Which record.
    pub what: &'static str,
    /// Which rule.
    pub rule: Rule,
    /// Byte offset in the record, or the index of the entry that breaks the rule.
    pub at: u64,
}

impl FormatError {
    /// A broken `rule` of the record `what`.
    pub const fn new(what: &'static str, rule: Rule, at: u64) -> Self {
        Self { what, rule, at }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $code:literal $words:literal,)*) => {
        /// A numbered rule of `format-spec/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!("`", $code, "`: ", $words, ".")] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// The number under which the format's pages state the rule.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the rule asks for.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

rules! {
    RecordEncoding = "RECORD-1" "a record is the one encoding of its value and fills its bytes",
    ListOrder = "RECORD-2" "a list is sorted and its members are unique",
    RecordRange = "RECORD-3" "a number lies in the range its page gives",
    ObjectKey = "LAYOUT-1" "an object's key has the form its kind asks for",
    EnvelopeHeader = "ENVELOPE-1" "the header has the magic, version and kind of the object",
    EnvelopeSuite = "ENVELOPE-2" "the suite and the codec are known",
    EnvelopeLength = "ENVELOPE-3" "the object is no shorter than its header and tag, and no longer than its kind allows",
    EnvelopeRawLength = "ENVELOPE-4" "the plaintext has the length the header states",
    EnvelopeClear = "ENVELOPE-5" "a clear object carries the magic, version and kind of its page",
    SignedLength = "SIGNED-1" "a signed body has a signer and a signature before it",
    ConfigVersion = "CONFIG-1" "the format version is known",
    ConfigProfile = "CONFIG-2" "a chunker profile has even sizes in order and usable masks",
    SlotHeader = "SLOT-1" "a slot has the magic, version and kind of its page",
    SlotChecksum = "SLOT-2" "a slot ends with the checksum of the bytes before it",
    SlotParameters = "SLOT-3" "the cost of a passphrase slot is within the bounds",
    PackHeader = "PACK-1" "the header has the magic, version, kind, suite and wrap of a pack",
    PackTrailer = "PACK-2" "the trailer has its magic and lies at the end",
    PackDirectoryRange = "PACK-3" "the directory lies between the header and the trailer",
    PackBlocks = "PACK-4" "the blocks fill the space between the header and the directory",
    BlockLengths = "BLOCK-1" "a block's lengths agree with its codec and are within the bounds",
    BlockChunks = "BLOCK-2" "the chunks of a block fill its plaintext",
    BlockBases = "BLOCK-3" "a delta block names base chunks and no other block does",
    SegmentPacks = "INDEX-1" "a segment lists each pack once, within the bounds",
    TreeNodeTooLong = "TREE-1" "a tree node is no longer than its limit",
    TreeOrder = "TREE-2" "names are sorted and unique",
    TreeName = "TREE-3" "a name is 1 to 255 bytes without slash and NUL, and not `.` or `..`",
    TreeOwner = "TREE-4" "owners stand in the order of their first use, each used",
    TreeMode = "TREE-5" "the mode has permission bits only",
    TreeTime = "TREE-6" "nanoseconds are below a second",
    TreeXattr = "TREE-7" "attributes are sorted, unique and within their limits",
    TreeTarget = "TREE-8" "the target of a symbolic link is 1 to 4096 bytes without NUL",
    TreeInlineTooLong = "TREE-9" "an inline listing is no longer than its limit",
    TreeHeight = "TREE-10" "a directory has at most eight levels of nodes",
    TreeInternalEmpty = "TREE-11" "an internal node has children",
    TreeDigest = "TREE-12" "a digest is present exactly if there is more than one extent",
    ContentExtent = "CONTENT-1" "extents, lists and their heights are within the bounds",
    ContentSize = "CONTENT-2" "the extents add up to the size of the file",
    ListNodeTooLong = "CONTENT-3" "a list node is no longer than its limit",
    ManifestJson = "MANIFEST-1" "a manifest is a JSON statement of the form its page gives",
    ManifestPlace = "MANIFEST-2" "a manifest names the repository, client and snapshot of its key",
    OutcomeBody = "OUTCOME-1" "an outcome names the segments and manifest its kind asks for",
    RecordJson = "STATEMENT-1" "a record is a JSON statement of the form its page gives",
    ParityShards = "PARITY-1" "a sidecar's shards fit the pack that it is for",
    ParityEnds = "PARITY-2" "a sidecar begins and ends with its magic and the same header",
    InventoryForm = "INVENTORY-1" "an inventory is sorted text in the form its page gives",
    GcNumber = "GC-1" "a register names the number of its key",
    RecipeForm = "RECIPE-1" "a recipe has its magic, parts of the kinds and lengths its page gives, and ends with the last",
    RecipeFits = "RECIPE-2" "the parts of a recipe fit the plain bytes",
}
