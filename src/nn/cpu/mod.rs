//! The explicit CPU engine.
mod attention;
mod avx2;
mod lanes;
mod mask;
mod math;
mod norm;
mod product;
mod softmax;
