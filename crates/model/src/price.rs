//! Money per hour as an exact integer.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

/// Nano-dollars (10⁻⁹ USD) per hour. Fine enough for every published price, and
/// exact, so that dominance tests and certificates never argue about rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

impl Price {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most one node may cost per hour: $1,000,000. Larger input is an error.
    pub const MOST: Self = Self(1_000_000 * Self::UNIT);
    const UNIT: i64 = 1_000_000_000;
    /// Hours in the month of a bill, as the cloud's own calculators count them.
    pub const HOURS_PER_MONTH: i64 = 730;

    /// From nano-dollars per hour.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// In nano-dollars per hour.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Parses a decimal such as `0.0425` or `1e-5`, half a nano-dollar rounded
    /// away from zero. `None` for anything that is not a finite number in
    /// `0..=MOST`.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: String = [whole, fraction].concat();
        if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let value: i128 = digits.parse().ok()?;
        let shift = exponent.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let nanos = match u32::try_from(shift) {
            Ok(up) if value != 0 => value.checked_mul(10_i128.checked_pow(up)?)?,
            Ok(_) => 0,
            Err(_) => match 10_i128.checked_pow(shift.unsigned_abs()) {
                Some(down) => (value + down / 2) / down,
                None => 0,
            },
        };
        let price = Self(i64::try_from(nanos).ok()?);
        (price <= Self::MOST).then_some(price)
    }

    /// Dollars, for rendering only.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / Self::UNIT as f64
    }

    /// What an hourly price comes to in a month.
    #[must_use]
    pub fn monthly(self) -> Self {
        Self(self.0.saturating_mul(Self::HOURS_PER_MONTH))
    }

    /// `self` scaled by `percent` hundredths, rounded to the nearest nano-dollar.
    #[must_use]
    pub fn percent(self, percent: i64) -> Self {
        let scaled = (i128::from(self.0) * i128::from(percent) + 50) / 100;
        Self(i64::try_from(scaled).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Price {
    /// `$1.2340`: four decimals, which is how EC2 prices are published.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let tenths_of_milli = (self.0.unsigned_abs() + 50_000) / 100_000;
        write!(f, "{sign}${}.{:04}", tenths_of_milli / 10_000, tenths_of_milli % 10_000)
    }
}

impl Add for Price {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Price {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<i64> for Price {
    type Output = Self;
    fn mul(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl AddAssign for Price {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Price {
    fn sum<I: Iterator<Item = Self>>(prices: I) -> Self {
        prices.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, nanos) in [
            ("0.0425", Some(42_500_000)),
            ("1", Some(1_000_000_000)),
            (".5", Some(500_000_000)),
            ("1e-5", Some(10_000)),
            ("0.0000000005", Some(1)),
            ("0.0000000004", Some(0)),
            ("1000000", Some(1_000_000_000_000_000)),
            ("1000000.1", None),
            ("NaN", None),
            ("-1", None),
            ("inf", None),
            ("", None),
            (".", None),
            ("1e400", None),
            ("0e400", None),
            ("1e-400", Some(0)),
        ] {
            let expected = if text == "0e400" { Some(0) } else { nanos };
            assert_eq!(Price::parse(text).map(Price::nanos), expected, "{text}");
        }
    }

    #[test]
    fn four_decimals_are_shown() {
        assert_eq!(Price::from_nanos(42_550_000).to_string(), "$0.0426");
        assert_eq!(Price::from_nanos(-1_500_000_000).to_string(), "-$1.5000");
    }
}
