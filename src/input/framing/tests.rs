use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::input::allocations;

type Frames = Vec<(Vec<u8>, bool)>;
type Outcome = (Frames, Option<FramingError>);

/// Feeds `stream` in reads of the sizes that `sizes` gives, then ends the connection.
fn feed(stream: &[u8], limit: usize, mut sizes: impl FnMut() -> usize) -> Outcome {
    let mut frames = Frames::new();
    let mut deframer = Deframer::new(Limits { frame: limit });
    let keep = |frame: Frame<'_>| (frame.bytes.to_vec(), frame.truncated);
    let mut rest = stream;
    while !rest.is_empty() {
        let space = deframer.space();
        assert!(space.len() >= 16 << 10);
        let n = sizes().min(rest.len()).min(space.len());
        space[..n].copy_from_slice(&rest[..n]);
        rest = &rest[n..];
        // One that is not asked for now comes later.
        frames.extend(deframer.filled(n).take(3).map(keep));
        frames.extend(deframer.filled(0).map(keep));
        if let Some(error) = deframer.error() {
            assert_eq!(deframer.filled(0).next(), None);
            assert_eq!(deframer.finish(), None);
            assert_eq!(deframer.error(), Some(error));
            return (frames, Some(error));
        }
    }
    frames.extend(deframer.finish().map(keep));
    assert_eq!(deframer.finish(), None, "finished twice");
    (frames, None)
}

fn whole(stream: &[u8], limit: usize) -> Outcome {
    feed(stream, limit, || usize::MAX)
}

/// Whole, byte by byte and cut in two at every place: always the same.
fn every_way(stream: &[u8], limit: usize) -> Outcome {
    let outcome = whole(stream, limit);
    assert_eq!(feed(stream, limit, || 1), outcome);
    for cut in 0..=stream.len() {
        let mut sizes = [cut, stream.len()].into_iter();
        assert_eq!(feed(stream, limit, || sizes.next().unwrap_or(1)), outcome, "cut at {cut}");
    }
    outcome
}

fn texts(frames: &[&str]) -> Frames {
    frames.iter().map(|text| (text.as_bytes().to_vec(), false)).collect()
}

#[test]
fn lines_and_their_ends() {
    let stream = b"one\ntwo\r\n\r\n\n\0three\0 four\n  <5>five\n \tsix\r\r\n   \nlast\r";
    let expected = ["one", "two", "three", " four", "<5>five", " \tsix\r", "   ", "last"];
    assert_eq!(every_way(stream, 100), (texts(&expected), None));
}

#[test]
fn what_only_looks_like_a_length_is_a_line() {
    for line in [
        "192.168.1.42 - - [11/Oct/2026:22:14:15 +0000] \"GET / HTTP/1.1\" 401 0",
        "2026-11-22T10:00:00Z h1 su: one",
        "2026 <x",
        "12 monkeys <3",
        "12  <34>x",
        "30<34>x",
        "030 <34>x",
        "0 <34>x",
        "30\t<34>x",
        "123456789012345678901 <34>x",
        "7",
        "7 ",
        "7 <",
    ] {
        assert_eq!(every_way(line.as_bytes(), 100), (texts(&[line]), None), "{line}");
        let two = format!("{line}\n{line}\n");
        assert_eq!(every_way(two.as_bytes(), 100), (texts(&[line, line]), None), "{line}");
    }
}

#[test]
fn a_line_never_switches_to_counting() {
    let stream = b"<34>user 'x\n999999 <34>y' failed\n<35>somebody else\n5 <34>z\n";
    let expected = ["<34>user 'x", "999999 <34>y' failed", "<35>somebody else", "5 <34>z"];
    assert_eq!(every_way(stream, 100), (texts(&expected), None));
}

#[test]
fn counted_content_is_never_looked_at() {
    let stream = b"12 <34>a\nb\0c\r\n\r\n5 <9>\0\n\x007 7 <34>xy<1>line\n6 other!";
    let expected = ["<34>a\nb\0c\r\n\r", "<9>\0\n", "7 <34>x"];
    let (frames, error) = every_way(stream, 100);
    assert_eq!(frames, texts(&expected));
    assert_eq!(error, Some(FramingError::Begin(b'y')));
    let stream = b"5 <34>a<1>line\r\n6 other!\0\r\n<2>\n<3>last";
    let expected = ["<34>a", "<1>line", "other!", "<2>", "<3>last"];
    assert_eq!(every_way(stream, 100), (texts(&expected), None));
}

