//! The time zones of a log: the machine's own with its summer time, and fixed ones.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::error::ZoneError;
use crate::model::Timestamp;

/// In which zone times without one are.
#[derive(Clone, Debug)]
pub struct Zone {
    local: TimeZone,
    /// The seconds ahead of UTC at the begin of 1970, for a zone that is only a rule.
    ///
    /// The C library knows no summer time before it in such a zone.
    before_1970: Option<Offset>,
    /// Minutes ahead of UTC, when the log has a fixed zone of its own.
    log: Option<i64>,
}

impl Zone {
    /// The zone of the machine: `TZ`, or else `/etc/localtime`.
    pub fn system() -> Zone {
        Zone { local: TimeZone::system(), before_1970: None, log: None }
    }

    /// A zone of the system's database (`Europe/Berlin`, `UTC`) or the text of a POSIX `TZ`
    /// (`CET-1CEST,M3.5.0,M10.5.0/3`; POSIX.1 section 8.3).
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        let name = name.trim();
        let text = name.strip_prefix(':').unwrap_or(name);
        if let Ok(local) = TimeZone::get(text) {
            return Ok(Zone { local, before_1970: None, log: None });
        }
        let local = TimeZone::posix(text).map_err(|_| ZoneError::Local(name.to_owned()))?;
        let before_1970 = Some(local.to_offset(jiff::Timestamp::UNIX_EPOCH));
        Ok(Zone { local, before_1970, log: None })
    }

    /// fail2ban's `logtimezone`: lines without a zone are in this one, of a fixed offset
    /// (`UTC+0200`, `-03:00`, `CET`, which never becomes CEST).
    pub fn with_log_zone(self, text: &str) -> Result<Zone, ZoneError> {
        match offset_of(text) {
            Ok(minutes) => Ok(Zone { log: Some(minutes), ..self }),
            Err(_) => Err(ZoneError::Log(text.to_owned())),
        }
    }

    /// Minutes ahead of UTC for lines without a zone, when that is fixed.
    pub(super) fn log_offset(&self) -> Option<i64> {
        self.log
    }

    /// The clock on the machine's wall at `time`.
    pub(super) fn wall(&self, time: Timestamp) -> Option<DateTime> {
        let time = jiff::Timestamp::from_microsecond(time.0).ok()?;
        Some(self.local.to_datetime(time))
    }

    /// When the machine's wall shows this. `last` is the offset of the conversion before.
    ///
    /// As the C library decides when it is not told whether summer time is on: a time that the
    /// clock skips in spring counts as if it had not been put forward yet; of a time that it shows
    /// twice in autumn, the one is meant that is as near to the last conversion as can be, so that
    /// the lines of a log stay in order.
    pub(super) fn when(&self, wall: DateTime, last: &mut Offset) -> Option<Timestamp> {
        let ambiguous = self.local.to_ambiguous_timestamp(wall);
        let offset = match (self.before_1970, ambiguous.offset()) {
            (Some(offset), _) if wall.year() < 1970 => offset,
            (_, AmbiguousOffset::Unambiguous { offset }) => offset,
            // By the clock that was not put forward; what is remembered is the new one.
            (_, AmbiguousOffset::Gap { before, after }) => {
                *last = after;
                return Some(Timestamp(before.to_timestamp(wall).ok()?.as_microsecond()));
            }
            (_, AmbiguousOffset::Fold { before, after }) => {
                let guess = self.local.to_offset(last.to_timestamp(wall).ok()?);
                if guess == before { before } else { after }
            }
        };
        *last = offset;
        Some(Timestamp(offset.to_timestamp(wall).ok()?.as_microsecond()))
    }
}

/// Why a zone has no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoOffset {
    /// Not of the form of a zone.
    Form,
    /// Of that form, but nobody knows it.
    Name,
}

