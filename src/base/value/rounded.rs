//! Durations, amounts of memory and counts as people read them: the one place that rounds them.

/// A duration: `0.42 s`, `12 s`, `3 min 20 s`, `2 h 05 min`.
pub fn rough_seconds(x: f64) -> String {
    if x < 9.995 {
        return format!("{x:.2} s");
    }
    let whole = x.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => {
            let minutes = (x / 60.0).round() as u64;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

/// An amount of memory: `512 B`, `1.4 GiB`.
pub fn rough_bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut x, mut unit) = (n as f64, 0);
    // What would be printed as 1024.0 is 1.0 of the next unit.
    while unit + 1 < UNITS.len() && x >= if unit == 0 { 1024.0 } else { 1023.95 } {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{x:.1} {}", UNITS[unit]) }
}

/// A count with `,` between thousands.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_are_rounded_for_reading() {
        let durations = [
            (0.0, "0.00 s"),
            (9.996, "10 s"),
            (32.4, "32 s"),
            (59.7, "1 min 00 s"),
            (75.0, "1 min 15 s"),
            (200.4, "3 min 20 s"),
            (3599.7, "1 h 00 min"),
            (5400.0, "1 h 30 min"),
            (7_530.0, "2 h 06 min"),
            (7_199.0, "2 h 00 min"),
        ];
        for (x, text) in durations {
            assert_eq!(rough_seconds(x), text);
        }
        let amounts = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1_500_000_000, "1.4 GiB"),
        ];
        for (n, text) in amounts {
            assert_eq!(rough_bytes(n), text);
        }
        assert_eq!((grouped(999), grouped(1_234_567)), ("999".into(), "1,234,567".into()));
    }
}
