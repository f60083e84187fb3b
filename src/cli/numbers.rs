//! Numbers as people write and read them. Knows none by itself.

/// A count such as `250000`, `250k`, `1.5M` or `10M`: at least 1.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let fault = || {
        format!(
            "take a number such as 250000, 250k or 10M, from 1 to {}",
            grouped(COUNT_MAX)
        )
    };
    let (digits, factor) = match text.trim().to_ascii_lowercase().as_str() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1_000),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1_000_000),
        text => (text.to_owned(), 1),
    };
    let digits = digits.replace(['_', ','], "");
    let (whole, part) = digits.split_once('.').unwrap_or((&digits, ""));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > 6 {
        return Err(fault());
    }
    let whole: u64 = whole.parse().map_err(|_| fault())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| fault())?;
    if !(part * factor).is_multiple_of(1_000_000) {
        return Err(fault());
    }
    let count = whole.checked_mul(factor).ok_or_else(fault)? + part * factor / 1_000_000;
    if (1..=COUNT_MAX).contains(&count) {
        Ok(count)
    } else {
        Err(fault())
    }
}

/// More than this no host will hold for years; it keeps all sums far from their types' ends.
const COUNT_MAX: u64 = 1_000_000_000;

/// With a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// In the largest unit of 1,024 that leaves at least one.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(count(text).ok(), expected, "{text}");
    }

    #[test]
    fn people_write_counts_in_many_ways() {
        check("1", Some(1));
        check("250k", Some(250_000));
        check("10M", Some(10_000_000));
        check("1.5m", Some(1_500_000));
        check("0.25k", Some(250));
        check("1_000,000", Some(1_000_000));
        check("1000M", Some(COUNT_MAX));
        for bad in [
            "",
            "0",
            "k",
            "-1",
            "+1",
            "1G",
            "1.5",
            "0.0001k",
            "1..5k",
            "1e6",
            "1001M",
            "18446744073709551616",
            "18446744073709551615M",
            "ten",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(
            [grouped(7), grouped(1_000), grouped(1_234_567)],
            ["7", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(5), bytes(1_536), bytes(45 << 30)],
            ["5 B", "1.5 KiB", "45.0 GiB"]
        );
    }
}
