//! Types of the language and the signatures of operations and constructors.

pub mod op;
pub mod ty;

pub use op::{Kind, Op, Param, Registry};
pub use ty::Type;
