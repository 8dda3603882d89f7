"""Gives compressed files back from plain bytes and a recipe. Spec: format-spec/18-recipe.md. Both are in memory as a whole."""

from collections import namedtuple

from blake3 import blake3

from .codec import require
from .errors import AuthError

RECIPE_MAGIC = b"SBFRECP1"
PART_BYTES_MAX = 4194304
BLOCK_PLAIN_BYTES_MAX = 16777216
AHEAD_BYTES = 1024
LITERAL, LEVEL, BLOCK, BITS, END = range(5)
STORED, FIXED, DYNAMIC = range(3)
LAST = 4
END_OF_BLOCK = 256
WINDOW = 32768
DISTANCE_MAX = 32506
EFFORTS = {1: (4, 4, 8, 4), 2: (4, 5, 16, 8), 3: (4, 6, 32, 32), 4: (4, 4, 16, 16), 5: (8, 16, 32, 32), 6: (8, 16, 128, 128),
           7: (8, 32, 128, 256), 8: (32, 128, 258, 1024), 9: (32, 258, 258, 4096)}
LITERAL_TOKEN = None
Match = namedtuple("Match", "length distance")
Block = namedtuple("Block", "plain_length")


def base_lengths():
    """First length of each symbol from 257 on, and how many bits follow: RFC 1951, 3.2.5."""
    bases, base = [], 3
    for symbol in range(28):
        width = 0 if symbol < 8 else symbol // 4 - 1
        bases.append((base, width))
        base += 1 << width
    return bases + [(258, 0)]


def base_distances():
    bases, base = [], 1
    for symbol in range(30):
        width = 0 if symbol < 4 else symbol // 2 - 1
        bases.append((base, width))
        base += 1 << width
    return bases


LENGTHS, DISTANCES = base_lengths(), base_distances()
CODE_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
FIXED_LENGTHS = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 30


def fits(condition, what):
    require(condition, "RECIPE-2", what)


class Cursor:
    """Reads numbers and bytes of one piece of a recipe; breaks `rule` where they are not there."""

    def __init__(self, data, rule, at=0):
        self.data, self.rule, self.at = data, rule, at

    def bytes(self, count):
        require(self.at + count <= len(self.data), self.rule, "bytes that are not there")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.bytes(1)[0]

    def number(self):
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                require(byte > 0 or shift == 0, self.rule, "a number in more bytes than it needs")
                return value
        require(False, self.rule, "a number of more than nine bytes")

    def end(self):
        require(self.at == len(self.data), self.rule, "bytes behind the end")


