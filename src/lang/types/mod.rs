//! Types of the language and the signatures of operations and constructors.

pub mod artifact;
mod export;
pub mod op;
pub mod ty;

pub use artifact::{Artifact, Form, ModelUse, Supervision};
pub use export::Export;
pub use op::{Kind, Op, Param, Registry};
pub use ty::Type;
