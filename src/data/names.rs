//! The names by which files of the field call their columns and fields.

/// What a column of a table of pairs holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The id of a query.
    Query,
    /// The id of a document.
    Document,
    /// A score.
    Score,
    /// A grade of relevance.
    Grade,
    /// A rank, 1 for the best.
    Rank,
    /// A column that is not used: TREC's iteration, `Q0`, the tag of a run.
    Unused,
}

/// The names of each role. `score` is also what BEIR calls a grade, and `relevance` what some runs call a score.
const ROLES: [(Role, &[&str]); 6] = [
    (Role::Query, &["query_id", "query-id", "queryid", "qid", "q_id", "topic", "topic_id", "query"]),
    (
        Role::Document,
        &[
            "document_id",
            "document-id",
            "doc_id",
            "doc-id",
            "docid",
            "docno",
            "corpus-id",
            "corpus_id",
            "pid",
            "passage_id",
            "passage-id",
            "did",
            "document",
            "doc",
            "doc_ids",
            "passage_ids",
        ],
    ),
    (Role::Score, &["score", "sim", "similarity", "logit", "scores"]),
    (
        Role::Grade,
        &[
            "grade",
            "relevance",
            "rel",
            "label",
            "relevance_label",
            "relevance_score",
            "labels",
            "judgment",
            "judgement",
        ],
    ),
    (Role::Rank, &["rank"]),
    (Role::Unused, &["q0", "iteration", "iter", "tag", "run", "run_id", "runid", "system", "name", "unused"]),
];

/// What a column of this name holds, without regard to case.
pub(super) fn role(name: &str) -> Option<Role> {
    let name = name.trim().to_ascii_lowercase();
    ROLES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(role, _)| *role)
}

/// The names of a role, as messages list them: the first three.
pub(super) fn usual(role: Role) -> String {
    let names = ROLES.iter().find(|(r, _)| *r == role).map_or(&[][..], |(_, names)| names);
    names.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        let cases = [
            ("query-id", Some(Role::Query)),
            ("QID", Some(Role::Query)),
            (" docno ", Some(Role::Document)),
            ("corpus-id", Some(Role::Document)),
            ("Score", Some(Role::Score)),
            ("relevance", Some(Role::Grade)),
            ("iteration", Some(Role::Unused)),
            ("7", None),
        ];
        for (name, found) in cases {
            assert_eq!(role(name), found, "{name}");
        }
        assert_eq!(usual(Role::Rank), "`rank`");
    }
}
