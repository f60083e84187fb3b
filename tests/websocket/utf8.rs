//! Texts that are UTF-8, and such that are not: Markus Kuhn's stress test, as the testsuite has it. Judges nothing.

/// "kosme" in Greek, of characters of two and three bytes.
pub(crate) const GREEK: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// Group, number, whether it is UTF-8, and the bytes.
pub(crate) fn sequences() -> Vec<(usize, usize, bool, Vec<u8>)> {
    let groups = (5..).zip(groups());
    let numbered = groups.flat_map(|(group, (is_valid, all))| {
        let all = (1..).zip(all);
        all.map(move |(number, bytes)| {
            // The second group has all beginnings of a text, and the seventh its highest character beside one too high.
            let is_valid = match group {
                6 => [2, 5, 7, 9, 11].contains(&number),
                11 => number < 5,
                _ => is_valid,
            };
            (group, number, is_valid, bytes)
        })
    });
    numbered.collect()
}

fn of(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.to_vec()).collect()
}

fn groups() -> Vec<(bool, Vec<Vec<u8>>)> {
    let correct: [&[u8]; 5] = [
        b"hello\x24world",
        b"hello\xc2\xa2world",
        b"hello\xe2\x82\xacworld",
        b"hello\xf0\xa4\xad\xa2world",
        GREEK,
    ];
    let cut_short: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    vec![
        (true, of(&correct)),
        (true, (1..=GREEK.len()).map(|end| GREEK[..end].to_vec()).collect()),
        (
            true,
            of(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        ),
        (false, of(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        (
            true,
            of(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        ),
        (
            false,
            of(&[
                b"\xf7\xbf\xbf\xbf",
                b"\xfb\xbf\xbf\xbf\xbf",
                b"\xfd\xbf\xbf\xbf\xbf\xbf",
            ]),
        ),
        (
            true,
            of(&[
                b"\xed\x9f\xbf",
                b"\xee\x80\x80",
                b"\xef\xbf\xbd",
                b"\xf4\x8f\xbf\xbf",
                b"\xf4\x90\x80\x80",
            ]),
        ),
        (false, unexpected_continuations()),
        (false, lonely_starts()),
        (false, of(&cut_short)),
        (false, vec![cut_short.concat()]),
        (false, of(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        (false, overlong([0xc0, 0xe0, 0xf0, 0xf8, 0xfc], 0x80, 0xaf)),
        (
            false,
            of(&[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ]),
        ),
        (false, overlong([0xc0, 0xe0, 0xf0, 0xf8, 0xfc], 0x80, 0x80)),
        (false, surrogates().map(<[u8]>::to_vec).to_vec()),
        (false, surrogate_pairs()),
        (true, non_characters()),
        (true, (0xb9..=0xbf).map(|last| vec![0xef, 0xbf, last]).collect()),
    ]
}

fn unexpected_continuations() -> Vec<Vec<u8>> {
    let alternating = |length| {
        (0..length)
            .map(|place| if place % 2 == 0 { 0x80 } else { 0xbf })
            .collect()
    };
    let mut all = of(&[b"\x80", b"\xbf"]);
    all.extend((2..=6).map(alternating));
    all.push((0x80..0xbf).collect());
    all
}

fn lonely_starts() -> Vec<Vec<u8>> {
    let ranges = [0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd];
    ranges
        .map(|range| range.flat_map(|byte| [byte, b' ']).collect())
        .to_vec()
}

/// A character in two to six bytes, where one would do.
fn overlong(starts: [u8; 5], middle: u8, last: u8) -> Vec<Vec<u8>> {
    let texts = (0..).zip(starts).map(|(length, start)| {
        let mut text = vec![start];
        text.extend(vec![middle; length]);
        text.push(last);
        text
    });
    texts.collect()
}

fn surrogates() -> [&'static [u8]; 7] {
    [
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbe\x80",
        b"\xed\xbf\xbf",
    ]
}

fn surrogate_pairs() -> Vec<Vec<u8>> {
    let [first, second, third, fourth, low, _, last] = surrogates();
    let high = [first, second, third, fourth];
    high.iter()
        .flat_map(|high| [low, last].map(|low| [*high, low].concat()))
        .collect()
}

/// Code points that are no characters, and UTF-8 all the same.
fn non_characters() -> Vec<Vec<u8>> {
    let mut all = of(&[b"\xef\xbf\xbe", b"\xef\xbf\xbf"]);
    for first in 0xf0..=0xf4 {
        for second in [0x8f, 0x9f, 0xaf, 0xbf] {
            let is_overlong = (first, second) == (0xf0, 0x8f);
            let is_too_high = first == 0xf4 && second != 0x8f;
            if !is_overlong && !is_too_high {
                all.extend([0xbe, 0xbf].map(|last| vec![first, second, 0xbf, last]));
            }
        }
    }
    all
}
