//! What a study says when it has run: tables with their tests, claims and costs; in the terminal, in files, as a page.
//!
//! [`evaluate`] computes everything once, the renderers only lay it out. Numbers come through [`Results`]; what has no
//! result becomes a hole with its reason, never a default. Must not know: the store, the language, how actions are run.
//!
//! | files | own |
//! |---|---|
//! | `results` | the interface to published numbers |
//! | `evaluate`, `fill`, `spreads`, `significance`, `units`, `claims`, `costs`, `chosen`, `caveats` | from a graph and numbers to what is said |
//! | `filled` | a table with its numbers |
//! | `layout`, `terminal`, `latex`, `markdown`, `csv`, `parquet`, `json`, `html`, `write` | renderings, and their files |

pub mod caveats;
mod cells;
pub mod chosen;
mod claims;
mod costs;
mod csv;
mod detectable;
mod evaluate;
mod fill;
mod filled;
mod grade;
pub mod html;
mod json;
mod latex;
mod layout;
mod markdown;
mod missing;
mod parquet;
pub mod per_query;
mod results;
mod significance;
mod spreads;
mod terminal;
#[cfg(test)]
mod tests;
mod units;
mod write;

pub(crate) use self::csv::Lines;
pub use self::csv::{costs as costs_csv, table as csv};
pub use claims::{ClaimOutcome, ClaimResult, evaluate_claim};
pub use costs::{CostRow, Costs, costs};
pub use detectable::{Detectable, detectable};
pub use evaluate::{Evaluated, evaluate};
pub use fill::evaluate_table;
pub use filled::{CellTest, Content, Filled, FilledCell, Note, Sign, TestOutcome};
pub use grade::{Grade, Published};
pub use json::json;
pub use latex::table as latex;
pub use markdown::{costs as costs_markdown, table as markdown};
pub use results::{Execution, Results};
pub use terminal::{claims as terminal_claims, costs as terminal_costs, table as terminal};
pub use write::{WrittenFiles, file_name, write_all, write_file};
