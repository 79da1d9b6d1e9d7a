//! The never-ban list as intervals: sorted, apart from each other, none inside another.
//!
//! The kernel's interval set answers EEXIST to some overlaps and lets others pass, so it is given
//! none.

use std::net::IpAddr;

use super::error::GateError;
use super::layout::{Family, key_bytes};
use crate::model::Prefix;

/// The intervals of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Never {
    v4: Vec<Interval>,
    v6: Vec<Interval>,
}

impl Never {
    /// Merges prefixes that overlap or touch.
    pub(super) fn merge(prefixes: &[Prefix]) -> Result<Never, GateError> {
        let of = |family| {
            merged(prefixes.iter().filter(|p| Family::of(**p) == family).map(interval).collect())
        };
        let never = Never { v4: of(Family::V4), v6: of(Family::V6) };
        match never.v4.len().max(never.v6.len()) {
            count if count > MOST => Err(GateError::TooManyNever { count, most: MOST }),
            _ => Ok(never),
        }
    }

    /// How many bytes it takes in a transaction, at most.
    pub(super) fn bytes(&self) -> usize {
        (self.v4.len() + self.v6.len()) * 2 * ELEMENT_BYTES + 1024
    }

    /// The elements that an interval set of that family is made of: key, and whether it is an end.
    ///
    /// An end is the first address behind the interval; behind the last address of the family there
    /// is none, and the kernel takes an open interval as reaching the last.
    pub(super) fn elements(&self, family: Family) -> Vec<(Vec<u8>, bool)> {
        let intervals = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let mut elements = Vec::with_capacity(intervals.len() * 2);
        for interval in intervals {
            elements.push((key_bytes(family, interval.first), false));
            if interval.last != last_address(family) {
                elements.push((key_bytes(family, interval.last + 1), true));
            }
        }
        elements
    }
}

/// First and last address, both within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: u128,
    last: u128,
}

fn interval(prefix: &Prefix) -> Interval {
    let first = match prefix.address() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let host_bits = u32::from(Family::of(*prefix).bits() - prefix.length());
    let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |count| count - 1);
    Interval { first, last: first | hosts }
}

fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut out: Vec<Interval> = Vec::with_capacity(intervals.len());
    for next in intervals {
        match out.last_mut() {
            Some(before) if next.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(next.last);
            }
            _ => out.push(next),
        }
    }
    out
}

fn last_address(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

/// Intervals of one family. An insertion costs 250 µs at 5k intervals and grows faster than they do.
const MOST: usize = 4096;

/// An IPv6 end takes 36 bytes; the rest is its share of the list's headers.
const ELEMENT_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn never(texts: &[&str]) -> Never {
        let prefixes: Vec<Prefix> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Never::merge(&prefixes).unwrap()
    }

    fn v4(elements: &[(Vec<u8>, bool)]) -> Vec<(String, bool)> {
        let dotted = |key: &[u8]| format!("{}.{}.{}.{}", key[0], key[1], key[2], key[3]);
        elements.iter().map(|(key, end)| (dotted(key), *end)).collect()
    }

    #[test]
    fn nested_overlapping_and_adjacent_become_one() {
        let list = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7", "10.0.0.0/25", "10.0.3.0/24"];
        let elements = v4(&never(&list).elements(Family::V4));
        let expected =
            [("10.0.0.0", false), ("10.0.2.0", true), ("10.0.3.0", false), ("10.0.4.0", true)];
        assert_eq!(elements, expected.map(|(key, end)| (key.to_owned(), end)));
    }

    #[test]
    fn the_last_address_leaves_the_interval_open() {
        assert_eq!(
            v4(&never(&["255.255.255.0/24"]).elements(Family::V4)),
            [("255.255.255.0".to_owned(), false)]
        );
        assert_eq!(never(&["ff00::/8"]).elements(Family::V6).len(), 1);
        assert_eq!(
            never(&["0.0.0.0/0", "::/0", "::1"]).elements(Family::V6),
            [(vec![0; 16], false)]
        );
    }

    #[test]
    fn families_stay_apart() {
        let both = never(&["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(both.elements(Family::V4).len(), 2);
        assert_eq!(both.elements(Family::V6).len(), 2);
        assert_eq!(both.elements(Family::V6)[1].0[..4], [0x20, 0x01, 0x0d, 0xb9]);
    }

    #[test]
    fn more_than_the_kernel_takes_in_a_second_is_refused() {
        let many: Vec<Prefix> = (0..=MOST as u32)
            .map(|n| Prefix::host(std::net::Ipv4Addr::from_bits(n * 2).into()))
            .collect();
        assert!(matches!(Never::merge(&many), Err(GateError::TooManyNever { .. })));
        assert!(Never::merge(&many[1..]).is_ok());
    }
}
