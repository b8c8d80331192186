//! Conversion of little-endian numbers in weight files to f32. Each function fills `out` from `out.len()` numbers.

use xpipe_base::value::half::widen;

/// Binary32.
pub(super) fn from_f32(bytes: &[u8], out: &mut [f32]) {
    for (x, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
}

/// bfloat16, the upper half of a binary32.
pub(super) fn from_bf16(bytes: &[u8], out: &mut [f32]) {
    for (x, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *x = f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
    }
}

/// IEEE 754 binary16.
pub(super) fn from_f16(bytes: &[u8], out: &mut [f32]) {
    for (x, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *x = widen(u16::from_le_bytes([b[0], b[1]]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        let mut out = [0.0; 2];
        from_bf16(&[0x80, 0x3f, 0x49, 0xc0], &mut out);
        assert_eq!(out, [1.0, -3.140_625]);
        from_f16(&[0x00, 0xc0, 0x01, 0x3c], &mut out);
        assert_eq!(out, [-2.0, 1.000_976_6]);
    }
}
