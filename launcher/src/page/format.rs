//! Numbers, times and sizes as people read them.

use std::fmt::Write;

/// A number with five significant digits: `0.23417`, `1834.2`, `1.2e-7`. NaN and infinities keep their names.
pub(crate) fn number(value: f64) -> String {
    const DIGITS: i32 = 5;
    if !value.is_finite() {
        return value.to_string();
    }
    if value == 0.0 {
        return "0".to_string();
    }
    let exponent = exponent(value);
    if !(-4..9).contains(&exponent) {
        let text = format!("{value:.*e}", DIGITS as usize - 1);
        let (digits, power) = text.split_once('e').expect("the format has an exponent");
        return format!("{}e{power}", trimmed(digits));
    }
    let places = (DIGITS - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.places$}")).to_string()
}

/// The power of ten of the first digit, as decimal text has it.
fn exponent(value: f64) -> i32 {
    let text = format!("{value:e}");
    text.rsplit('e').next().and_then(|power| power.parse().ok()).unwrap_or(0)
}

/// Without zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// `93.81 %`.
pub(crate) fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.2} %") } else { value.to_string() }
}

/// A whole number with thin spaces between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `2.61 s`, `4 min 07 s`, `1 h 02 min`, `3 d 04 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_string();
    }
    if seconds < 60.0 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {:02} s", whole % 60),
        (0, _) => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// `512 B`, `1.5 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    if value < 1000.0 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    value /= 1000.0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `2026-11-27 02:10 UTC`, of seconds since 1970.
pub(crate) fn date(seconds: f64) -> Option<String> {
    // The years 1970 to 9999.
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return None;
    }
    let (day, second) = (seconds as u64 / 86_400, seconds as u64 % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms": years start in March, so that the leap
    // day is the last one.
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = String::new();
    let _ = write!(text, "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_five_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.234_166_6, "0.23417"),
            (-1834.24, "-1834.2"),
            (0.001, "0.001"),
            (1.234_56e-7, "1.2346e-7"),
            (1e-7, "1e-7"),
            (123_456_789.0, "123456789"),
            (9.999_999e8, "999999900"),
            (2.5e12, "2.5e12"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!((percent(93.809), percent(f64::NAN)), ("93.81 %".to_string(), "NaN".to_string()));
    }

    #[test]
    fn units_fit_their_values() {
        let texts = [0.0, 59.99, 60.0, 247.0, 3725.0, 273_600.0, f64::NAN].map(duration);
        assert_eq!(
            texts,
            ["0.00 s", "59.99 s", "1 min 00 s", "4 min 07 s", "1 h 02 min", "3 d 04 h", "unknown"]
        );
        let texts = [0, 999, 1000, 1_500_000, 999_960, u64::MAX].map(bytes);
        assert_eq!(texts, ["0 B", "999 B", "1.0 kB", "1.5 MB", "1.0 MB", "18446.7 PB"]);
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, Some("1970-01-01 00:00 UTC")),
            (951_782_399.0, Some("2000-02-28 23:59 UTC")),
            (951_782_400.0, Some("2000-02-29 00:00 UTC")),
            (1_772_323_200.5, Some("2026-03-01 00:00 UTC")),
            (253_402_300_799.0, Some("9999-12-31 23:59 UTC")),
            (253_402_300_800.0, None),
            (-1.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(date(seconds).as_deref(), expected, "{seconds}");
        }
    }
}