#[test]
fn broken_counting_is_an_error_and_allocates_nothing_for_it() {
    let good = "6 <34>ab";
    for (bad, expected) in [
        ("x", FramingError::Begin(b'x')),
        ("030 <34>x", FramingError::Begin(b'0')),
        (" 6 <34>ab", FramingError::Begin(b' ')),
        ("6<34>ab", FramingError::Space(b'<')),
        ("6\n", FramingError::Space(b'\n')),
        ("9999999999 <34>x", FramingError::Absurd),
        ("99999999999999999999999999", FramingError::Absurd),
    ] {
        let (frames, error) = every_way(format!("{good}{bad}").as_bytes(), 100);
        assert_eq!((frames, error), (texts(&["<34>ab"]), Some(expected)), "{bad}");
    }
    for absurd in ["1234567890 <34>x", "99999999999999999999 <34>x"] {
        assert_eq!(every_way(absurd.as_bytes(), 100), (vec![], Some(FramingError::Absurd)));
    }
    let mut deframer = Deframer::new(Limits::default());
    deframer.space()[..14].copy_from_slice(b"999999999 <34>");
    assert_eq!(allocations::count(|| assert_eq!(deframer.filled(14).next(), None)), 0);
    assert_eq!(allocations::count(|| _ = deframer.space()), 1);
    assert!(deframer.buffer.size() <= 32 << 10);
}

#[test]
fn an_incomplete_counted_frame_is_not_lost_uncounted() {
    let head = |text: &str| (text.as_bytes().to_vec(), true);
    assert_eq!(every_way(b"200 <34>x", 100).0, [head("<34>x")]);
    for begun in ["3", "30", "30 "] {
        let (frames, error) = every_way(format!("4 <3>a\n{begun}").as_bytes(), 100);
        assert_eq!((frames, error), (vec![(b"<3>a".to_vec(), false), head("")], None), "{begun}");
    }
    // Already handed out, marked: not a second time.
    assert_eq!(every_way(b"200 <34>12345", 6).0, [head("<34>12")]);
}

#[test]
fn long_frames_are_cut_and_their_tails_discarded() {
    let cut = |text: &str| (text.as_bytes().to_vec(), true);
    let fits = |text: &str| (text.as_bytes().to_vec(), false);
    // Exactly the limit, with and without CR; one more; many more, with a `<` in the tail.
    let stream = b"<1>456\n<1>456\r\n<1>4567\n<1>456789\r\r<2>tail\n  <1>6\n<3>next\n<1>456\r";
    let expected =
        [fits("<1>456"), fits("<1>456"), cut("<1>456"), cut("<1>456"), fits("<1>6"), cut("<3>nex")];
    let (frames, error) = every_way(stream, 6);
    assert_eq!((&frames[..6], &frames[6..], error), (&expected[..], &[fits("<1>456")][..], None));
    let stream = b"6 <1>4567 <1>456720 <1>456\n<2>tail 5 <3>5 <3>ab";
    let expected = [fits("<1>456"), cut("<1>456"), cut("<1>456")];
    let (frames, _) = every_way(stream, 6);
    assert_eq!(frames[..3], expected);
    // A discarded tail is no last line.
    assert_eq!(every_way(b"<1>45678<2>", 6).0, [cut("<1>456")]);
}

#[test]
fn a_line_of_a_mebibyte() {
    let mut stream = b"<34>first\n".to_vec();
    stream.extend(std::iter::repeat_n(b'x', 1 << 20));
    stream.extend(b"\n<34>next\n");
    for sizes in [1, 1000, 16 << 10, usize::MAX] {
        let (frames, error) = feed(&stream, 1 << 20, || sizes);
        assert_eq!(error, None);
        assert_eq!(frames.len(), 3);
        assert_eq!((frames[1].0.len(), frames[1].1), (1 << 20, false));
        let (frames, _) = feed(&stream, 65_536, || sizes);
        assert_eq!(frames.len(), 3);
        assert_eq!((frames[1].0.len(), frames[1].1), (65_536, true));
        assert_eq!(frames[2], (b"<34>next".to_vec(), false));
    }
    let mut counted = format!("{} <34>", (1 << 20) + 4).into_bytes();
    counted.extend(std::iter::repeat_n(b'\n', 1 << 20));
    counted.extend(b"8 <34>next");
    let (frames, _) = whole(&counted, 65_536);
    assert_eq!((frames[0].0.len(), frames[0].1), (65_536, true));
    assert_eq!(frames[1..], [(b"<34>next".to_vec(), false)]);
}

