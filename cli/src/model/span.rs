//! Lengths of time as people write them: `14d` in, `3m ago` out.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The rules keep evidence for 40 days; nothing longer can be answered.
pub const MEMORY: Length = Length(40 * 86_400);

/// A whole number of seconds, more than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(i64);

impl Length {
    /// The length in seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// A length of at least one second.
    pub fn from_seconds(seconds: i64) -> Length {
        Length(seconds.max(1))
    }

    /// The moment this long before `now`.
    pub fn before(self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_secs(self.0))
            .unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Length, String> {
        let problem = || format!("expected a length of time like 14d, 36h or 1d12h, got: {text}");
        let span: Span = text.parse().map_err(|_| problem())?;
        let seconds = span
            .total((jiff::Unit::Second, SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| problem())?;
        if !(1.0..=1e10).contains(&seconds) {
            return Err(problem());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to lie between 1 and 1e10"
        )]
        Ok(Length(seconds as i64))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            let count = rest / seconds;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
            rest %= seconds;
        }
        Ok(())
    }
}

/// The time between two moments in its largest unit: `16d`, `3m`.
pub fn rough(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs();
    match seconds {
        ..0 => "in the future".into(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `3m ago`, or `never`.
pub fn ago(moment: Option<Timestamp>, now: Timestamp) -> String {
    match moment {
        None => "never".into(),
        // Evaluation lag and clock skew of a minute are no news.
        Some(moment) if moment > now => "now".into(),
        Some(moment) => format!("{} ago", rough(moment, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_prometheus_writes_them() {
        for (text, seconds) in [
            ("14d", 1_209_600),
            ("1h", 3_600),
            ("1d12h", 129_600),
            ("2w", 1_209_600),
            ("90s", 90),
        ] {
            assert_eq!(text.parse::<Length>().unwrap().seconds(), seconds, "{text}");
        }
        for text in ["", "0", "0d", "-1d", "14", "soon", "1mo"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_length_is_shown_as_it_is_read() {
        for text in ["14d", "1h", "1d12h", "90m"] {
            let length: Length = text.parse().unwrap();
            assert_eq!(length.to_string().parse::<Length>().unwrap(), length);
        }
    }

    #[test]
    fn ago_uses_the_largest_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |seconds: i64| Some(Timestamp::from_second(1_000_000 - seconds).unwrap());
        assert_eq!(ago(at(5), now), "5s ago");
        assert_eq!(ago(at(185), now), "3m ago");
        assert_eq!(ago(at(86_400 * 12 + 5), now), "12d ago");
        assert_eq!(ago(None, now), "never");
    }
}
