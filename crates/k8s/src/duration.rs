//! Durations as Go writes them: `1h30m`, `2.5s`, and Karpenter's `Never`.

use std::time::Duration;

use jiff::Timestamp;

/// From `then` until `now`; nothing where it is still to come.
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A duration that is not negative. `None` also for `Never`.
pub fn span(text: &str) -> Option<Duration> {
    parse(text).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
}

/// A duration in nanoseconds. `None` for anything that `time.ParseDuration`
/// would refuse, or that is beyond its 64 bits.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') || whole.len() > 18 {
            return None;
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let digits = &fraction[..fraction.len().min(18)];
        let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        total += whole * scale + part * scale / 10_i128.pow(digits.len() as u32);
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_are_those_of_go() {
        const S: i64 = 1_000_000_000;
        for (text, expected) in [
            ("1h30m", Some(5400 * S)),
            ("720h", Some(720 * 3600 * S)),
            ("2.5s", Some(5 * S / 2)),
            (".5s", Some(S / 2)),
            ("1.s", Some(S)),
            ("-1m", Some(-60 * S)),
            ("0", Some(0)),
            ("1µs", Some(1000)),
            ("1d", None),
            ("1", None),
            ("", None),
            ("-", None),
            ("h", None),
            (".s", None),
            ("1..5s", None),
            ("9999999999h", None),
            ("Never", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[-+]?[0-9.hmsnuµ ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
