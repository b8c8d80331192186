//! From a study to the graph of actions: cells of stages at points of their axes, equal recipes merged.
//!
//! Expansion is evaluation: every stage call is evaluated at every point, calls become actions, equal calls become
//! one action. What is known only after a stage has run stays a [`xpipe_base::value::Pending`] expression.
//!
//! | files | own |
//! |---|---|
//! | `model` | what comes out: actions, rows, tables, claims, reports |
//! | `expand` | the passes, in their order |
//! | `expander` | the state of an expansion: `env`, `memo`, `actions`, `reporter`, `overrides`, `reach`, `seal` |
//! | `static_…` | what is wrong whatever the cell: names, types, arguments |
//! | `eval`, `path`, `members`, `operators`, `compare`, `reduce`, `index`, `csv`, `forms` | expressions at a point |
//! | `axes`, `labels`, `points`, `dependence` | axes, their labels, and what varies over them |
//! | `stages`, `call`, `defs`, `operations`, `arguments`, `paths`, `policy` | calls, and the actions that they become |
//! | `declared`, `params`, `settings`, `datasets`, `names` | lets, params, data sets, and what names mean |
//! | `tables`, `table_layout`, `claims`, `reports`, `fields`, `titles` | outputs |
//! | `domain`, `sealed`, `bounds`, `no_cells` | checks beyond types |
//! | `conform`, `typing`, `type_expr` | types of values and of the text |
//! | `select`, `draw`, `layers`, `svg` | targets, and drawings of the graph |
//!
//! The files that are the state import none of the others. Diagnostics are functions at the end of the file whose rule
//! they report.

mod actions;
mod arguments;
mod axes;
mod bounds;
mod call;
mod claims;
mod compare;
mod conform;
mod csv;
mod datasets;
mod declared;
mod defs;
mod dependence;
mod domain;
mod env;
mod eval;
mod expand;
mod expander;
mod fields;
mod forms;
mod index;
pub mod items;
mod labels;
mod layers;
mod members;
mod memo;
mod model;
mod names;
mod no_cells;
mod operations;
mod operators;
mod output_options;
mod overrides;
mod params;
mod path;
mod paths;
mod points;
mod policy;
mod reach;
mod reduce;
mod reporter;
mod reports;
mod seal;
mod sealed;
mod settings;
mod stages;
mod static_names;
mod static_paths;
mod static_types;
mod svg;
mod table_layout;
mod tables;
mod titles;
mod type_expr;
mod typing;

pub mod draw;
pub mod select;
pub mod special;

pub use bounds::MOST_CELLS;
pub use expand::expand;
pub use model::{CallSite, Cell, Choice, Claim, Cut, Graph, Published, Report, Row, Table, address};
pub use output_options::{BestPer, CorrectionMethod, Format, Section, TestKind, TestSpec};
pub use overrides::Overrides;
pub use svg::svg;
