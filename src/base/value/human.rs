//! Durations, sizes and counts, rounded and worded for people: in the terminal, on the page, in messages.
//!
//! Exact texts of values are made by [`super::text`].

/// A duration in seconds: `0.42 s`, `12 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => {
            let minutes = (seconds / 60.0).round() as u64;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

/// A size in bytes, in binary units: `512 B`, `1.4 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut x, mut unit) = (bytes as f64, 0);
    // What would be printed as 1024.0 is 1.0 of the next unit.
    while unit + 1 < UNITS.len() && x >= if unit == 0 { 1024.0 } else { 1023.95 } {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{x:.1} {}", UNITS[unit]) }
}

/// A number with `,` between thousands: `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A count with what is counted, given in the plural: `3 queries`, `1 query is not judged`.
pub fn counted(n: impl TryInto<u64>, plural: &str) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    format!("{} {}", thousands(n), agreeing(n, plural))
}

/// A phrase in the plural as it reads after a count: after 1, its first noun and the verbs behind it are singular.
pub fn agreeing(n: u64, plural: &str) -> String {
    if n != 1 {
        return plural.to_owned();
    }
    let mut noun = false;
    let words = plural.split(' ').map(|word| match noun {
        false => match singular(word) {
            Some(one) => {
                noun = true;
                one
            }
            None => word.to_owned(),
        },
        true => VERBS.iter().find(|(many, _)| *many == word).map_or(word, |(_, one)| *one).to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Verbs and pronouns of many things, with the form for one.
const VERBS: [(&str, &str); 16] = [
    ("are", "is"),
    ("were", "was"),
    ("have", "has"),
    ("do", "does"),
    ("find", "finds"),
    ("count", "counts"),
    ("repeat", "repeats"),
    ("name", "names"),
    ("rank", "ranks"),
    ("hold", "holds"),
    ("their", "its"),
    ("begin", "begins"),
    ("differ", "differs"),
    ("need", "needs"),
    ("wait", "waits"),
    ("depend", "depends"),
];

/// The singular of a regular plural; `None` for any other word.
fn singular(word: &str) -> Option<String> {
    let (word, comma) = word.strip_suffix(',').map_or((word, ""), |word| (word, ","));
    let stem = word.strip_suffix('s').filter(|stem| stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']))?;
    let one = match stem {
        "axe" => "axis".to_owned(),
        _ if stem.ends_with("ie") => format!("{}y", &stem[..stem.len() - 2]),
        _ if ["tche", "sse", "xe"].iter().any(|end| stem.ends_with(end)) => stem[..stem.len() - 1].to_owned(),
        _ => stem.to_owned(),
    };
    Some(one + comma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_rounded_for_reading() {
        let durations = [
            (0.0, "0.00 s"),
            (9.996, "10 s"),
            (32.4, "32 s"),
            (59.7, "1 min 00 s"),
            (75.0, "1 min 15 s"),
            (200.4, "3 min 20 s"),
            (3599.7, "1 h 00 min"),
            (5400.0, "1 h 30 min"),
            (5999.7, "1 h 40 min"),
            (7_530.0, "2 h 06 min"),
            (7_199.0, "2 h 00 min"),
        ];
        for (x, text) in durations {
            assert_eq!(duration(x), text);
        }
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1_500_000_000, "1.4 GiB"),
        ];
        for (n, text) in sizes {
            assert_eq!(size(n), text);
        }
        assert_eq!((thousands(999), thousands(1_234_567)), ("999".into(), "1,234,567".into()));
    }

    #[test]
    fn one_thing_is_told_in_the_singular() {
        let cases = [
            ("queries with too few negatives in the run", "1 query with too few negatives in the run"),
            (
                "lines with an id outside the collection were left out",
                "1 line with an id outside the collection was left out",
            ),
            (
                "texts were left out because their id was there more than once",
                "1 text was left out because its id was there more than once",
            ),
            (
                "judged queries are not in the run and count 0",
                "1 judged query is not in the run and counts 0",
            ),
            (
                "queries have no term after analysis and find nothing",
                "1 query has no term after analysis and finds nothing",
            ),
            ("axes", "1 axis"),
            ("processes", "1 process"),
            ("matches", "1 match"),
            ("caches", "1 cache"),
            ("passages", "1 passage"),
            ("passes over its data", "1 pass over its data"),
        ];
        for (many, one) in cases {
            assert_eq!(counted(1u64, many), one);
            assert_eq!(counted(12_345usize, many), format!("12,345 {many}"));
        }
    }
}
