//! The options of tables and reports, read from the words that a study writes.

use xpipe_base::value::Name;

/// An enum with the word of each variant, as studies write it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// Reads the word that studies write.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The word that studies write.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// Among which cells of a table the best is marked.
    BestPer {
        /// Those of a row.
        Row = "row",
        /// Those of a column.
        Column = "column",
        /// All cells.
        Table = "table",
    }
}

words! {
    /// A format of files that a table is written to.
    Format {
        /// HTML: part of the page.
        Html = "html",
        /// LaTeX with booktabs.
        Latex = "latex",
        /// CSV.
        Csv = "csv",
        /// GitHub's Markdown.
        Markdown = "markdown",
        /// Parquet.
        Parquet = "parquet",
    }
}

words! {
    /// A significance test of paired differences.
    TestKind {
        /// The paired t-test.
        PairedT = "paired_t",
        /// The paired randomisation test.
        Randomisation = "randomisation",
        /// The paired bootstrap test.
        Bootstrap = "bootstrap",
    }
}

words! {
    /// How the p-values of a table are corrected for their number.
    CorrectionMethod {
        /// Holm 1979.
        Holm = "holm",
        /// Bonferroni.
        Bonferroni = "bonferroni",
        /// Benjamini and Hochberg 1995.
        BenjaminiHochberg = "bh",
        /// Not at all.
        None = "none",
    }
}

/// A significance test of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSpec {
    /// The test.
    pub kind: TestKind,
    /// The axis and label that other cells are compared with.
    pub against: (Name, Name),
    /// The correction for multiple tests.
    pub correct: CorrectionMethod,
    /// Level, in (0, 1).
    pub alpha: f64,
    /// Draws of randomisation and bootstrap.
    pub draws: u64,
    /// Their seed.
    pub seed: u64,
}

/// A section of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// A table or claim, by its name.
    Output(String),
    /// The costs of stages, by their names.
    Costs(Vec<String>),
}

/// Formats of `write`, as a type.
pub(super) const FORMATS: &str = "'html' | 'latex' | 'csv' | 'markdown' | 'parquet'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    #[test]
    fn words_are_read_back() {
        for kind in [TestKind::PairedT, TestKind::Randomisation, TestKind::Bootstrap] {
            assert_eq!(TestKind::parse(kind.word()), Some(kind));
        }
        assert_eq!(Format::parse("docx"), None);
        let Some(Type::Word(formats)) = Type::parse(FORMATS) else { panic!("words") };
        assert!(!formats.is_empty() && formats.iter().all(|f| Format::parse(f).is_some()), "{formats:?}");
        assert_eq!(CorrectionMethod::parse("bh"), Some(CorrectionMethod::BenjaminiHochberg));
    }
}
