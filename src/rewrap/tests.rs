//! Streams of real encoders and of none come back byte for byte.

use crate::rewrap::again::Needs;
use crate::rewrap::again::Rewrapper;
use crate::rewrap::bits::BitWriter;
use crate::rewrap::huffman::Codes;
use crate::rewrap::recipe::Stated;
use crate::rewrap::unwrapper::Begun;
use crate::rewrap::unwrapper::Unwrapper;
use crate::units::to_u64;
use proptest::prelude::any;
use proptest::proptest;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

/// Plain bytes, the recipe, and what is wrong with the stream.
type Unwrapped = (Vec<u8>, Vec<u8>, Option<&'static str>);

/// What became of a stream; nothing if it is stored as it is, which is checked here.
fn unwrap(bytes: &[u8]) -> Option<Unwrapped> {
    let mut unwrapper = match Unwrapper::begin(bytes).unwrap() {
        Begun::Wrapped(unwrapper) => unwrapper,
        Begun::AsItIs { mut kept, mut input, .. } => {
            input.read_to_end(&mut kept).unwrap();
            assert_eq!(kept, bytes, "a stream that is not unwrapped must stay as it is");
            return None;
        }
    };
    let (mut plain, mut recipe, mut buffer) = (Vec::new(), Vec::new(), [0; 7001]);
    loop {
        let length = unwrapper.read(&mut buffer).unwrap();
        recipe.append(unwrapper.recipe());
        if length == 0 {
            break;
        }
        plain.extend_from_slice(&buffer[..length]);
    }
    let stated =
        Stated { length: to_u64(bytes.len()), digest: [7; 32], plain_length: to_u64(plain.len()) };
    recipe.extend(stated.part());
    Some((plain, recipe, unwrapper.damage()))
}

fn rewrap(plain: &[u8], recipe: &[u8]) -> Option<Vec<u8>> {
    let (mut plain, mut recipe) = (plain.chunks(9001), recipe.chunks(4001));
    let (mut out, mut rewrapper) = (Vec::new(), Rewrapper::default());
    loop {
        let mut step = Vec::new();
        let needs = rewrapper.make(&mut step).ok()?;
        out.append(&mut step);
        match needs {
            None => {}
            Some(Needs::Recipe) => rewrapper.take_recipe(recipe.next()?),
            Some(Needs::Plain) => rewrapper.take_plain(plain.next()?),
            Some(Needs::Nothing) => break,
        }
    }
    plain.for_each(|bytes| rewrapper.take_plain(bytes));
    recipe.for_each(|bytes| rewrapper.take_recipe(bytes));
    let stated = rewrapper.finish().ok()?;
    (stated.length == to_u64(out.len())).then_some(out)
}

/// Checks that a stream comes back, or stays as it is; returns the length of the recipe.
#[track_caller]
fn comes_back(bytes: &[u8]) -> Option<usize> {
    let (plain, recipe, _damage) = unwrap(bytes)?;
    assert!(rewrap(&plain, &recipe).as_deref() == Some(bytes), "the compressed bytes");
    Some(recipe.len())
}

/// Unwraps and rewraps what is whole; returns the length of the recipe.
#[track_caller]
fn check(bytes: &[u8], plain: &[u8]) -> usize {
    let (found, recipe, damage) = unwrap(bytes).expect("it is unwrapped");
    assert!(found == plain, "the plain bytes");
    assert_eq!(damage, None);
    assert!(rewrap(&found, &recipe).as_deref() == Some(bytes), "the compressed bytes");
    recipe.len()
}

fn text(rows: u64) -> Vec<u8> {
    let mut state = 7_u64;
    let mut text = Vec::new();
    for row in 0..rows {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(row | 1);
        let (name, city) = (state >> 50, (state >> 40) % 97);
        writeln!(
            text,
            "{row}\tcustomer {name}\tstreet of city {city}\t{state:x}\t2026-01-{:02}",
            row % 28 + 1
        )
        .unwrap();
    }
    text
}

fn encoded(argv: &[&str], plain: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let plain = plain.to_vec();
    let feeder = std::thread::spawn(move || input.write_all(&plain).unwrap());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    Some(output.stdout)
}

#[test]
fn every_level_of_gzip_is_foreseen_almost_entirely() {
    let plain = text(60_000);
    for level in ["-1", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9"] {
        let bytes = encoded(&["gzip", level], &plain).expect("gzip is installed");
        let recipe = check(&bytes, &plain);
        assert!(recipe * 60 < bytes.len(), "level {level}: {recipe} of {}", bytes.len());
    }
}

#[test]
fn members_that_are_joined_and_what_stands_behind_them_come_back() {
    let plain = text(5000);
    let one = encoded(&["gzip", "-9"], &plain).expect("gzip is installed");
    let other = encoded(&["gzip", "-1", "-n"], b"").expect("gzip is installed");
    let joined = [&*one, &*other, &*one, &[0; 512], b"rest"].concat();
    check(&joined, &[&*plain, &*plain].concat());
}

/// Bytes that nothing makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let byte = |_: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[5]
    };
    (0..length).map(byte).collect()
}

