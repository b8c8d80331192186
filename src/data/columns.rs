//! The columns of a line.

use super::parts::Part;

/// What separates the columns of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// White space.
    Blanks,
    /// Tabs only, so that ids may contain blanks.
    Tabs,
    /// Commas outside quotes.
    Commas,
}

impl Separator {
    /// The separator of a part: commas by its suffix or `format`, tabs when ids may contain blanks.
    pub(super) fn of(part: &Part<'_>, format: &str, blanks: bool) -> Self {
        match (format == "csv" || part.suffix() == "csv", blanks) {
            (true, _) => Self::Commas,
            (false, true) => Self::Tabs,
            (false, false) => Self::Blanks,
        }
    }

    /// The columns of a line.
    pub(super) fn columns<'t>(self, text: &'t str, out: &mut Vec<&'t str>) {
        out.clear();
        match self {
            Self::Blanks => out.extend(text.split_whitespace()),
            Self::Tabs => out.extend(text.split('\t').map(str::trim)),
            Self::Commas => {
                let mut quoted = false;
                let columns = text.split(|c| {
                    quoted ^= c == '"';
                    c == ',' && !quoted
                });
                let inner = |c: &'t str| c.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(c);
                out.extend(columns.map(|c| inner(c.trim())));
            }
        }
    }
}
