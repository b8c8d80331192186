//! Counts with the words that follow them: `1 query is not judged`, `3 queries are not judged`.

/// Nouns that follow counts, as they stand for many, with the form for one.
const NOUNS: [(&str, &str); 24] = [
    ("lines", "line"),
    ("queries", "query"),
    ("texts", "text"),
    ("documents", "document"),
    ("judgements", "judgement"),
    ("answers", "answer"),
    ("pairs", "pair"),
    ("rows", "row"),
    ("passages", "passage"),
    ("lists", "list"),
    ("rankings", "ranking"),
    ("files", "file"),
    ("records", "record"),
    ("results", "result"),
    ("cells", "cell"),
    ("actions", "action"),
    ("stages", "stage"),
    ("terms", "term"),
    ("candidates", "candidate"),
    ("negatives", "negative"),
    ("questions", "question"),
    ("characters", "character"),
    ("values", "value"),
    ("tensors", "tensor"),
];

/// Verbs of many things, with the form for one.
const VERBS: [(&str, &str); 12] = [
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
];

/// A count and a phrase that says what is counted in the plural, as one sentence.
pub fn counted(n: u64, phrase: &str) -> String {
    format!("{} {}", super::rounded::grouped(n), agreeing(n, phrase))
}

/// A phrase in the plural as it reads after a count: of one thing, its first noun and its verbs are in the singular.
pub fn agreeing(n: u64, phrase: &str) -> String {
    if n != 1 {
        return phrase.to_owned();
    }
    let mut noun = false;
    let words = phrase.split(' ').map(|word| {
        if !noun && let Some((_, one)) = NOUNS.iter().find(|(many, _)| *many == word) {
            noun = true;
            return *one;
        }
        VERBS.iter().find(|(many, _)| noun && *many == word).map_or(word, |(_, one)| *one)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (many, one) in cases {
            assert_eq!(counted(1, many), one);
            assert_eq!(counted(12_345, many), format!("12,345 {many}"));
        }
    }
}
