//! The shape of the source: who uses whom, no cycles of files, how long files and functions are, documentation that is
//! there and true. src/ARCHITECTURE.md and CONTRIBUTING.md state these rules.

mod cycles;
mod documents;
mod map;
mod promises;
mod sizes;
mod sources;