/// Minutes ahead of UTC of `CET`, `+01`, `-0330`, `UTC+02:00`; nothing at all is UTC.
pub(super) fn offset_of(text: &str) -> Result<i64, NoOffset> {
    let sign = text.find(['+', '-']);
    let (name, offset) = text.split_at(sign.unwrap_or(text.len()));
    let letters = name.len();
    if !matches!(letters, 0 | 1 | 3..=5) || !name.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(NoOffset::Form);
    }
    let minutes = if offset.is_empty() { 0 } else { signed(offset).ok_or(NoOffset::Form)? };
    Ok(known_offset(name).ok_or(NoOffset::Name)? + minutes)
}

fn signed(offset: &str) -> Option<i64> {
    let mut chars = offset.chars();
    let sign = if chars.next()? == '-' { -1 } else { 1 };
    let digits: Vec<char> = chars.collect();
    let digits: Vec<char> = match digits.as_slice() {
        [a, b] => vec![*a, *b],
        [a, b, ':', c, d] | [a, b, c, d] => vec![*a, *b, *c, *d],
        _ => return None,
    };
    if !matches!(digits[0], '0' | '1') {
        return None;
    }
    let number = |pair: &[char]| -> Option<i64> {
        pair.iter().try_fold(0, |sum, c| Some(sum * 10 + i64::from(super::text::digit(*c)?)))
    };
    let minutes = digits.get(2..4).map_or(Some(0), number)?;
    Some(sign * (number(&digits[..2])? * 60 + minutes))
}

fn known_offset(name: &str) -> Option<i64> {
    if name.is_empty() {
        return Some(0);
    }
    ABBREVIATIONS
        .iter()
        .find(|(_, names)| names.split(' ').any(|known| known == name))
        .map(|(minutes, _)| *minutes)
}

/// The abbreviations that fail2ban knows, by minutes ahead of UTC. Many are used for several zones;
/// the one listed is the one it takes.
const ABBREVIATIONS: &[(i64, &str)] = &[
    (-720, "Y"),
    (-660, "NUT SST X"),
    (-600, "CKT HAST HST TAHT TKT W"),
    (-570, "MART MIT"),
    (-540, "AKST GAMT GIT HADT HNY V"),
    (-480, "AKDT CIST HAY HNP PST PT U"),
    (-420, "HAP HNR MST PDT T"),
    (-360, "CST EAST GALT HAR HNC MDT S"),
    (-300, "CDT COT EASST ECT EST ET HAC HNE PET R"),
    (-270, "HLV VET"),
    (-240, "AST BOT CLT COST EDT FKT GYT HAE HNA PYT Q"),
    (-210, "HNT NST NT"),
    (-180, "ADT ART BRT CLST FKST GFT HAA P PMST PYST SRT UYT WGT"),
    (-150, "HAT NDT"),
    (-120, "BRST FNT O PMDT UYST WGST"),
    (-60, "AZOT CVT EGT N"),
    (0, "EGST GMT UTC WET WT Z"),
    (60, "A CET DFT WAT WEDT WEST"),
    (120, "B CAT CEDT CEST EET SAST WAST"),
    (180, "C EAT EEDT EEST IDT MSK"),
    (210, "IRST"),
    (240, "AMT AZT D GET GST KUYT MSD MUT RET SAMT SCT"),
    (270, "AFT IRDT"),
    (300, "AMST AQTT AZST E HMT MAWT MVT PKT TFT TJT TMT UZT YEKT"),
    (330, "SLT"),
    (345, "NPT"),
    (360, "ALMT BIOT BTT F IOT KGT NOVT OMST YEKST"),
    (390, "CCT MMT"),
    (420, "CXT DAVT G HOVT ICT KRAT NOVST OMSST THA WIB"),
    (480, "ACT AWST BDT BNT CAST H HKT IRKT KRAST MYT PHT SGT ULAT WITA WST"),
    (540, "AWDT I IRKST JST KST PWT TLT WDT WIT YAKT"),
    (570, "ACST"),
    (600, "AEST K PGT VLAT YAKST YAPT"),
    (630, "ACDT LHST"),
    (660, "AEDT L LHDT MAGT NCT PONT SBT VLAST VUT"),
    (690, "NFT"),
    (720, "ANAST ANAT FJT GILT M MAGST MHT NZST PETST PETT TVT WFT"),
    (780, "FJST NZDT"),
];
