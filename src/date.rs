//! Dates for the deprecation headers: RFC 3339 in, Unix seconds and IMF-fixdate out. Pure.

/// Reads an RFC 3339 date and time (`2026-01-31T12:00:00Z`, `+01:00` too) as Unix seconds.
///
/// Fractions of a second are dropped. `None` for anything else, impossible days among it.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| text.get(from..to)?.parse().ok())?
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if day < 1 || day > days_in(year, month)? || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if rest.len() == fraction.len() {
            return None;
        }
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let at = text.len().checked_sub(rest.len())?;
            let from = |plus: usize| at.saturating_add(plus);
            if rest.len() != 6 || !is(from(3), b":") {
                return None;
            }
            let (hours, minutes) = (number(from(1), from(3))?, number(from(4), from(6))?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            hours
                .checked_mul(60)?
                .checked_add(minutes)?
                .checked_mul(60)?
                .checked_mul(sign)?
        }
    };
    days_from_epoch(year, month, day)?
        .checked_mul(86_400)?
        .checked_add(hour.checked_mul(3_600)?)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?
        .checked_sub(offset)
}

/// Writes Unix seconds as HTTP does: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
///
/// `None` outside the years 0 to 9999, which the format cannot hold.
pub fn imf_fixdate(unix: i64) -> Option<String> {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let weekday = WEEKDAYS.get(usize::try_from(days.rem_euclid(7)).ok()?)?;
    // The year is near days / 365.2425; at most one year off either way.
    let mut year = days
        .checked_mul(400)?
        .div_euclid(146_097)
        .checked_add(1970)?;
    while days_from_epoch(year, 1, 1)? > days {
        year = year.checked_sub(1)?;
    }
    while days_from_epoch(year.checked_add(1)?, 1, 1)? <= days {
        year = year.checked_add(1)?;
    }
    if !(0..=9999).contains(&year) {
        return None;
    }
    let mut day = days.checked_sub(days_from_epoch(year, 1, 1)?)?;
    let mut month = 1;
    while day >= days_in(year, month)? {
        day = day.checked_sub(days_in(year, month)?)?;
        month = i64::checked_add(month, 1)?;
    }
    let name = MONTHS.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    Some(format!(
        "{weekday}, {:02} {name} {year:04} {:02}:{:02}:{:02} GMT",
        day.checked_add(1)?,
        seconds.div_euclid(3_600),
        seconds.div_euclid(60).rem_euclid(60),
        seconds.rem_euclid(60),
    ))
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if is_leap(year) => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_from_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let before = year.checked_sub(1)?;
    let mut days = before
        .checked_mul(365)?
        .checked_add(before.div_euclid(4))?
        .checked_sub(before.div_euclid(100))?
        .checked_add(before.div_euclid(400))?;
    for earlier in 1..month {
        days = days.checked_add(days_in(year, earlier)?)?;
    }
    // 719 162 days lie between 0001-01-01 and 1970-01-01.
    days.checked_add(day)?.checked_sub(719_163)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments_are_read() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_rfc3339("1994-11-06T08:49:37Z"), Some(784_111_777));
        assert_eq!(
            parse_rfc3339("2026-01-31T13:00:00+01:00"),
            parse_rfc3339("2026-01-31T12:00:00Z")
        );
        assert_eq!(
            parse_rfc3339("2024-02-29T00:00:00.123Z"),
            Some(1_709_164_800)
        );
    }

    #[test]
    fn other_text_is_no_moment() {
        for text in [
            "",
            "2026-01-31",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00Zx",
            "+026-01-31T12:00:00Z",
            "2026-01-31T12:00:00+99:00",
            "2026-01-31T12:00:é0Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn known_moments_are_written() {
        assert_eq!(
            imf_fixdate(784_111_777).unwrap(),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(imf_fixdate(0).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            imf_fixdate(1_709_251_199).unwrap(),
            "Thu, 29 Feb 2024 23:59:59 GMT"
        );
        assert_eq!(imf_fixdate(i64::MAX), None);
        assert_eq!(imf_fixdate(i64::MIN), None);
    }

    proptest! {
        #[test]
        fn any_text_and_any_number_are_harmless(text: String, unix: i64) {
            let _ = parse_rfc3339(&text);
            let _ = imf_fixdate(unix);
        }

        #[test]
        fn days_follow_each_other(unix in -62_135_596_800_i64..253_402_300_799) {
            let text = imf_fixdate(unix).unwrap();
            let month = ["Jan","Feb","Mar","Apr","May","Jun","Jul","Aug","Sep","Oct","Nov","Dec"]
                .iter().position(|name| *name == &text[8..11]).unwrap() + 1;
            let iso = format!("{}-{month:02}-{}T{}Z", &text[12..16], &text[5..7], &text[17..25]);
            prop_assert_eq!(parse_rfc3339(&iso), Some(unix));
        }
    }
}
