//! Counts of what was dropped or changed while texts were read, reported as caveats of the result.

use super::super::json::Repaired;
use super::super::noted::{Noted, TableNotes};
use xpipe_base::place;
use xpipe_base::task::{CaveatKind, Progress};

/// Counts, each with its first occurrence.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Values that are no strings.
    pub(super) as_text: Noted,
    /// Texts that are null.
    pub(super) null: Noted,
    /// Lines with half a surrogate pair.
    pub(super) surrogates: Noted,
    /// Documents and topics that are not UTF-8.
    pub(super) decoded: Noted,
    /// First lines that name columns.
    pub(super) headers: Noted,
    /// Topics with a field twice.
    pub(super) repeated: Noted,
    /// Queries without words.
    pub(super) empty: Noted,
    /// Ids.
    pub(super) table: TableNotes,
}

impl Notes {
    /// Counts the deviations from JSON of a line.
    pub(super) fn repaired(&mut self, file: &str, line: u64, repaired: Repaired) {
        if repaired.surrogates > 0 {
            self.surrogates.add(|| place::spot(file, line));
        }
    }

    /// Reports the counts as caveats.
    pub(super) fn tell(&self, kept: bool, progress: &dyn Progress) {
        use CaveatKind::{Changed, Dropped};
        let tell = |noted: &Noted, kind, cause: &str| noted.tell(kind, cause, progress);
        tell(
            &self.as_text,
            Changed,
            "titles or texts that are numbers, true or false, or lists were read as text",
        );
        tell(&self.null, Changed, "texts that are null or NaN were read as empty");
        tell(&self.surrogates, Changed, "lines hold half a surrogate pair, which was read as U+FFFD");
        tell(&self.decoded, Changed, "records that are not UTF-8 were read as Windows-1252");
        tell(
            &self.headers,
            Changed,
            "first lines were read as the names of columns (`header = false` reads them as data)",
        );
        tell(&self.repeated, Dropped, "topics have the same field again; the first one was taken");
        match kept {
            true => tell(&self.empty, CaveatKind::Doubt, "queries have an empty text and were kept"),
            false => tell(&self.empty, Dropped, "queries have an empty text and were left out"),
        }
        self.table.tell(progress);
    }
}
