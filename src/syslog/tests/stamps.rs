//! Times as written.

use crate::model::Timestamp;
use crate::syslog::stamp::read;

/// 2026-11-22 10:00:00 UTC.
const NOW: i64 = 1_795_341_600;

fn seconds(stamp: &str, reference: i64, offset: i32) -> Option<f64> {
    read(stamp.as_bytes(), Timestamp::from_seconds(reference), offset).map(Timestamp::seconds)
}

#[test]
fn every_form() {
    for stamp in [
        "Nov 22 10:00:00",
        "Nov 22 2026 10:00:00",
        "2026 Nov 22 10:00:00",
        "Nov 22 10:00:00 2026",
        "Sun Nov 22 10:00:00 2026",
        "November 22 10:00:00",
        "*Nov 22 10:00:00",
        ".Nov 22 10:00:00:",
        "Nov 22 10:00:00 UTC",
        "Nov 22 10:00:00 GMT:",
        "2026-11-22T10:00:00Z",
        "2026-11-22 10:00:00",
        "2026-11-22T11:00:00+01:00",
        "2026-11-22T08:30:00-0130",
        "1795341600",
        "nov",
        "2026-11-22T10:00:00+00:00Z",
        "Nov 22 2026 10:00:00 AM UTC",
    ] {
        let expected = (stamp != "nov").then_some(NOW as f64);
        assert_eq!(seconds(stamp, NOW, 0), expected, "{stamp}");
    }
    assert_eq!(seconds("Nov 22 10:00:00.250", NOW, 0), Some(NOW as f64 + 0.25));
    assert_eq!(seconds("2026-11-22T10:00:00.123456789Z", NOW, 0), Some(NOW as f64 + 0.123456));
    assert_eq!(seconds("1795341600.5", NOW, 0), Some(NOW as f64 + 0.5));
    assert_eq!(seconds("Nov 22 2026 10:00:00 PM.500 UTC", NOW, 0), Some(NOW as f64 + 43_200.5));
}

#[test]
fn the_offset_counts_only_without_a_zone() {
    assert_eq!(seconds("Nov 22 11:00:00", NOW, 3_600), Some(NOW as f64));
    assert_eq!(seconds("Nov 22 10:00:00 UTC", NOW, 3_600), Some(NOW as f64));
    assert_eq!(seconds("Nov 22 11:00:00 CET", NOW, 3_600), Some(NOW as f64));
    assert_eq!(seconds("2026-11-22T10:00:00Z", NOW, 3_600), Some(NOW as f64));
}

#[test]
fn the_nearest_year() {
    let new_year = 1_798_761_600; // 2027-01-01 00:00:00
    assert_eq!(seconds("Dec 31 23:59:59", new_year + 5, 0), Some((new_year - 1) as f64));
    assert_eq!(seconds("Jan  1 00:00:05", new_year - 5, 0), Some((new_year + 5) as f64));
    // 29 February is the nearest one that exists.
    assert_eq!(seconds("Feb 29 00:00:00", NOW, 0), Some(1_835_395_200.0)); // 2028
    assert_eq!(seconds("Feb 29 2026 00:00:00", NOW, 0), None);
}

#[test]
fn what_is_no_time() {
    for stamp in [
        "",
        "-",
        "Nov",
        "Nov 31 10:00:00",
        "Nov 22 24:00:00",
        "Nov 22 10:60:00",
        "Nov 22 10:00:61",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "00:01:01",
        "Nov 22 10:00:00 host",
        "Nov 0 10:00:00",
    ] {
        assert_eq!(seconds(stamp, NOW, 0), None, "{stamp}");
    }
    for reference in [i64::MIN, i64::MAX] {
        let _ = read(b"Nov 22 10:00:00", Timestamp(reference), i32::MAX);
    }
}
