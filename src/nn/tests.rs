//! Models as a whole, against what other programs computed with them.

mod mono;
mod roundtrip;
