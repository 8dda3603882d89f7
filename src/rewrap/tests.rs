//! Streams of real encoders and of none come back byte for byte.

use crate::rewrap::again::Rewrapper;
use crate::rewrap::unwrapper::Begun;
use crate::rewrap::unwrapper::UnwrapError;
use crate::rewrap::unwrapper::Unwrapper;
use proptest::prelude::any;
use proptest::prelude::prop_assert_eq;
use proptest::proptest;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;

/// Plain bytes, and the parts of the recipe.
type Unwrapped = (Vec<u8>, Vec<u8>);

/// What became of a stream: plain bytes and parts, or the same bytes again, or damage.
fn unwrap(bytes: &[u8]) -> Result<Option<Unwrapped>, UnwrapError> {
    let mut unwrapper = match Unwrapper::begin(bytes)? {
        Begun::Wrapped(unwrapper) => unwrapper,
        Begun::AsItIs(mut kept, mut rest) => {
            rest.read_to_end(&mut kept).unwrap();
            assert_eq!(kept, bytes, "a stream that is not unwrapped must stay as it is");
            return Ok(None);
        }
    };
    let (mut plain, mut buffer) = (Vec::new(), [0; 7001]);
    loop {
        let length = unwrapper.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        plain.extend_from_slice(&buffer[..length]);
    }
    Ok(Some((plain, unwrapper.into_parts().0)))
}

fn rewrap(plain: &[u8], parts: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rewrapper = Rewrapper::new(parts);
    for piece in plain.chunks(9001) {
        rewrapper.push(piece, &mut out).ok()?;
    }
    rewrapper.finish(&mut out).ok()?;
    Some(out)
}

/// Unwraps and rewraps; returns the length of the recipe.
#[track_caller]
fn check(bytes: &[u8], plain: &[u8]) -> usize {
    let (found, parts) = unwrap(bytes).unwrap().expect("it is unwrapped");
    assert!(found == plain, "the plain bytes");
    assert!(rewrap(&found, &parts).as_deref() == Some(bytes), "the compressed bytes");
    parts.len()
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

#[test]
fn cut_and_damaged_streams_are_told() {
    let plain = text(5000);
    let bytes = encoded(&["gzip"], &plain).expect("gzip is installed");
    for cut in [bytes.len() - 1, bytes.len() / 2, 40] {
        let found = unwrap(&bytes[..cut]);
        assert!(matches!(found, Err(UnwrapError::Damaged(_))), "cut at {cut}: {found:?}");
    }
    for at in [bytes.len() - 3, bytes.len() - 7] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert!(matches!(unwrap(&bytes), Err(UnwrapError::Damaged(_))));
    }
}

#[test]
fn zeros_of_a_large_ratio_pass_in_pieces() {
    let plain = vec![0; 12_000_000];
    let bytes = encoded(&["gzip", "-9"], &plain).expect("gzip is installed");
    check(&bytes, &plain);
}

proptest! {
    #[test]
    fn any_plain_bytes_come_back(pieces in proptest::collection::vec((any::<u8>(), 0_usize..700, any::<bool>()), 0..40)) {
        let mut plain = Vec::new();
        for (index, (byte, length, is_run)) in pieces.into_iter().enumerate() {
            let at = |place: usize| if is_run { byte } else { byte.wrapping_mul(31).wrapping_add(u8::try_from(place * index % 251).unwrap()) };
            plain.extend((0..length).map(at));
        }
        let bytes = encoded(&["gzip", "-6"], &plain).expect("gzip is installed");
        if let Some((found, parts)) = unwrap(&bytes).unwrap() {
            prop_assert_eq!(&found, &plain);
            prop_assert_eq!(rewrap(&found, &parts), Some(bytes));
        }
    }

    #[test]
    fn damage_is_told_or_comes_back(at in any::<proptest::sample::Index>(), flip in 1_u8.., cut in any::<bool>()) {
        let plain = text(300);
        let mut bytes = encoded(&["gzip", "-6"], &plain).expect("gzip is installed");
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if cut {
            bytes.truncate(at + 1);
        }
        if let Ok(Some((found, parts))) = unwrap(&bytes) {
            prop_assert_eq!(rewrap(&found, &parts), Some(bytes));
        }
    }

    #[test]
    fn hostile_parts_end(plain in proptest::collection::vec(any::<u8>(), 0..300), mut parts in proptest::collection::vec(any::<u8>(), 0..200), level in 0_u8..12) {
        parts.splice(0..0, [1, level, 2]);
        // Whatever comes out, it ends.
        let _ended = rewrap(&plain, &parts);
    }
}
