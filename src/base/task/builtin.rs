//! A program that is part of the binary: what a crate of such a program gives, and what `exec` hands to it.

use std::path::Path;

use super::{Failure, Job};
use crate::value::Digest;

/// A program inside this binary.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What follows `self:`.
    pub name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// Writes files into [`BuiltinCall::out`], as an external program does.
    pub run: fn(&Job<'_>, &BuiltinCall<'_>) -> Result<(), Failure>,
    /// What stands for the program in keys.
    pub identity: fn() -> Result<Digest, Failure>,
}

/// How a program is called.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinCall<'a> {
    /// The study's arguments.
    pub args: &'a [String],
    /// What it reads: names, and paths or values as text.
    pub reads: &'a [(String, String)],
    /// The folder it writes to; empty.
    pub out: &'a Path,
}
