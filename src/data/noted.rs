//! What a reader of tables passes over or changes, counted, and told with the result.

use super::lines::Line;
use xpipe_base::place;
use xpipe_base::task::{Caveat, CaveatKind, Progress};

/// A count with the first place.
#[derive(Debug, Default)]
pub(super) struct Noted {
    count: u64,
    first: String,
}

impl Noted {
    /// Counts one more; `first` is asked for the first.
    pub(super) fn add(&mut self, first: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = first();
        }
        self.count += 1;
    }

    /// Tells the count, if there is one, with a cause that goes on after it.
    pub(super) fn tell(&self, kind: CaveatKind, cause: &str, progress: &dyn Progress) {
        if self.count > 0 {
            progress.caveat(&Caveat::counted(kind, self.count, cause).example(self.first.as_str()));
        }
    }
}

/// What is the same for all tables of ids.
#[derive(Debug, Default)]
pub(super) struct TableNotes {
    comments: Noted,
    joined: Noted,
}

impl TableNotes {
    /// Passes a line over as a comment.
    pub(super) fn comment(&mut self, line: &Line<'_>, text: &str) {
        self.comments.add(|| format!("{}: {}", place::spot(line.file, line.number), place::quote(text)));
    }

    /// An id as it is kept: blanks in it replaced, when that was asked for.
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

    /// Takes over the ids that another one counted.
    pub(super) fn absorb_ids(&mut self, other: Self) {
        if self.joined.count == 0 {
            self.joined.first = other.joined.first;
        }
        self.joined.count += other.joined.count;
    }

    /// Tells what there was.
    pub(super) fn tell(&self, progress: &dyn Progress) {
        let cause = "lines that begin with `#` and are no record were left out as comments";
        self.comments.tell(CaveatKind::Dropped, cause, progress);
        let cause = "ids with blanks were changed as `blanks` says";
        self.joined.tell(CaveatKind::Changed, cause, progress);
    }
}