class BitReader:
    """Bits of bytes, the lowest of each byte first."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        value = 0
        for place in range(count):
            fits(self.at >> 3 < len(self.data), "bits that are not there")
            value |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << place
            self.at += 1
        return value


class BitWriter:
    def __init__(self):
        self.out, self.word, self.count = bytearray(), 0, 0

    def put(self, bits, count):
        self.word |= (bits & (1 << count) - 1) << self.count
        self.count += count
        while self.count >= 8:
            self.out.append(self.word & 255)
            self.word >>= 8
            self.count -= 8

    def pad(self, bits):
        self.put(bits, -self.count % 8)

    def put_packed(self, data, count):
        fits(count <= 8 * len(data), "bits that are not there")
        for place in range(count):
            self.put(data[place >> 3] >> (place & 7), 1)


class Code:
    """A canonical code: RFC 1951, 3.2.2."""

    def __init__(self, lengths):
        self.symbols, self.codes, code = {}, {}, 0
        for length in range(1, 16):
            for symbol, has in enumerate(lengths):
                if has == length:
                    fits(code < 1 << length, "more codes than there are")
                    self.codes[length, code] = symbol
                    reverse = int(format(code, f"0{length}b")[::-1], 2)
                    self.symbols[symbol] = reverse, length
                    code += 1
            code <<= 1

    def read(self, bits):
        code = 0
        for length in range(1, 16):
            code = code << 1 | bits.take(1)
            if (length, code) in self.codes:
                return self.codes[length, code]
        fits(False, "bits that are no code")

    def write(self, bits, symbol):
        fits(symbol in self.symbols, "a symbol without a code")
        bits.put(*self.symbols[symbol])


def read_codes(bits):
    """The two codes that a dynamic block brings along: RFC 1951, 3.2.7."""
    literals, distances, orders = 257 + bits.take(5), 1 + bits.take(5), 4 + bits.take(4)
    lengths = [0] * 19
    for place in CODE_ORDER[:orders]:
        lengths[place] = bits.take(3)
    code, lengths = Code(lengths), []
    while len(lengths) < literals + distances:
        symbol = code.read(bits)
        if symbol < 16:
            lengths.append(symbol)
        elif symbol == 16:
            fits(lengths, "nothing to be repeated")
            lengths += [lengths[-1]] * (3 + bits.take(2))
        else:
            lengths += [0] * (3 + bits.take(3) if symbol == 17 else 11 + bits.take(7))
    fits(len(lengths) == literals + distances, "more lengths than there are")
    return Code(lengths[:literals]), Code(lengths[literals:])


class Predictor:
    """The section "Prediction". `data` is the stream's plain bytes, `end` is where they end for now."""

    def __init__(self, data, level):
        self.data, self.end, self.at = data, 0, 0
        self.head, self.before = [0] * WINDOW, [0] * WINDOW
        self.set_level(level)

    def set_level(self, level):
        require(level in EFFORTS, "RECIPE-1", f"the level {level}")
        self.good, self.lazy, self.nice, self.chain = EFFORTS[level]
        self.is_lazy = level > 3
        self.here = None

    def insert(self, place):
        if place + 3 > self.end:
            return 0
        one, two, three = self.data[place:place + 3]
        value = (one << 10 ^ two << 5 ^ three) % WINDOW
        first, self.head[value] = self.head[value], place
        if first == place:
            return self.before[place % WINDOW]
        self.before[place % WINDOW] = first
        return first

    def search(self, place, candidate, shorter):
        data, best, found = self.data, shorter, (2, 0)
        tries = self.chain // 4 if shorter >= self.good else self.chain
        limit, most = max(0, place - DISTANCE_MAX), min(258, self.end - place)
        enough, is_first = min(self.nice, most), True
        while candidate != 0 and (candidate > limit or is_first and candidate == limit):
            is_first = False
            length = 0
            while length < most and data[place + length] == data[candidate + length]:
                length += 1
            if length > best:
                best, found = length, (length, candidate)
                if length >= enough:
                    break
            tries -= 1
            if tries == 0:
                break
            candidate = self.before[candidate % WINDOW]
        if self.is_lazy and found[0] == 3 and place - found[1] > 4096:
            return 2, 0
        return found

    def predict(self):
        if self.here is None:
            self.here = self.search(self.at, self.insert(self.at), 2)
        length, start = self.here
        if self.is_lazy:
            candidate = self.insert(self.at + 1)
            self.next = self.search(self.at + 1, candidate, length) if length < self.lazy else (2, 0)
            if self.next[0] > length:
                return LITERAL_TOKEN
        return Match(length, self.at - start) if length >= 3 else LITERAL_TOKEN

    def accept(self, token):
        if token is LITERAL_TOKEN:
            self.at += 1
            self.here = self.next if self.is_lazy else None
            return
        behind = self.at + token.length
        if self.is_lazy or token.length <= self.lazy and behind + 3 <= self.end:
            for place in range(self.at + 1 + self.is_lazy, behind):
                self.insert(place)
        self.at, self.here = behind, None

    def skip(self, count):
        for place in range(self.at, self.at + count):
            self.insert(place)
        self.at, self.here = self.at + count, None


