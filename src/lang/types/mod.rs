//! Types of the language and the signatures of operations and constructors.

pub mod artifact;
mod export;
pub mod op;
mod registry;
pub mod ty;

pub use artifact::{Artifact, ModelUse, QueryCount, SampleForm, Supervision};
pub use export::Export;
pub use op::{Kind, Op, Param};
pub use registry::Registry;
pub use ty::Type;
