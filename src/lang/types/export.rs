//! The file formats that `xpipe export` writes.

/// The file format that `export` writes an artifact as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Export {
    /// A run of six columns, as TREC has it.
    Run,
    /// Judgements of four columns, as TREC has them.
    Qrels,
    /// Query, document and score, separated by tabs.
    Scores,
    /// Query, measure and value, as CSV.
    Metrics,
    /// A text per line, as JSON or separated by tabs.
    Texts,
    /// A copy of the artifact's folder.
    #[default]
    Folder,
}