fn gzip(level: &str, plain: &[u8]) -> Vec<u8> {
    encoded(&["gzip", level], plain).expect("gzip is installed")
}

/// What Python makes of bytes: an expression that calls its `gzip` or `zlib`.
fn python(expression: &str, plain: &[u8]) -> Vec<u8> {
    let program = format!(
        "import gzip, sys, zlib\n\
         plain = sys.stdin.buffer.read()\n\
         def deflate(level, wbits=31, memory=8, strategy=0, step=None, mode=zlib.Z_SYNC_FLUSH):\n\
         \x20   made = zlib.compressobj(level, zlib.DEFLATED, wbits, memory, strategy)\n\
         \x20   step = step or len(plain) or 1\n\
         \x20   steps = [plain[at:at + step] for at in range(0, len(plain), step)]\n\
         \x20   flushed = [made.compress(each) + made.flush(mode) for each in steps[:-1]]\n\
         \x20   return b''.join(flushed) + made.compress(b''.join(steps[-1:])) + made.flush()\n\
         sys.stdout.buffer.write({expression})\n"
    );
    let bytes = encoded(&["python3", "-c", &program], plain).expect("Python is installed");
    assert!(!bytes.is_empty(), "{expression} failed");
    bytes
}

#[test]
fn what_zlib_makes_is_foreseen_at_every_level_and_memory() {
    let plain = text(12_000);
    for level in 1..=9 {
        // With other memory blocks have other lengths, and hashes collide otherwise.
        for memory in [8, 9] {
            let bytes = python(&format!("deflate({level}, memory={memory})"), &plain);
            let recipe = check(&bytes, &plain);
            let most = if memory == 8 { bytes.len() / 60 } else { bytes.len() / 8 };
            assert!(recipe < most, "level {level}, {memory}: {recipe} of {}", bytes.len());
        }
    }
    check(&python("gzip.compress(plain, mtime=0)", &plain), &plain);
    let flushed = python("deflate(6, step=70000)", &plain);
    assert!(check(&flushed, &plain) * 10 < flushed.len());
}

#[test]
fn other_ways_of_zlib_come_back_or_stay_as_they_are() {
    for plain in [text(6000), noise(300_000), vec![0; 3_000_000], b"a".to_vec()] {
        for strategy in 0..=4 {
            for level in [1, 6, 9] {
                comes_back(&python(&format!("deflate({level}, strategy={strategy})"), &plain));
            }
        }
        for window in 9..=15 {
            comes_back(&python(&format!("deflate(6, wbits=16 + {window})"), &plain));
        }
        for expression in [
            "deflate(0)",
            "deflate(6, memory=1)",
            "deflate(6, step=10000, mode=zlib.Z_FULL_FLUSH)",
            "deflate(9, step=5000, mode=zlib.Z_PARTIAL_FLUSH)",
            "deflate(6, wbits=15)",
            "deflate(6, wbits=-15)",
        ] {
            comes_back(&python(expression, &plain));
        }
    }
}

#[test]
fn what_several_processors_compress_comes_back() {
    let plain = text(40_000);
    for level in ["-1", "-6", "-9"] {
        let Some(bytes) = encoded(&["pigz", level], &plain) else { return };
        let recipe = check(&bytes, &plain);
        assert!(recipe * 4 < bytes.len(), "level {level}: {recipe} of {}", bytes.len());
        comes_back(&encoded(&["pigz", level, "-i"], &plain).unwrap());
    }
    comes_back(&encoded(&["pigz", "-11"], &text(3000)).unwrap());
}

