//! Kubernetes quantities, exactly: `100m`, `1.5Gi`, `2e3`.
//!
//! The grammar is that of `resource.Quantity` in k8s.io/apimachinery: a signed
//! decimal with one of the suffixes n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or a
//! decimal exponent. Amounts finer than asked for are rounded up, as there.

use std::fmt;

/// The largest amount of anything that one object may name: about 1.15 × 10¹⁸
/// in its unit, which is an exbibyte of memory.
const MOST: i128 = 1 << 60;
const NANO: i128 = 1_000_000_000;

/// Why a quantity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a quantity at all.
    Malformed,
    /// Below zero.
    Negative,
    /// Beyond what can be counted.
    TooLarge,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a quantity; write it as 100m, 2 or 1.5Gi",
            Self::Negative => "is negative",
            Self::TooLarge => "is larger than any machine",
        })
    }
}

/// The amount in thousandths, rounded up: how CPU is counted.
pub fn millis(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 1_000_000)
}

/// The amount in whole units, rounded up: how everything else is counted.
pub fn units(text: &str) -> Result<i64, QuantityError> {
    scaled(text, NANO)
}

/// The amount of resource `name` in the unit that it is counted in.
pub fn amount(name: &str, text: &str) -> Result<i64, QuantityError> {
    if name == crate::ResourceName::CPU { millis(text) } else { units(text) }
}

fn scaled(text: &str, unit: i128) -> Result<i64, QuantityError> {
    let nanos = nanos(text)?;
    let amount = nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0);
    if amount < 0 {
        return Err(QuantityError::Negative);
    }
    if amount > MOST {
        return Err(QuantityError::TooLarge);
    }
    i64::try_from(amount).map_err(|_| QuantityError::TooLarge)
}

/// The amount in billionths, rounded away from zero.
pub fn nanos(text: &str) -> Result<i128, QuantityError> {
    use QuantityError::{Malformed, TooLarge};
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (number, suffix) = body.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return Err(Malformed);
    }
    let (numerator, exponent) = suffix_factor(suffix).ok_or(Malformed)?;
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // value = digits × numerator × 10^shift nano
    let shift = exponent - fraction.len() as i64 + 9;
    if digits.len() as i64 + shift > 36 {
        return Err(if negative { QuantityError::Negative } else { TooLarge });
    }
    if digits.len() as i64 + shift + 19 < 0 {
        return Ok(if negative { -1 } else { 1 });
    }
    // Digits far below a billionth only matter by not being zero.
    let kept = digits.len().min(36);
    let dropped = digits.len() - kept;
    let sticky = digits[kept..].bytes().any(|b| b != b'0');
    let mantissa: i128 = digits[..kept].parse().map_err(|_| Malformed)?;
    let shift = shift + dropped as i64;
    let product = mantissa.checked_mul(numerator);
    let value = if shift >= 0 {
        let power = 10_i128.checked_pow(shift as u32).ok_or(TooLarge)?;
        product.and_then(|p| p.checked_mul(power)).ok_or(TooLarge)? + i128::from(sticky)
    } else {
        match 10_i128.checked_pow(shift.unsigned_abs() as u32) {
            Some(power) => {
                let product = product.ok_or(TooLarge)?;
                product / power + i128::from(product % power != 0 || sticky)
            }
            None => 1,
        }
    };
    Ok(if negative { -value } else { value })
}

/// A suffix as a factor and a power of ten.
fn suffix_factor(suffix: &str) -> Option<(i128, i64)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    match suffix {
        "" => Some((1, 0)),
        "n" => Some((1, -9)),
        "u" => Some((1, -6)),
        "m" => Some((1, -3)),
        "k" => Some((1, 3)),
        "M" => Some((1, 6)),
        "G" => Some((1, 9)),
        "T" => Some((1, 12)),
        "P" => Some((1, 15)),
        "E" => Some((1, 18)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            Some((1, exponent.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QuantityError::*;

    #[test]
    fn amounts_are_those_of_go() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("100m", Ok(100)),
            ("1", Ok(1000)),
            ("1.5", Ok(1500)),
            (".5", Ok(500)),
            ("5.", Ok(5000)),
            ("+2", Ok(2000)),
            ("1e3", Ok(1_000_000)),
            ("1E3", Ok(1_000_000)),
            ("12e-1", Ok(1200)),
            ("100u", Ok(1)),
            ("1n", Ok(1)),
            ("1001u", Ok(2)),
            ("0.0000000001", Ok(1)),
            ("2Ki", Ok(2_048_000)),
            ("-1", Err(Negative)),
            ("1E", Err(TooLarge)),
            ("9999999999999999999999", Err(TooLarge)),
            ("1e9999", Err(TooLarge)),
            ("1e-9999", Ok(1)),
            ("1e99999", Err(Malformed)),
            ("", Err(Malformed)),
            (".", Err(Malformed)),
            ("1.2.3", Err(Malformed)),
            ("1K", Err(Malformed)),
            ("1 Gi", Err(Malformed)),
            ("1e", Err(Malformed)),
            ("NaN", Err(Malformed)),
            ("0x10", Err(Malformed)),
            ("١", Err(Malformed)),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
        assert_eq!(units("1.5Gi"), Ok(1_610_612_736));
        assert_eq!(units("100m"), Ok(1), "fractions of a byte round up");
        assert_eq!(units("1Ei"), Ok(1 << 60));
        assert_eq!(units("2Ei"), Err(TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[-+]?[0-9.]{0,45}[a-zA-Z]{0,2}[-+]?[0-9]{0,6}") {
            let _ = nanos(&text);
        }

        #[test]
        fn whole_numbers_are_themselves(n in 0..(1_i64 << 50)) {
            proptest::prop_assert_eq!(units(&n.to_string()), Ok(n));
            proptest::prop_assert_eq!(millis(&format!("{n}m")), Ok(n));
        }
    }
}
