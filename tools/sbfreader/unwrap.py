"""Writes recipes, for vectors: without any search for what is shorter. Spec: format-spec/18-recipe.md."""

from blake3 import blake3

from .recipe import (
    AHEAD_BYTES, BITS, BLOCK, DISTANCES, DYNAMIC, END, END_OF_BLOCK, FIXED, FIXED_LENGTHS, LAST, LENGTHS, LEVEL, LITERAL, LITERAL_TOKEN,
    RECIPE_MAGIC, STORED, BitReader, BitWriter, Code, Match, Predictor, read_codes)


def number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def part(kind, body):
    return bytes([kind]) + number(len(body)) + body


def end_part(compressed, plain):
    return part(END, len(compressed).to_bytes(8, "little") + blake3(compressed).digest() + len(plain).to_bytes(8, "little"))


def packed(data, start, end):
    """Bits of bytes, from bit 0 of the result on."""
    reader, writer = BitReader(data, start), BitWriter()
    while reader.at < end:
        writer.put(reader.take(1), 1)
    writer.pad(0)
    return bytes(writer.out)


def read_tokens(bits, codes):
    tokens = []
    while True:
        symbol = codes[0].read(bits)
        if symbol == END_OF_BLOCK:
            return tokens
        if symbol < END_OF_BLOCK:
            tokens.append(LITERAL_TOKEN)
            continue
        base, width = LENGTHS[symbol - 257]
        length = base + bits.take(width)
        base, width = DISTANCES[codes[1].read(bits)]
        tokens.append(Match(length, base + bits.take(width)))


def stream_parts(deflated, plain, level, as_bits=()):
    """The parts of a deflate stream; blocks of the numbers in `as_bits` are not predicted."""
    bits, predictor = BitReader(deflated), Predictor(plain, level)
    parts, is_last, count = [part(LEVEL, bytes([level]))], False, 0
    while not is_last:
        start = bits.at
        is_last, kind = bool(bits.take(1)), bits.take(2)
        tail = b""
        if kind == STORED:
            tail += bytes([bits.take(-bits.at % 8)])
            length = bits.take(16)
            bits.at += 16 + 8 * length
            tokens = None
        else:
            from_bit = bits.at
            codes = read_codes(bits) if kind == DYNAMIC else tuple(map(Code, FIXED_LENGTHS))
            if kind == DYNAMIC:
                tail += number(bits.at - from_bit) + packed(deflated, from_bit, bits.at)
            tokens = read_tokens(bits, codes)
            length = sum(1 if token is LITERAL_TOKEN else token.length for token in tokens)
        padding = bytes([bits.take(-bits.at % 8)]) if is_last else b""
        if count in as_bits:
            predictor.end = predictor.at + length
            predictor.skip(length)
            body = number(length) + number(bits.at - start) + bytes([LAST * is_last]) + packed(deflated, start, bits.at)
            parts.append(part(BITS, body))
        else:
            ahead = min(AHEAD_BYTES, len(plain) - predictor.at - length)
            predictor.end = predictor.at + length + ahead
            tail += predictor.skip(length) or b"" if tokens is None else corrections(tokens, predictor)
            parts.append(part(BLOCK, number(length) + number(ahead) + bytes([kind | LAST * is_last]) + tail + padding))
        count += 1
    return b"".join(parts)


def corrections(tokens, predictor):
    out, found, gap = b"", 0, 0
    for token in tokens:
        if predictor.predict() == token:
            gap += 1
        else:
            out += number(gap) + (b"\0" if token is LITERAL_TOKEN else number(token.length - 2) + number(token.distance))
            found, gap = found + 1, 0
        predictor.accept(token)
    return number(len(tokens)) + number(found) + out


def recipe_of(pieces, plain):
    """A recipe and the file: pieces are bytes that stand in it, or (deflated, plain, level, blocks that are bits)."""
    parts, file = b"", b""
    for piece in pieces:
        parts += part(LITERAL, piece) if isinstance(piece, bytes) else stream_parts(*piece)
        file += piece if isinstance(piece, bytes) else piece[0]
    return RECIPE_MAGIC + parts + end_part(file, plain), file