#[test]
fn headers_of_all_kinds_come_back() {
    let plain = text(3000);
    let deflated = python("deflate(6, wbits=-15)", &plain);
    let trailer = gzip("-6", &plain);
    let trailer = &trailer[trailer.len() - 8..];
    let headers: [&[u8]; 5] = [
        b"\x1f\x8b\x08\0\x01\x02\x03\x04\x02\xff",
        b"\x1f\x8b\x08\x08\0\0\0\0\0\x03app-2026.sql\0",
        b"\x1f\x8b\x08\x18\0\0\0\0\0\x03name\0a comment\0",
        b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\x05\0extra",
        b"\x1f\x8b\x08\x1f\0\0\0\0\0\x03\x01\0xname\0comment\0\x12\x34",
    ];
    for header in headers {
        check(&[header, &deflated, trailer].concat(), &plain);
    }
    // Flags that nobody has given a meaning.
    let odd = [b"\x1f\x8b\x08\x80\0\0\0\0\0\x03".as_slice(), &deflated, trailer].concat();
    assert!(unwrap(&odd).is_none());
}

#[test]
fn what_turns_unusual_is_kept_as_bits() {
    // Two megabytes that are foreseen, and then other encoders.
    let usual = gzip("-6", &[noise(1_100_000), text(20_000)].concat());
    let others = [
        python("deflate(6, strategy=2)", &text(20_000)),
        python("deflate(6, memory=1)", &text(20_000)),
        gzip("-9", &noise(3_000_000)),
        // Five thousand stored blocks of no length.
        [
            [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255].as_slice(),
            &[0, 0, 0, 0xff, 0xff].repeat(5000),
            &[1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat(),
    ];
    for other in others {
        let bytes = [&*usual, &*other, &*usual].concat();
        let recipe = comes_back(&bytes).expect("it is unwrapped");
        assert!(recipe < other.len() * 5 / 4 + usual.len() / 8, "{recipe} of {}", bytes.len());
    }
}

#[test]
fn blocks_of_any_length_come_back() {
    // One block of codes that everybody knows: a megabyte of literals, then a very long match.
    let mut bits = BitWriter::default();
    let codes = Codes::fixed().unwrap();
    bits.put(1, 1);
    bits.put(1, 2);
    for byte in noise(3_000_000) {
        codes.literals.write(&mut bits, usize::from(byte)).unwrap();
    }
    for _ in 0..100_000 {
        codes.literals.write(&mut bits, 285).unwrap();
        codes.distances.write(&mut bits, 0).unwrap();
    }
    codes.literals.write(&mut bits, 256).unwrap();
    bits.pad(0);
    let usual = gzip("-6", &[noise(1_100_000), text(20_000)].concat());
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let bytes = [&*usual, &header, &bits.out, &[0; 8]].concat();
    let (plain, recipe, damage) = unwrap(&bytes).expect("it is unwrapped");
    assert!(damage.expect("that is not its checksum").contains("checksum"));
    assert_eq!(plain.len(), 1_100_000 + text(20_000).len() + 3_000_000 + 100_000 * 258);
    assert!(rewrap(&plain, &recipe).as_deref() == Some(&bytes[..]));
}

#[test]
fn cut_and_damaged_streams_are_told_and_come_back() {
    let plain = [noise(1_200_000), text(60_000)].concat();
    let bytes = gzip("-6", &plain);
    let told = |bytes: &[u8]| {
        let (found, recipe, damage) = unwrap(bytes).expect("it is unwrapped");
        assert!(rewrap(&found, &recipe).as_deref() == Some(bytes), "the compressed bytes");
        assert!(plain.starts_with(&found[..found.len().min(1_200_000)]));
        (found.len(), damage.unwrap_or_default())
    };
    for cut in [1_300_000, bytes.len() / 2 + 400_000, bytes.len() - 9, bytes.len() - 1] {
        let (length, damage) = told(&bytes[..cut]);
        assert_eq!(damage, "was cut off", "at {cut} of {}", bytes.len());
        assert!(length > 1_200_000, "{length} bytes could be read at {cut}");
    }
    let mut flipped = bytes.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    assert!(told(&flipped).1.contains("checksum"));
    let mut flipped = bytes.clone();
    flipped[1_400_000] ^= 0x55;
    assert!(told(&flipped).1.contains("is damaged"));
    // A second member that is cut off within its header.
    assert_eq!(told(&[&*bytes, &bytes[..5]].concat()).1, "was cut off");
    // Short ones, too.
    let short = gzip("-6", &text(5000));
    let (found, _, damage) = unwrap(&short[..short.len() - 3]).expect("it is unwrapped");
    assert!(found == text(5000) && damage == Some("was cut off"));
    for cut in 0..200 {
        comes_back(&short[..short.len() * cut / 200]);
    }
}

#[test]
fn what_is_no_gzip_stays_as_it_is() {
    for bytes in [b"".as_slice(), b"\x1f", b"\x1f\x8b", b"-- a dump", b"\x28\xb5\x2f\xfd"] {
        assert!(unwrap(bytes).is_none());
    }
    assert!(unwrap(&[gzip("-6", b"").as_slice(), &noise(2_000_000)].concat()).is_none());
}

#[test]
fn memory_is_bounded_for_long_streams() {
    // Zeros, a thousand times shorter when compressed; and noise, which is all literals.
    for plain in [vec![0; 150_000_000], noise(8_000_000)] {
        let bytes = gzip("-1", &plain);
        let Begun::Wrapped(mut unwrapper) = Unwrapper::begin(&bytes[..]).unwrap() else {
            unreachable!("gzip wrote it");
        };
        let (mut length, mut buffer) = (0, [0; 16_000]);
        loop {
            let read = unwrapper.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            length += read;
            unwrapper.recipe().clear();
            assert!(unwrapper.held_bytes() < 160_000_000, "{} at {length}", unwrapper.held_bytes());
        }
        assert_eq!(length, plain.len());
    }
}

/// Encoders and what they are told.
fn encode(choice: usize, level: u32, plain: &[u8]) -> Vec<u8> {
    if choice == 0 {
        return gzip(&format!("-{}", level.max(1)), plain);
    }
    let level = flate2::Compression::new(level);
    let mut encoder = flate2::GzBuilder::new().filename("a name").write(Vec::new(), level);
    for piece in plain.chunks(10_007) {
        encoder.write_all(piece).unwrap();
        if choice == 2 {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn any_bytes_of_any_encoder_come_back(pieces in proptest::collection::vec((any::<u8>(), 1_usize..4000, 0_u8..3), 0..60), choice in 0_usize..3, level in 0_u32..=9, behind in proptest::collection::vec(any::<u8>(), 0..30)) {
        let mut plain: Vec<u8> = Vec::new();
        for (index, (byte, length, kind)) in pieces.into_iter().enumerate() {
            match kind {
                0 => plain.extend((0..length).map(|_| byte)),
                1 => plain.extend((0..length).map(|place| byte.wrapping_mul(31).wrapping_add(u8::try_from(place * index % 251).unwrap()))),
                // Again what stood before.
                _ => plain.extend_from_within(plain.len().saturating_sub(length * 3)..plain.len().saturating_sub(length)),
            }
        }
        let one = encode(choice, level, &plain);
        comes_back(&one);
        comes_back(&[&*one, &*encode((choice + 1) % 3, 9 - level, &plain), &*behind].concat());
    }

    #[test]
    fn damage_comes_back(at in any::<proptest::sample::Index>(), flip in 1_u8.., cut in any::<bool>()) {
        let mut bytes = gzip("-6", &text(300));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if cut {
            bytes.truncate(at + 1);
        }
        comes_back(&bytes);
    }

    #[test]
    fn hostile_recipes_end(plain in proptest::collection::vec(any::<u8>(), 0..300), mut parts in proptest::collection::vec(any::<u8>(), 0..200), level in 0_u8..12) {
        parts.splice(0..0, [b"SBFRECP1".as_slice(), &[1, 1, level, 2, 100]].concat());
        // Whatever comes out, it ends.
        let _ended = rewrap(&plain, &parts);
    }

    #[test]
    fn recipes_with_a_mistake_give_no_more_than_the_file_could_have(at in any::<proptest::sample::Index>(), flip in 1_u8..) {
        let plain = text(200);
        let (_, mut recipe, _) = unwrap(&gzip("-9", &plain)).unwrap();
        let at = at.index(recipe.len());
        recipe[at] ^= flip;
        if let Some(made) = rewrap(&plain, &recipe) {
            proptest::prop_assert!(made.len() < 8 * plain.len() + recipe.len());
        }
    }
}
