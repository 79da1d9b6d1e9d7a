//! Own lines, and what fail2ban 1.0.2 makes of them.

use super::*;

const RULE: &str = "CET-01CEST-02,M3.5.0,M10.5.0";
/// 2005-08-14 12:00 there.
const NOON: Timestamp = Timestamp(1_124_013_600_000_000);

fn detector(pattern: &str) -> DateDetector {
    DateDetector::new(Some(pattern), &Zone::named(RULE).unwrap()).unwrap()
}

/// The seconds, or the reason, and the text that is cut out.
fn found(detector: &mut DateDetector, line: &str) -> Option<(Result<i64, NoTime>, String)> {
    let found = detector.find(line.as_bytes(), NOON)?;
    Some((found.time.map(|time| time.0 / 1_000_000), line[found.date].to_owned()))
}

/// Pattern, line, what is found.
type Row<'t> = (&'t str, &'t str, Option<(Result<i64, NoTime>, &'t str)>);

fn check(rows: &[Row<'_>]) {
    for (pattern, line, expected) in rows {
        let expected = expected.map(|(time, text)| (time, text.to_owned()));
        assert_eq!(found(&mut detector(pattern), line), expected, "{pattern} on {line}");
    }
}

#[test]
fn known_formats() {
    check(&[
        (
            "",
            "2005-08-14T11:59:58.25+02:00 h",
            Some((Ok(1_124_013_598), "2005-08-14T11:59:58.25+02:00")),
        ),
        ("", "[2005/08/14  1:02:03] x", Some((Ok(1_123_974_123), "2005/08/14  1:02:03"))),
        ("", "Sun Aug 14 11:59:58 h", Some((Ok(1_124_013_598), "Sun Aug 14 11:59:58"))),
        ("", "AUG  4 11:59:58", Some((Ok(1_123_149_598), "AUG  4 11:59:58"))),
        ("", "Aug 14 2004 11:59:58", Some((Ok(1_092_477_598), "Aug 14 2004 11:59:58"))),
        (
            "",
            "- [14/Aug/2005:11:59:58 +0100] x",
            Some((Ok(1_124_017_198), "14/Aug/2005:11:59:58 +0100")),
        ),
        ("", "14-08-05 11:59:58", Some((Ok(1_124_013_598), "14-08-05 11:59:58"))),
        ("", "08/14/2005:11:59:58", Some((Ok(1_124_013_598), "08/14/2005:11:59:58"))),
        ("", "<08/14/05@11:59:58> x", Some((Ok(1_124_013_598), "<08/14/05@11:59:58>"))),
        ("", "Aug-14-05 11:59:58 x", Some((Ok(1_124_013_598), "Aug-14-05 11:59:58"))),
        ("", "050814 11:59:58 x", Some((Ok(1_124_013_598), "050814 11:59:58"))),
        ("", "Aug 14, 2005 1:59:58 PM x", Some((Ok(1_124_020_798), "Aug 14, 2005 1:59:58 PM"))),
        ("", "PDT Aug 14 02:59:58 x", Some((Ok(1_124_013_598), "PDT Aug 14 02:59:58"))),
        ("", "msg=audit(1124013598.123:42): x", Some((Ok(1_124_013_598), "1124013598.123"))),
        ("", "[1124013598] x", Some((Ok(1_124_013_598), "1124013598"))),
        ("", "@4000000042ff1a1e00000000 x", Some((Ok(0x42ff_1a1e), "@4000000042ff1a1e00000000"))),
        ("", "21:59:59 x", Some((Ok(1_123_963_199), "21:59:59"))),
        ("", "2005-13-14 x", None),
        ("", "x2005-08-14 11:59:58", None),
        ("", "1994-08-14 11:59:58.", None),
    ]);
}

#[test]
fn texts_that_are_no_dates() {
    check(&[
        ("", "2005-02-30 11:59:58", Some((Err(NoTime::Unreadable), "2005-02-30 11:59:58"))),
        ("", "Feb 29 11:59:58", Some((Err(NoTime::Unreadable), "Feb 29 11:59:58"))),
        ("", "2005-08-14 11:59:60", Some((Err(NoTime::Unreadable), "2005-08-14 11:59:60"))),
        ("%b %d", "Feb 29", Some((Err(NoTime::Unreadable), "Feb 29"))),
        ("%Y-%m", "2005-08", Some((Err(NoTime::Fatal), "2005-08"))),
        ("%ExZ %b %d", "XYZ Aug 14", Some((Err(NoTime::Fatal), "XYZ Aug 14"))),
        ("%ExZ %b %d", "xyz Aug 14", Some((Err(NoTime::Unreadable), "xyz Aug 14"))),
        ("%I:%M(?: %p)?", "11:59", Some((Err(NoTime::Fatal), "11:59"))),
        ("(?P<H>\\d+):%M", "99999999999:1", Some((Err(NoTime::Fatal), "99999999999:1"))),
    ]);
}

#[test]
fn words_of_patterns() {
    check(&[
        ("{NONE}", "2005-08-14 11:59:58", Some((Err(NoTime::Empty), ""))),
        ("{NONE}", "", Some((Err(NoTime::Fatal), ""))),
        ("{^LN-BEG}", "h 2005-08-14 11:59:58", None),
        ("{^LN-BEG}", " [2005-08-14 11:59:58", Some((Ok(1_124_013_598), "2005-08-14 11:59:58"))),
        ("{^LN-BEG}", " -[2005-08-14 11:59:58", None),
        ("^[^\\[]*\\[({DATE})", "a [x]", None),
        (
            "^[^\\[]*\\[({DATE})",
            "a [Aug 14 11:59:58]",
            Some((Ok(1_124_013_598), "Aug 14 11:59:58")),
        ),
        (
            "^<\\d+>\\d+\\s+{DATE}",
            "<4>1 Aug 14 11:59:58 x",
            Some((Ok(1_124_013_598), "<4>1 Aug 14 11:59:58")),
        ),
        // The word of a known number stands for itself within a pattern.
        ("^x ({DATE})", "x Epoch", Some((Ok(1_123_970_400), "Epoch"))),
        ("{UNB}%H:%M", "x11:59x", Some((Ok(1_124_013_540), "11:59"))),
        ("**%H:%M**", "x11:59x", Some((Ok(1_124_013_540), "11:59"))),
        ("%H:%M", "x11:59", None),
        ("%H:%M", "11:59x", None),
        ("LEPOCH", "1124013598123", Some((Ok(1_124_013_598), "1124013598123"))),
        ("^x={EPOCH},", "x=1124013598, y", Some((Ok(1_124_013_598), "x=1124013598,"))),
        ("{^LN-BEG}TAI64N", "x", None),
    ]);
}

#[test]
fn own_groups_and_parts() {
    check(&[
        // A group of the pattern's own is what is cut out; all fields count.
        ("\\[(%H:%M)\\]", "x [11:59] y", Some((Ok(1_124_013_540), "11:59"))),
        ("%Y-%m-%d( x)?", "2005-08-14 x", Some((Ok(1_123_970_400), "2005"))),
        (
            "(?P<Y>\\d+)/(?P<m>\\d+)/(?P<d>\\d+)",
            "2005/8/14 x",
            Some((Ok(1_123_970_400), "2005/8/14")),
        ),
        (
            "%d(?P<s>[-.])%m(?P=s)%Y",
            "14.08-2005 14.08.2005",
            Some((Ok(1_123_970_400), "14.08.2005")),
        ),
        ("^(?:%Y-%m-%d )?", "x", Some((Err(NoTime::Empty), ""))),
        ("(?<=at )%H:%M(?! PM)", "at 10:00 PM, at 11:59 x", Some((Ok(1_124_013_540), "11:59"))),
        ("(\\[)?%H:%M(?(1)\\])", "[11:59 x", Some((Err(NoTime::Empty), ""))),
        (
            "%A %B %d week %W %Y",
            "Sunday August 14 week 32 2005",
            Some((Ok(1_123_970_400), "Sunday August 14 week 32 2005")),
        ),
        ("%Y %j", "2005 226", Some((Ok(1_123_970_400), "2005 226"))),
        ("%a week %U %Y", "Sun week 33 2005", Some((Ok(1_123_970_400), "Sun week 33 2005"))),
        ("%d/%m/%Y", "1\u{664}/08/2005", Some((Ok(1_123_970_400), "1\u{664}/08/2005"))),
    ]);
}

#[test]
fn what_the_log_leaves_out() {
    check(&[
        // A day ahead is borne, more is last year's.
        ("", "Aug 15 12:00:00", Some((Ok(1_124_100_000), "Aug 15 12:00:00"))),
        ("", "Aug 15 12:00:01", Some((Ok(1_092_564_001), "Aug 15 12:00:01"))),
        ("%H:%M:%S", "12:00:01", Some((Ok(1_123_927_201), "12:00:01"))),
        ("%y%m%d", "050814", Some((Ok(1_123_970_400), "050814"))),
        // Spring forward, and the second of an hour that is there twice.
        ("%Y-%m-%d %H:%M", "2005-03-27 02:30", Some((Ok(1_111_887_000), "2005-03-27 02:30"))),
        ("%Y-%m-%d %H:%M", "2005-10-30 01:30", Some((Ok(1_130_632_200), "2005-10-30 01:30"))),
        // A zone that is only a rule has no summer time before 1970.
        ("%Y-%m-%d", "1960-08-14", Some((Ok(-296_096_400), "1960-08-14"))),
    ]);
    let mut summer = detector("%Y-%m-%d %H:%M");
    assert!(found(&mut summer, "2005-10-30 00:59").is_some());
    assert_eq!(found(&mut summer, "2005-10-30 01:30").unwrap().0, Ok(1_130_628_600));
}

#[test]
fn zones_of_logs() {
    let zone = Zone::named("Europe/Berlin").unwrap().with_log_zone("UTC-0330").unwrap();
    let mut detector = DateDetector::new(None, &zone).unwrap();
    assert_eq!(found(&mut detector, "2005-08-14 12:00:00").unwrap().0, Ok(1_124_033_400));
    assert_eq!(found(&mut detector, "2005-08-14 12:00:00 +0200").unwrap().0, Ok(1_124_013_600));
    assert!(Zone::named("Nowhere/Atall").is_err());
    assert!(Zone::named("UTC").unwrap().with_log_zone("XYZ").is_err());
}

#[test]
fn a_date_in_the_message_does_not_take_over() {
    let mut detector = detector("");
    let date = |text: &str| Some((Ok(1_124_013_598), text.to_owned()));
    for _ in 0..3 {
        assert_eq!(found(&mut detector, "Aug 14 11:59:58 h: x"), date("Aug 14 11:59:58"));
    }
    let both = "Aug 14 11:59:58 h: 2005-08-14 11:59:57";
    assert_eq!(found(&mut detector, both), date("Aug 14 11:59:58"));
    let turned = "2005-08-14 11:59:58 h: Aug 14 11:59:57";
    assert_eq!(found(&mut detector, turned), date("2005-08-14 11:59:58"));
    // A clone of a fresh detector knows nothing of it.
    assert_eq!(found(&mut detector.clone(), both), date("Aug 14 11:59:58"));
}

#[test]
fn what_is_not_understood() {
    for (pattern, at) in
        [("%Y %q", 3), ("(%Y", 1), ("%H:%M\n%Y %Y", 9), ("[%d]", 1), ("a**%Y", 2), ("%k:%M", 0)]
    {
        let error = DateDetector::new(Some(pattern), &Zone::named("UTC").unwrap()).unwrap_err();
        let place = match error {
            DateError::Unknown { at, .. } | DateError::Twice { at, .. } => at,
            DateError::Repeated { at } | DateError::TooLarge { at } => at,
        };
        assert_eq!(place, at, "{pattern}: {error}");
    }
    let zone = Zone::named("UTC").unwrap();
    assert_eq!(
        DateDetector::new(Some("%Y\n%Y"), &zone).unwrap_err(),
        DateError::Repeated { at: 3 }
    );
}

#[test]
fn long_lines_end() {
    let mut plain = detector(".*a.*b.*%Y");
    assert_eq!(plain.find(&b"ab".repeat(2_000), NOON), None);
    assert_eq!(plain.given_up(), 0);
    let mut back = detector("(.*)a\\1.*%Y");
    assert_eq!(back.find(&b"a".repeat(4_000), NOON), None);
    assert_eq!(back.given_up(), 1);
}