#[test]
fn the_buffer_is_small_when_idle_and_bounded_under_load() {
    let mut deframer = Deframer::new(Limits::default());
    assert_eq!(deframer.buffer.size(), 0);
    for _ in 0..100 {
        deframer.space()[..4].copy_from_slice(b"<1>\n");
        assert_eq!(deframer.filled(4).count(), 1);
    }
    assert_eq!(deframer.buffer.size(), 16 << 10);
    for _ in 0..100 {
        let space = deframer.space();
        let n = space.len();
        space.fill(b'x');
        deframer.filled(n).for_each(drop);
        assert!(deframer.buffer.size() <= 256 << 10);
    }
    assert_eq!(deframer.buffer.size(), 256 << 10);
    deframer.shrink();
    assert_eq!(deframer.buffer.size(), 0);
    deframer.space()[..2].copy_from_slice(b"\nx");
    assert_eq!(deframer.filled(2).next(), None, "the tail of the long line");
    deframer.shrink();
    assert_eq!(deframer.buffer.size(), 16 << 10, "something waits");
    assert_eq!(deframer.finish().unwrap().bytes, b"x");
}

#[test]
fn nothing_is_allocated_once_warm() {
    for stream in ["<34>Oct 11 22:14:15 h1 su: one\n", "30 <34>Oct 11 22:14:15 h1 su: one"] {
        let stream = stream.repeat(100_000).into_bytes();
        let mut deframer = Deframer::new(Limits::default());
        let mut frames = 0;
        let mut run = || {
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let space = deframer.space();
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                rest = &rest[n..];
                frames += deframer.filled(n).count();
            }
        };
        assert!(allocations::count(&mut run) > 0);
        assert_eq!(allocations::count(&mut run), 0);
        assert_eq!(frames, 200_000);
    }
}

// ---- other people's cases -------------------------------------------------------------------

fn corpus(transport: &str) -> BTreeMap<String, Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora/syslog_parse_cases.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|case| case["transport"].as_str().unwrap().starts_with(transport))
        .map(|case| (case["id"].as_str().unwrap().to_owned(), case))
        .collect()
}

/// Where ours differs from the row, or the row says nothing: our frames, our error, the reason.
#[rustfmt::skip]
const OURS: [(&str, &[&str], Option<FramingError>, &str); 10] = [
    ("p0480", &["<34>Oct 11 22:14:15 h1 su: one", "30 <34>Oct 11 22:14:16 h1 su: two"], None,
     "a line-framed connection stays so: a smuggled length would swallow other people's lines"),
    ("p0482", &[], Some(FramingError::Absurd),
     "a length of 10 to 20 digits before <PRI was meant as one: close and count, allocate nothing"),
    ("p0483", &["0030 <34>Oct 11 22:14:15 h1 su: one"], None,
     "leading zeros are no length (RFC 6587 3.4.1), so the connection is line-framed"),
    ("p0484", &["<34>Oct 11 22:14:15 h1 su: one"], None,
     "the part that came is handed out, marked truncated"),
    ("p0186", &[], None, "an empty connection is no error"),
    ("p0187", &["<1>1 - - - - - -", "<2>12 A B C D E -"], None,
     "framing does not judge content: a malformed message ends nothing"),
    ("p0192", &["16<1>1"], None, "no space after the number: a line"),
    ("p0193", &["1"], None, "bare digits are a line"),
    ("p0194", &["<1>1 2003-10-11T22:14:15.003Z host.local - - - -", "<3>1 - host.local - - - -",
     "<2>1 - host.local su - - - κ\u{1f79}σμε"], None, "the row keeps one result for three messages"),
    ("p0195", &["<1>1 - - - - - -", "<2>12 A B C D E -", "<1>1 - - - - - -"], None,
     "framing does not judge content: a malformed message ends nothing"),
];

fn our_own(id: &str) -> Option<(Vec<&'static str>, Option<FramingError>)> {
    let row = OURS.iter().find(|row| row.0 == id)?;
    Some((row.1.to_vec(), row.2))
}

