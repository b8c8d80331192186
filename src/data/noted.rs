//! Counts of what readers skip or change, reported as caveats of the result.

use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Progress};

/// A count with its first occurrence.
#[derive(Debug, Default)]
pub(super) struct Noted {
    count: u64,
    first: String,
}

impl Noted {
    /// Adds one; `first` describes the first occurrence.
    pub(super) fn add(&mut self, first: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = first();
        }
        self.count += 1;
    }

    /// Reports the count as a caveat, unless it is 0; the cause follows the number.
    pub(super) fn tell(&self, kind: CaveatKind, cause: &str, progress: &dyn Progress) {
        if self.count > 0 {
            progress.caveat(&Caveat::counted(kind, self.count, cause).example(self.first.as_str()));
        }
    }
}

/// Counts of all readers of tables of ids.
#[derive(Debug, Default)]
pub(super) struct TableNotes {
    comments: Noted,
    joined: Noted,
}

impl TableNotes {
    /// Counts a line that is skipped as a comment.
    pub(super) fn comment(&mut self, file: &str, line: u64, text: &str) {
        self.comments.add(|| format!("{}: {}", place::spot(file, line), place::quote(text)));
    }

    /// The id with white space replaced, where the study wants that.
    pub(super) fn id<'t>(
        &mut self,
        id: &'t str,
        blanks: Option<&str>,
        (file, line): (&str, u64),
    ) -> std::borrow::Cow<'t, str> {
        let Some(with) = blanks.filter(|_| id.contains(char::is_whitespace)) else { return id.into() };
        self.joined.add(|| format!("{}: {}", place::spot(file, line), place::quote(id)));
        id.split_whitespace().collect::<Vec<_>>().join(with).into()
    }

    /// Adds the ids that another reader counted.
    pub(super) fn absorb_ids(&mut self, other: Self) {
        if self.joined.count == 0 {
            self.joined.first = other.joined.first;
        }
        self.joined.count += other.joined.count;
    }

    /// Reports the counts as caveats.
    pub(super) fn tell(&self, progress: &dyn Progress) {
        let cause = "lines that begin with `#` and are no record were left out as comments";
        self.comments.tell(CaveatKind::Dropped, cause, progress);
        let cause = "ids with blanks were changed as `blanks` says";
        self.joined.tell(CaveatKind::Changed, cause, progress);
    }
}