class Stream:
    """A deflate stream that is written again; `plain` begins with its first byte."""

    def __init__(self, plain, level):
        self.predictor, self.bits = Predictor(plain, level), BitWriter()

    def look(self, length, ahead):
        self.predictor.end = self.predictor.at + length + ahead
        fits(self.predictor.end <= len(self.predictor.data), "plain bytes that are not there")

    def block(self, body):
        """Writes a block; says whether it was the last."""
        cursor = Cursor(body, "RECIPE-2")
        length, ahead = cursor.number(), cursor.number()
        fits(length <= BLOCK_PLAIN_BYTES_MAX and ahead <= AHEAD_BYTES, "a block that is too long")
        self.look(length, ahead)
        kind = cursor.byte()
        fits(kind & ~LAST <= DYNAMIC, f"a block of type {kind}")
        self.bits.put(kind >> 2, 1)
        self.bits.put(kind & 3, 2)
        if kind & 3 == STORED:
            fits(length < 65536, "a stored block that is too long")
            self.bits.pad(cursor.byte())
            self.bits.out += length.to_bytes(2, "little") + (length ^ 65535).to_bytes(2, "little")
            at = self.predictor.at
            self.bits.out += self.predictor.data[at:at + length]
            self.predictor.skip(length)
        else:
            self.tokens(cursor, self.predictor.at + length, self.codes(cursor, kind & 3))
        if kind & LAST:
            self.bits.pad(cursor.byte())
        cursor.end()
        return bool(kind & LAST)

    def piece(self, body):
        """Writes bits; says whether they were the last."""
        cursor = Cursor(body, "RECIPE-2")
        length, count, last = cursor.number(), cursor.number(), cursor.byte()
        fits(length <= BLOCK_PLAIN_BYTES_MAX and last in (0, LAST), "bits that are not what they should be")
        self.look(length, 0)
        self.bits.put_packed(cursor.bytes(-(-count // 8)), count)
        cursor.end()
        self.predictor.skip(length)
        fits(not last or self.bits.count == 0, "a stream that ends within a byte")
        return bool(last)

    def codes(self, cursor, kind):
        if kind == FIXED:
            return tuple(map(Code, FIXED_LENGTHS))
        count = cursor.number()
        packed = cursor.bytes(-(-count // 8))
        reader = BitReader(packed)
        codes = read_codes(reader)
        fits(reader.at == count, "other bits than those of the codes")
        self.bits.put_packed(packed, count)
        return codes

    def tokens(self, cursor, end, codes):
        count, corrections = cursor.number(), cursor.number()
        gap = cursor.number() if corrections else 0
        for _ in range(count):
            fits(self.predictor.at < end, "tokens behind the block")
            token = self.predictor.predict()
            if corrections and gap == 0:
                token = self.correction(cursor)
                corrections -= 1
                gap = cursor.number() if corrections else 0
            else:
                gap -= 1
            if token is not LITERAL_TOKEN:
                fits(self.predictor.at + token.length <= end and token.distance <= self.predictor.at, "a match beyond the block")
            self.write(token, codes)
            self.predictor.accept(token)
        codes[0].write(self.bits, END_OF_BLOCK)
        fits(corrections == 0 and self.predictor.at == end, "tokens that are not the block")

    @staticmethod
    def correction(cursor):
        length = cursor.number()
        if length == 0:
            return LITERAL_TOKEN
        token = Match(length + 2, cursor.number())
        fits(3 <= token.length <= 258 and 1 <= token.distance <= WINDOW, "a match that deflate has not")
        return token

    def write(self, token, codes):
        literals, distances = codes
        if token is LITERAL_TOKEN:
            literals.write(self.bits, self.predictor.data[self.predictor.at])
            return
        symbol = max(place for place, (base, _) in enumerate(LENGTHS) if base <= token.length)
        literals.write(self.bits, 257 + symbol)
        self.bits.put(token.length - LENGTHS[symbol][0], LENGTHS[symbol][1])
        symbol = max(place for place, (base, _) in enumerate(DISTANCES) if base <= token.distance)
        distances.write(self.bits, symbol)
        self.bits.put(token.distance - DISTANCES[symbol][0], DISTANCES[symbol][1])


def rewrap(recipe, plain):
    """The compressed file of a recipe and the plain bytes."""
    cursor = Cursor(recipe, "RECIPE-1")
    require(cursor.bytes(8) == RECIPE_MAGIC, "RECIPE-1", "another magic")
    out, stream, used = bytearray(), None, 0
    while True:
        kind, length = cursor.byte(), cursor.number()
        require(length <= PART_BYTES_MAX, "RECIPE-1", f"a part of {length} bytes")
        body = cursor.bytes(length)
        if kind == LITERAL and stream is None:
            out += body
        elif kind == LEVEL and length == 1:
            if stream is None:
                stream = Stream(plain[used:], body[0])
            else:
                stream.predictor.set_level(body[0])
        elif kind in (BLOCK, BITS) and stream is not None:
            if stream.block(body) if kind == BLOCK else stream.piece(body):
                out += stream.bits.out
                used += stream.predictor.at
                stream = None
        elif kind == END and stream is None and length == 48:
            break
        else:
            require(False, "RECIPE-1", f"a part of kind {kind} and {length} bytes")
    fits(cursor.at == len(recipe), "parts behind the end")
    fits(used == len(plain) == int.from_bytes(body[40:], "little"), "plain bytes that are not used")
    if len(out) != int.from_bytes(body[:8], "little") or blake3(out).digest() != body[8:40]:
        raise AuthError("the file that was made is not the one that was unwrapped")
    return bytes(out)