fn as_texts(frames: &Frames) -> Vec<&str> {
    frames.iter().map(|(bytes, _)| std::str::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn the_hand_written_streams() {
    let rows = corpus("tcp-stream");
    assert_eq!(rows.len(), 18);
    for (id, row) in &rows {
        let (frames, error) = every_way(row["input"].as_str().unwrap().as_bytes(), 65_536);
        let expected: Vec<&str> = match row["expect"]["messages"].as_array() {
            // A regular expression of that listener's own put lines together; ours has none.
            Some(_) if id == "p0488" => row["input"].as_str().unwrap().split('\n').collect(),
            Some(messages) => messages.iter().map(|text| text.as_str().unwrap()).collect(),
            None => Vec::new(),
        };
        let expected = expected.into_iter().filter(|text| !text.is_empty()).collect();
        let differs = our_own(id);
        assert_eq!((as_texts(&frames), error), differs.unwrap_or((expected, None)), "{id}");
        assert_eq!(frames.iter().any(|frame| frame.1), id == "p0484", "{id}");
    }
}

#[test]
fn the_streams_of_go_syslog() {
    let rows = corpus("stream-");
    assert_eq!(rows.len(), 17);
    for (id, row) in &rows {
        let stream = row["input"].as_str().unwrap();
        let (frames, error) = every_way(stream.as_bytes(), 65_536);
        if let Some(ours) = our_own(id) {
            assert_eq!((as_texts(&frames), error), ours, "{id}");
            continue;
        }
        let results = row["expect"]["best_effort_results"].as_array().unwrap();
        let messages = results.iter().filter(|result| !result["message"].is_null());
        // p0196 is refused there by a limit that the row does not carry; see below.
        assert_eq!(frames.len(), if id == "p0196" { 1 } else { messages.count() }, "{id}");
        // Where the row breaks off, ours is an error or a truncated frame.
        let (broken, cut) = match id.as_str() {
            "p0188" | "p0189" => (Some(FramingError::Begin(b'x')), false),
            "p0197" => (Some(FramingError::Begin(b' ')), false),
            "p0191" => (None, true),
            _ => (None, false),
        };
        assert_eq!((error, frames.iter().any(|frame| frame.1)), (broken, cut), "{id}");
    }
    let over = rows["p0196"]["input"].as_str().unwrap();
    assert_eq!(every_way(over.as_bytes(), 10), (vec![(b"<1>1 - - -".to_vec(), true)], None));
}

// ---- random streams -------------------------------------------------------------------------

/// xorshift64*, seeded: every run tests the same streams.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn bytes(&mut self, alphabet: &[u8], longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

#[test]
fn random_messages_come_out_as_they_went_in() {
    let mut random = Random(0x5eed);
    for round in 0..4000 {
        let (limit, counted) = (4 + random.below(40), round % 2 == 0);
        let (mut stream, mut expected) = (Vec::new(), Frames::new());
        for index in 0..random.below(12) {
            let as_line = !counted || (index > 0 && random.below(4) == 0);
            let alphabet: &[u8] = if as_line { b"a1 <>9" } else { b"a1 <>9\n\r\0\xff" };
            let mut message = b"<1>".to_vec();
            message.extend(random.bytes(alphabet, 50));
            if as_line {
                let padding = if counted { 0 } else { random.below(3) };
                let padded = [&b"  "[..padding], &message].concat();
                stream.extend(&padded);
                stream.extend([&b"\n"[..], b"\0", b"\r\n", b"\n\n"][random.below(4)]);
                let kept = &padded[..limit.min(padded.len())];
                expected.push((kept[padding.min(limit)..].to_vec(), padded.len() > limit));
            } else {
                stream.extend(format!("{} ", message.len()).bytes());
                stream.extend(&message);
                stream.extend([&b""[..], b"\n", b"\r\n", b"\0"][random.below(4)]);
                expected
                    .push((message[..limit.min(message.len())].to_vec(), message.len() > limit));
            }
        }
        assert_eq!(whole(&stream, limit), (expected.clone(), None), "{stream:?} {limit}");
        let most = 1 + random.below(20);
        assert_eq!(feed(&stream, limit, || random.below(most + 1)), (expected, None));
    }
}

#[test]
fn random_rubbish_does_not_depend_on_the_cuts() {
    let mut random = Random(0xbad);
    for _ in 0..20_000 {
        let limit = 1 + random.below(12);
        let begin = [&b""[..], b"4 <1>a", b"<1>\n", b"9"][random.below(4)];
        let rest = random.bytes(b"<>0123 \n\r\0a", 60);
        let stream = [begin, &rest].concat();
        let outcome = whole(&stream, limit);
        assert_eq!(feed(&stream, limit, || 1), outcome, "{stream:?} {limit}");
        assert_eq!(feed(&stream, limit, || random.below(8)), outcome, "{stream:?} {limit}");
        assert!(
            outcome
                .0
                .iter()
                .all(|(bytes, cut)| bytes.len() <= limit && (*cut || !bytes.is_empty()))
        );
    }
}
