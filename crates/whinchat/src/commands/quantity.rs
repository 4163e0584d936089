//! Sizes and durations as they are written on the command line.

use std::time::Duration;

/// `16`, `64KiB`, `1MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("expected bytes, or a number with KiB, MiB or GiB".into()),
    };
    let number: usize = number
        .parse()
        .map_err(|_| "expected a whole number of bytes, KiB, MiB or GiB")?;
    number
        .checked_mul(factor)
        .ok_or_else(|| "more bytes than there are".into())
}

/// `10s`, `500ms`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("expected a number with ms, s, m or h".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a number with ms, s, m or h")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "too long".into())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim_end(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes("16"), Ok(16));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("1 MiB"), Ok(1 << 20));
        assert!(bytes("1MB").is_err());
        assert!(bytes("-1").is_err());
        assert!(bytes("99999999999GiB").is_err());
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("5d").is_err());
        assert!(duration("-1s").is_err());
    }
}
