//! Types of the language and the signatures of operations and constructors.

pub mod artifact;
pub mod op;
pub mod ty;

pub use artifact::{Artifact, Export, Form, ModelUse, Supervision};
pub use op::{Kind, Op, Param, Registry};
pub use ty::Type;
